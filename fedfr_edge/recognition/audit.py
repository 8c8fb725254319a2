"""A log of decisions that holds no biometric data: no image, no embedding, and no name unless asked.

One JSON object a line, appended. Subject ids are random and mean something only together with the
gallery, which is encrypted.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedfr_edge.atomic import write_errors
from fedfr_edge.recognition.gallery import Person
from fedfr_edge.recognition.login import Decision

DIGEST_PREFIX = 12
"""Hexadecimal digits of a model's digest that go into a line."""


class AuditLog:
    """An append-only log (mode 0600).

    Attributes:
        path: the file; made with the first line.
    """

    def __init__(self, path: Path, *, names: bool = False) -> None:
        """Log to ``path``; ``names`` adds the display names of people."""
        self.path = path
        self._names = names

    def decision(self, decision: Decision, *, model_digest: str, vault: str) -> None:
        """Log a login: time, decision, reason code, score, threshold, faces seen, subject id.

        Raises:
            WriteError: the line could not be written.
        """
        self._append(
            "login",
            decision.person,
            model_digest,
            vault,
            accepted=decision.accepted,
            reason=decision.reason.value,
            score=None if decision.score is None else round(decision.score, 4),
            threshold=round(decision.threshold, 4),
            faces_seen=decision.faces_seen,
        )

    def enrolment(self, person: Person, *, model_digest: str, vault: str, replaced: bool) -> None:
        """Log that somebody was enrolled, under which subject id and from how many images.

        Raises:
            WriteError: the line could not be written.
        """
        self._append("enrol", person, model_digest, vault, images=person.images, replaced=replaced)

    def _append(self, event: str, person: Person | None, digest: str, vault: str, **values: Any) -> None:
        record: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "vault": vault,
            "model": digest[:DIGEST_PREFIX],
            "subject": None if person is None else person.id,
            **values,
        }
        if self._names and person is not None:
            record["name"] = person.name
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        with write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write to a file opened for appending: lines of several processes do not mix.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                written = os.write(descriptor, line)
                if written != len(line):
                    raise OSError(f"only {written} of {len(line)} bytes of a log line fitted")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
