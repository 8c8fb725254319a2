"""1:1: cosines of pairs, block by block, and the rates read off them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import Rate, rate_at
from fedfr_edge.evaluation.tail import ScoreTail
from fedfr_edge.types import Embeddings, Labels, Scores

TILE = 2048
"""Embeddings on each side of a block: 2048² scores are 16 MB."""


def mated_scores(embeddings: Embeddings, labels: Labels) -> Scores:
    """Cosines of all pairs i < j of one label: float32 (Σ C(n_k, 2),), kept whole.

    Args:
        embeddings: float32 (n, d), unit rows.
        labels: int64 (n,).
    """
    parts = [np.zeros(0, dtype=np.float32)]
    for rows in _rows_by_label(labels):
        of_one = embeddings[rows]
        for start in range(0, len(rows), TILE):
            block = of_one[start : start + TILE] @ of_one.T
            # Pairs (i, j) with j > i; row r of the block is image start + r.
            parts.append(block[np.triu(np.ones(block.shape, dtype=bool), k=start + 1)])
    return np.concatenate(parts)


def non_mated_scores(embeddings: Embeddings, labels: Labels) -> Iterator[Scores]:
    """Cosines of all pairs i < j of different labels, in blocks of at most ``TILE``² float32."""
    for i in range(0, len(labels), TILE):
        for j in range(i, len(labels), TILE):
            block = embeddings[i : i + TILE] @ embeddings[j : j + TILE].T
            wanted = labels[i : i + TILE, None] != labels[None, j : j + TILE]
            if i == j:
                wanted = np.triu(wanted, k=1)
            yield block[wanted]


def cross_scores(left: Embeddings, right: Embeddings) -> Iterator[Scores]:
    """Cosines of every ``left`` with every ``right``, in blocks of at most ``TILE``² float32."""
    for i in range(0, len(left), TILE):
        for j in range(0, len(right), TILE):
            yield left[i : i + TILE] @ right[j : j + TILE].T


def pair_counts(labels: Labels) -> tuple[int, int]:
    """``(mated, non-mated)`` pairs i < j among ``labels``, from the sizes alone."""
    sizes = np.unique(labels, return_counts=True)[1].astype(object)  # exact at any size
    mated = int(sum(size * (size - 1) // 2 for size in sizes))
    total = len(labels) * (len(labels) - 1) // 2
    return mated, total - mated


@dataclass(frozen=True)
class Comparisons:
    """The outcome of all 1:1 comparisons of one set.

    Attributes:
        mated: float32 (m,), every mated score.
        non_mated: the non-mated ones, largest exactly.
    """

    mated: Scores
    non_mated: ScoreTail

    def rate(self, far: float) -> Rate:
        """TAR at ``far``, exact: equal to :func:`.metrics.tar_at_far` on all scores."""
        threshold, false_accepts = self.non_mated.threshold(far)
        return rate_at(
            self.mated, threshold, far, false_accepts=false_accepts, non_mated=self.non_mated.count
        )

    def tar_curve(self, fmrs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """TAR at each of ``fmrs``, float64 (p,); NaN where ``fmr · n < 1`` or nothing is mated."""
        ordered = np.sort(self.mated).astype(np.float64)
        curve = np.full(len(fmrs), np.nan)
        for i, fmr in enumerate(fmrs):
            if fmr * self.non_mated.count >= 1 and ordered.size:
                below = np.searchsorted(ordered, self.non_mated.plot_threshold(float(fmr)), side="left")
                curve[i] = 1.0 - below / ordered.size
        return curve


def compare_all(embeddings: Embeddings, labels: Labels, fars: tuple[float, ...]) -> Comparisons:
    """Every pair i < j of one set of images."""
    tail = ScoreTail.for_rates(pair_counts(labels)[1], fars)
    for block in non_mated_scores(embeddings, labels):
        tail.add(block)
    return Comparisons(mated_scores(embeddings, labels), tail)


def _rows_by_label(labels: Labels) -> list[npt.NDArray[np.int64]]:
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    return list(np.split(order, cuts)) if len(labels) else []
