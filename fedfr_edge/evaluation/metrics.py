"""Rates, curves and thresholds from scores, exact and with ties counted.

Everywhere: a comparison is accepted when ``score >= threshold``. *Mated* scores compare two images
of one person, *non-mated* scores two people (ISO/IEC 19795-1). FMR is the share of non-mated
comparisons accepted, FNMR the share of mated ones rejected, TAR = 1 − FNMR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Curve = npt.NDArray[np.float64]

LEAST_FALSE_ACCEPTS = 10
"""A rate whose threshold rests on fewer false accepts is marked: at ten, the false-accept rate
itself is known to about ±60 % (95 % Poisson interval 4.8 to 18.4); below, hardly at all."""


@dataclass(frozen=True)
class Interval:
    """Where a share lies with 95 % confidence.

    Attributes:
        low: 0 to 1; of a difference -1 to 1.
        high: likewise.
        method: how it was found: "bootstrap" (by identity, see :mod:`.bootstrap`) or "rule of three".
    """

    low: float
    high: float
    method: Literal["bootstrap", "rule of three"]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"low": self.low, "high": self.high, "method": self.method}


@dataclass(frozen=True)
class Rate:
    """A share of mated trials that were accepted, with what it rests on.

    Attributes:
        value: the share, 0 to 1; NaN without mated trials.
        trials: number of mated trials.
        threshold: a score at or above it was accepted; ``-inf`` accepts all.
        far_target: the false-accept rate (or FPIR) asked for; None if the threshold was given.
        false_accepts: non-mated trials accepted at ``threshold``.
        non_mated: number of non-mated trials.
        interval: of ``value``, the threshold sought anew each time; None where it was not asked for or
            where there are fewer than two people.
        far_interval: of the false-accept rate at ``threshold`` as it stands.
    """

    value: float
    trials: int
    threshold: float
    far_target: float | None
    false_accepts: int
    non_mated: int
    interval: Interval | None = None
    far_interval: Interval | None = None

    @property
    def supported(self) -> bool:
        """Whether at least ten false accepts stand behind the threshold."""
        return self.false_accepts >= LEAST_FALSE_ACCEPTS

    @property
    def carried(self) -> bool:
        """Whether the trials allow at least one false accept; below that no rate can be told."""
        if not self.trials:
            return False
        return self.far_target is None or allowed_false_accepts(self.non_mated, self.far_target) >= 1

    @property
    def far(self) -> float:
        """The false-accept rate reached; NaN without non-mated trials."""
        return self.false_accepts / self.non_mated if self.non_mated else math.nan

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form (NaN and infinities become None), ``supported`` and ``carried`` spelled out."""
        return {
            "value": finite_or_none(self.value),
            "trials": self.trials,
            "threshold": finite_or_none(self.threshold),
            "far_target": self.far_target,
            "false_accepts": self.false_accepts,
            "non_mated": self.non_mated,
            "supported": self.supported,
            "carried": self.carried,
            "interval": self.interval.to_dict() if self.interval else None,
            "far_interval": self.far_interval.to_dict() if self.far_interval else None,
        }


def finite_or_none(value: float) -> float | None:
    """``value``, or None where JSON has no number for it."""
    return float(value) if math.isfinite(value) else None


def allowed_false_accepts(non_mated: int, far: float) -> int:
    """The largest k with ``k / non_mated <= far``.

    Not ``floor(far * non_mated)``: 0.29 · 100 is 28.999… in floating point, yet 29 of 100 is 0.29.
    """
    if not 0 <= far <= 1:
        raise ValueError(f"a false-accept rate is {far}, expected 0 to 1")
    if non_mated == 0:
        return 0
    k = min(math.floor(far * non_mated), non_mated)
    while k > 0 and k / non_mated > far:
        k -= 1
    while k < non_mated and (k + 1) / non_mated <= far:
        k += 1
    return k


