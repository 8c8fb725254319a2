"""1:N: a probe against a gallery of one template per person, in two readings.

*standard* (ISO/IEC 19795-1): FPIR is the share of non-mated probes whose **best** score passes the
threshold; TPIR the share of mated probes whose true mate passes **and** ranks first.

*paper* (the published evaluation code of FedFR): the threshold is the ceil(n_probe · FPIR)-th
largest of **all** non-genuine scores, n_probe counting mated and non-mated probes alike, and a
score must exceed it; a mated probe counts when its mate does so, wherever it ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import Rate, far_threshold
from fedfr_edge.evaluation.tail import ScoreTail
from fedfr_edge.types import Embeddings, Labels, Scores

PROBES_AT_ONCE = 4096


def mean_templates(embeddings: Embeddings, labels: Labels, *, renormalise: bool) -> tuple[Embeddings, Labels]:
    """One template per label: the mean of its unit embeddings.

    Args:
        embeddings: float32 (n, d), unit rows.
        labels: int64 (n,).
        renormalise: scale the mean to unit length (standard) or leave it shorter (paper).

    Returns:
        float32 (k, d) templates and int64 (k,) their labels, rising.
    """
    people, member = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(people), embeddings.shape[1]), dtype=np.float64)
    np.add.at(sums, member, embeddings)
    means = sums / np.bincount(member, minlength=len(people))[:, None]
    if renormalise:
        # Opposite embeddings can cancel out; such a template matches nobody instead of being NaN.
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return means.astype(np.float32), people.astype(np.int64)


@dataclass(frozen=True)
class Searches:
    """The outcome of all searches of one gallery.

    Attributes:
        mate: float32 (m,), score of each mated probe with its own template.
        best_other: float32 (m,), its best score with any other template; -inf in a gallery of one.
        best: float32 (q,), best score of each non-mated probe.
        non_genuine: every score of a probe with a template that is not its mate.
    """

    mate: Scores
    best_other: Scores
    best: Scores
    non_genuine: ScoreTail

    @property
    def rank_one(self) -> npt.NDArray[np.bool_]:
        """bool (m,): the mate scores higher than every other template (a tie does not count)."""
        return self.mate > self.best_other

    @property
    def rank_one_rate(self) -> float:
        """Share of mated probes whose mate ranks first, without any threshold."""
        return float(np.mean(self.rank_one)) if self.mate.size else math.nan

    def standard_rate(self, fpir: float) -> Rate:
        """TPIR at ``fpir``; ``false_accepts`` and ``non_mated`` count non-mated probes."""
        threshold, false_accepts = far_threshold(self.best, fpir)
        hits = int(np.count_nonzero(self.rank_one & (self.mate >= np.float64(threshold))))
        return self._rate(hits, threshold, fpir, false_accepts, self.best.size)

    def paper_rate(self, fpir: float) -> Rate:
        """TPIR at ``fpir`` as the published code counts it.

        ``false_accepts`` counts non-genuine scores, ``non_mated`` all probes: their ratio is what
        that reading calls FPIR.
        """
        probes = self.mate.size + self.best.size
        rank = min(max(math.ceil(probes * fpir), 1), self.non_genuine.count)
        threshold, false_accepts = self.non_genuine.above_rank(rank - 1)
        hits = int(np.count_nonzero(self.mate >= np.float64(threshold)))
        return self._rate(hits, threshold, fpir, false_accepts, probes)

    def _rate(self, hits: int, threshold: float, fpir: float, false_accepts: int, non_mated: int) -> Rate:
        trials = int(self.mate.size)
        value = hits / trials if trials else math.nan
        return Rate(value, trials, threshold, fpir, false_accepts, int(non_mated))


def search_all(
    templates: Embeddings,
    people: Labels,
    mated: Embeddings,
    mated_labels: Labels,
    non_mated: Embeddings,
    fpirs: tuple[float, ...],
) -> Searches:
    """Search every probe in the gallery, at most ``PROBES_AT_ONCE`` at a time.

    Args:
        templates: float32 (k, d), one per person.
        people: int64 (k,), their labels, rising.
        mated: float32 (m, d) probes of people in the gallery.
        mated_labels: int64 (m,).
        non_mated: float32 (q, d) probes of strangers.
        fpirs: the rates that will be asked for (they size the exact part of ``non_genuine``).

    Raises:
        ValueError: a mated probe has no template.
    """
    lost = np.setdiff1d(mated_labels, people)
    if lost.size:
        raise ValueError(f"{lost.size} labels of mated probes have no template, the first is {lost[0]}")
    column = np.searchsorted(people, mated_labels)
    probes = len(mated) + len(non_mated)
    keep = max((math.ceil(probes * fpir) for fpir in fpirs), default=1)
    tail = ScoreTail(max(keep, 1))
    mate, best_other, best = [], [], []
    for start in range(0, len(mated), PROBES_AT_ONCE):
        scores = mated[start : start + PROBES_AT_ONCE] @ templates.T
        rows, own = np.arange(len(scores)), column[start : start + PROBES_AT_ONCE]
        mate.append(scores[rows, own])
        other = np.ones(scores.shape, dtype=bool)
        other[rows, own] = False
        tail.add(scores[other])
        scores[rows, own] = -np.inf
        best_other.append(scores.max(axis=1))
    for start in range(0, len(non_mated), PROBES_AT_ONCE):
        scores = non_mated[start : start + PROBES_AT_ONCE] @ templates.T
        tail.add(scores)
        best.append(scores.max(axis=1))
    return Searches(_joined(mate), _joined(best_other), _joined(best), tail)


def _joined(parts: list[Scores]) -> Scores:
    return np.concatenate([np.zeros(0, dtype=np.float32), *parts])
