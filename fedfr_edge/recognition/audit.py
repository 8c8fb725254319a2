"""A log of enrolments, logins and deletions: append-only, hash-chained, no biometric data, no names.

One JSON object a line. People stand in it by their random ids, which mean something only together with the
gallery, which is encrypted. Each line ends with ``"chain"``: SHA-256 (hexadecimal) of the chain value before
it, a newline, and the line without that field; before the first line stands the SHA-256 of the gallery's
``header.json``. Number of lines and newest chain value are sealed in the gallery's state, so that a chain
that was computed anew, or ends early, does not fit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedfr_edge.atomic import sync_folder, write_errors
from fedfr_edge.errors import IntegrityError
from fedfr_edge.recognition.decision import Decision

DIGEST_PREFIX = 12
"""Hexadecimal digits of a model's digest that go into a line."""

_CHAIN = ', "chain": "'
_TAIL = len(_CHAIN) + 64 + len('"}')


@dataclass(frozen=True)
class Head:
    """Where a log stands: what is sealed in the gallery's state.

    Attributes:
        lines: how many it has.
        size: its length in bytes.
        chain: the newest chain value.
        last: the newest line's text, so that a line that a crash kept out of the file can be added.
    """

    lines: int
    size: int
    chain: str
    last: str = ""


def beginning(header: bytes) -> Head:
    """The head of an empty log of the gallery with this ``header.json``."""
    return Head(0, 0, hashlib.sha256(header).hexdigest())


def next_head(head: Head, event: str, subject: str | None, values: Mapping[str, Any]) -> Head:
    """The head after one more line: number, time, event, subject's id, then ``values``."""
    record = {
        "number": head.lines + 1,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "subject": subject,
        **values,
    }
    body = json.dumps(record)
    chain = _chain(head.chain, body)
    line = f'{body[:-1]}{_CHAIN}{chain}"}}\n'
    return Head(head.lines + 1, head.size + len(line), chain, line)


def of_decision(decision: Decision) -> dict[str, Any]:
    """What a login's line says beside who: decision, reason, score, threshold, its FAR, faces seen.

    Where a second gate was asked, its score and threshold too: else whom it kept out would seem to have been
    refused with a score that is high enough.
    """
    second = decision.second
    return {
        "accepted": decision.accepted,
        "reason": decision.reason.value,
        "score": None if decision.score is None else round(decision.score, 4),
        "threshold": round(decision.threshold, 4),
        "far": decision.far,
        "faces_seen": decision.faces_seen,
        **(
            {}
            if second is None
            else {"second_score": round(second.score, 4), "second_threshold": round(second.threshold, 4)}
        ),
    }


def bring_up_to(path: Path, head: Head) -> None:
    """See that the log ends with the head's line; add what a crash kept out of it.

    Raises:
        IntegrityError: it ends otherwise.
        WriteError: the line could not be written.
    """
    line = head.last.encode()
    with write_errors(path):
        new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            begun = size - (head.size - len(line))
            if not 0 <= begun <= len(line) or os.pread(descriptor, begun, size - begun) != line[:begun]:
                raise IntegrityError(
                    f"{path} does not end with the line that was written last (it has {size} bytes, expected "
                    f"{head.size}): it was cut, edited or added to; 'fedfr audit verify' says where. Restore "
                    "it, or run 'fedfr gallery rekey --accept-restored' to put it aside and begin a new one"
                )
            if begun < len(line):
                while begun < len(line):
                    begun += os.write(descriptor, line[begun:])
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            sync_folder(path.parent)


@dataclass(frozen=True)
class Fault:
    """Something wrong with a log.

    Attributes:
        line: where, from 1.
        kind: edited, missing, order, cut, added or rewritten.
        detail: in words.
    """

    line: int
    kind: str
    detail: str


def verify(data: bytes, start: Head, sealed: Head) -> list[Fault]:
    """Compare a whole log with its own chain and with the head that is sealed in the gallery.

    Args:
        data: the file.
        start: :func:`beginning` of the gallery.
        sealed: the head.

    Returns:
        all faults found; none if the log is whole.
    """
    faults: list[Fault] = []
    lines = data.splitlines(keepends=True)
    expected, chain = 1, start.chain
    for place, line in enumerate(lines, 1):
        text, own, number = _parse(line)
        if number is None:
            faults.append(Fault(place, "edited", f"line {place} is no line of a log any more"))
            expected, chain = expected + 1, ""
            continue
        if number != expected:
            if number > expected:
                faults.append(Fault(place, "missing", f"lines {expected} to {number - 1} are missing"))
            else:
                faults.append(Fault(place, "order", f"line {place} has number {number}, expected {expected}"))
        elif chain and _chain(chain, text) != own:
            faults.append(Fault(place, "edited", f"line {place} was edited, or the one before it"))
        expected, chain = number + 1, own
    end = expected - 1
    if end < sealed.lines:
        faults.append(
            Fault(end + 1, "cut", f"the last {sealed.lines - end} of {sealed.lines} lines are missing")
        )
    elif end > sealed.lines:
        faults.append(
            Fault(sealed.lines + 1, "added", f"{end - sealed.lines} lines were added after the last")
        )
    elif not faults and (chain != sealed.chain or len(data) != sealed.size):
        faults.append(
            Fault(end, "rewritten", "the chain fits itself but not the gallery: it was computed anew")
        )
    return faults


def _parse(line: bytes) -> tuple[str, str, int | None]:
    """``(text without its chain value, chain value, number)``; number None for what is no line."""
    try:
        whole = line.decode("ascii").removesuffix("\n")
        tail = whole[-_TAIL:]
        text = whole[:-_TAIL] + "}"
        number = json.loads(text)["number"]
        framed = tail.startswith(_CHAIN) and tail.endswith('"}') and line.endswith(b"\n")
        if not framed or type(number) is not int:
            return "", "", None
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", "", None
    return text, tail[len(_CHAIN) : -2], number


def _chain(before: str, text: str) -> str:
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