def carried_rates(rates: Sequence[float], non_mated: int) -> tuple[float, ...]:
    """Those of ``rates`` that allow at least one false accept among ``non_mated`` trials.

    Below that a threshold only says "above the highest score seen"; where no rate is left, the
    greatest is kept (tables mark it).
    """
    carried = tuple(rate for rate in rates if allowed_false_accepts(non_mated, rate) >= 1)
    return carried or (max(rates),)


def just_above(score: np.floating[Any]) -> float:
    """The least number of the score's own type that is greater: the lowest threshold rejecting it."""
    return float(np.nextafter(score, score.dtype.type(np.inf)))


def far_threshold(non_mated_scores: npt.ArrayLike, far: float) -> tuple[float, int]:
    """The lowest threshold whose FMR does not exceed ``far``, and its number of false accepts.

    With k allowed false accepts it lies just above the (k+1)-th largest non-mated score, so scores
    tied with that one are all rejected: fewer than k may be accepted, never more. With ``far · n < 1``
    it lies just above the largest. ``-inf`` where everything may be accepted.

    Raises:
        ValueError: no scores, a NaN among them, or ``far`` outside [0, 1].
    """
    scores = _scores(non_mated_scores, "non-mated")
    if scores.size == 0:
        raise ValueError("a threshold at a false-accept rate needs non-mated scores, found none")
    k = allowed_false_accepts(scores.size, far)
    if k == scores.size:
        return -math.inf, k
    limit = np.partition(scores, scores.size - 1 - k)[scores.size - 1 - k]
    return just_above(limit), int(np.count_nonzero(scores > limit))


def tar_at_far(mated_scores: npt.ArrayLike, non_mated_scores: npt.ArrayLike, far: float) -> Rate:
    """TAR at the largest accepted set whose FMR does not exceed ``far``; see :func:`far_threshold`.

    Args:
        mated_scores: floats, any shape (flattened); may be empty (the rate is then NaN).
        non_mated_scores: floats, any shape, at least one.
        far: 0 to 1.
    """
    mated, non_mated = _scores(mated_scores, "mated"), _scores(non_mated_scores, "non-mated")
    common = np.result_type(mated, non_mated)  # "just above" must be a step of the finer type
    non_mated = non_mated.astype(common, copy=False)
    threshold, false_accepts = far_threshold(non_mated, far)
    return rate_at(mated, threshold, far, false_accepts=false_accepts, non_mated=non_mated.size)


def rate_at(
    mated_scores: npt.ArrayLike,
    threshold: float,
    far_target: float | None,
    *,
    false_accepts: int,
    non_mated: int,
) -> Rate:
    """The :class:`Rate` of mated scores at a threshold found elsewhere."""
    scores = _scores(mated_scores, "mated")
    # A plain Python float would be rounded to float32 before float32 scores are compared with it.
    accepted = int(np.count_nonzero(scores >= np.float64(threshold)))
    value = accepted / scores.size if scores.size else math.nan
    return Rate(value, int(scores.size), threshold, far_target, false_accepts, non_mated)


@dataclass(frozen=True)
class Roc:
    """Operating points, from "reject all" to "accept all"; one per distinct score, plus the first.

    Attributes:
        thresholds: float64 (p,), falling; the first is ``+inf``.
        fmr: float64 (p,), rising from 0 to 1.
        tar: float64 (p,), rising from 0 to 1.
    """

    thresholds: Curve
    fmr: Curve
    tar: Curve

    @property
    def fnmr(self) -> Curve:
        """1 − TAR, float64 (p,)."""
        return 1.0 - self.tar


def roc(mated_scores: npt.ArrayLike, non_mated_scores: npt.ArrayLike) -> Roc:
    """All operating points. Scores tied between the two kinds give one point, not two.

    Raises:
        ValueError: one of the kinds is empty, or holds a NaN.
    """
    mated, non_mated = _both(mated_scores, non_mated_scores)
    scores = np.concatenate([mated, non_mated])
    is_mated = np.zeros(scores.size, dtype=np.int64)
    is_mated[: mated.size] = 1
    order = np.argsort(-scores, kind="stable")
    scores, is_mated = scores[order], is_mated[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), scores.size - 1)
    accepted_mated = np.cumsum(is_mated)[last_of_tie]
    accepted_non_mated = last_of_tie + 1 - accepted_mated
    return Roc(
        thresholds=np.append(np.inf, scores[last_of_tie]),
        fmr=np.append(0.0, accepted_non_mated / non_mated.size),
        tar=np.append(0.0, accepted_mated / mated.size),
    )


