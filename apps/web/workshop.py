"""Where the work is done: one thread that looks at pictures, one that unpacks large ones, one for the books.

The networks' sessions are used by one thread alone, so that pictures are looked at one after another and the
event loop stays free to answer others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Workshop:
    """Three threads, each with its own kind of work."""

    def __init__(self) -> None:
        self._eyes = ThreadPoolExecutor(1, "eyes")
        self._post = ThreadPoolExecutor(1, "post")
        self._books = ThreadPoolExecutor(1, "books")

    async def look(self, work: Callable[[], T]) -> T:
        """Do something with pictures."""
        return await asyncio.get_running_loop().run_in_executor(self._eyes, work)

    async def unpack(self, work: Callable[[], T]) -> T:
        """Unpack a large picture: a second's work for which nobody's camera should wait."""
        return await asyncio.get_running_loop().run_in_executor(self._post, work)

    async def book(self, work: Callable[[], T]) -> T:
        """Do something with the gallery, which may have to wait for another program."""
        return await asyncio.get_running_loop().run_in_executor(self._books, work)

    def close(self) -> None:
        """End all once what they do is done; what has not begun is left."""
        for threads in (self._post, self._eyes, self._books):
            threads.shutdown(wait=True, cancel_futures=True)
