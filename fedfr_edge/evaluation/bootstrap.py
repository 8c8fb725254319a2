"""How sure a rate is: the bootstrap by identity.

Images of one person resemble each other, and a pair shares its two people with thousands of other pairs.
So people are drawn anew, not pairs: each replicate draws every client's people with replacement, as many
as there are, and person k counts w_k times. A mated pair of person k then weighs w_k, a non-mated pair of
persons i and j weighs w_i · w_j, and the threshold is sought anew among the weighted pairs. (This is the
bootstrap of two crossed factors; Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007),
shows that it errs on the wide side.) The interval holds the middle 95 % of the replicates' rates.

In 1:N the gallery stays as it is: with people drawn out of it the search would be another, easier one.
A stranger's probe weighs w_j of the stranger times w_i of the person whose template came out best, which
is the pair that a false alarm is made of.

Thresholds are exact for every replicate, at the cost of a few sums: scores from the top down are cut into
ranges of ranks that grow by a tenth; how much a range weighs in all replicates at once is a matrix product
of the weights with the counts per pair of people; only the range in which a replicate's threshold lies is
gone through score by score.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import Interval, allowed_false_accepts, just_above
from fedfr_edge.types import Labels, Scores

LEVEL = 0.95
"""Share of the replicates that an interval holds."""

Weights = npt.NDArray[np.float64]
"""How often each person was drawn: float64 (replicates, people), whole numbers."""

Curve = npt.NDArray[np.float64]

_GROWTH = 1.1
_CELLS_PER_SCORE = 16  # a product over all pairs of people costs about so much less for each pair


@dataclass(frozen=True)
class Resampling:
    """How people are drawn.

    Attributes:
        replicates: how many times.
        seed: of the draws. The same seed and the same clients with as many people give the same draws, so
            that models are compared on the same replicates.
    """

    replicates: int = 200
    seed: int = 0

    def weights(self, client: str, people: int) -> Weights:
        """How often each of a client's ``people`` was drawn."""
        name = int.from_bytes(hashlib.sha256(client.encode()).digest()[:8], "big")
        draw = np.random.default_rng([self.seed, name])
        return draw.multinomial(people, np.full(people, 1 / max(people, 1)), self.replicates).astype(
            np.float64
        )


@dataclass(frozen=True)
class People:
    """Who is drawn on the two sides of non-mated trials.

    Attributes:
        left: weights of the people that trials have on their left, (R, K).
        right: of those on their right, (R, S); the same person may stand on both sides.
    """

    left: Weights
    right: Weights


