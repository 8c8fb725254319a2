"""Results put together again from what ``to_dict`` and ``to_arrays`` made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedfr_edge.evaluation.metrics import Interval, Rate
from fedfr_edge.evaluation.outcome import PLOT_FPIRS, ClientResult, HardPairs, PersonalisedResult, Replicates


@dataclass(frozen=True)
class StoredResult(PersonalisedResult):
    """A result from its files, with the bands that were written: they cannot be had from what files keep.

    Attributes:
        kept_tar_band: float64 (2, 141); None where there are no intervals.
        kept_tpir_band: float64 (2, 81), likewise.
    """

    kept_tar_band: Any = None
    kept_tpir_band: Any = None

    @property
    def tar_band(self) -> Any:
        """See :class:`PersonalisedResult`."""
        return self.kept_tar_band

    @property
    def tpir_band(self) -> Any:
        """See :class:`PersonalisedResult`."""
        return self.kept_tpir_band


_NO_PAIRS = HardPairs(
    np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty((0, 2), np.int64), np.empty(0, np.float32)
)
"""Files name hard pairs by their images; see :mod:`.faces`."""


def stored_result(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> PersonalisedResult:
    """One result.

    Args:
        record: its part of ``personalised.json``.
        arrays: the content of ``curves.npz``.

    Raises:
        KeyError, ValueError, TypeError, IndexError: they are not as they were written.
    """
    prefix = f"{record['reading']}/{record['name']}"
    rows = {name: row for row, name in enumerate(arrays[f"{prefix}/clients"].tolist())}
    # Written by earlier versions without it.
    unknown = np.full((len(rows), len(PLOT_FPIRS)), np.nan)
    tpir = arrays.get(f"{prefix}/tpir", unknown)
    clients = tuple(
        ClientResult(
            client=client["client"],
            verification=tuple(map(stored_rate, client["verification"])),
            identification=tuple(map(stored_rate, client["identification"])),
            rank_one=_number(client["rank_one"]),
            gallery=client["gallery"],
            tar_curve=arrays[f"{prefix}/tar"][rows[client["client"]]],
            mated_histogram=arrays[f"{prefix}/mated_histogram"][rows[client["client"]]],
            non_mated_histogram=arrays[f"{prefix}/non_mated_histogram"][rows[client["client"]]],
            tpir_curve=tpir[rows[client["client"]]],
            hardest=_NO_PAIRS,
            people=client.get("people", client["gallery"]),
            rank_one_interval=stored_interval(client.get("rank_one_interval")),
            replicates=_replicates(arrays, prefix, rows[client["client"]]),
        )
        for client in record["clients"]
    )
    bands = (arrays.get(f"{prefix}/mean_tar_band"), arrays.get(f"{prefix}/mean_tpir_band"))
    return StoredResult(record["name"], record["reading"], clients, *bands)


def _replicates(arrays: Mapping[str, Any], prefix: str, row: int) -> Replicates | None:
    """One client's, as far as files keep them: without the curves', whose bands are kept instead."""
    found = [arrays.get(f"{prefix}/{name}_replicates") for name in ("tar", "tpir", "rank_one")]
    if any(one is None for one in found):
        return None
    tar, tpir, rank_one = (one[row] for one in found if one is not None)
    none = np.empty((len(rank_one), 0))
    return Replicates(tar, tpir, rank_one, none, none)


def stored_interval(record: Mapping[str, Any] | None) -> Interval | None:
    """One interval from its ``to_dict``."""
    return None if record is None else Interval(record["low"], record["high"], record["method"])


def stored_rate(record: Mapping[str, Any]) -> Rate:
    """One rate from its ``to_dict``."""
    threshold = record["threshold"]
    return Rate(
        value=_number(record["value"]),
        trials=record["trials"],
        threshold=-math.inf if threshold is None else threshold,
        far_target=record["far_target"],
        false_accepts=record["false_accepts"],
        non_mated=record["non_mated"],
        interval=stored_interval(record.get("interval")),
        far_interval=stored_interval(record.get("far_interval")),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
