"""When face login pauses, and when it is off: NIST SP 800-63B-4's limits on failed attempts in a row.

Five attempts may fail in a row (ten where liveness is checked); then each further attempt waits, 30 s at
first and twice as long after each failure; after 50 (100) face login is off until another factor is used.
It also needs another factor after the machine has started. A comparison that failed counts, and so does a
face that was not shown to be live, also where a challenge was broken off: NIST counts failed attempts, and
whoever tries out pictures must not try as often as they like. A photograph without a usable face does not.

The count is the device's, for a search has no account to count for. So one accepted login begins it afresh,
whoever's it is: somebody enrolled who tries to pass as another is not held up by it if they log in as
themselves in between. That stands in the log, and each try has the chance that the threshold's rate gives it.

These are rules on values; ``vault.py`` keeps the values, sealed. Time is what has passed since the machine
started, which setting the clock does not change; after a new start another factor is needed anyway.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fedfr_edge.recognition.capture import Reason


@dataclass(frozen=True)
class Policy:
    """The limits.

    Attributes:
        failures: attempts that may fail in a row without a pause.
        limit: failures in a row after which face login is off.
        pause: seconds of the first pause; each further failure doubles it.
        longest: seconds of the longest pause.
    """

    failures: int = 5
    limit: int = 50
    pause: float = 30.0
    longest: float = 3600.0

    def wait_after(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        over = failures - self.failures
        return 0.0 if over < 0 else min(self.pause * 2.0 ** min(over, 30), self.longest)


FAILURES = frozenset([Reason.NOT_RECOGNISED, Reason.NOT_LIVE])
"""The reasons that count as a failed attempt."""

WITHOUT_LIVENESS = Policy()
WITH_LIVENESS = Policy(failures=10, limit=100)


class Clock(Protocol):
    """Time that nobody can set."""

    def start(self) -> str:
        """Names this start of the machine."""
        ...

    def seconds(self) -> float:
        """Seconds since then."""
        ...


class MachineClock:
    """Linux's boot id and boot clock. Elsewhere a start is told by when it was, so setting the clock looks
    like a start."""

    def start(self) -> str:
        """See :class:`Clock`."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return f"minute {round((time.time() - self.seconds()) / 60)}"

    def seconds(self) -> float:
        """See :class:`Clock`; goes on while the machine sleeps where the system can tell."""
        boot_time = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


@dataclass(frozen=True)
class Attempts:
    """What is remembered of attempts.

    Attributes:
        failures: attempts that failed since the last that was accepted, or since another factor.
        last: when the newest failed, seconds since the start.
        start: which start.
        factor: in which start another factor was used last.
    """

    failures: int = 0
    last: float = 0.0
    start: str = ""
    factor: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)

    def after(self, reason: Reason, clock: Clock) -> Attempts:
        """Count an attempt that ended so."""
        if reason is Reason.ACCEPTED:
            return dataclasses.replace(self, failures=0)
        if reason in FAILURES:
            return Attempts(self.failures + 1, clock.seconds(), clock.start(), self.factor)
        return self

    def after_other_factor(self, clock: Clock) -> Attempts:
        """Another factor was used: start afresh."""
        return Attempts(factor=clock.start())


@dataclass(frozen=True)
class Block:
    """Why face login is refused now.

    Attributes:
        reason: LOCKED for a pause, OTHER_FACTOR where waiting does not help.
        wait: seconds; None where waiting does not help.
        detail: in words.
    """

    reason: Reason
    wait: float | None
    detail: str


def blocked(attempts: Attempts, policy: Policy, clock: Clock) -> Block | None:
    """Whether face login is refused now; None if it is allowed."""
    if attempts.failures >= policy.limit:
        why = f"face login is off after {attempts.failures} failures in a row"
    elif attempts.factor != clock.start():
        why = "the machine was started since another factor was used"
    else:
        wait = policy.wait_after(attempts.failures)
        if attempts.start == clock.start():
            wait -= max(clock.seconds() - attempts.last, 0.0)
        if wait <= 0:
            return None
        detail = f"{attempts.failures} failures in a row, wait {math.ceil(wait)} s"
        return Block(Reason.LOCKED, wait, detail)
    return Block(
        Reason.OTHER_FACTOR, None, f"{why}; use another factor (PIN, passphrase), then 'fedfr gallery unlock'"
    )
