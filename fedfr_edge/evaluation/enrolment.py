"""How well people are recognised by their templates: rates of one group of people, over several models.

A trial compares one image (right) with one template (left). Thresholds, and the intervals by drawing people
anew, are those of the personalised protocol (:mod:`.bootstrap`): a mated trial of person k weighs w_k, a
non-mated one of template i and image of person j weighs w_i · w_j. A rate is the mean over the models; every
model has a threshold of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.bootstrap import (
    People,
    WeightedTrials,
    Weights,
    accepted_by_person,
    allowed_weight,
    interval_of,
    weighted_shares,
)
from fedfr_edge.evaluation.metrics import (
    Interval,
    allowed_false_accepts,
    finite_or_none,
    tar_at_far,
)
from fedfr_edge.types import Scores

Columns = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TemplateTrials:
    """The trials of one model with one group of people enrolled.

    Attributes:
        mated: float32 (m,), scores of people's own images.
        mated_person: int64 (m,), whose, as a column of ``enrolled``.
        non_mated: float32 (n,), scores of strangers' images.
        template: int64 (n,), with whose template, as a column of ``enrolled``.
        stranger: int64 (n,), whose image, as a column of ``strangers``.
        planted: bool (n,): another image of this stranger is in the template by mistake.
        enrolled: float64 (R, K), how often each person enrolled is drawn.
        strangers: float64 (R, S), how often each stranger; the same person may stand on both sides.
        threshold: of the model, for logins; NaN where it has none, and no rates at it.
    """

    mated: Scores
    mated_person: Columns
    non_mated: Scores
    template: Columns
    stranger: Columns
    planted: npt.NDArray[np.bool_]
    enrolled: Weights
    strangers: Weights
    threshold: float


@dataclass(frozen=True)
class MeanShare:
    """A share, as the mean over models.

    Attributes:
        value: the mean of the models' shares; NaN without trials.
        trials: in all.
        accepted: of these, at the models' thresholds.
        least_false_accepts: behind the threshold of the model with the fewest; None for a given threshold.
        carried: every model's trials allow a false accept at the rate asked for.
        interval: 95 %, of ``value``.
        replicates: float64 (R,), the mean with people drawn anew; for differences on the same draws.
    """

    value: float
    trials: int
    accepted: int
    least_false_accepts: int | None
    carried: bool
    interval: Interval | None
    replicates: npt.NDArray[np.float64] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "value": finite_or_none(self.value),
            "trials": self.trials,
            "accepted": self.accepted,
            "least_false_accepts": self.least_false_accepts,
            "carried": self.carried,
            "interval": None if self.interval is None else self.interval.to_dict(),
        }


@dataclass(frozen=True)
class EnrolmentRates:
    """The rates of one group of people.

    Attributes:
        tar_at: false-accept rate -> share of people's own images accepted at a threshold fitted to it.
        tar: the same at the model's threshold for logins.
        fmr: share of strangers' images accepted there.
        planted: share of images accepted there of strangers another image of whom is in the template.
    """

    tar_at: dict[float, MeanShare]
    tar: MeanShare
    fmr: MeanShare
    planted: MeanShare

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "tar_at": [{"far": far} | share.to_dict() for far, share in self.tar_at.items()],
            "tar": self.tar.to_dict(),
            "fmr": self.fmr.to_dict(),
            "planted": self.planted.to_dict(),
        }


def enrolment_rates(models: Sequence[TemplateTrials], fars: Sequence[float], people: int) -> EnrolmentRates:
    """The rates of one group of people, means over ``models``.

    Args:
        models: one or more; all with as many replicates.
        fars: false-accept rates to fit thresholds to.
        people: how many different people the trials are of, for the rule of three.
    """
    measured = [_measure(model, fars) for model in models]
    return EnrolmentRates(
        {far: _mean([each.tar_at[place] for each in measured], people) for place, far in enumerate(fars)},
        _mean([each.tar for each in measured], people),
        _mean([each.fmr for each in measured], people),
        _mean([each.planted for each in measured], people),
    )


@dataclass(frozen=True)
class _Share:
    """A share with its replicates (R,)."""

    accepted: int
    trials: int
    replicates: npt.NDArray[np.float64]
    false_accepts: int | None = None
    carried: bool = True

    @property
    def value(self) -> float:
        return self.accepted / self.trials if self.trials else math.nan


@dataclass(frozen=True)
class _Measured:
    tar_at: list[_Share]
    tar: _Share
    fmr: _Share
    planted: _Share


def _measure(trials: TemplateTrials, fars: Sequence[float]) -> _Measured:
    people, size = trials.enrolled.shape[1], len(trials.mated)
    own = np.bincount(trials.mated_person, minlength=people).astype(np.float64)
    order = np.argsort(-trials.non_mated, kind="stable")
    weighted = WeightedTrials(
        trials.non_mated[order],
        trials.template[order],
        trials.stranger[order],
        People(trials.enrolled, trials.strangers),
    )
    total = _weigh(trials, np.ones(len(trials.non_mated), dtype=bool))
    thresholds = weighted.thresholds(allowed_weight(total, fars))
    drawn = weighted_shares(
        accepted_by_person(trials.mated, trials.mated_person, people, thresholds), own, trials.enrolled
    )
    tar_at = []
    for place, far in enumerate(fars):
        rate = tar_at_far(trials.mated, trials.non_mated, far)
        accepted = int(np.count_nonzero(trials.mated >= np.float64(rate.threshold)))
        carried = allowed_false_accepts(rate.non_mated, far) >= 1
        tar_at.append(_Share(accepted, size, drawn[:, place], rate.false_accepts, carried))
    known = not math.isnan(trials.threshold)
    passed = trials.mated >= np.float64(trials.threshold)
    by_person = np.bincount(trials.mated_person, weights=passed, minlength=people)
    tar = _Share(
        int(passed.sum()), size if known else 0, _divide(trials.enrolled @ by_person, trials.enrolled @ own)
    )
    return _Measured(tar_at, tar, _strangers_share(trials, None), _strangers_share(trials, trials.planted))


def _strangers_share(trials: TemplateTrials, only: npt.NDArray[np.bool_] | None) -> _Share:
    chosen = np.full(len(trials.non_mated), not math.isnan(trials.threshold))
    if only is not None:
        chosen &= only
    passed = chosen & (trials.non_mated >= np.float64(trials.threshold))
    shares = _divide(_weigh(trials, passed), _weigh(trials, chosen))
    return _Share(int(passed.sum()), int(chosen.sum()), shares)


def _weigh(trials: TemplateTrials, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """What the chosen non-mated trials weigh in each replicate, (R,)."""
    counts = np.zeros((trials.enrolled.shape[1], trials.strangers.shape[1]))
    np.add.at(counts, (trials.template[chosen], trials.stranger[chosen]), 1.0)
    return np.asarray(np.einsum("rk,ks,rs->r", trials.enrolled, counts, trials.strangers, optimize=True))


def _divide(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _mean(shares: Sequence[_Share], people: int) -> MeanShare:
    value = float(np.mean([share.value for share in shares]))
    replicates = np.mean([share.replicates for share in shares], axis=0)
    behind = [share.false_accepts for share in shares if share.false_accepts is not None]
    return MeanShare(
        value,
        sum(share.trials for share in shares),
        sum(share.accepted for share in shares),
        min(behind) if behind else None,
        all(share.carried for share in shares),
        interval_of(value, replicates, people),
        np.asarray(replicates),
    )
