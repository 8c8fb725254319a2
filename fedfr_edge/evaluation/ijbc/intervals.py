"""How sure IJB-C's rates are: subjects are drawn anew, not pairs; see :mod:`fedfr_edge.evaluation.bootstrap`.

Gallery and probe templates of one subject are drawn together, in 1:1 and 1:N alike and for both galleries,
so that the interval of the galleries' mean holds for the mean. Subjects come from the 1:N lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.bootstrap import (
    Curve,
    People,
    Resampling,
    WeightedTrials,
    accepted_by_person,
    allowed_weight,
    columns_of,
    interval_of,
    weighted_shares,
)
from fedfr_edge.evaluation.identification import reference_rank
from fedfr_edge.evaluation.ijbc.metadata import UNKNOWN, Metadata
from fedfr_edge.evaluation.ijbc.result import RANKS, GalleryResult, Identification, Reading, Verification
from fedfr_edge.evaluation.metrics import Rate
from fedfr_edge.types import Labels

DRAWN = "ijbc"
"""Names the stream of draws."""


@dataclass(frozen=True)
class Subjects:
    """Every subject of the set, and how often each replicate drew it.

    Attributes:
        numbers: int64 (S,), rising.
        people: the weights, the same on both sides of a trial: float64 (R, S).
    """

    numbers: Labels
    people: People

    @classmethod
    def drawn(cls, metadata: Metadata, resampling: Resampling) -> Subjects | None:
        """Draw the subjects; None where those of some pair are not known."""
        pairs, known = metadata.pairs, metadata.subjects != UNKNOWN
        if pairs is not None and not (known[pairs.first].all() and known[pairs.second].all()):
            return None
        numbers = np.unique(metadata.subjects[known])
        weights = resampling.weights(DRAWN, len(numbers))
        return cls(numbers, People(weights, weights))


def verification_intervals(found: Verification, subjects: Subjects, subject_of: Labels) -> Verification:
    """``found`` with an interval at every rate.

    Args:
        found: 1:1.
        subjects: the draws.
        subject_of: int64 (t,), subject of each template.
    """
    column = columns_of(subject_of, subjects.numbers)
    pairs, scores = found.pairs, found.scores
    non_mated = np.flatnonzero(~pairs.mated)
    falling = non_mated[np.argsort(-scores[non_mated], kind="stable")]
    left, right = column[pairs.first[falling]], column[pairs.second[falling]]
    trials = WeightedTrials(scores[falling], left, right, subjects.people)
    met = np.zeros((len(subjects.numbers), len(subjects.numbers)), dtype=bool)
    met[np.minimum(left, right), np.maximum(left, right)] = True
    total = trials.accepted(-np.inf)
    fars = [_target(rate) for rate in found.rates]
    person, here = _among(column[pairs.first[pairs.mated]], len(subjects.numbers))
    replicates = _shares(
        scores[pairs.mated], person, here, subjects, trials.thresholds(allowed_weight(total, fars))
    )
    rates = _with_intervals(found.rates, replicates, trials, total, len(here), int(met.sum()))
    return replace(found, rates=rates, replicates=replicates)


def identification_intervals(found: Identification, subjects: Subjects) -> Identification:
    """``found`` with an interval at every rate, of the mean over the galleries too."""
    return replace(found, galleries=tuple(_gallery(one, found.reading, subjects) for one in found.galleries))


def _gallery(found: GalleryResult, reading: Reading, subjects: Subjects) -> GalleryResult:
    searches, weights = found.searches, subjects.people.left
    mated = columns_of(found.mated_subjects, subjects.numbers)
    fpirs = [_target(rate) for rate in found.rates]
    enrolled = columns_of(found.enrolled, subjects.numbers)
    if reading == "standard":
        non_mated = columns_of(found.non_mated_subjects, subjects.numbers)
        order = np.argsort(-searches.best, kind="stable")
        trials = WeightedTrials(
            searches.best[order], non_mated[order], enrolled[searches.best_person[order]], subjects.people
        )
        total = weights @ np.bincount(non_mated, minlength=len(subjects.numbers)).astype(np.float64)
        allowed = allowed_weight(total, fpirs)
        scores = np.where(searches.rank_one, searches.mate, np.float32(-np.inf))
        strangers = len(np.unique(non_mated))
    else:
        probes = np.concatenate([mated, columns_of(found.non_mated_subjects, subjects.numbers)])
        top, places = searches.non_genuine.top()
        probe, template = np.divmod(places.astype(np.int64), found.people)
        trials = WeightedTrials(top, probes[probe], enrolled[template], subjects.people)
        total = weights @ np.bincount(probes, minlength=len(subjects.numbers)).astype(np.float64)
        allowed = np.array([[reference_rank(int(weight), fpir) - 1.0 for fpir in fpirs] for weight in total])
        scores, strangers = searches.mate, len(np.unique(probes))
    person, here = _among(mated, len(subjects.numbers))
    replicates = _shares(scores, person, here, subjects, trials.thresholds(allowed))
    # A rank is a threshold of its own: the share of mated probes with a rank of at most k.
    retrieval = _shares(
        -found.ranks.astype(np.float32),
        person,
        here,
        subjects,
        np.tile(-np.array(RANKS, dtype=np.float64), (len(weights), 1)),
    )
    return replace(
        found,
        rates=_with_intervals(found.rates, replicates, trials, total, len(here), strangers),
        replicates=replicates,
        retrieval_replicates=retrieval,
    )


def _target(rate: Rate) -> float:
    assert rate.far_target is not None
    return rate.far_target


def _among(column: npt.NDArray[np.int64], count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each trial's person among those who have one, and those persons' columns."""
    here = np.unique(column)
    place = np.zeros(count, dtype=np.int64)
    place[here] = np.arange(len(here))
    return place[column], here


def _shares(
    scores: npt.NDArray[np.float32],
    person: npt.NDArray[np.int64],
    here: npt.NDArray[np.int64],
    subjects: Subjects,
    thresholds: Curve,
) -> Curve:
    """Accepted share of the mated trials in each replicate, (R, F)."""
    trials = np.bincount(person, minlength=len(here)).astype(np.float64)
    accepted = accepted_by_person(scores, person, len(here), thresholds)
    return weighted_shares(accepted, trials, subjects.people.left[:, here])


def _with_intervals(
    rates: Sequence[Rate],
    replicates: Curve,
    trials: WeightedTrials,
    total: Curve,
    people: int,
    units: int,
) -> tuple[Rate, ...]:
    """Intervals of the rates; with no false accept (or nothing else) by the number of ``units``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple(
            replace(
                rate,
                interval=interval_of(rate.value, replicates[:, place], people),
                far_interval=interval_of(rate.far, trials.accepted(rate.threshold) / total, units),
            )
            for place, rate in enumerate(rates)
        )
