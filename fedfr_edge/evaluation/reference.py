"""1:1 as the published evaluation code of FedFR reads it: off a histogram.

That code counts every score in one of 2,001 bins, the number of ``(score + 1) · 1000`` cut to a whole one,
takes as operating points "everything above bin b" and reads TAR at a false-accept rate off the straight
line between the two neighbouring points. Here to reproduce its figures, and to show how far they are from
the exact ones: a bin is a thousandth wide, which is a lot where the false-accept rate is small.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import Rate
from fedfr_edge.evaluation.verification import cross_scores, non_mated_scores
from fedfr_edge.types import Embeddings, Labels, Scores

BINS = 2001
"""Bins of a thousandth over [-1, 1]; the last holds nothing but scores of 1."""


def reference_counts(scores: Scores) -> npt.NDArray[np.int64]:
    """Counts of ``scores`` by the reference's bins, int64 (2001,)."""
    # A score may lie a rounding beyond 1 or -1; the reference would write beside its array there.
    index = ((scores.reshape(-1) + np.float32(1.0)) * np.float32(1000.0)).astype(np.int32)
    return np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS).astype(np.int64, copy=False)


def non_mated_counts(local: Embeddings, labels: Labels, others: Embeddings) -> npt.NDArray[np.int64]:
    """Counts of all local × other pairs, and of pairs of two local people."""
    counts = np.zeros(BINS, dtype=np.int64)
    for block in cross_scores(local, others):
        counts += reference_counts(block)
    for block in non_mated_scores(local, labels):
        counts += reference_counts(block)
    return counts


def reference_rate(mated: npt.NDArray[np.int64], non_mated: npt.NDArray[np.int64], far: float) -> Rate:
    """TAR at ``far`` from two histograms, on the line between two operating points.

    ``threshold`` and ``false_accepts`` are those of the stricter of the two; of several points with the
    same false-accept rate the one that accepts most counts.
    """
    # Entry b: accepted by "at or above the lower edge of bin b"; the last accepts none.
    tar = np.append(np.cumsum(mated[::-1])[::-1], 0) / max(int(mated.sum()), 1)
    accepted = np.append(np.cumsum(non_mated[::-1])[::-1], 0)
    rates = accepted / non_mated.sum()
    # Distinct rates, rising; np.unique finds the first of equals, which is the lowest bin.
    points, place = np.unique(rates, return_index=True)
    value = float(np.interp(far, points, tar[place])) if mated.sum() else float("nan")
    stricter = int(place[max(int(np.searchsorted(points, far, side="right")) - 1, 0)])
    return Rate(
        value,
        int(mated.sum()),
        stricter / 1000 - 1,
        far,
        int(accepted[stricter]),
        int(non_mated.sum()),
    )
