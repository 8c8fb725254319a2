"""1:1: cosines of pairs, block by block, and the rates read off them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import Rate, rate_at
from fedfr_edge.evaluation.products import TILE, Block, HostProducts, Products, in_turn
from fedfr_edge.evaluation.tail import ScoreTail
from fedfr_edge.types import Embeddings, Labels, Scores

SAMPLED_ROWS = 800
"""Rows of either side that are compared first, to guess which scores will be among the largest."""


def mated_scores(embeddings: Embeddings, labels: Labels) -> Scores:
    """Cosines of all pairs i < j of one label: float32 (Σ C(n_k, 2),), kept whole.

    Args:
        embeddings: float32 (n, d), unit rows.
        labels: int64 (n,).
    """
    return mated_pairs(embeddings, labels)[0]


def mated_pairs(
    embeddings: Embeddings, labels: Labels
) -> tuple[Scores, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """As :func:`mated_scores`, and the rows i and j of every pair, int64 (m,) each; label by label."""
    scores, first, second = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for rows in _rows_by_label(labels):
        of_one = embeddings[rows]
        for start in range(0, len(rows), TILE):
            block = of_one[start : start + TILE] @ of_one.T
            # Pairs (i, j) with j > i; row r of the block is image start + r.
            i, j = np.nonzero(np.triu(np.ones(block.shape, dtype=bool), k=start + 1))
            scores.append(block[i, j])
            first.append(rows[start + i])
            second.append(rows[j])
    return np.concatenate(scores), np.concatenate(first), np.concatenate(second)


def non_mated_scores(embeddings: Embeddings, labels: Labels) -> Iterator[Scores]:
    """Cosines of all pairs i < j of different labels, in blocks of at most ``TILE``² float32."""
    for i in range(0, len(labels), TILE):
        for j in range(i, len(labels), TILE):
            block = embeddings[i : i + TILE] @ embeddings[j : j + TILE].T
            yield block[_wanted(labels, i, j, TILE)]


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


def sweep(tail: ScoreTail, products: Products, left: Any, right: Any, *, column: int, width: int) -> None:
    """Add every ``left`` with every ``right`` to ``tail``.

    Args:
        tail: takes pair (i, j) at place ``i * width + column + j``.
        products: makes the scores.
        left: of ``products.put``; ``right`` likewise.
        column: see ``tail``.
        width: see ``tail``.
    """
    tile = products.tile
    places = ((i, j) for i in range(0, len(left), tile) for j in range(0, len(right), tile))
    for (i, j, columns), found in in_turn(products, _blocks(tail, left, right, places, tile)):
        tail.take_block(found, row=i, column=column + j, columns=columns, width=width)


def sweep_within(
    tail: ScoreTail, products: Products, embeddings: Any, labels: Labels, *, column: int, width: int
) -> None:
    """Add every pair i < j of different labels to ``tail``; see :func:`sweep`."""
    tile = products.tile
    places = ((i, j) for i in range(0, len(labels), tile) for j in range(i, len(labels), tile))
    for (i, j, columns), found in in_turn(products, _blocks(tail, embeddings, embeddings, places, tile)):
        one, other = labels[i : i + tile], labels[j : j + tile]
        apart = i != j and (one.max() < other.min() or other.max() < one.min())
        wanted = None if apart else _wanted(labels, i, j, tile)
        tail.take_block(found, row=i, column=column + j, columns=columns, width=width, wanted=wanted)


def _blocks(
    tail: ScoreTail, left: Any, right: Any, places: Iterable[tuple[int, int]], tile: int
) -> Iterator[tuple[tuple[int, int, int], Block]]:
    """Blocks that begin at ``places``, with their place and width; where the sample goes on in each is known
    before those ahead of it are taken in."""
    first = tail.first
    for i, j in places:
        rows, columns = left[i : i + tile], right[j : j + tile]
        yield (i, j, len(columns)), (rows, columns, tail.floor, tail.every, first)
        if tail.every:
            first = (first - len(rows) * len(columns)) % tail.every


def _wanted(labels: Labels, i: int, j: int, tile: int) -> npt.NDArray[np.bool_]:
    """Which pairs of two tiles are of different labels, each pair once."""
    wanted = labels[i : i + tile, None] != labels[None, j : j + tile]
    return np.triu(wanted, k=1) if i == j else wanted


def guess_floor(left: Embeddings, right: Embeddings, total: int, keep: int) -> float:
    """A score that a little more than ``keep`` of ``total`` pairs should exceed, from a few of them.

    Only a guess: whether it was low enough shows afterwards (:attr:`ScoreTail.complete`). ``-inf`` where
    everything is to be kept.
    """
    if keep >= total or not len(left) or not len(right):
        return -math.inf
    # Rows in even steps: every person is there, in the order in which a store has them.
    some, others = left[:: _step(len(left))], right[:: _step(len(right))]
    scores = (some @ others.T).reshape(-1)
    share = scores.size * keep / total
    rank = math.ceil(1.2 * share + 5 * math.sqrt(share) + 1)
    if rank >= scores.size:
        return -math.inf
    return float(np.partition(scores, scores.size - rank)[scores.size - rank])


def _step(rows: int) -> int:
    return max(1, rows // SAMPLED_ROWS)


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
        curve = np.full(len(fmrs), np.nan)
        known = fmrs * self.non_mated.count >= 1
        if self.mated.size and known.any():
            ordered = np.sort(self.mated).astype(np.float64)
            thresholds = self.non_mated.plot_thresholds(fmrs[known])
            curve[known] = 1.0 - np.searchsorted(ordered, thresholds, side="left") / ordered.size
        return curve


def compare_all(embeddings: Embeddings, labels: Labels, fars: tuple[float, ...]) -> Comparisons:
    """Every pair i < j of one set of images."""
    total = pair_counts(labels)[1]
    products = HostProducts(TILE)
    put = products.put(embeddings)
    tail = ScoreTail.for_rates(total, fars)
    # Pairs of one person are among those looked at: the guess is a little high, which shows if it matters.
    for floor in (guess_floor(put, put, total, tail.keep), -math.inf):
        tail = ScoreTail.for_rates(total, fars, floor=floor, places=len(labels) ** 2)
        sweep_within(tail, products, put, labels, column=0, width=len(labels))
        if tail.complete:
            break
    return Comparisons(mated_scores(embeddings, labels), tail)


def _rows_by_label(labels: Labels) -> list[npt.NDArray[np.int64]]:
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    return list(np.split(order, cuts)) if len(labels) else []
