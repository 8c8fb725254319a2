"""How alike one person's images are: those unlike the rest, and the same photograph twice.

All cosines are float64 sums over float32 embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.types import Embeddings


@dataclass(frozen=True)
class Outliers:
    """Images unlike the rest.

    Attributes:
        dropped: (row, its cosine with the mean of those that were left when it was dropped).
        kept: the other rows, rising.
        doubtful: (row, cosine) of rows kept only because more cannot be dropped.
    """

    dropped: tuple[tuple[int, float], ...]
    kept: tuple[int, ...]
    doubtful: tuple[tuple[int, float], ...]


def leave_one_out(embeddings: Embeddings) -> npt.NDArray[np.float64]:
    """How well each image agrees with the others: cos(eᵢ, Σⱼ≠ᵢ eⱼ).

    Args:
        embeddings: float32 (n, d), unit rows, n ≥ 2.

    Returns:
        float64 (n,); 0 where the others cancel out.
    """
    rows = embeddings.astype(np.float64)
    others = rows.sum(axis=0) - rows
    lengths = np.linalg.norm(others, axis=1)
    scores = np.einsum("ij,ij->i", rows, others) / np.maximum(lengths, 1e-9)
    return np.where(lengths > 1e-6, scores, 0.0)


def find_outliers(embeddings: Embeddings, limit: float) -> Outliers:
    """Drop images whose leave-one-out cosine is below ``limit``, the worst first, each time counted anew.

    A wrong image pulls the others' mean towards itself, so a right one may fall below because of it; once
    the wrong one is gone it does not. At most ⌊(n − 1) / 2⌋ are dropped: the majority always stays, and of
    two images that differ neither goes, for nobody knows which is right.

    Args:
        embeddings: float32 (n, d), unit rows.
        limit: least cosine.
    """
    kept = list(range(len(embeddings)))
    dropped: list[tuple[int, float]] = []
    while len(kept) > 1:
        scores = leave_one_out(embeddings[kept])
        worst = int(np.argmin(scores))
        if scores[worst] >= limit:
            break
        if 2 * (len(dropped) + 1) >= len(embeddings):
            below = [(row, float(found)) for row, found in zip(kept, scores, strict=True) if found < limit]
            return Outliers(tuple(dropped), tuple(kept), tuple(below))
        dropped.append((kept.pop(worst), float(scores[worst])))
    return Outliers(tuple(dropped), tuple(kept), ())


def find_repeats(embeddings: Embeddings, limit: float) -> tuple[tuple[int, int, float], ...]:
    """Images that are nearly an earlier one: (row, the earlier row that is kept, their cosine).

    Args:
        embeddings: float32 (n, d), unit rows.
        limit: a cosine at or above this is a repeat.
    """
    rows = embeddings.astype(np.float64)
    kept: list[int] = []
    repeats = []
    for row in range(len(rows)):
        scores = rows[kept] @ rows[row]
        best = int(np.argmax(scores)) if kept else -1
        if best >= 0 and scores[best] >= limit:
            repeats.append((row, kept[best], float(scores[best])))
        else:
            kept.append(row)
    return tuple(repeats)


def least_alike(embeddings: Embeddings) -> float:
    """The lowest cosine between any two of the images; 1 for a single one.

    Args:
        embeddings: float32 (n, d), unit rows, n ≥ 1.
    """
    rows = embeddings.astype(np.float64)
    return float((rows @ rows.T).min()) if len(rows) > 1 else 1.0
