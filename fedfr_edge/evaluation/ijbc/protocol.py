"""The comparisons and searches of IJB-C, from template embeddings.

1:1: every pair of the list, cosine of two templates.

1:N with the mixed probes, in two readings:

*standard*: each gallery is searched on its own, by every probe. A probe whose subject is in the other
gallery has no mate, so each search set is an open one: the threshold at an FPIR is read off the best
scores of its non-mated probes, and TPIR asks for the mate above it **and** at rank 1 (ISO/IEC 19795-1).
Figures of the two galleries are averaged.

*reference* (what insightface's and FedFR's published code do): G1 and G2 are joined into one gallery, in
which every probe has a mate. Without non-mated probes the threshold is the ceil(n_probe · FPIR)-th largest
of all non-genuine scores; see :mod:`fedfr_edge.evaluation.identification`, reading *reference*.

Retrieval (rank 1, 5, 10) is closed-set in both: mated probes only, no threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.identification import PROBES_AT_ONCE, search_all
from fedfr_edge.evaluation.ijbc.intervals import Subjects, identification_intervals, verification_intervals
from fedfr_edge.evaluation.ijbc.metadata import Metadata, SubjectList
from fedfr_edge.evaluation.ijbc.pair_list import PairList
from fedfr_edge.evaluation.ijbc.result import (
    GalleryResult,
    Identification,
    IjbcResult,
    Reading,
    Verification,
)
from fedfr_edge.evaluation.metrics import allowed_false_accepts, carried_rates, tar_at_far
from fedfr_edge.evaluation.outcome import PLOT_FMRS
from fedfr_edge.types import Embeddings, Progress, Scores, no_progress

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""1:1 false-accept rates reported by default, as far as the pairs carry them."""

FPIRS = (1e-1, 1e-2, 1e-3)
"""1:N false-positive identification rates reported by default, as far as the probes carry them."""

FIRSTS_AT_ONCE = 256
"""Templates on one side of a block of pairs; with 20,000 on the other its scores take 20 MB."""

PAIRS_AT_ONCE = 16_384
"""Pairs whose embeddings are fetched at once where there are too few for a matrix product."""

WORTH = 16
"""A cell of a matrix product takes about a sixteenth of the time of a single pair, or less."""


def evaluate_ijbc(
    name: str,
    templates: Embeddings,
    there: npt.NDArray[np.bool_],
    metadata: Metadata,
    *,
    readings: Sequence[Reading] = ("standard", "reference"),
    fars: Sequence[float] | None = None,
    fpirs: Sequence[float] | None = None,
    resampling: Resampling | None = None,
    progress: Progress = no_progress,
) -> IjbcResult:
    """Everything that ``metadata`` asks for.

    Args:
        name: what to call the model.
        templates: float32 (t, d), see :class:`.templates.Pooling`.
        there: bool (t,), which templates have a face; comparisons with the others are left out and counted.
        metadata: the data set.
        readings: of 1:N.
        fars: 1:1 false-accept rates; by default those of :data:`FARS` that the pairs carry.
        fpirs: 1:N rates; by default those of :data:`FPIRS` that the probes carry.
        resampling: how subjects are drawn for the intervals; None for no intervals. There are none either
            where the 1:N lists, which name the subjects, are not there or lack some.
        progress: told of pairs and searches.

    Raises:
        DataError: missing images leave no mated or no non-mated trial.
    """
    subjects = None if resampling is None else Subjects.drawn(metadata, resampling)
    verification = None
    if metadata.pairs is not None:
        verification = compare_pairs(templates, there, metadata, fars, progress, f"comparing ({name})")
        if subjects is not None:
            verification = verification_intervals(verification, subjects, metadata.subjects)
    identification: list[Identification] = []
    if metadata.probes is not None:
        for number, reading in enumerate(readings, 1):
            found = search(templates, there, metadata, reading, fpirs)
            identification.append(found if subjects is None else identification_intervals(found, subjects))
            progress(f"searching ({name})", number, len(readings))
    return IjbcResult(name, templates.shape[1], verification, tuple(identification))