def det(mated_scores: npt.ArrayLike, non_mated_scores: npt.ArrayLike) -> tuple[Curve, Curve]:
    """``(fmr, fnmr)`` of every operating point, float64 (p,) each; see :func:`roc`."""
    curve = roc(mated_scores, non_mated_scores)
    return curve.fmr, curve.fnmr


def eer(mated_scores: npt.ArrayLike, non_mated_scores: npt.ArrayLike) -> float:
    """Equal error rate: where FMR = FNMR on the ROC, straight lines between operating points."""
    curve = roc(mated_scores, non_mated_scores)
    gap = curve.fmr - curve.fnmr  # rises from -1 to 1
    right = int(np.argmax(gap >= 0))
    left = right - 1
    share = -gap[left] / (gap[right] - gap[left])
    return float(curve.fmr[left] + share * (curve.fmr[right] - curve.fmr[left]))


def auc(mated_scores: npt.ArrayLike, non_mated_scores: npt.ArrayLike) -> float:
    """Area under the ROC: P(mated > non-mated) + ½ P(equal), the Mann-Whitney statistic."""
    mated, non_mated = _both(mated_scores, non_mated_scores)
    ordered = np.sort(non_mated)
    below = np.searchsorted(ordered, mated, side="left")
    not_above = np.searchsorted(ordered, mated, side="right")
    return float((below + not_above).sum(dtype=np.float64) / (2.0 * mated.size * non_mated.size))


def best_accuracy(mated_scores: npt.ArrayLike, non_mated_scores: npt.ArrayLike) -> tuple[float, float]:
    """``(accuracy, threshold)`` of the best single threshold over all comparisons.

    The threshold stands midway between two neighbouring distinct scores, so that it carries over to
    other data; of several equally good ones, the lowest.
    """
    mated, non_mated = _both(mated_scores, non_mated_scores)
    curve = roc(mated, non_mated)
    right = curve.tar * mated.size + (1.0 - curve.fmr) * non_mated.size
    best = int(right.size - 1 - np.argmax(np.rint(right[::-1])))
    accuracy = float(np.rint(right[best])) / (mated.size + non_mated.size)
    upper = float(curve.thresholds[best])
    if best == 0:
        return accuracy, float(np.nextafter(curve.thresholds[1], np.inf))
    if best == right.size - 1:
        return accuracy, upper
    lower = float(curve.thresholds[best + 1])
    middle = lower + (upper - lower) / 2
    return accuracy, middle if middle > lower else upper


def accuracy_at(mated_scores: npt.ArrayLike, non_mated_scores: npt.ArrayLike, threshold: float) -> float:
    """Share of comparisons decided rightly at ``threshold``; NaN without any."""
    mated, non_mated = _scores(mated_scores, "mated"), _scores(non_mated_scores, "non-mated")
    total = mated.size + non_mated.size
    exact = np.float64(threshold)
    right = np.count_nonzero(mated >= exact) + np.count_nonzero(non_mated < exact)
    return float(right) / total if total else math.nan


def _scores(values: npt.ArrayLike, kind: str) -> FloatArray:
    scores = np.asarray(values)
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    if np.isnan(scores).any():
        raise ValueError(f"{kind} scores hold NaN; embeddings must be finite")
    return scores.reshape(-1)


def _both(mated: npt.ArrayLike, non_mated: npt.ArrayLike) -> tuple[Curve, Curve]:
    pair = _scores(mated, "mated"), _scores(non_mated, "non-mated")
    if not pair[0].size or not pair[1].size:
        raise ValueError(
            f"a curve needs both kinds of scores, found {pair[0].size} mated and {pair[1].size} non-mated"
        )
    return pair[0].astype(np.float64), pair[1].astype(np.float64)
