"""Verification on a list of pairs; the lists' forms are described in :mod:`fedfr_edge.evaluation.pairs_list`.

Accuracy follows LFW's protocol: the pairs of each fold are decided at the threshold that is best on
all *other* folds, exactly rather than in steps. Pairs with an image that the store lacks are left out,
counted and listed; :func:`check_images` refuses them instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation import metrics
from fedfr_edge.evaluation.bootstrap import Resampling, interval_of
from fedfr_edge.evaluation.embedding import OneSpace, Shares, embed_rows
from fedfr_edge.evaluation.folds import accuracy_by_fold
from fedfr_edge.evaluation.metrics import Interval, Rate, finite_or_none
from fedfr_edge.evaluation.pairs_intervals import PairReplicates, draw_pairs
from fedfr_edge.evaluation.pairs_list import Pair, read_pairs
from fedfr_edge.types import AlignedFaces, Encoder, Labels, Progress, Scores, no_progress

__all__ = ["PAIR_FARS", "Pair", "PairsResult", "check_images", "evaluate_pairs", "read_pairs"]

PAIR_FARS = (1e-1, 1e-2, 1e-3)
"""False-accept rates reported by default, as far as the trials carry them."""


@dataclass(frozen=True)
class PairsResult:
    """What a model makes of a list of pairs.

    Attributes:
        name: the model.
        folds: accuracy of each fold at the threshold of the others; empty with a single fold.
        thresholds: those thresholds.
        best_accuracy: at the one threshold that is best for these very pairs: an upper bound.
        best_threshold: that threshold.
        rates: TAR at the false-accept rates asked for.
        auc: area under the ROC.
        eer: equal error rate.
        mated: float32, scores of mated pairs.
        non_mated: float32, scores of non-mated pairs.
        missing: names of images that the list has and the store lacks.
        left_out: number of pairs with such an image.
        people: number of people in the list; 0 where it is not known.
        accuracy_interval, eer_interval: 95 % intervals; None without.
        replicates: the figures with people drawn anew, behind all intervals; None without.
    """

    name: str
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    best_accuracy: float
    best_threshold: float
    rates: tuple[Rate, ...]
    auc: float
    eer: float
    mated: Scores
    non_mated: Scores
    missing: tuple[str, ...]
    left_out: int
    people: int = 0
    accuracy_interval: Interval | None = None
    eer_interval: Interval | None = None
    replicates: PairReplicates | None = None

    @property
    def accuracy(self) -> float:
        """Mean over the folds; NaN with a single fold."""
        return float(np.mean(self.folds)) if self.folds else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over the folds (n − 1); NaN with a single fold."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without the scores."""
        return {
            "name": self.name,
            "mated_pairs": int(self.mated.size),
            "non_mated_pairs": int(self.non_mated.size),
            "people": self.people or None,
            "accuracy": finite_or_none(self.accuracy),
            "accuracy_interval": _or_none(self.accuracy_interval),
            "spread": finite_or_none(self.spread),
            "folds": list(self.folds),
            "thresholds": list(self.thresholds),
            "best_accuracy": self.best_accuracy,
            "best_threshold": self.best_threshold,
            "rates": [rate.to_dict() for rate in self.rates],
            "auc": self.auc,
            "eer": self.eer,
            "eer_interval": _or_none(self.eer_interval),
            "left_out_pairs": self.left_out,
            "missing_images": list(self.missing),
        }


def check_images(pairs: Sequence[Pair], row_of: Callable[[str], int | None]) -> None:
    """Make sure that every image of the list is there.

    Raises:
        DataError: one is not; the message names its line, and counts images and pairs.
    """
    without = [pair for pair in pairs if row_of(pair.first) is None or row_of(pair.second) is None]
    if not without:
        return
    absent = {name for pair in without for name in (pair.first, pair.second) if row_of(name) is None}
    pair = without[0]
    name = pair.first if pair.first in absent else pair.second
    raise DataError(
        f"line {pair.line} of the list names image {name!r}, which the store lacks ({len(absent)} images, "
        f"{len(without)} of {len(pairs)} pairs); import them, or leave such pairs out with --allow-missing"
    )


