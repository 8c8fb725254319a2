"""How sure the figures of a list of pairs are: people are drawn anew, see :mod:`.bootstrap`.

A list of pairs is small, so each replicate is made literally: a mated pair stands in it as often as its
person was drawn, a non-mated one as often as its two people were (w_i · w_j), and everything is computed
from that list as from the given one: accuracy with every fold's threshold sought anew on the others,
thresholds at FAR, EER.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation import metrics
from fedfr_edge.evaluation.bootstrap import Curve, Resampling, columns_of
from fedfr_edge.evaluation.folds import accuracy_by_fold
from fedfr_edge.types import Labels, Scores

DRAWN = "pairs"
"""Names the stream of draws."""


@dataclass(frozen=True)
class PairReplicates:
    """The figures of each replicate; NaN where one has no pair for it.

    Attributes:
        people: number of people in the list.
        accuracy: float64 (R,), mean over the folds.
        rates: float64 (R, F), TAR at each false-accept rate.
        far: float64 (R, F), false-accept rate at the threshold that the whole list gave.
        eer: float64 (R,).
    """

    people: int
    accuracy: Curve
    rates: Curve
    far: Curve
    eer: Curve


def draw_pairs(
    scores: Scores,
    mated: npt.NDArray[np.bool_],
    fold: npt.NDArray[np.int64],
    left: Labels,
    right: Labels,
    rates: Sequence[metrics.Rate],
    resampling: Resampling,
) -> PairReplicates:
    """Compute every figure of the list in each replicate.

    Args:
        scores: float32 (n,), of the pairs.
        mated: bool (n,).
        fold: int64 (n,).
        left: int64 (n,), whose the first image of each pair is.
        right: int64 (n,), whose the second is.
        rates: what the whole list gave: the false-accept rates asked for, and the thresholds.
        resampling: how people are drawn.
    """
    people = np.unique(np.concatenate([left, right]))
    one, two = columns_of(left, people), columns_of(right, people)
    replicates = resampling.replicates
    accuracy, eer = np.full(replicates, math.nan), np.full(replicates, math.nan)
    tar, far = np.full((replicates, len(rates)), math.nan), np.full((replicates, len(rates)), math.nan)
    for number, weights in enumerate(resampling.weights(DRAWN, len(people))):
        times = np.where(mated, weights[one], weights[one] * weights[two]).astype(np.int64)
        drawn, kind = np.repeat(scores, times), np.repeat(mated, times)
        if kind.all() or not kind.any():
            continue
        folds, _ = accuracy_by_fold(drawn, kind, np.repeat(fold, times))
        accuracy[number] = np.mean(folds) if folds else math.nan
        eer[number] = metrics.eer(drawn[kind], drawn[~kind])
        for place, rate in enumerate(rates):
            assert rate.far_target is not None
            tar[number, place] = metrics.tar_at_far(drawn[kind], drawn[~kind], rate.far_target).value
            far[number, place] = np.mean(drawn[~kind] >= np.float64(rate.threshold))
    return PairReplicates(len(people), accuracy, tar, far, eer)
