"""Where the work is done: one thread that looks at pictures, one that keeps the books.

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
    """Two threads, each with its own kind of work."""

    def __init__(self) -> None:
        self._eyes = ThreadPoolExecutor(1, "eyes")
        self._books = ThreadPoolExecutor(1, "books")

    async def look(self, work: Callable[[], T]) -> T:
        """Do something with pictures."""
        return await asyncio.get_running_loop().run_in_executor(self._eyes, work)

    async def book(self, work: Callable[[], T]) -> T:
        """Do something with the gallery, which may have to wait for another program."""
        return await asyncio.get_running_loop().run_in_executor(self._books, work)

    def close(self) -> None:
        """End both once what they do is done; what has not begun is left."""
        for threads in (self._eyes, self._books):
            threads.shutdown(wait=True, cancel_futures=True)
