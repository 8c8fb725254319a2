"""Thresholds at stated false accept rates, from comparisons between public identities.

A threshold belongs to one model and rests on a count of non-mated comparisons: with n of them, a
false accept rate below 10/n cannot be told apart from chance, and is flagged so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fedfr_edge.errors import DataError
from fedfr_edge.recognition.manifest import Threshold
from fedfr_edge.types import Embeddings, Labels, Scores

DEFAULT_FARS = (1e-2, 1e-3, 1e-4)
"""False accept rates at which models are calibrated when they are exported."""

_BLOCK = 1024


def impostor_scores(embeddings: Embeddings, labels: Labels) -> Scores:
    """Cosines of all pairs of different identities, each unordered pair once.

    Args:
        embeddings: float32 (n, d), unit rows.
        labels: int64 (n,).

    Returns:
        float32 (m,), in no stated order; m as :func:`count_impostors` says. It needs 4·m bytes:
        for large sets use :func:`calibrate_embeddings`, which keeps only the highest.
    """
    blocks = list(_impostor_blocks(embeddings, labels))
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)


def count_impostors(labels: Labels) -> int:
    """How many unordered pairs have different labels: C(n, 2) − Σ_k C(n_k, 2)."""
    _, counts = np.unique(labels, return_counts=True)
    return math.comb(len(labels), 2) - sum(math.comb(int(count), 2) for count in counts)


def calibrate(non_mated: Scores, fars: Sequence[float], source: str) -> tuple[Threshold, ...]:
    """The smallest threshold at each rate with FAR = #{s ≥ threshold} / #s ≤ ``far``, exactly.

    A score equal to the threshold is accepted. Of equal scores none or all are accepted, so with
    ties the rate reached can be lower than the one asked for. The threshold is the next number
    (in the scores' precision) above the highest score that must be refused.

    Args:
        non_mated: float32 (m,), cosines between different identities, m ≥ 1.
        fars: rates between 0 and 1.
        source: whose faces these are; goes into the manifest.

    Returns:
        One record for each rate, by falling rate; ``supported`` is False where fewer than ten
        false accepts stand behind it.

    Raises:
        DataError: no score, a score that is not finite, or a rate outside (0, 1).
    """
    if not np.all(np.isfinite(non_mated)):
        raise DataError("a non-mated score is NaN or infinite; look at the model that gave it")
    _check(len(non_mated), fars)
    kept = np.sort(non_mated)[::-1]
    return _thresholds(kept, len(non_mated), fars, source)


def calibrate_embeddings(
    embeddings: Embeddings, labels: Labels, fars: Sequence[float] = DEFAULT_FARS, source: str = "public"
) -> tuple[Threshold, ...]:
    """As ``calibrate(impostor_scores(embeddings, labels), …)``, in memory for the highest scores only.

    Raises:
        DataError: fewer than two identities, an embedding that is not finite, or a rate outside (0, 1).
    """
    if not np.all(np.isfinite(embeddings)):
        raise DataError("an embedding is NaN or infinite; look at the model that gave it")
    total = count_impostors(labels)
    _check(total, fars)
    need = allowed_false_accepts(max(fars), total) + 1
    kept = np.empty(0, np.float32)
    for block in _impostor_blocks(embeddings, labels):
        if len(kept) == need:
            block = block[block > kept.min()]
        kept = np.concatenate([kept, block])
        if len(kept) > need:
            kept = np.partition(kept, len(kept) - need)[-need:]
    return _thresholds(np.sort(kept)[::-1], total, fars, source)


def allowed_false_accepts(far: float, trials: int) -> int:
    """The largest count k with k / trials ≤ far."""
    count = math.floor(far * trials)
    # The product is rounded: 0.29 * 100 is a little below 29.
    while (count + 1) / trials <= far:
        count += 1
    while count / trials > far:
        count -= 1
    return count


def _thresholds(falling: Scores, total: int, fars: Sequence[float], source: str) -> tuple[Threshold, ...]:
    """``falling``: at least the ``allowed + 1`` highest scores, in falling order."""
    records = []
    for far in sorted(set(fars), reverse=True):
        refused = falling[allowed_false_accepts(far, total)]
        records.append(
            Threshold(
                far=far,
                threshold=float(np.nextafter(refused, falling.dtype.type(np.inf))),
                non_mated=total,
                false_accepts=int(np.count_nonzero(falling > refused)),
                source=source,
            )
        )
    return tuple(records)


def _impostor_blocks(embeddings: Embeddings, labels: Labels) -> Iterator[Scores]:
    for row in range(0, len(embeddings), _BLOCK):
        rows = slice(row, row + _BLOCK)
        for column in range(row, len(embeddings), _BLOCK):
            columns = slice(column, column + _BLOCK)
            scores = embeddings[rows] @ embeddings[columns].T
            keep = labels[rows, None] != labels[None, columns]
            if column == row:
                keep = np.triu(keep, 1)
            yield scores[keep]


def _check(trials: int, fars: Sequence[float]) -> None:
    if trials == 0:
        raise DataError(
            "no comparison of two different identities, so no threshold can be calibrated; give faces of "
            "at least two identities"
        )
    for far in fars:
        if not 0 < far < 1:
            raise DataError(f"false accept rate {far} is not between 0 and 1; give for example 1e-3")
    if not fars:
        raise DataError("no false accept rate given to calibrate at; give for example 1e-3")