class WeightedTrials:
    """Non-mated trials in all replicates at once.

    Args:
        scores: float32 (n,), falling.
        left: int (n,), whose weight counts, by column of ``people.left``.
        right: int (n,), likewise.
        people: the weights.
        exact: scores from here on are a sample, and
        each: stand for so many.
    """

    def __init__(
        self,
        scores: Scores,
        left: npt.NDArray[np.integer[Any]],
        right: npt.NDArray[np.integer[Any]],
        people: People,
        *,
        exact: int | None = None,
        each: float = 1.0,
    ) -> None:
        self._scores, self._people = scores, people
        self._left, self._right = left.astype(np.int32), right.astype(np.int32)
        self._exact = len(scores) if exact is None else exact
        self._each = each
        self._edges = _ranges(len(scores), self._exact)
        weighed = [self._weigh(a, b) for a, b in zip(self._edges[:-1], self._edges[1:], strict=True)]
        # (R, ranges + 1): weight of everything above each edge.
        self._above = np.cumsum(np.stack([np.zeros(len(people.left)), *weighed], axis=1), axis=1)

    def thresholds(self, allowed: Curve) -> Curve:
        """The lowest threshold that accepts at most ``allowed`` (R, F) of weight, float64 (R, F).

        ``-inf`` where everything may be accepted.
        """
        found = np.full(allowed.shape, -np.inf)
        places = self._ranges_of(allowed)
        for place in np.unique(places[places >= 0]).tolist():
            start, stop = int(self._edges[place]), int(self._edges[place + 1])
            left, right = (side[start:stop].astype(np.intp) for side in (self._left, self._right))
            each = self._each if start >= self._exact else 1.0
            for r, f in np.argwhere(places == place).tolist():
                weight = self._people.left[r].take(left) * self._people.right[r].take(right)
                above = self._above[r, place] + each * np.cumsum(weight)
                crossing = min(int(np.searchsorted(above, allowed[r, f], side="right")), stop - start - 1)
                found[r, f] = just_above(self._scores[start + crossing])
        return found

    def rough_thresholds(self, allowed: Curve) -> Curve:
        """As :meth:`thresholds`, but by straight lines within a range of ranks: for bands of curves."""
        places = self._ranges_of(allowed)
        low = np.take_along_axis(self._above, np.maximum(places, 0), axis=1)
        high = np.take_along_axis(self._above, np.maximum(places, 0) + 1, axis=1)
        start, stop = self._edges[places], self._edges[places + 1]
        # Where a range is crossed its weight is above 0; elsewhere the rank does not count.
        share = np.divide(allowed - low, high - low, out=np.zeros_like(low), where=places >= 0)
        rank = start + np.floor(share * (stop - start))
        rank = np.clip(rank, start, stop - 1).astype(np.int64)
        if not len(self._scores):
            return np.full(allowed.shape, -np.inf)
        above = np.nextafter(self._scores[rank], np.float32(np.inf))
        return np.where(places >= 0, above, -np.inf).astype(np.float64)

    def accepted(self, threshold: float) -> Curve:
        """Weight of the trials with a score at or above ``threshold``, float64 (R,)."""
        limit = np.float32(threshold)
        if limit < threshold:  # the least float32 that is not below it: all scores are float32
            limit = np.nextafter(limit, np.float32(np.inf))
        count = len(self._scores) - int(np.searchsorted(self._scores[::-1], limit, side="left"))
        place = int(np.searchsorted(self._edges, count, side="right")) - 1
        return np.asarray(self._above[:, place] + self._weigh(int(self._edges[place]), count))

    def _ranges_of(self, allowed: Curve) -> npt.NDArray[np.int64]:
        """In which range the weight above first exceeds ``allowed``, (R, F); -1 where it never does."""
        if not len(self._scores):
            return np.full(allowed.shape, -1)
        places = np.stack(
            [
                np.searchsorted(above, row, side="right") - 1
                for above, row in zip(self._above, allowed, strict=True)
            ]
        )
        return np.where(places < len(self._edges) - 1, places, -1)

    def _weigh(self, start: int, stop: int) -> Curve:
        """What the trials ``start`` to ``stop`` weigh in each replicate, float64 (R,)."""
        left, right = self._left[start:stop], self._right[start:stop]
        weights, others = self._people.left, self._people.right
        total = np.zeros(len(weights))
        each = self._each if start >= self._exact else 1.0
        cells = weights.shape[1] * others.shape[1]
        if len(left) * _CELLS_PER_SCORE < cells:
            for part in range(0, len(left), 4096):
                of_left = weights[:, left[part : part + 4096]]
                total += np.einsum("rn,rn->r", of_left, others[:, right[part : part + 4096]])
            return each * total
        flat = left.astype(np.int64) * others.shape[1] + right
        counts = np.bincount(flat, minlength=cells).reshape(weights.shape[1], -1)
        # Sums of whole numbers are exact in float32 below 2^24, and half as dear.
        fits = counts.sum(axis=0).max(initial=0) * weights.max(initial=0) < 2**24
        kind = np.float32 if fits else np.float64
        sums = weights.astype(kind) @ counts.astype(kind)
        return np.asarray(each * np.einsum("rs,rs->r", sums, others))


