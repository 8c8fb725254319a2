"""Millions of non-mated scores in bounded memory: the largest ones exactly, the rest as a histogram."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import allowed_false_accepts, just_above
from fedfr_edge.types import Scores

BINS = 4000
"""Bins of width 0.0005 over [-1, 1]. They serve plots only: thresholds come from exact scores."""

KEEP_AT_LEAST = 4_000_000
"""Scores kept exactly in any case (16 MB), so that small sets are exact everywhere."""


class ScoreTail:
    """A running set of scores of which the ``keep`` largest are known exactly.

    A threshold at a false-accept rate needs only the ``ceil(FAR · n) + 1`` largest of n non-mated
    scores; the others are counted in a histogram and dropped. Memory: about ``3 · keep`` floats.

    Attributes:
        count: scores added so far.
        histogram: int64 (BINS,), counts over [-1, 1]; scores outside fall into the end bins.
    """

    def __init__(self, keep: int) -> None:
        self.keep = max(keep, 1)
        self.count = 0
        self.histogram: npt.NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self._parts: list[Scores] = []
        self._pending = 0
        self._sorted = True
        self._floor: np.float32 | None = None

    @classmethod
    def for_rates(cls, total: int, fars: tuple[float, ...]) -> ScoreTail:
        """A tail large enough for exact thresholds at every one of ``fars`` among ``total`` scores."""
        needed = max((allowed_false_accepts(total, far) + 1 for far in fars), default=1)
        return cls(min(total, max(needed, KEEP_AT_LEAST)))

    def add(self, scores: Scores) -> None:
        """Take in finite float32 scores of any shape."""
        flat = scores.reshape(-1)
        self.count += flat.size
        self.histogram += bin_counts(flat)
        if self._floor is not None:
            # A score equal to the floor would only replace its like among the kept ones.
            flat = flat[flat > self._floor]
        self._parts.append(flat)
        self._pending += flat.size
        self._sorted = False
        if self._pending > 2 * self.keep:
            self._shrink()

    def top(self) -> Scores:
        """The ``min(keep, count)`` largest scores, float32, falling."""
        return self._rising()[::-1]

    def threshold(self, far: float) -> tuple[float, int]:
        """As :func:`.metrics.far_threshold`, over everything added.

        Raises:
            ValueError: no scores, or more false accepts allowed than scores were kept.
        """
        if self.count == 0:
            raise ValueError("a threshold at a false-accept rate needs non-mated scores, found none")
        k = allowed_false_accepts(self.count, far)
        if k == self.count:
            return -math.inf, k
        return self.above_rank(k)

    def above_rank(self, rank: int) -> tuple[float, int]:
        """The lowest threshold that rejects the largest score but ``rank``, and how many pass it."""
        rising = self._rising()
        if rank >= rising.size:
            raise ValueError(f"the largest score but {rank} was dropped, only {rising.size} were kept")
        limit = rising[rising.size - 1 - rank]
        passing = rising.size - int(np.searchsorted(rising, limit, side="right"))
        return just_above(limit), passing

    def plot_threshold(self, far: float) -> float:
        """As :meth:`threshold`, but to the width of a bin where the exact scores were dropped."""
        k = allowed_false_accepts(self.count, far)
        if k == self.count or k < min(self.keep, self.count):
            return self.threshold(far)[0]
        at_or_above = np.cumsum(self.histogram[::-1])[::-1]
        first = int(np.argmax(at_or_above <= k))  # falls to at most k somewhere, or accept none
        if at_or_above[first] > k:
            return 1.0 + 2.0 / BINS
        return -1.0 + 2.0 * first / BINS

    def _rising(self) -> Scores:
        if not self._sorted:
            self._shrink()
            self._parts = [np.sort(self._parts[0])]
            self._sorted = True
        return self._parts[0] if self._parts else np.zeros(0, dtype=np.float32)

    def _shrink(self) -> None:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        if self._pending > self.keep:
            kept = np.partition(self._parts[0], self._pending - self.keep)[self._pending - self.keep :]
            self._parts, self._pending = [kept.copy()], self.keep
            self._floor = kept.min()


def bin_counts(scores: npt.NDArray[np.floating[Any]], bins: int = BINS) -> npt.NDArray[np.int64]:
    """Counts of scores in ``bins`` equal bins over [-1, 1], int64; outsiders go to the end bins."""
    index = ((scores.reshape(-1) + np.float32(1.0)) * np.float32(bins / 2)).astype(np.int32)
    np.clip(index, 0, bins - 1, out=index)
    return np.bincount(index, minlength=bins).astype(np.int64, copy=False)
