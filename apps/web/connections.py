"""A connection that says or takes nothing, or drop by drop, does not stay; nor do too many of one address."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits


class Connection(H11Protocol):
    """uvicorn's, with a time limit for a request's head, and for an answer to be taken.

    Attributes:
        limits: of the server.
        proxy: an address whose connections are not counted: they are many people's.
        open_by_address: connections now.
    """

    limits: ClassVar[Limits] = Limits()
    proxy: ClassVar[str | None] = None
    open_by_address: ClassVar[Counter[str]]

    @classmethod
    def of(cls, limits: Limits, proxy: str | None) -> type[Connection]:
        """The same with these limits, and a count of its own."""
        values: dict[str, Any] = {"limits": limits, "proxy": proxy, "open_by_address": Counter()}
        return type("Connection", (cls,), values)

    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _address = ""
    _counted = False
    _upgraded = False

    def connection_made(self, transport: Any) -> None:
        """Count it, and start its time."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client is not None else ""
        self.open_by_address[self._address] += 1
        self._counted = True
        many = self.open_by_address[self._address] > self.limits.connections // 2
        if many and self._address != self.proxy:
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """A new request's head must come within the time; more of the same one does not give it more."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or self._upgraded:
            self._stop()
        elif self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._wait_for_head()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """From here on it is a websocket's, which have limits of their own."""
        self._upgraded = True
        self._stop()
        self._uncount()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop()
        self._uncount()
        self._unstall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The other end takes nothing just now."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        self._unstall()
        super().resume_writing()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_seconds, self.transport.abort)

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self.open_by_address[self._address] -= 1
            if not self.open_by_address[self._address]:
                del self.open_by_address[self._address]

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
