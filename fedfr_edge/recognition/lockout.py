"""A pause after too many failed logins: five in a row, then 30 seconds (as NIST SP 800-63B-4 asks).

The counter is a small file beside the vault. It slows down somebody who stands before the camera;
who can write the file can reset it. Only comparisons that failed count: a photograph without a face
is no attempt.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from fedfr_edge import atomic
from fedfr_edge.recognition.capture import Reason
from fedfr_edge.recognition.login import Decision

MOST_FAILURES = 5
"""Consecutive failures allowed."""

PAUSE_SECONDS = 30.0
"""How long every login is refused after each further failure."""


class Lockout:
    """The failure counter of one vault."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Count in the file ``path``; ``clock`` gives seconds since the epoch."""
        self.path = path
        self._clock = clock

    def remaining(self) -> float:
        """Seconds until a login is allowed again; 0 if it is allowed now."""
        failures, last = self._read()
        if failures < MOST_FAILURES:
            return 0.0
        # A clock that was set back must not lock for longer than the pause.
        return min(max(last + PAUSE_SECONDS - self._clock(), 0.0), PAUSE_SECONDS)

    def record(self, decision: Decision) -> None:
        """Count a decision: a failed comparison adds one, an accepted one starts afresh.

        Raises:
            WriteError: the counter could not be written.
        """
        if decision.accepted:
            self._write(0)
        elif decision.reason is Reason.NOT_RECOGNISED:
            self._write(self._read()[0] + 1)

    def _read(self) -> tuple[int, float]:
        try:
            values = json.loads(self.path.read_bytes())
            return int(values["failures"]), float(values["last"])
        except FileNotFoundError:
            return 0, 0.0
        except (OSError, ValueError, KeyError, TypeError):
            # A damaged counter counts as one that is full: better a pause than an open door.
            return MOST_FAILURES, self.path.stat().st_mtime

    def _write(self, failures: int) -> None:
        text = json.dumps({"failures": failures, "last": self._clock()})
        atomic.write_text(self.path, text + "\n", mode=0o600)
