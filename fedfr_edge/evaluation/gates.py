"""What a second gate and several frames are worth: false accepts at equal genuine accept.

A login searches a face among the people of one device. It is accepted as the person with the best score in
the first space, if that score reaches a threshold and, with a second gate, the same person's score in a
second space reaches one of its own. Of n frames k must be accepted as the same person.

So every way to decide gives a login one number, the lowest first threshold that would refuse it: -inf where
the second gate or a wrong person is in the way. The ways are compared at thresholds (one for each client
and way) at which they accept the same share of genuine logins; what is left to compare is how many of the
strangers' logins they accept. Intervals: people are drawn anew, as in ``bootstrap.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.bootstrap import Resampling, Weights, interval_of
from fedfr_edge.evaluation.metrics import Interval
from fedfr_edge.types import Scores

Rates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """A way to decide.

    Attributes:
        name: for tables.
        k: frames that must be accepted as the same person,
        n: of so many.
        space: the second space; None for one gate.
        limit: the score needed there.
    """

    name: str
    k: int = 1
    n: int = 1
    space: str | None = None
    limit: float = -np.inf


@dataclass(frozen=True, eq=False)
class Probes:
    """Faces searched among the people of one client.

    Attributes:
        score: float32 (m,), the best score in the first space.
        found: int64 (m,), who gave it, by number within the client.
        second: by space: float32 (m,), the score with that person there.
        person: int64 (m,), whose face it is, from 0 within its group.
        mate: int64 (m,), number within the client of the person that the face shows; -1 for a stranger.
        drawn: (name of the draw, people) of those that the group's people, in order, are drawn among for
            intervals: the same name on several devices, or for genuine probes and strangers, means the same
            people.
    """

    score: Scores
    found: npt.NDArray[np.int64]
    second: Mapping[str, Scores]
    person: npt.NDArray[np.int64]
    mate: npt.NDArray[np.int64]
    drawn: tuple[tuple[str, int], ...]

    @property
    def people(self) -> int:
        """How many they are."""
        return sum(count for _, count in self.drawn)


@dataclass(frozen=True, eq=False)
class Logins:
    """The logins of one group of people, by one way.

    Attributes:
        score: float32 (s,), the lowest first threshold that would refuse each; -inf for one that is refused
            at any, or would be accepted as a wrong person.
        person: int64 (s,), whose each is.
    """

    score: Scores
    person: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Device:
    """One client: its genuine probes and those of the groups that must stay out."""

    client: str
    genuine: Probes
    strangers: Mapping[str, Probes]


@dataclass(frozen=True)
class Outcome:
    """False accepts of one way at one share of genuine accepts, means over the clients.

    Attributes:
        way: which.
        genuine: share of genuine logins that is accepted; more where scores are equal.
        accepted: by group: share of the strangers' logins that is accepted; NaN where the way cannot
            accept so many genuine ones.
        intervals: of these, 95 %.
        differences: by group: less the first way's share, with the interval of the difference.
    """

    way: Way
    genuine: float
    accepted: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval | None] = field(default_factory=dict)
    differences: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def films(
    person: npt.NDArray[np.int64], n: int, draws: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Frames of logins: rows of ``person``, n different ones of the same person, int64 (s, n).

    Each person's faces are shuffled ``draws`` times and cut into logins; what is left over stays out. With
    n = 1 that is each face once.
    """
    parts = []
    for who in np.unique(person):
        rows = np.flatnonzero(person == who)
        for _ in range(1 if n == 1 else draws):
            mixed = rows if n == 1 else rng.permutation(rows)
            parts.append(mixed[: len(rows) // n * n].reshape(-1, n))
    return np.concatenate(parts)


def decide(probes: Probes, frames: npt.NDArray[np.int64], way: Way) -> Logins:
    """Every login's number; see the top of this file.

    Args:
        probes: of one group.
        frames: int64 (s, n), rows of ``probes``; see :func:`films`.
        way: to decide.
    """
    score = probes.score.astype(np.float32)
    if way.space is not None:
        score = np.where(probes.second[way.space] >= way.limit, score, np.float32(-np.inf))
    found, whose = probes.found[frames], probes.person[frames[:, 0]]
    best = np.full(len(frames), -np.inf, np.float32)
    for who in np.unique(probes.found):
        kth = np.sort(np.where(found == who, score[frames], -np.inf), axis=1)[:, -way.k]
        mate = probes.mate[frames[:, 0]]
        best = np.maximum(best, np.where((mate == who) | (mate < 0), kth, -np.inf)).astype(np.float32)
    return Logins(best, whose)


def threshold_for(logins: Logins, share: float, weights: Weights) -> Rates:
    """The highest threshold at which at least ``share`` of the weighted logins are accepted, float64 (R,).

    Args:
        logins: genuine ones.
        share: between 0 and 1.
        weights: (R, people).

    Returns:
        -inf where no threshold accepts so many.
    """
    order = np.argsort(-logins.score, kind="stable")
    sums = np.cumsum(weights[:, logins.person[order]], axis=1)
    place = np.array(
        [np.searchsorted(row, share * row[-1] - 1e-9, side="left") for row in sums], dtype=np.int64
    )
    return logins.score[order][np.minimum(place, len(order) - 1)].astype(np.float64)


def accepted_share(logins: Logins, thresholds: Rates, weights: Weights) -> Rates:
    """Weighted share with a score at or above each replicate's threshold, float64 (R,); NaN at -inf."""
    order = np.argsort(-logins.score, kind="stable")
    falling = -logins.score[order].astype(np.float64)
    sums = np.cumsum(weights[:, logins.person[order]], axis=1)
    count = np.searchsorted(falling, -thresholds, side="right")
    above = np.where(count > 0, sums[np.arange(len(sums)), np.maximum(count, 1) - 1], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(np.isneginf(thresholds), np.nan, above / sums[:, -1]))


def compare_ways(
    devices: Sequence[Device],
    ways: Sequence[Mapping[str, Way]],
    shares: Sequence[float],
    *,
    draws: int = 10,
    seed: int = 0,
    resampling: Resampling | None = None,
) -> list[list[Outcome]]:
    """Compare ways at equal shares of genuine accepts.

    Args:
        devices: one for each client, all with the same groups of strangers.
        ways: each by client, since a second space's limit is the client's own; the first is what the others
            are compared with.
        shares: of genuine logins to accept.
        draws: how often each person's faces are shuffled into logins of several frames.
        seed: of that.
        resampling: of people, for the intervals.

    Returns:
        for each share, one outcome for each way.
    """
    resampling = resampling or Resampling()
    measured = [[_measure(devices, way, share, draws, seed, resampling) for way in ways] for share in shares]
    return [
        [
            _outcome(ways[number][devices[0].client], share, groups, row[0])
            for number, groups in enumerate(row)
        ]
        for share, row in zip(shares, measured, strict=True)
    ]


def _measure(
    devices: Sequence[Device],
    way: Mapping[str, Way],
    share: float,
    draws: int,
    seed: int,
    resampling: Resampling,
) -> dict[str, tuple[Rates, int]]:
    """By group: accepted share of its logins, mean over the clients, float64 (1 + R,), and its people."""
    sums: dict[str, list[Rates]] = {"genuine": []}
    people: dict[str, int] = {"genuine": 0}
    for device in devices:
        own = way[device.client]
        logins = _logins(device.genuine, own, draws, seed)
        weights = _with_all(resampling, device.genuine)
        thresholds = threshold_for(logins, share, weights)
        sums["genuine"].append(accepted_share(logins, thresholds, weights))
        people["genuine"] += device.genuine.people
        for group, probes in device.strangers.items():
            outside = _logins(probes, own, draws, seed)
            weights = _with_all(resampling, probes)
            sums.setdefault(group, []).append(accepted_share(outside, thresholds, weights))
            people[group] = probes.people
    return {group: (np.mean(rates, axis=0), people[group]) for group, rates in sums.items()}


def _outcome(
    way: Way,
    share: float,
    groups: Mapping[str, tuple[Rates, int]],
    first: Mapping[str, tuple[Rates, int]],
) -> Outcome:
    outcome = Outcome(way, float(groups["genuine"][0][0]))
    for group, (rates, people) in groups.items():
        if group == "genuine":
            continue
        outcome.accepted[group] = float(rates[0])
        outcome.intervals[group] = interval_of(float(rates[0]), rates[1:], people)
        gap = rates - first[group][0]
        known = gap[1:][~np.isnan(gap[1:])]
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
        outcome.differences[group] = (float(gap[0]), float(low), float(high))
    return outcome


def _logins(probes: Probes, way: Way, draws: int, seed: int) -> Logins:
    return decide(probes, films(probes.person, way.n, draws, np.random.default_rng(seed)), way)


def _with_all(resampling: Resampling, probes: Probes) -> Weights:
    """Everybody once, and then the draws."""
    drawn = [resampling.weights(name, count) for name, count in probes.drawn]
    return np.concatenate([np.ones((1, probes.people)), np.concatenate(drawn, axis=1)])
