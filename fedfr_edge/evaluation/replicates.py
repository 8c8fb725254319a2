"""A client's rates in every replicate of the bootstrap, and the intervals that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.bootstrap import (
    Curve,
    People,
    WeightedTrials,
    accepted_by_person,
    allowed_weight,
    columns_of,
    interval_of,
    non_mated_weight,
    weight_within,
    weighted_shares,
)
from fedfr_edge.evaluation.identification import Searches, reference_rank
from fedfr_edge.evaluation.metrics import Interval, Rate
from fedfr_edge.evaluation.outcome import PLOT_FMRS, PLOT_FPIRS, ClientResult, Reading, Replicates
from fedfr_edge.evaluation.verification import Comparisons
from fedfr_edge.types import Labels

Column = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClientTrials:
    """Who takes part in a client's trials, and how often each of them was drawn.

    Attributes:
        people: int64 (K,), rising labels of the client's own people.
        strangers: number of strangers S.
        left_person: int64 (n,), column among ``people`` of each own test image.
        right_person: int64 (width,), of all test images, strangers' first: strangers have 0 to S − 1, own
            people S to S + K − 1.
        mated_person: int64 (m,), column of each mated pair.
        drawn: the weights of own people and strangers, or None.
    """

    people: Labels
    strangers: int
    left_person: Column
    right_person: Column
    mated_person: Column
    drawn: People | None

    @classmethod
    def of(
        cls, gallery: Labels, local: Labels, others: Labels, first: Column, drawn: People | None
    ) -> ClientTrials:
        """From the labels of gallery, own and strangers' test images and the first row of each mated pair."""
        people, strangers = np.unique(gallery), np.unique(others)
        left = columns_of(local, people)
        right = np.concatenate([columns_of(others, strangers), len(strangers) + left])
        return cls(people, len(strangers), left, right, left[first], drawn)

    @property
    def width(self) -> int:
        """All test images."""
        return len(self.right_person)

    @property
    def right_people(self) -> int:
        """S + K."""
        return self.strangers + len(self.people)


def with_intervals(
    result: ClientResult, reading: Reading, comparisons: Comparisons, search: Searches, trials: ClientTrials
) -> ClientResult:
    """``result`` with replicates, and an interval for each of its rates.

    In the reference reading the 1:1 replicates take exact thresholds where the rate itself is read off a
    histogram: they show how sure it is, not how wrong.
    """
    drawn = trials.drawn
    assert drawn is not None
    one = _OneToOne(reading, comparisons, trials, drawn)
    many = _OneToMany(reading, search, trials, drawn)
    fars = [rate.far_target or 0.0 for rate in result.verification]
    fpirs = [rate.far_target or 0.0 for rate in result.identification]
    tar, tpir = one.rates(fars), many.rates(fpirs)
    rank_one = many.rank_one()
    probed = int(np.count_nonzero(np.bincount(trials.left_person)))
    return replace(
        result,
        verification=tuple(
            _rate(rate, tar[:, place], result.people, one.far_interval(rate))
            for place, rate in enumerate(result.verification)
        ),
        identification=tuple(
            _rate(rate, tpir[:, place], probed, many.far_interval(rate))
            for place, rate in enumerate(result.identification)
        ),
        rank_one_interval=interval_of(result.rank_one, rank_one, probed),
        replicates=Replicates(tar, tpir, rank_one, one.curve(), many.curve()),
    )


def _rate(rate: Rate, replicates: Curve, people: int, far: Interval | None) -> Rate:
    return replace(rate, interval=interval_of(rate.value, replicates, people), far_interval=far)


