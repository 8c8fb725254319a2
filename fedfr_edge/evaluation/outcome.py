"""What the personalised protocol found: per client, and over the clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.bootstrap import band_of, interval_of
from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS, Interval, Rate, finite_or_none

Reading: TypeAlias = Literal["standard", "paper", "reference"]
"""See :mod:`.personalised`."""

READINGS: tuple[Reading, ...] = ("standard", "paper", "reference")
"""In the order in which they are reported."""

PLOT_FMRS: npt.NDArray[np.float64] = np.logspace(-7, 0, 141)
"""False-match rates at which curves are kept: twenty to a decade."""

PLOT_FPIRS: npt.NDArray[np.float64] = np.logspace(-4, 0, 81)
"""False-positive identification rates at which curves are kept: twenty to a decade."""

PLOT_BINS = 100
"""Bins over [-1, 1] of the score histograms that are kept."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HardPairs:
    """The comparisons that a client's model finds hardest, as rows of the image array.

    Attributes:
        false_accepts: int64 (n, 2), non-mated pairs with the highest scores, one for each two people.
        false_accept_scores: float32 (n,), falling.
        false_rejects: int64 (m, 2), mated pairs with the lowest scores, one for each person.
        false_reject_scores: float32 (m,), rising.
    """

    false_accepts: npt.NDArray[np.int64]
    false_accept_scores: npt.NDArray[np.float32]
    false_rejects: npt.NDArray[np.int64]
    false_reject_scores: npt.NDArray[np.float32]

    def moved(self, rows: npt.NDArray[np.int64]) -> HardPairs:
        """The same pairs with entry k of int64 (n,) ``rows`` for every row k."""
        return replace(self, false_accepts=rows[self.false_accepts], false_rejects=rows[self.false_rejects])

    def to_dict(self, name_of: Callable[[int], str]) -> dict[str, Any]:
        """JSON-able form with the images' names."""

        def pairs(rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
            return [
                {"names": [name_of(int(row)) for row in pair], "score": float(score)}
                for pair, score in zip(rows, scores, strict=True)
            ]

        return {
            "false_accepts": pairs(self.false_accepts, self.false_accept_scores),
            "false_rejects": pairs(self.false_rejects, self.false_reject_scores),
        }


@dataclass(frozen=True)
class Replicates:
    """Rates with people drawn anew (:mod:`.bootstrap`); NaN where a replicate had no trial.

    Replicate r of every client, model and reading has the same people: differences are paired.

    Attributes:
        tar: float64 (R, F), at the false-accept rates asked for.
        tpir: float64 (R, P), at the FPIRs asked for.
        rank_one: float64 (R,).
        tar_curve: float64 (R, 141).
        tpir_curve: float64 (R, 81).
    """

    tar: Array
    tpir: Array
    rank_one: Array
    tar_curve: Array
    tpir_curve: Array

    @classmethod
    def mean(cls, clients: Sequence[Replicates]) -> Replicates:
        """Replicate by replicate the mean over clients; as for the rates, NaNs do not count."""
        names = ("tar", "tpir", "rank_one", "tar_curve", "tpir_curve")
        return cls(*(mean_known(np.stack([getattr(client, name) for client in clients])) for name in names))


def mean_known(clients: Array) -> Array:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(clients)
    count = known.sum(axis=0)
    return np.asarray(np.where(known, clients, 0.0).sum(axis=0) / np.where(count, count, np.nan))


@dataclass(frozen=True)
class ClientResult:
    """One model on one client.

    Attributes:
        client: its name.
        verification: 1:1 TAR, one per false-accept rate asked for.
        identification: 1:N TPIR, one per FPIR asked for.
        rank_one: share of mated probes whose mate ranks first, no threshold.
        gallery: number of people enrolled.
        tar_curve: float64 (141,), TAR at :data:`PLOT_FMRS`; NaN where too few trials.
        mated_histogram: int64 (100,), 1:1 scores over [-1, 1].
        non_mated_histogram: int64 (100,); where millions of scores were made, all but the highest are
            estimated from every n-th.
        tpir_curve: float64 (81,), TPIR at :data:`PLOT_FPIRS`; NaN where too few trials.
        hardest: pairs worth looking at.
        people: number of people with mated pairs.
        rank_one_interval: of ``rank_one``.
        replicates: None where no intervals were asked for.
    """

    client: str
    verification: tuple[Rate, ...]
    identification: tuple[Rate, ...]
    rank_one: float
    gallery: int
    tar_curve: npt.NDArray[np.float64]
    mated_histogram: npt.NDArray[np.int64]
    non_mated_histogram: npt.NDArray[np.int64]
    tpir_curve: npt.NDArray[np.float64]
    hardest: HardPairs
    people: int
    rank_one_interval: Interval | None = None
    replicates: Replicates | None = None

    @property
    def tar_band(self) -> Array | None:
        """float64 (2, 141): where ``tar_curve`` lies with 95 % confidence."""
        return _band(self.replicates, "tar_curve", self.tar_curve)

    @property
    def tpir_band(self) -> Array | None:
        """float64 (2, 81): likewise."""
        return _band(self.replicates, "tpir_curve", self.tpir_curve)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without curves, histograms and pairs."""
        return {
            "client": self.client,
            "gallery": self.gallery,
            "people": self.people,
            "verification": [rate.to_dict() for rate in self.verification],
            "identification": [rate.to_dict() for rate in self.identification],
            "rank_one": finite_or_none(self.rank_one),
            "rank_one_interval": _dict_or_none(self.rank_one_interval),
        }


@dataclass(frozen=True)
class MeanRate:
    """One rate over the clients.

    Attributes:
        value: plain mean over the clients.
        spread: standard deviation over the clients (n − 1); NaN for a single client.
        worst: lowest value, and ``worst_client`` who has it.
        far_target: the rate asked for.
        trials: mated trials, ``(least, most)`` of a client; ``non_mated`` likewise.
        false_accepts: the fewest that a client's threshold rests on.
        carried: whether every client's trials allow a false accept at this rate.
        interval: of the mean over these very clients, with people drawn anew within each of them.
    """

    value: float
    spread: float
    worst: float
    worst_client: str
    far_target: float
    trials: tuple[int, int]
    non_mated: tuple[int, int]
    false_accepts: int
    carried: bool = True
    interval: Interval | None = None

    @property
    def supported(self) -> bool:
        """Whether every client's threshold rests on at least ten false accepts."""
        return self.false_accepts >= LEAST_FALSE_ACCEPTS

    @classmethod
    def over(
        cls,
        clients: Sequence[str],
        rates: Sequence[Rate],
        replicates: Array | None = None,
        people: int = 0,
    ) -> MeanRate:
        """Summarise one rate of each client (at least one, all at the same target).

        Args:
            clients: their names.
            rates: one of each.
            replicates: float64 (R,), means over the clients.
            people: with trials, of all clients together.
        """
        values = np.array([rate.value for rate in rates])
        # A client without mated trials has no value: it neither helps nor hides.
        known = np.flatnonzero(~np.isnan(values))
        worst = int(known[np.argmin(values[known])]) if known.size else 0
        target = rates[0].far_target
        mean = float(values[known].mean()) if known.size else math.nan
        return cls(
            value=mean,
            spread=float(values[known].std(ddof=1)) if known.size > 1 else math.nan,
            worst=float(values[worst]),
            worst_client=clients[worst],
            far_target=math.nan if target is None else target,
            trials=_range([rate.trials for rate in rates]),
            non_mated=_range([rate.non_mated for rate in rates]),
            false_accepts=min(rate.false_accepts for rate in rates),
            # A client without mated trials has no value; it takes nothing from the others'.
            carried=bool(known.size) and all(rates[int(place)].carried for place in known),
            interval=None if replicates is None else interval_of(mean, replicates, people),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form with ``supported`` spelled out."""
        return {
            "value": finite_or_none(self.value),
            "spread": finite_or_none(self.spread),
            "worst": finite_or_none(self.worst),
            "worst_client": self.worst_client,
            "far_target": self.far_target,
            "trials_per_client": list(self.trials),
            "non_mated_per_client": list(self.non_mated),
            "least_false_accepts": self.false_accepts,
            "supported": self.supported,
            "carried": self.carried,
            "interval": _dict_or_none(self.interval),
        }


@dataclass(frozen=True)
class PersonalisedResult:
    """One model (or one personal model per client) on the personalised protocol.

    Attributes:
        name: what to call the model in tables: "Θ_g", "Θ_l", "[Θ_l, Π_l]".
        reading: one of :data:`READINGS`.
        clients: one result per client, in sorted order.
    """

    name: str
    reading: Reading
    clients: tuple[ClientResult, ...]

    @cached_property
    def replicates(self) -> Replicates | None:
        """Means over the clients, replicate by replicate; None without intervals."""
        known = [client.replicates for client in self.clients if client.replicates is not None]
        return Replicates.mean(known) if len(known) == len(self.clients) else None

    @cached_property
    def verification(self) -> tuple[MeanRate, ...]:
        """1:1 TAR over the clients, one per false-accept rate."""
        return self._means(lambda client: client.verification, "tar")

    @cached_property
    def identification(self) -> tuple[MeanRate, ...]:
        """1:N TPIR over the clients, one per FPIR."""
        return self._means(lambda client: client.identification, "tpir")

    @property
    def people(self) -> int:
        """People with mated pairs, of all clients together."""
        return sum(client.people for client in self.clients)

    @property
    def rank_one(self) -> float:
        """Mean rank-one rate over the clients."""
        return float(np.mean([client.rank_one for client in self.clients]))

    @property
    def rank_one_interval(self) -> Interval | None:
        """Of that mean."""
        found = self.replicates
        return None if found is None else interval_of(self.rank_one, found.rank_one, self.people)

    @property
    def tar_curve(self) -> npt.NDArray[np.float64]:
        """float64 (141,): mean TAR at :data:`PLOT_FMRS`; NaN where some client has too few trials."""
        return np.asarray(np.mean([client.tar_curve for client in self.clients], axis=0))

    @property
    def tpir_curve(self) -> npt.NDArray[np.float64]:
        """float64 (81,): mean TPIR at :data:`PLOT_FPIRS`; NaN where some client has too few trials."""
        return np.asarray(np.mean([client.tpir_curve for client in self.clients], axis=0))

    @property
    def tar_band(self) -> Array | None:
        """float64 (2, 141): where the mean curve lies with 95 % confidence."""
        return _band(self.replicates, "tar_curve", self.tar_curve)

    @property
    def tpir_band(self) -> Array | None:
        """float64 (2, 81): likewise."""
        return _band(self.replicates, "tpir_curve", self.tpir_curve)

    def _means(self, rates: Callable[[ClientResult], tuple[Rate, ...]], name: str) -> tuple[MeanRate, ...]:
        names = [client.client for client in self.clients]
        found = None if self.replicates is None else getattr(self.replicates, name)
        return tuple(
            MeanRate.over(names, column, None if found is None else found[:, place], self.people)
            for place, column in enumerate(zip(*(rates(client) for client in self.clients), strict=True))
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: means first, then every client."""
        return {
            "name": self.name,
            "reading": self.reading,
            "verification": [rate.to_dict() for rate in self.verification],
            "identification": [rate.to_dict() for rate in self.identification],
            "rank_one": finite_or_none(self.rank_one),
            "rank_one_interval": _dict_or_none(self.rank_one_interval),
            "clients": [client.to_dict() for client in self.clients],
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Curves, histograms and replicates for an .npz file.

        The first axis is the client where there are several axes, but for ``mean_…``.
        """
        clients = self.clients
        arrays: dict[str, npt.NDArray[Any]] = {
            "clients": np.array([client.client for client in clients]),
            "fars": np.array([rate.far_target for rate in self.verification]),
            "fpirs": np.array([rate.far_target for rate in self.identification]),
            "fmr": PLOT_FMRS,
            "tar": np.stack([client.tar_curve for client in clients]),
            "fpir": PLOT_FPIRS,
            "tpir": np.stack([client.tpir_curve for client in clients]),
            "mated_histogram": np.stack([client.mated_histogram for client in clients]),
            "non_mated_histogram": np.stack([client.non_mated_histogram for client in clients]),
            "histogram_edges": np.linspace(-1, 1, PLOT_BINS + 1),
        }
        if self.replicates is None:
            return arrays
        of_clients = [client.replicates for client in clients if client.replicates is not None]
        for name in ("tar", "tpir", "rank_one"):
            arrays[f"{name}_replicates"] = np.stack([getattr(one, name) for one in of_clients])
        for name in ("tar_band", "tpir_band"):
            arrays[name] = np.stack([getattr(client, name) for client in clients])
            arrays[f"mean_{name}"] = getattr(self, name)
        return arrays


def headline(results: Sequence[PersonalisedResult]) -> int:
    """Which 1:1 false-accept rate to show first, by place in ``verification``.

    The strictest at which every model's every threshold rests on at least ten false accepts; if there
    is none, the mildest.
    """
    fars = [rate.far_target for rate in results[0].verification]
    order = sorted(range(len(fars)), key=lambda place: fars[place])
    for place in order:
        if all(result.verification[place].supported for result in results):
            return place
    return order[-1]


def _band(replicates: Replicates | None, name: str, curve: Array) -> Array | None:
    """Band of a curve, NaN where the curve is; it never lies beside the curve."""
    if replicates is None:
        return None
    low, high = band_of(getattr(replicates, name))
    low, high = np.fmin(low, curve), np.fmax(high, curve)
    return np.where(np.isnan(curve), np.nan, np.stack([low, high]))


def _dict_or_none(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else interval.to_dict()


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)