def compare_pairs(
    templates: Embeddings,
    there: npt.NDArray[np.bool_],
    metadata: Metadata,
    fars: Sequence[float] | None = None,
    progress: Progress = no_progress,
    what: str = "comparing",
) -> Verification:
    """1:1; see :func:`evaluate_ijbc`."""
    assert metadata.pairs is not None
    everything = metadata.pairs
    kept = there[everything.first] & there[everything.second]
    pairs = everything
    if not kept.all():
        pairs = PairList(everything.first[kept], everything.second[kept], everything.mated[kept])
    non_mated_count = int(np.count_nonzero(~pairs.mated))
    if non_mated_count in (0, len(pairs)):
        raise DataError(
            f"images are missing for {len(everything) - len(pairs)} of {len(everything)} pairs, and none of "
            f"the others is {'mated' if non_mated_count else 'non-mated'}; find the missing images"
        )
    scores = pair_scores(templates, pairs, progress, what)
    fars = fars or carried_rates(FARS, non_mated_count)
    mated, non_mated = np.sort(scores[pairs.mated]), np.sort(scores[~pairs.mated])
    first, second = metadata.subjects[pairs.first], metadata.subjects[pairs.second]
    known = (first >= 0) & (second >= 0)
    return Verification(
        rates=tuple(tar_at_far(mated, non_mated, far) for far in fars),
        tar_curve=tar_curve(mated, non_mated, PLOT_FMRS),
        scores=scores,
        pairs=pairs,
        left_out=len(everything) - len(pairs),
        contradictions=int(np.count_nonzero(known & ((first == second) != pairs.mated))),
    )


def tar_curve(mated: Scores, non_mated: Scores, fmrs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """TAR at each of ``fmrs``, exact; NaN where ``fmr · n < 1``.

    Args:
        mated: float32 (m,), rising.
        non_mated: float32 (n,), rising.
        fmrs: float64 (p,).
    """
    curve = np.full(len(fmrs), np.nan)
    for place, fmr in enumerate(fmrs):
        allowed = allowed_false_accepts(len(non_mated), float(fmr))
        if allowed == len(non_mated):
            curve[place] = 1.0
        elif allowed:
            limit = non_mated[len(non_mated) - 1 - allowed]
            curve[place] = 1.0 - np.searchsorted(mated, limit, side="right") / len(mated)
    return curve


def pair_scores(
    templates: Embeddings, pairs: PairList, progress: Progress = no_progress, what: str = "comparing"
) -> Scores:
    """The cosine of each pair, float32 (p,).

    Pairs are taken up by their first template. IJB-C compares each gallery template with thousands of
    probes, so a matrix product of which a fifth is wanted is many times faster than fetching two
    embeddings for each pair.
    """
    scores = np.empty(len(pairs), dtype=np.float32)
    order = np.argsort(pairs.first, kind="stable")
    begins = np.flatnonzero(np.diff(pairs.first[order], prepend=-1))[::FIRSTS_AT_ONCE]
    for start, stop in zip(begins, [*begins[1:], len(pairs)], strict=True):
        rows = order[start:stop]
        scores[rows] = _block_scores(templates, pairs.first[rows], pairs.second[rows])
        progress(what, int(stop), len(pairs))
    return scores


def _block_scores(
    templates: Embeddings, first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]
) -> Scores:
    lefts, at_left = _used(first, len(templates))
    rights, at_right = _used(second, len(templates))
    if len(lefts) * len(rights) <= WORTH * len(first):
        product: Scores = templates[lefts] @ templates[rights].T
        return product[at_left, at_right]
    scores = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        rows = slice(start, start + PAIRS_AT_ONCE)
        np.einsum("ij,ij->i", templates[first[rows]], templates[second[rows]], out=scores[rows])
    return scores


