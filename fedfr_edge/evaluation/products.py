"""Where the cosines of many pairs are made, and which of them are worth looking at.

A paper-sized client has 632 million non-mated pairs, of which a threshold needs the largest few. So a
block of scores is made, compared with a floor, and forgotten: what comes back are the scores above the
floor with their places, and every n-th score as a sample of the rest.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from fedfr_edge.cores import usable_cores
from fedfr_edge.types import Embeddings, Scores

K = TypeVar("K")

TILE = 2048
"""Embeddings on each side of a block: 2048² scores are 16 MB. Smaller ones are no faster on one
thread, and slower on several, which wait for each other at the end of each block."""


@dataclass(frozen=True)
class Found:
    """What a block of scores leaves behind.

    Attributes:
        count: scores in the block.
        scores: float32 (k,), those above the floor.
        index: int64 (k,), their places in the flattened block, rising.
        sample: float32 (s,), the scores at the flat places ``first, first + every, …``.
    """

    count: int
    scores: Scores
    index: npt.NDArray[np.int64]
    sample: Scores


class Products(Protocol):
    """A maker of cosines; :class:`HostProducts`, or one of another device."""

    @property
    def tile(self) -> int:
        """Embeddings on each side of a block."""
        ...

    @property
    def workers(self) -> int:
        """How many blocks it can be asked for at a time."""
        ...

    def put(self, embeddings: Embeddings) -> Any:
        """float32 (n, d) to where products are made; the result can be sliced by rows and has a length."""
        ...

    def above(self, left: Any, right: Any, floor: float, every: int, first: int) -> Found:
        """The block ``left · rightᵀ``, looked through.

        Args:
            left: (m, d), of :meth:`put`.
            right: (n, d), likewise; m and n at most ``tile``.
            floor: only scores above it are wanted.
            every: step of the sample; 0 for none.
            first: flat place of the sample's first score.
        """
        ...


class HostProducts:
    """Products by numpy, in buffers that are used again and again.

    Where numpy multiplies on several cores, two blocks are worked on at a time: one is multiplied, on all
    cores, while the other is looked through, which is one core's work.

    Attributes:
        tile: see :class:`Products`.
        workers: likewise.
    """

    def __init__(self, tile: int = TILE) -> None:
        self.tile = tile
        self.workers = 1 if _one_core() else 2
        self._buffers = threading.local()

    def put(self, embeddings: Embeddings) -> Embeddings:
        """The same array; a copy only where its rows are not float32 in one piece."""
        return np.ascontiguousarray(embeddings, dtype=np.float32)

    def above(self, left: Embeddings, right: Embeddings, floor: float, every: int, first: int) -> Found:
        """See :class:`Products`."""
        if not hasattr(self._buffers, "scores"):
            self._buffers.scores = np.empty(self.tile**2, dtype=np.float32)
            self._buffers.above = np.empty(self.tile**2, dtype=np.bool_)
        scores = self._buffers.scores[: len(left) * len(right)]
        np.matmul(left, right.T, out=scores.reshape(len(left), len(right)))
        return look_through(scores, floor, every, first, self._buffers.above[: scores.size])


def _one_core() -> bool:
    """Whether numpy's products have but one core: there is one, or the environment says so."""
    named = (os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
    return usable_cores() == 1 or "1" in named


Block = tuple[Any, Any, float, int, int]
"""Arguments of :meth:`Products.above`."""


def in_turn(products: Products, blocks: Iterable[tuple[K, Block]]) -> Iterator[tuple[K, Found]]:
    """Look through block after block, a few at a time; results come in the order of ``blocks``.

    Args:
        products: makes them.
        blocks: each with a key that comes back with its result; asked for only as their turn comes.
    """
    if products.workers == 1:
        for key, block in blocks:
            yield key, products.above(*block)
        return
    under_way: deque[tuple[K, Future[Found]]] = deque()
    with ThreadPoolExecutor(products.workers) as pool:
        for key, block in blocks:
            under_way.append((key, pool.submit(products.above, *block)))
            if len(under_way) > products.workers:
                first, future = under_way.popleft()
                yield first, future.result()
        for first, future in under_way:
            yield first, future.result()


def look_through(
    scores: Scores, floor: float, every: int, first: int, above: npt.NDArray[np.bool_] | None = None
) -> Found:
    """:class:`Found` of float32 (n,) ``scores``; ``above`` is a bool (n,) buffer."""
    index = np.flatnonzero(np.greater(scores, np.float32(floor), out=above))
    sample = scores[first::every].copy() if every else scores[:0]
    return Found(scores.size, scores[index], index, sample)
