"""Nested progress: which works are under way, which belongs inside which, how long they will take.

A name says where its work belongs. ``"<work> <client>, round N"`` (``"steps client-00, round 3"``) is
*inner*: it comes and goes within the client's round, several clients may be at it at once. Every other name
is *outer* and stays; ``rounds`` holds ``clients``, which holds the inner ones.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_INNER = re.compile(r"(?P<work>\S+) (?P<who>.+), round (?P<round>\d+)")
_DEPTH = {"clients": 1, "pre-training": 1}
_ORDER = {"embedding": 0, "mining": 1, "anchors": 2, "previous": 3, "epochs": 4, "steps": 5}


@dataclass(eq=False)
class Work:
    """One kind of work.

    Attributes:
        what: its name, as :data:`fedfr_edge.types.Progress` is told it.
        done: how much is done, of ``total``; ``first`` is what was done when it was first heard of.
        began: when that was, on the ledger's clock.
        who: the client of inner work; empty for outer work.
        round: the round of inner work.
        place: sorts the works of a display.
    """

    what: str
    done: int
    total: int
    first: int
    began: float
    who: str = ""
    round: int = 0
    place: tuple[int, str, int, int] = (0, "", 0, 0)

    @property
    def inner(self) -> bool:
        """Whether it vanishes when it ends."""
        return bool(self.who)

    @property
    def label(self) -> str:
        """What to call it in a display of nested works."""
        if not self.inner:
            return "  " * _DEPTH.get(self.what, 0) + self.what
        work = self.what.partition(" ")[0]
        return f"    {self.who} {work}"

    @property
    def finished(self) -> bool:
        """Whether all of it is done."""
        return self.done >= self.total


class Display(Protocol):
    """Where works are shown."""

    def begin(self, work: Work) -> None:
        """A work is heard of for the first time."""

    def update(self, work: Work) -> None:
        """It has come further, perhaps to its end."""

    def end(self, work: Work) -> None:
        """It need not be shown any more."""


class Ledger:
    """A :data:`fedfr_edge.types.Progress` that keeps the works of a display; may be called by any thread.

    Args:
        display: shows them.
        clock: seconds, from anywhere.
    """

    def __init__(self, display: Display, clock: Callable[[], float] = time.monotonic) -> None:
        self._display, self._clock = display, clock
        self._works: dict[str, Work] = {}
        self._ended: set[str] = set()  # clients whose steps are done but who do not count as done yet
        self._lock = threading.RLock()
        self._heard = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` is done of ``what``."""
        with self._lock:
            work = self._works.get(what)
            if work is None or (work.finished and not work.inner):
                work = self._works[what] = self._new(what, done, total)
                self._display.begin(work)
            before, work.done, work.total = work.done, done, total
            if what == "clients" and done > before:
                self._ended.clear()
            if what == "rounds":
                self._sweep(done)
            self._display.update(work)
            if work.inner and work.finished:
                self._end(work)

    def left(self, work: Work) -> float | None:
        """Seconds until ``work`` will be done if it goes on at the pace so far; None while nobody knows.

        ``rounds`` and ``clients`` count the steps of clients that are at work now, so that there is an
        answer within the first round.
        """
        # Without the lock: a display may ask from its own thread while it holds a lock that we wait for.
        works = list(self._works.values())
        whole = next((one for one in works if one.what == "clients"), work)
        if work.what not in ("rounds", "clients"):
            whole = work
        share, wanted = float(whole.done - whole.first), whole.total - whole.first
        if whole.what == "clients":
            steps = [one for one in works if one.inner and one.what.startswith("steps ")]
            share += len(self._ended) + sum(one.done / max(one.total, 1) for one in steps)
        if whole.finished:
            return 0.0
        if share <= 0 or wanted <= 0:
            return None
        return max(0.0, (self._clock() - whole.began) * (wanted / min(share, wanted) - 1))

    def _new(self, what: str, done: int, total: int) -> Work:
        self._heard += 1
        found = _INNER.fullmatch(what)
        work = Work(what, done, total, done, self._clock(), place=(0, "", 0, self._heard))
        if found:
            work.who, work.round = found["who"], int(found["round"])
            work.place = (1, work.who, _ORDER.get(found["work"], len(_ORDER)), self._heard)
            # A client does one thing after another: what it did in an earlier round was left behind.
            for old in [w for w in self._works.values() if w.who == work.who and w.round < work.round]:
                self._end(old)
        return work

    def _end(self, work: Work) -> None:
        del self._works[work.what]
        if work.finished and work.what.startswith("steps "):
            self._ended.add(work.who)
        self._display.end(work)

    def _sweep(self, round: int) -> None:
        """Rounds up to this one are over, also for clients that failed in the middle of it."""
        for work in [w for w in self._works.values() if w.inner and w.round <= round]:
            self._end(work)
        self._ended.clear()


def clock_text(seconds: float) -> str:
    """Seconds as ``h:mm:ss``.

    >>> clock_text(3725.4)
    '1:02:05'
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