def _used(values: npt.NDArray[np.int32], count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct values, rising, and the place of each value among them (faster than sorting)."""
    is_used = np.zeros(count, dtype=bool)
    is_used[values] = True
    return np.flatnonzero(is_used), (np.cumsum(is_used) - 1)[values]


def search(
    templates: Embeddings,
    there: npt.NDArray[np.bool_],
    metadata: Metadata,
    reading: Reading,
    fpirs: Sequence[float] | None = None,
) -> Identification:
    """1:N in one reading; see :func:`evaluate_ijbc`."""
    assert metadata.probes is not None
    galleries = dict(metadata.galleries)
    if reading == "reference":
        parts = tuple(galleries.values())
        galleries = {
            "+".join(galleries): SubjectList(
                np.concatenate([part.template for part in parts]),
                np.concatenate([part.subject for part in parts]),
            )
        }
    splits = {
        name: _Split(name, gallery, metadata.probes, there, reading) for name, gallery in galleries.items()
    }
    fpirs = fpirs or carried_rates(FPIRS, min(split.counted for split in splits.values()))
    return Identification(reading, tuple(split.search(templates, tuple(fpirs)) for split in splits.values()))


class _Split:
    """One gallery's people, and the probes with and without a mate among them."""

    def __init__(
        self,
        name: str,
        gallery: SubjectList,
        probes: SubjectList,
        there: npt.NDArray[np.bool_],
        reading: Reading,
    ) -> None:
        self.name, self.reading = name, reading
        order = np.argsort(gallery.subject)
        enrolled = order[there[gallery.template[order]]]
        self.people, self.enrolled = gallery.subject[enrolled], gallery.template[enrolled]
        # Whoever could not be enrolled is neither a mate nor a stranger.
        lost = gallery.subject[~there[gallery.template]]
        kept = there[probes.template] & ~np.isin(probes.subject, lost)
        self.left_out = int(np.count_nonzero(~kept))
        is_mated = np.isin(probes.subject, self.people)
        self.mated, self.mated_subjects = probes.template[kept & is_mated], probes.subject[kept & is_mated]
        strangers = kept & ~is_mated
        self.non_mated, self.non_mated_subjects = probes.template[strangers], probes.subject[strangers]
        if not len(self.mated) or (reading == "standard" and not len(self.non_mated)):
            raise DataError(
                f"{name} has {len(self.mated)} mated and {len(self.non_mated)} non-mated probes, "
                f"{self.left_out} are left out for missing images; a search needs both kinds"
            )

    @property
    def counted(self) -> int:
        """Probes that an FPIR is a share of."""
        return len(self.non_mated) + (len(self.mated) if self.reading == "reference" else 0)

    def search(self, templates: Embeddings, fpirs: tuple[float, ...]) -> GalleryResult:
        gallery, mated = templates[self.enrolled], templates[self.mated]
        searches = search_all(
            gallery,
            self.people,
            mated,
            self.mated_subjects,
            templates[self.non_mated],
            reference_fpirs=fpirs if self.reading == "reference" else (),
        )
        rate = searches.standard_rate if self.reading == "standard" else searches.reference_rate
        return GalleryResult(
            gallery=self.name,
            rates=tuple(rate(fpir) for fpir in fpirs),
            ranks=mate_ranks(gallery, np.searchsorted(self.people, self.mated_subjects), mated),
            searches=searches,
            enrolled=self.people,
            mated_subjects=self.mated_subjects,
            non_mated_subjects=self.non_mated_subjects,
            left_out=self.left_out,
        )


def mate_ranks(
    gallery: Embeddings, column: npt.NDArray[np.int64], probes: Embeddings
) -> npt.NDArray[np.int64]:
    """Rank of each probe's mate, 1 for the best; a tie counts against it.

    Args:
        gallery: float32 (k, d).
        column: int64 (m,), each probe's mate in the gallery.
        probes: float32 (m, d).
    """
    ranks = np.empty(len(probes), dtype=np.int64)
    for start in range(0, len(probes), PROBES_AT_ONCE):
        rows = slice(start, start + PROBES_AT_ONCE)
        scores = probes[rows] @ gallery.T
        own = scores[np.arange(len(scores)), column[rows]]
        ranks[rows] = np.count_nonzero(scores >= own[:, None], axis=1)
    return ranks