def evaluate_pairs(
    encoder: Encoder,
    images: AlignedFaces,
    row_of: Callable[[str], int | None],
    pairs: Sequence[Pair],
    *,
    fars: Sequence[float] | None = None,
    labels: Labels | None = None,
    resampling: Resampling | None = None,
    progress: Progress = no_progress,
) -> PairsResult:
    """Score every pair whose two images are there.

    Args:
        encoder: the model.
        images: uint8 (n, 112, 112, 3), may be a memory map.
        row_of: gives the row of an image's name, or None (``FaceStore.row_of``).
        pairs: see :func:`read_pairs`.
        fars: false-accept rates; by default those of :data:`PAIR_FARS` that the pairs carry.
        labels: int64 (n,), whose each image is; needed for intervals.
        resampling: how people are drawn for 95 % intervals; None for none.
        progress: told of embedding.

    Raises:
        DataError: no mated or no non-mated pair is left.
        ModelError: an embedding that is not finite or not of unit length.
    """
    rows = {name: row_of(name) for pair in pairs for name in (pair.first, pair.second)}
    missing = tuple(sorted(name for name, row in rows.items() if row is None))
    used = [(pair, rows[pair.first], rows[pair.second]) for pair in pairs]
    kept = [(pair, one, two) for pair, one, two in used if one is not None and two is not None]
    kinds = {pair.mated for pair, _, _ in kept}
    if len(kinds) < 2:
        lacking = "no pair" if not kinds else f"no {'non-mated' if True in kinds else 'mated'} pair"
        example = f", for example {missing[0]!r}" if missing else ""
        raise DataError(
            f"{lacking} of the list can be scored: {len(missing)} of {len(rows)} images are not in the "
            f"store{example}; names must be like Abel_Pacheco/Abel_Pacheco_0001"
        )
    first = np.array([one for _, one, _ in kept], dtype=np.int64)
    second = np.array([two for _, _, two in kept], dtype=np.int64)
    needed = np.unique(np.concatenate([first, second]))
    share = Shares(progress, f"embedding ({encoder.name})", len(needed))
    (embeddings,) = embed_rows(OneSpace(encoder), images, needed, share.add)
    left = embeddings[np.searchsorted(needed, first)]
    right = embeddings[np.searchsorted(needed, second)]
    scores = np.einsum("ij,ij->i", left, right)
    mated = np.array([pair.mated for pair, _, _ in kept])
    fold = np.array([pair.fold for pair, _, _ in kept])
    if fars is None:
        fars = metrics.carried_rates(PAIR_FARS, int(np.count_nonzero(~mated)))
    accuracies, thresholds = accuracy_by_fold(scores, mated, fold)
    best, best_threshold = metrics.best_accuracy(scores[mated], scores[~mated])
    result = PairsResult(
        name=encoder.name,
        folds=accuracies,
        thresholds=thresholds,
        best_accuracy=best,
        best_threshold=best_threshold,
        rates=tuple(metrics.tar_at_far(scores[mated], scores[~mated], far) for far in fars),
        auc=metrics.auc(scores[mated], scores[~mated]),
        eer=metrics.eer(scores[mated], scores[~mated]),
        mated=scores[mated],
        non_mated=scores[~mated],
        missing=missing,
        left_out=len(pairs) - len(kept),
    )
    if labels is None or resampling is None:
        return result
    return _with_intervals(
        result, draw_pairs(scores, mated, fold, labels[first], labels[second], result.rates, resampling)
    )


def _with_intervals(result: PairsResult, found: PairReplicates) -> PairsResult:
    rates = (
        replace(
            rate,
            interval=interval_of(rate.value, found.rates[:, place], found.people),
            far_interval=interval_of(rate.far, found.far[:, place], found.people),
        )
        for place, rate in enumerate(result.rates)
    )
    return replace(
        result,
        rates=tuple(rates),
        people=found.people,
        accuracy_interval=interval_of(result.accuracy, found.accuracy, found.people),
        eer_interval=interval_of(result.eer, found.eer, found.people),
        replicates=found,
    )


def _or_none(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else interval.to_dict()
