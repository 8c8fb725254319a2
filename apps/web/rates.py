"""How often somebody may ask: token buckets, for a bounded number of clients."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Rates:
    """A bucket of tokens for each client; each question takes one.

    Args:
        per_second: tokens that come back each second.
        at_once: how many a full bucket holds.
        clients: most buckets; the one that was used longest ago goes first, and comes back full.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        per_second: float,
        at_once: float,
        clients: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._clients = clients
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __contains__(self, client: Hashable) -> bool:
        return client in self._buckets

    def wait(self, client: Hashable, *, take: bool = True) -> float:
        """Seconds until ``client`` may ask; 0 if it may now, and then a token is taken."""
        now = self._clock()
        left, then = self._buckets.pop(client, (self._at_once, now))
        left = min(left + (now - then) * self._per_second, self._at_once)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        if take and not wait:
            left -= 1
        self._buckets[client] = (left, now)
        if len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
        return wait
