"""Who is at the other end: a random cookie, a token against forged requests, whether it is the operator."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from .limits import Limits

COOKIE = "fedfr"
"""Name of the cookie; it ends with the browser."""


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Session:
    """One browser.

    Attributes:
        key: the cookie's value.
        csrf: what each request that changes something must repeat in a header.
        operator: the operator's token was given.
        since: when it began.
        seen: when it last asked for something.
        cameras: websockets open now.
    """

    since: float
    seen: float
    key: str = field(default_factory=_secret, repr=False)
    csrf: str = field(default_factory=_secret, repr=False)
    operator: bool = False
    cameras: int = 0

    def fits(self, csrf: str | None) -> bool:
        """Whether a request carries this session's token."""
        return csrf is not None and same_secret(csrf, self.csrf)


def same_secret(given: str, expected: str) -> bool:
    """Compare without telling by the time taken how much of it was right."""
    # JSON can hold halves of characters, which UTF-8 cannot.
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


class Sessions:
    """All sessions, in memory only; they end with the server.

    Args:
        limits: how many, and for how long.
        clock: seconds that never go back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        # Used longest ago first.
        self._open: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def find(self, key: str | None) -> Session | None:
        """The session of a cookie; None if it never was or has ended. It counts as used."""
        session = self._open.get(key) if key else None
        if session is None:
            return None
        now = self._clock()
        if self._over(session, now):
            del self._open[session.key]
            return None
        session.seen = now
        self._open.move_to_end(session.key)
        return session

    def begin(self) -> Session:
        """A new session; where there are too many, the one that was idle longest ends.

        An operator's, and one with a camera, only ends where there are no others.
        """
        now = self._clock()
        while self._open and self._over(next(iter(self._open.values())), now):
            self._open.popitem(last=False)
        if len(self._open) >= self._limits.sessions:
            idle = (one.key for one in self._open.values() if not one.operator and not one.cameras)
            del self._open[next(idle, next(iter(self._open)))]
        session = Session(now, now)
        self._open[session.key] = session
        return session

    def renew(self, session: Session) -> None:
        """Another cookie and token for it, before it may do more: those known before are worthless."""
        self._open.pop(session.key, None)
        session.key, session.csrf = _secret(), _secret()
        self._open[session.key] = session

    def _over(self, session: Session, now: float) -> bool:
        idle, age = now - session.seen, now - session.since
        return (
            idle > self._limits.session_idle and not session.cameras
        ) or age > self._limits.session_longest
