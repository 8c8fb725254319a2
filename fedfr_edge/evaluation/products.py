"""Where the cosines of many pairs are made, and which of them are worth looking at.

A paper-sized client has 632 million non-mated pairs, of which a threshold needs the largest few. So a
block of scores is made, compared with a floor, and forgotten: what comes back are the scores above the
floor with their places, and every n-th score as a sample of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fedfr_edge.types import Embeddings, Scores

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
    """Products by numpy, in one buffer that is used again and again.

    Attributes:
        tile: see :class:`Products`.
    """

    def __init__(self, tile: int = TILE) -> None:
        self.tile = tile
        self._scores = np.empty(tile * tile, dtype=np.float32)
        self._above = np.empty(tile * tile, dtype=np.bool_)

    def put(self, embeddings: Embeddings) -> Embeddings:
        """The same array; a copy only where its rows are not float32 in one piece."""
        return np.ascontiguousarray(embeddings, dtype=np.float32)

    def above(self, left: Embeddings, right: Embeddings, floor: float, every: int, first: int) -> Found:
        """See :class:`Products`."""
        scores = self._scores[: len(left) * len(right)]
        np.matmul(left, right.T, out=scores.reshape(len(left), len(right)))
        return look_through(scores, floor, every, first, self._above[: scores.size])


def look_through(
    scores: Scores, floor: float, every: int, first: int, above: npt.NDArray[np.bool_] | None = None
) -> Found:
    """:class:`Found` of float32 (n,) ``scores``; ``above`` is a bool (n,) buffer."""
    index = np.flatnonzero(np.greater(scores, np.float32(floor), out=above))
    sample = scores[first::every].copy() if every else scores[:0]
    return Found(scores.size, scores[index], index, sample)
