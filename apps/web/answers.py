"""What the server says: one form for every refusal, and plain words for every decision."""

from __future__ import annotations

import json
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

from .words import sentence


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


def from_error(error: FedFRError) -> Refused:
    """An error of the library as an answer; its text is written for people."""
    kinds: tuple[tuple[type[FedFRError], int, str], ...] = (
        (ImageError, 422, "unreadable"),
        (VisionError, 422, "unusable"),
        (IntegrityError, 500, "gallery_damaged"),
        (GalleryError, 409, "gallery"),
        (WriteError, 507, "not_written"),
        (ConfigError, 400, "bad_request"),
    )
    for kind, status, code in kinds:
        if isinstance(error, kind):
            return Refused(status, code, sentence(str(error)))
    return Refused(500, "failed", sentence(str(error)))
