"""What the server says: one form for every refusal, and plain words for every decision."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any

from fedfr_edge.errors import (
    ConfigError,
    FedFRError,
    GalleryError,
    ImageError,
    IntegrityError,
    VisionError,
    WriteError,
)
from fedfr_edge.recognition.gallery import clean_name

from .words import sentence

log = logging.getLogger(__name__)

_OURS = ((IntegrityError, "gallery_damaged"), (WriteError, "not_written"))
"""Faults of the machine, and their codes."""


class Refused(Exception):
    """A request that is not done.

    Attributes:
        status: HTTP status.
        code: stable, for programs.
        text: one sentence for people: what is wrong and what to do.
        wait: seconds after which it is worth trying again; None: the same will not help.
    """

    def __init__(self, status: int, code: str, text: str, *, wait: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.wait = wait

    @property
    def headers(self) -> dict[str, str]:
        """To be sent along."""
        return {} if self.wait is None else {"Retry-After": str(max(1, round(self.wait)))}

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"code": self.code, "text": self.text, "wait_seconds": self.wait}}

    def body(self) -> bytes:
        """The same as bytes."""
        return json.dumps(self.as_json(), ensure_ascii=False).encode()


def too_often(seconds: float) -> Refused:
    """Too many requests of one client."""
    wait = max(1, round(seconds))
    return Refused(429, "too_often", f"Too many requests; try again in {wait} s.", wait=wait)


def too_large(most: int) -> Refused:
    """More bytes than are taken."""
    return Refused(413, "too_large", f"That is too large; at most {most:,} bytes are taken.")


def too_slow() -> Refused:
    """It took too long to arrive."""
    return Refused(408, "too_slow", "That took too long to arrive; try again.")


def busy() -> Refused:
    """All places are taken."""
    return Refused(503, "busy", "Too many people are at it just now; try again in a moment.", wait=2)


def not_operator() -> Refused:
    """Something that only the operator may do."""
    return Refused(
        403, "not_operator", "Only the operator may do this: open the address that 'fedfr serve' printed."
    )


def no_session() -> Refused:
    """The session is unknown: it has ended, the server was started anew, or there was none."""
    return Refused(403, "no_session", "The session has ended; load the page again.")


def usable_name(name: str) -> str:
    """A name as the gallery keeps it.

    Raises:
        Refused: it is none.
    """
    try:
        return clean_name(name)
    except GalleryError as error:
        raise Refused(400, "bad_name", sentence(str(error))) from None


def from_error(error: FedFRError) -> Refused:
    """An error of the library as an answer.

    Its text is written for people; but what is wrong with the machine, with its paths, is the business of who
    started the server and goes to standard error.
    """
    kinds: tuple[tuple[type[FedFRError], int, str], ...] = (
        (ImageError, 422, "unreadable"),
        (VisionError, 422, "unusable"),
        (GalleryError, 409, "gallery"),
        (ConfigError, 400, "bad_request"),
    )
    for kind, status, code in kinds:
        if isinstance(error, kind) and not isinstance(error, IntegrityError):
            return Refused(status, code, sentence(str(error)))
    log.error("%s: %s", type(error).__name__, error)
    text = "The server cannot do this just now; who started it finds the reason in its output."
    code = next((code for kind, code in _OURS if isinstance(error, kind)), "failed")
    return Refused(500, code, text)


def refusal_of(error: Exception) -> Refused:
    """Whatever went wrong, as an answer."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, FedFRError):
        return from_error(error)
    # Where it happened, but not what it said: a name may stand in that.
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return Refused(500, "failed", "Something went wrong in the server; nothing was changed.")