class _OneToOne:
    """1:1 in all replicates."""

    def __init__(
        self, reading: Reading, comparisons: Comparisons, trials: ClientTrials, drawn: People
    ) -> None:
        self._mated, self._trials, self._own = comparisons.mated, trials, drawn.left
        everybody = np.concatenate([drawn.right, drawn.left], axis=1)
        entries = comparisons.non_mated.entries()
        left = trials.left_person[entries.places // trials.width]
        right = trials.right_person[entries.places % trials.width]
        self._weighted = WeightedTrials(
            entries.scores, left, right, People(drawn.left, everybody), exact=entries.exact, each=entries.each
        )
        images = np.bincount(trials.right_person, minlength=trials.right_people).astype(np.float64)
        theirs, ours = images[: trials.strangers], images[trials.strangers :]
        self._total = non_mated_weight(drawn.left, ours, drawn.right, theirs)
        self._pairs_of_people = np.count_nonzero(ours) * trials.strangers
        if reading != "paper":
            self._total = self._total + weight_within(drawn.left, ours)
            self._pairs_of_people += math.comb(int(np.count_nonzero(ours)), 2)

    def rates(self, fars: Sequence[float]) -> Curve:
        """TAR, (R, F)."""
        return self._tar(self._weighted.thresholds(allowed_weight(self._total, fars)))

    def curve(self) -> Curve:
        """TAR at :data:`PLOT_FMRS`, (R, 141)."""
        return self._tar(self._weighted.rough_thresholds(np.floor(self._total[:, None] * PLOT_FMRS)))

    def far_interval(self, rate: Rate) -> Interval | None:
        """Of the false-accept rate at the threshold of ``rate``; with none, by pairs of people."""
        return _share_interval(self._weighted, self._total, rate, int(self._pairs_of_people))

    def _tar(self, thresholds: Curve) -> Curve:
        people = len(self._trials.people)
        accepted = accepted_by_person(self._mated, self._trials.mated_person, people, thresholds)
        pairs = np.bincount(self._trials.mated_person, minlength=people).astype(np.float64)
        return weighted_shares(accepted, pairs, self._own)


class _OneToMany:
    """1:N in all replicates; the gallery stays."""

    def __init__(self, reading: Reading, search: Searches, trials: ClientTrials, drawn: People) -> None:
        self._search, self._trials, self._own = search, trials, drawn.left
        self._reference = reading == "reference"
        probes = len(trials.left_person)
        stranger = trials.right_person[: trials.width - probes]
        images = np.bincount(stranger, minlength=trials.strangers).astype(np.float64)
        self._total = drawn.right @ images
        self._units = trials.strangers
        if self._reference:
            entries = search.non_genuine.entries()
            probe, template = np.divmod(entries.places, len(trials.people))
            of_probe = np.concatenate([trials.strangers + trials.left_person, stranger])
            everybody = np.concatenate([drawn.right, drawn.left], axis=1)
            self._weighted = WeightedTrials(
                entries.scores,
                template,
                of_probe[probe],
                People(drawn.left, everybody),
                exact=entries.exact,
                each=entries.each,
            )
            self._total = self._total + drawn.left[:, trials.left_person].sum(axis=1)
        else:
            order = np.argsort(-search.best, kind="stable")
            self._weighted = WeightedTrials(
                search.best[order], search.best_person[order], stranger[order], drawn
            )

    def rates(self, fpirs: Sequence[float]) -> Curve:
        """TPIR, (R, P)."""
        return self._tpir(self._weighted.thresholds(self._allowed(fpirs)))

    def curve(self) -> Curve:
        """TPIR at :data:`PLOT_FPIRS`, (R, 81)."""
        return self._tpir(self._weighted.rough_thresholds(self._allowed(PLOT_FPIRS.tolist())))

    def far_interval(self, rate: Rate) -> Interval | None:
        """Of the false-positive identification rate; with none, by strangers."""
        return _share_interval(self._weighted, self._total, rate, self._units)

    def rank_one(self) -> Curve:
        """Share ranked first, (R,)."""
        first = self._search.rank_one
        return self._share(first, np.full((1, 1), -np.inf))[:, 0]

    def _allowed(self, fpirs: Sequence[float]) -> Curve:
        if not self._reference:
            return allowed_weight(self._total, fpirs)
        # The rank-th largest itself does not pass.
        return np.array(
            [[reference_rank(int(total), fpir) - 1 for fpir in fpirs] for total in self._total.tolist()],
            dtype=np.float64,
        )

    def _tpir(self, thresholds: Curve) -> Curve:
        counted = np.ones(len(self._search.mate), dtype=bool) if self._reference else self._search.rank_one
        return self._share(counted, thresholds)

    def _share(self, counted: npt.NDArray[np.bool_], thresholds: Curve) -> Curve:
        people = len(self._trials.people)
        person = self._trials.left_person
        accepted = accepted_by_person(self._search.mate[counted], person[counted], people, thresholds)
        probes = np.bincount(person, minlength=people).astype(np.float64)
        if len(thresholds) == 1:  # one threshold for all replicates
            accepted = np.broadcast_to(accepted, (people, len(self._own), thresholds.shape[1]))
        return weighted_shares(accepted, probes, self._own)


def _share_interval(weighted: WeightedTrials, total: Curve, rate: Rate, units: int) -> Interval | None:
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = weighted.accepted(rate.threshold) / total
    return interval_of(rate.far, shares, units)
