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

SAMPLE = 1_000_000
"""About so many scores are sampled where not all are kept; the body of a histogram rests on them."""

SORTED = 1_000_000
"""So many of the largest are sorted; a rank further down is sought by itself, and curves take every
eighth score there: to sort all of them would cost a tenth of the matrix product."""

_THINNED = 8

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
        self._rising: tuple[Scores, Scores] | None = None

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
        # The floor may have risen since the block was made.
        still = found.scores > np.float32(self.floor)
        if not still.all():
            found = Found(found.count, found.scores[still], found.index[still], found.sample)
        if wanted is not None:
            flat = wanted.reshape(-1)
            kept, kept_sample = flat[found.index], flat[sampled]
            found = Found(
                int(np.count_nonzero(flat)), found.scores[kept], found.index[kept], found.sample[kept_sample]
            )
            sampled = sampled[kept_sample]

        def places(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            # Place (row + r) · width + column + c from r · columns + c: one division is half of np.divmod.
            return index + (index // columns) * (width - columns) + (row * width + column)

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
        if 0 < most < scores.size:
            above = np.float32(self.above_rank(most - 1)[0])  # just above the last one wanted
            picked = np.flatnonzero(scores >= np.nextafter(above, np.float32(-np.inf)))
            scores, places = scores[picked], places[picked]
        order = np.lexsort((places, -scores))[:most]
        return scores[order], places[order]

    def entries(self) -> Entries:
        """Everything that is known, from the top down."""
        scores, places = self._joined()
        order = np.argsort(scores)[::-1]  # in what order equal ones come makes no difference
        scores, places = scores[order], places[order]
        below, below_places = self._below(scores[-1] if scores.size else np.float32(0.0))
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
        if rank >= self._pending:
            raise ValueError(f"the largest score but {rank} was dropped, only {self._pending} were kept")
        top, rest = self._sorted()
        if rank < top.size:
            limit = top[top.size - 1 - rank]
        else:
            place = self._pending - 1 - rank
            rest.partition(place)  # in place: in what order they are makes no difference
            limit = rest[place]
        passing = top.size - int(np.searchsorted(top, limit, side="right"))
        if passing == top.size:
            passing += int(np.count_nonzero(rest > limit))
        return just_above(limit), passing

    def plot_thresholds(self, fars: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """As :meth:`threshold` for each of ``fars``, from a sample below the :data:`SORTED` largest."""
        top, _ = self._sorted()
        thin, body, each = self._thinned()
        found = np.empty(len(fars))
        for i, far in enumerate(fars):
            k = allowed_false_accepts(self.count, float(far))
            if k == self.count:
                found[i] = -math.inf
            elif k < top.size:
                found[i] = self.above_rank(k)[0]
            elif k < self._pending:
                step = min((k - top.size) // _THINNED, thin.size - 1)
                found[i] = just_above(thin[thin.size - 1 - step])
            else:
                step = min(int((k - self._pending) / each), body.size - 1)
                found[i] = just_above(body[body.size - 1 - step])
        return found

    def histogram(self, bins: int) -> npt.NDArray[np.int64]:
        """Counts in ``bins`` equal bins over [-1, 1], int64: exact at the top, below it by the sample."""
        top, rest = self._sorted()
        thin, body, each = self._thinned()
        counts = np.zeros(bins)
        for scores, share in ((top, 1.0), (thin, rest.size / max(thin.size, 1)), (body, each)):
            # Edges as bin_counts has them; the scores are sorted, so that a few looks are enough.
            edges = np.linspace(-1, 1, bins + 1)[1:-1].astype(np.float32)
            cuts = np.concatenate([[0], np.searchsorted(scores, edges, side="left"), [scores.size]])
            counts += share * np.diff(cuts)
        return np.rint(counts).astype(np.int64)

    def _sorted(self) -> tuple[Scores, Scores]:
        """The :data:`SORTED` largest scores, rising, and the other ones that were kept, in no order."""
        if self._rising is None:
            scores = self._joined()[0]
            cut = max(scores.size - SORTED, 0)
            if cut:
                scores = np.partition(scores, cut)
            self._rising = np.sort(scores[cut:]), scores[:cut]
        return self._rising

    def _thinned(self) -> tuple[Scores, Scores, float]:
        """Every eighth of those others, rising; the sample of what was not kept, and what one stands for."""
        top, rest = self._sorted()
        lowest = rest.min() if rest.size else top[0] if top.size else np.float32(0.0)
        body = np.sort(self._below(lowest)[0])
        each = (self.count - self._pending) / body.size if body.size else 0.0
        return np.sort(rest[::_THINNED]), body, each

    def _below(self, lowest: np.float32) -> tuple[Scores, Places]:
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
