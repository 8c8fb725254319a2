"""Accuracy by folds: each fold is decided at the threshold that is best on all *other* folds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation import metrics
from fedfr_edge.types import Scores


def accuracy_by_fold(
    scores: Scores, mated: npt.NDArray[np.bool_], fold: npt.NDArray[np.int64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Accuracy of each fold, and the thresholds; both empty where a fold finds no threshold elsewhere.

    Args:
        scores: float32 (n,).
        mated: bool (n,).
        fold: int64 (n,).
    """
    accuracies, thresholds = [], []
    for number in np.unique(fold):
        own, others = fold == number, fold != number
        if not np.any(others & mated) or not np.any(others & ~mated):
            return (), ()  # a single fold: there is nothing to take a threshold from
        _, threshold = metrics.best_accuracy(scores[others & mated], scores[others & ~mated])
        accuracies.append(metrics.accuracy_at(scores[own & mated], scores[own & ~mated], threshold))
        thresholds.append(threshold)
    return tuple(accuracies), tuple(thresholds)
