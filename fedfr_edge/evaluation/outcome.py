"""What the personalised protocol found: per client, and over the clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS, Rate, finite_or_none

Reading: TypeAlias = Literal["standard", "paper"]
"""See :mod:`.personalised`."""

PLOT_FMRS: npt.NDArray[np.float64] = np.logspace(-7, 0, 141)
"""False-match rates at which curves are kept: twenty to a decade."""

PLOT_BINS = 100
"""Bins over [-1, 1] of the score histograms that are kept."""


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
        non_mated_histogram: int64 (100,).
    """

    client: str
    verification: tuple[Rate, ...]
    identification: tuple[Rate, ...]
    rank_one: float
    gallery: int
    tar_curve: npt.NDArray[np.float64]
    mated_histogram: npt.NDArray[np.int64]
    non_mated_histogram: npt.NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without curves and histograms."""
        return {
            "client": self.client,
            "gallery": self.gallery,
            "verification": [rate.to_dict() for rate in self.verification],
            "identification": [rate.to_dict() for rate in self.identification],
            "rank_one": finite_or_none(self.rank_one),
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
    """

    value: float
    spread: float
    worst: float
    worst_client: str
    far_target: float
    trials: tuple[int, int]
    non_mated: tuple[int, int]
    false_accepts: int

    @property
    def supported(self) -> bool:
        """Whether every client's threshold rests on at least ten false accepts."""
        return self.false_accepts >= LEAST_FALSE_ACCEPTS

    @classmethod
    def over(cls, clients: Sequence[str], rates: Sequence[Rate]) -> MeanRate:
        """Summarise one rate of each client (at least one, all at the same target)."""
        values = np.array([rate.value for rate in rates])
        # A client without mated trials has no value: it neither helps nor hides.
        known = np.flatnonzero(~np.isnan(values))
        worst = int(known[np.argmin(values[known])]) if known.size else 0
        target = rates[0].far_target
        return cls(
            value=float(values[known].mean()) if known.size else math.nan,
            spread=float(values[known].std(ddof=1)) if known.size > 1 else math.nan,
            worst=float(values[worst]),
            worst_client=clients[worst],
            far_target=math.nan if target is None else target,
            trials=_range([rate.trials for rate in rates]),
            non_mated=_range([rate.non_mated for rate in rates]),
            false_accepts=min(rate.false_accepts for rate in rates),
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
        }


@dataclass(frozen=True)
class PersonalisedResult:
    """One model (or one personal model per client) on the personalised protocol.

    Attributes:
        name: what to call the model in tables: "Θ_g", "Θ_l", "[Θ_l, Π_l]".
        reading: "standard" or "paper".
        clients: one result per client, in sorted order.
    """

    name: str
    reading: Reading
    clients: tuple[ClientResult, ...]

    @property
    def verification(self) -> tuple[MeanRate, ...]:
        """1:1 TAR over the clients, one per false-accept rate."""
        return self._means(lambda client: client.verification)

    @property
    def identification(self) -> tuple[MeanRate, ...]:
        """1:N TPIR over the clients, one per FPIR."""
        return self._means(lambda client: client.identification)

    @property
    def rank_one(self) -> float:
        """Mean rank-one rate over the clients."""
        return float(np.mean([client.rank_one for client in self.clients]))

    @property
    def tar_curve(self) -> npt.NDArray[np.float64]:
        """float64 (141,): mean TAR at :data:`PLOT_FMRS`; NaN where some client has too few trials."""
        return np.asarray(np.mean([client.tar_curve for client in self.clients], axis=0))

    def _means(self, rates: Callable[[ClientResult], tuple[Rate, ...]]) -> tuple[MeanRate, ...]:
        names = [client.client for client in self.clients]
        columns = zip(*(rates(client) for client in self.clients), strict=True)
        return tuple(MeanRate.over(names, column) for column in columns)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: means first, then every client."""
        return {
            "name": self.name,
            "reading": self.reading,
            "verification": [rate.to_dict() for rate in self.verification],
            "identification": [rate.to_dict() for rate in self.identification],
            "rank_one": finite_or_none(self.rank_one),
            "clients": [client.to_dict() for client in self.clients],
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Curves and histograms for an .npz file; the first axis of a two-axis array is the client."""
        return {
            "clients": np.array([client.client for client in self.clients]),
            "fmr": PLOT_FMRS,
            "tar": np.stack([client.tar_curve for client in self.clients]),
            "mated_histogram": np.stack([client.mated_histogram for client in self.clients]),
            "non_mated_histogram": np.stack([client.non_mated_histogram for client in self.clients]),
            "histogram_edges": np.linspace(-1, 1, PLOT_BINS + 1),
        }


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


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)