def _ranges(count: int, exact: int) -> npt.NDArray[np.int64]:
    """Edges of ranges of ranks that grow by a tenth; one edge lies at ``exact``."""
    edges = [0]
    while edges[-1] < count:
        step = max(1, math.ceil(edges[-1] * (_GROWTH - 1)))
        after = min(edges[-1] + step, count)
        edges.append(exact if edges[-1] < exact < after else after)
    return np.array(edges, dtype=np.int64)


def accepted_by_person(
    scores: Scores, person: npt.NDArray[np.int64], people: int, thresholds: Curve
) -> Curve:
    """How many of each person's mated scores pass each threshold, float64 (people, *thresholds.shape).

    Args:
        scores: float32 (m,).
        person: int64 (m,), 0 to people − 1.
        people: number of people.
        thresholds: any shape.
    """
    order = np.lexsort((scores, person))
    cuts = np.searchsorted(person[order], np.arange(people + 1))
    rising = scores[order].astype(np.float64)
    counts = np.empty((people, thresholds.size))
    for k in range(people):
        own = rising[cuts[k] : cuts[k + 1]]
        counts[k] = own.size - np.searchsorted(own, thresholds.reshape(-1), side="left")
    return counts.reshape(people, *thresholds.shape)


def weighted_shares(accepted: Curve, trials: Curve, weights: Weights) -> Curve:
    """Accepted share of the weighted trials: (K, R, F) accepted, (K,) trials, (R, K) weights -> (R, F)."""
    total = weights @ trials
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.einsum("rk,krf->rf", weights, accepted) / total[:, None])


def allowed_weight(total: Curve, rates: Sequence[float]) -> Curve:
    """The whole weight that each rate allows, (R,) totals of whole numbers -> (R, F)."""
    return np.array(
        [[allowed_false_accepts(int(weight), rate) for rate in rates] for weight in total.tolist()],
        dtype=np.float64,
    ).reshape(len(total), len(rates))


def non_mated_weight(left: Weights, left_images: Curve, right: Weights, right_images: Curve) -> Curve:
    """Weight of all pairs left × right, float64 (R,), from the images of each person."""
    return np.asarray((left @ left_images) * (right @ right_images))


def weight_within(weights: Weights, images: Curve) -> Curve:
    """Weight of all pairs of images of two different people among these, each pair once, float64 (R,)."""
    drawn = weights * images
    return np.asarray((drawn.sum(axis=1) ** 2 - (drawn**2).sum(axis=1)) / 2)


def interval_of(value: float, replicates: Curve, people: int) -> Interval | None:
    """The 95 % interval of a share from its replicates.

    Where no error was seen (or nothing but errors) the bootstrap knows of none either; then the rule of
    three holds: with no person of n in error, the share is below 3/n with 95 % confidence. It counts
    people, not trials, because those of one person are not independent.

    Args:
        value: the share itself; NaN has no interval.
        replicates: float64 (R,), NaN where a replicate had no trial.
        people: number of people with trials.
    """
    known = replicates[~np.isnan(replicates)]
    if math.isnan(value) or people < 2 or not known.size:
        return None
    if value in (0.0, 1.0):
        width = min(1.0, 3 / people)
        return Interval(1 - width, 1.0, "rule of three") if value else Interval(0.0, width, "rule of three")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(min(low, value)), float(max(high, value)), "bootstrap")


def band_of(replicates: Curve) -> Curve:
    """Low and high of a curve's 95 % band, float64 (2, p), from (R, p); NaN where nothing is known."""
    band = np.full((2, replicates.shape[1]), np.nan)
    known = ~np.isnan(replicates).all(axis=0)
    if known.any():
        edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        band[:, known] = np.nanquantile(replicates[:, known], edges, axis=0)
    return band


def columns_of(labels: Labels, people: Labels) -> npt.NDArray[np.int64]:
    """Where each label stands among the rising ``people``, int64 (n,)."""
    return np.searchsorted(people, labels).astype(np.int64)
