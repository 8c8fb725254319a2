"""Millions of non-mated scores in bounded memory: the largest ones exactly, every n-th of the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import allowed_false_accepts, just_above
from fedfr_edge.evaluation.products import Found, look_through
from fedfr_edge.types import Scores

KEEP_AT_LEAST = 4_000_000
"""Scores kept exactly in any case (32 MB with their places), so that small sets are exact everywhere."""

SAMPLE = 2_000_000
"""About so many scores are sampled where not all are kept; the body of a histogram rests on them."""

Places = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Entries:
    """Non-mated scores from the top down, each with the place of its trial.

    Attributes:
        scores: float32 (n,), falling.
        places: integers (n,), as they were given to the tail.
        exact: the first so many are every score there is; the others are a sample of what lies below,
            and one of those stands for ``each``.
        each: see there.
    """

    scores: Scores
    places: Places
    exact: int
    each: float


class ScoreTail:
    """A running set of scores of which the ``keep`` largest are known exactly.

    A threshold at a false-accept rate needs only the ``ceil(FAR · n) + 1`` largest of n non-mated
    scores. Below them every ``every``-th score is kept, for curves and histograms. Memory: about
    ``5 · keep`` words of four bytes.

    Args:
        keep: how many of the largest must be exact.
        floor: a guess at a score that fewer than ``keep`` do not exceed; see :attr:`complete`.
        every: step of the sample; 0 where ``keep`` holds everything.
        places: the greatest place that will be given, plus one; it chooses their type.

    Attributes:
        count: scores added so far.
        floor: scores at or below it are not taken any more.
        first: place in the next block at which the sample goes on.
    """

    def __init__(self, keep: int, *, floor: float = -math.inf, every: int = 1, places: int = 2**62) -> None:
        self.keep = max(keep, 1)
        self.every = every
        self.count = 0
        self.floor = floor
        self.first = 0
        self._type: npt.DTypeLike = np.uint32 if places <= 2**32 else np.int64
        self._scores: list[Scores] = []
        self._places: list[Places] = []
        self._sample: list[Scores] = []
        self._sample_places: list[Places] = []
        self._pending = 0
        self._rising: Scores | None = None

    @classmethod
    def for_rates(
        cls, total: int, fars: tuple[float, ...], *, floor: float = -math.inf, places: int = 2**62
    ) -> ScoreTail:
        """A tail large enough for exact thresholds at every one of ``fars`` among ``total`` scores."""
        needed = max((allowed_false_accepts(total, far) + 1 for far in fars), default=1)
        keep = min(total, max(needed, KEEP_AT_LEAST))
        return cls(keep, floor=floor, every=sample_step(total) if keep < total else 0, places=places)

    @property
    def complete(self) -> bool:
        """Whether the ``keep`` largest are there; False where the floor was guessed too high."""
        return self._pending >= min(self.keep, self.count)

    def add(self, scores: Scores) -> None:
        """Take in finite float32 scores of any shape; their place is their number in the order of adding."""
        start, first = self.count, self.first
        found = look_through(scores.reshape(-1), self.floor, self.every, first)
        self._take(found, start + found.index, start + self._sampled(found.count), found.count)

    def take_block(
        self,
        found: Found,
        *,
        row: int,
        column: int,
        columns: int,
        width: int,
        wanted: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Take in a block of scores that was looked through with this tail's ``floor``, ``every``, ``first``.

        The trial in row r and column c of the block has the place ``(row + r) * width + column + c``.

        Args:
            found: the block.
            row, column, width: see above.
            columns: the block's own width.
            wanted: bool, as large as the block: which of its trials count.
        """
        made, sampled = found.count, self._sampled(found.count)
        if wanted is not None:
            flat = wanted.reshape(-1)
            kept, kept_sample = flat[found.index], flat[sampled]
            found = Found(
                int(np.count_nonzero(flat)), found.scores[kept], found.index[kept], found.sample[kept_sample]
            )
            sampled = sampled[kept_sample]

        def places(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            down, along = np.divmod(index, columns)
            return (row + down) * width + (column + along)

        self._take(found, places(found.index), places(sampled), made)

    def _sampled(self, count: int) -> npt.NDArray[np.int64]:
        """Flat places of the sample in the next block of ``count`` scores."""
        return np.arange(self.first, count, self.every) if self.every else np.zeros(0, dtype=np.int64)

    def _take(self, found: Found, places: Places, sample_places: Places, made: int) -> None:
        self.count += found.count
        self._scores.append(found.scores)
        self._places.append(places.astype(self._type))
        self._sample.append(found.sample)
        self._sample_places.append(sample_places.astype(self._type))
        self._pending += found.scores.size
        self._rising = None
        if self.every:
            self.first = (self.first - made) % self.every
        if self._pending > 2 * self.keep:
            self._shrink()

    def top(self, most: int | None = None) -> tuple[Scores, Places]:
        """The ``most`` (default: ``keep``) largest scores, falling, and their places."""
        scores, places = self._joined()
        most = min(self.keep if most is None else most, scores.size)
        if most < scores.size:
            picked = np.argpartition(scores, scores.size - most)[scores.size - most :]
            scores, places = scores[picked], places[picked]
        order = np.lexsort((places, -scores))
        return scores[order], places[order]

    def entries(self) -> Entries:
        """Everything that is known, from the top down."""
        scores, places = self._joined()
        order = np.argsort(scores)[::-1]  # in what order equal ones come makes no difference
        scores, places = scores[order], places[order]
        below, below_places = self._below(scores[-1:])
        order = np.argsort(below)[::-1]
        each = (self.count - scores.size) / below.size if below.size else 1.0
        return Entries(
            np.concatenate([scores, below[order]]),
            np.concatenate([places, below_places[order]]),
            scores.size,
            each,
        )

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
        rising = self._sorted()
        if rank >= rising.size:
            raise ValueError(f"the largest score but {rank} was dropped, only {rising.size} were kept")
        limit = rising[rising.size - 1 - rank]
        passing = rising.size - int(np.searchsorted(rising, limit, side="right"))
        return just_above(limit), passing

    def plot_thresholds(self, fars: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """As :meth:`threshold` for each of ``fars``, from the sample where exact scores were dropped."""
        rising = self._sorted()
        below = np.sort(self._below(rising[:1])[0])
        each = (self.count - rising.size) / below.size if below.size else math.inf
        found = np.empty(len(fars))
        for i, far in enumerate(fars):
            k = allowed_false_accepts(self.count, float(far))
            if k < rising.size or k == self.count:
                found[i] = self.threshold(float(far))[0]
            else:
                step = min(int((k - rising.size) / each), below.size - 1)
                found[i] = just_above(below[below.size - 1 - step])
        return found

    def histogram(self, bins: int) -> npt.NDArray[np.int64]:
        """Counts in ``bins`` equal bins over [-1, 1], int64: exact at the top, below it by the sample."""
        rising = self._sorted()
        below = self._below(rising[:1])[0]
        each = (self.count - rising.size) / below.size if below.size else 0.0
        return bin_counts(rising, bins) + np.rint(each * bin_counts(below, bins)).astype(np.int64)

    def _sorted(self) -> Scores:
        """Every score above the floor, rising: at least the ``keep`` largest."""
        if self._rising is None:
            self._rising = np.sort(self._joined()[0])
        return self._rising

    def _below(self, lowest: Scores) -> tuple[Scores, Places]:
        """The sampled scores that stand for those which were not kept, and their places."""
        if not self.every or self.count <= self._pending:
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=self._type)
        scores, places = np.concatenate(self._sample), np.concatenate(self._sample_places)
        under = scores < lowest
        if not under.any():  # the dropped ones all equal the lowest of the kept
            under = scores <= lowest
        return scores[under], places[under]

    def _joined(self) -> tuple[Scores, Places]:
        if len(self._scores) != 1:
            self._scores = [np.concatenate([np.zeros(0, dtype=np.float32), *self._scores])]
            self._places = [np.concatenate([np.zeros(0, dtype=self._type), *self._places])]
        return self._scores[0], self._places[0]

    def _shrink(self) -> None:
        if self._pending > self.keep:
            scores, places = self._joined()
            kept = np.argpartition(scores, self._pending - self.keep)[self._pending - self.keep :]
            self._scores, self._places = [scores[kept]], [places[kept]]
            self._pending = self.keep
            # A score equal to the floor would only replace its like among the kept ones.
            self.floor = max(self.floor, float(self._scores[0].min()))


def sample_step(total: int) -> int:
    """The least prime that leaves at most about :data:`SAMPLE` of ``total`` scores.

    A prime, so that it does not keep step with a person's number of images or a block's width.
    """
    step = max(2, total // SAMPLE)
    while any(step % divisor == 0 for divisor in range(2, math.isqrt(step) + 1)):
        step += 1
    return step


def bin_counts(scores: npt.NDArray[np.floating[Any]], bins: int) -> npt.NDArray[np.int64]:
    """Counts of scores in ``bins`` equal bins over [-1, 1], int64; outsiders go to the end bins."""
    index = ((scores.reshape(-1) + np.float32(1.0)) * np.float32(bins / 2)).astype(np.int32)
    np.clip(index, 0, bins - 1, out=index)
    return np.bincount(index, minlength=bins).astype(np.int64, copy=False)
