"""1:N: a probe against a gallery of one template per person, in two readings.

*standard* (ISO/IEC 19795-1): FPIR is the share of non-mated probes whose **best** score passes the
threshold; TPIR the share of mated probes whose true mate passes **and** ranks first.

*reference* (the published evaluation code of FedFR): the threshold is the ceil(n_probe · FPIR)-th
largest of **all** non-genuine scores, n_probe counting mated and non-mated probes alike, and a
score must exceed it; a mated probe counts when its mate does so, wherever it ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import Rate, allowed_false_accepts, far_threshold
from fedfr_edge.evaluation.products import look_through
from fedfr_edge.evaluation.tail import ScoreTail
from fedfr_edge.types import Embeddings, Labels, Scores

PROBES_AT_ONCE = 4096


def mean_templates(embeddings: Embeddings, labels: Labels, *, renormalise: bool) -> tuple[Embeddings, Labels]:
    """One template per label: the mean of its unit embeddings.

    Args:
        embeddings: float32 (n, d), unit rows.
        labels: int64 (n,).
        renormalise: scale the mean to unit length (standard) or leave it shorter (reference).

    Returns:
        float32 (k, d) templates and int64 (k,) their labels, rising.
    """
    people, counts = np.unique(labels, return_counts=True)
    rows = embeddings[np.argsort(labels, kind="stable")]
    starts = np.cumsum(counts) - counts
    means = np.add.reduceat(rows, starts, axis=0, dtype=np.float64) / counts[:, None]
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
        best_person: int64 (q,), which template gave it.
        non_genuine: every score of a probe with a template that is not its mate, at the place
            ``probe * k + template``, mated probes first; empty where it was not asked for.
    """

    mate: Scores
    best_other: Scores
    best: Scores
    best_person: npt.NDArray[np.int64]
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

    def reference_rate(self, fpir: float) -> Rate:
        """TPIR at ``fpir`` as the published code counts it.

        ``false_accepts`` counts non-genuine scores, ``non_mated`` all probes: their ratio is what
        that reading calls FPIR.
        """
        probes = self.mate.size + self.best.size
        rank = min(reference_rank(probes, fpir), self.non_genuine.count)
        threshold, false_accepts = self.non_genuine.above_rank(rank - 1)
        hits = int(np.count_nonzero(self.mate >= np.float64(threshold)))
        return self._rate(hits, threshold, fpir, false_accepts, probes)

    def standard_curve(self, fpirs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """TPIR at each of ``fpirs``, float64 (p,); NaN where ``fpir · q < 1`` or no probe is mated."""
        falling = np.sort(self.best)[::-1]
        hits = np.sort(self.mate[self.rank_one])
        curve = np.full(len(fpirs), np.nan)
        for i, fpir in enumerate(fpirs):
            if fpir * falling.size >= 1 and self.mate.size:
                k = allowed_false_accepts(falling.size, float(fpir))
                passing = (
                    hits.size
                    if k == falling.size
                    else hits.size - np.searchsorted(hits, falling[k], side="right")
                )
                curve[i] = passing / self.mate.size
        return curve

    def reference_curve(self, fpirs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """As :meth:`standard_curve`, counted as :meth:`reference_rate` does."""
        probes = self.mate.size + self.best.size
        curve = np.full(len(fpirs), np.nan)
        mates = np.sort(self.mate).astype(np.float64)
        scores = self.non_genuine.count
        known = (fpirs * probes >= 1) & (self.mate.size > 0) & (scores > 0)
        # A client of one person has fewer non-genuine scores than probes.
        ranks = np.array([min(reference_rank(probes, float(fpir)), scores) - 1 for fpir in fpirs[known]])
        thresholds = self.non_genuine.plot_thresholds(ranks / max(scores, 1))
        curve[known] = 1 - np.searchsorted(mates, thresholds, side="left") / mates.size
        return curve

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
    *,
    reference_fpirs: tuple[float, ...] = (),
) -> Searches:
    """Search every probe in the gallery, at most ``PROBES_AT_ONCE`` at a time.

    Args:
        templates: float32 (k, d), one per person.
        people: int64 (k,), their labels, rising.
        mated: float32 (m, d) probes of people in the gallery.
        mated_labels: int64 (m,).
        non_mated: float32 (q, d) probes of strangers.
        reference_fpirs: rates that :meth:`Searches.reference_rate` will be asked for; without any,
            ``non_genuine`` is left empty.

    Raises:
        ValueError: a mated probe has no template.
    """
    lost = np.setdiff1d(mated_labels, people)
    if lost.size:
        raise ValueError(f"{lost.size} labels of mated probes have no template, the first is {lost[0]}")
    column = np.searchsorted(people, mated_labels)
    probes = len(mated) + len(non_mated)
    trials = len(mated) * (len(people) - 1) + len(non_mated) * len(people)
    keep = max((reference_rank(probes, fpir) for fpir in reference_fpirs), default=0)
    tail = ScoreTail.for_rates(trials, (min(1.0, keep / max(trials, 1)),), places=probes * len(people))
    mate, best_other, best, best_person = [], [], [], []
    for start in range(0, len(mated), PROBES_AT_ONCE):
        scores = mated[start : start + PROBES_AT_ONCE] @ templates.T
        rows, own = np.arange(len(scores)), column[start : start + PROBES_AT_ONCE]
        mate.append(scores[rows, own])
        if reference_fpirs:
            others = np.ones(scores.shape, dtype=bool)
            others[rows, own] = False
            _add(tail, scores, start, others)
        scores[rows, own] = -np.inf
        best_other.append(scores.max(axis=1))
    for start in range(0, len(non_mated), PROBES_AT_ONCE):
        scores = non_mated[start : start + PROBES_AT_ONCE] @ templates.T
        if reference_fpirs:
            _add(tail, scores, len(mated) + start)
        person = scores.argmax(axis=1)
        best_person.append(person)
        best.append(scores[np.arange(len(scores)), person])
    persons = np.concatenate([np.zeros(0, dtype=np.int64), *best_person])
    return Searches(_joined(mate), _joined(best_other), _joined(best), persons, tail)


def reference_rank(probes: int, fpir: float) -> int:
    """Which of the non-genuine scores is the reference's limit at ``fpir``: 1 is the largest."""
    return max(math.ceil(probes * fpir), 1)


def _add(tail: ScoreTail, scores: Scores, row: int, wanted: npt.NDArray[np.bool_] | None = None) -> None:
    columns = scores.shape[1]
    found = look_through(scores.reshape(-1), tail.floor, tail.every, tail.first)
    tail.take_block(found, row=row, column=0, columns=columns, width=columns, wanted=wanted)


def _joined(parts: list[Scores]) -> Scores:
    return np.concatenate([np.zeros(0, dtype=np.float32), *parts])
