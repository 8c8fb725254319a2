"""A study's figures: for each row, seed and embedding one value per measure, read out of the records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS, finite_or_none
from fedfr_edge.evaluation.tables import percent, rate_text

from ..models_for_evaluation import GENERIC, SPACES

UNSEEN = "generic"
"""Column of the generic model on people whom nobody trained on; the others are on the clients' people."""

COLUMNS = (UNSEEN, GENERIC, *SPACES)

PAIRS_ACCURACY = "accuracy on pairs"
RANK_ONE = "rank 1"
IJBC = "IJB-C "
"""Before the names of that set's measures."""


@dataclass(frozen=True)
class Value:
    """One figure.

    Attributes:
        value: a share, 0 to 1.
        false_accepts: how many its threshold rests on; None where there is no such threshold.
    """

    value: float
    false_accepts: int | None = None


@dataclass(frozen=True)
class Mean:
    """One cell of a table: a figure over the seeds.

    Attributes:
        value: mean, a share.
        spread: standard deviation (n − 1); NaN for one seed.
        seeds: how many seeds have the figure.
        false_accepts: the fewest that one of its thresholds rests on; None where there is none.
    """

    value: float
    spread: float
    seeds: int
    false_accepts: int | None

    @classmethod
    def over(cls, values: Sequence[Value]) -> Mean:
        """Summarise the seeds' figures (at least one)."""
        shares = [one.value for one in values]
        counts = [one.false_accepts for one in values if one.false_accepts is not None]
        spread = float(np.std(shares, ddof=1)) if len(shares) > 1 else math.nan
        return cls(float(np.mean(shares)), spread, len(shares), min(counts) if counts else None)

    def text(self) -> str:
        """``61.25 ± 0.61``, per cent; with a dagger and their number where false accepts are few."""
        spread = "" if math.isnan(self.spread) else f" ± {percent(self.spread)}"
        few = self.false_accepts is not None and self.false_accepts < LEAST_FALSE_ACCEPTS
        return percent(self.value) + spread + (f" †{self.false_accepts}" if few else "")


Values = Mapping[tuple[str, str], Value]
"""(column, measure) -> figure, of one row with one seed."""


def values_of(record: Mapping[str, Any]) -> dict[tuple[str, str], Value]:
    """All figures of one ``scores.json``.

    Without a personal branch Π stays the identity: then there is no column [Θ_l, Π_l].
    """
    found: dict[tuple[str, str], Value] = {}
    strangers = record["strangers"] or {}
    for rate in strangers.get("rates", ()):
        _put(found, UNSEEN, tar_at(rate["far_target"]), rate["value"], rate["false_accepts"])
    for rate in strangers.get("searches", ()):
        _put(found, UNSEEN, tpir_at(rate["far_target"]), rate["value"], rate["false_accepts"])
    if record["pairs"] is not None:
        _put(found, UNSEEN, PAIRS_ACCURACY, record["pairs"]["accuracy"])
        for rate in record["pairs"]["rates"]:
            name = f"{tar_at(rate['far_target'])} on pairs"
            _put(found, UNSEEN, name, rate["value"], rate["false_accepts"])
    ijbc = record.get("ijbc") or {}
    for name_of, key in ((tar_at, "rates"), (tpir_at, "searches")):
        for rate in ijbc.get(key, ()):
            name = IJBC + name_of(rate["far_target"])
            _put(found, UNSEEN, name, rate["value"], rate["false_accepts"])
    training = record["inputs"]["train"] or {}
    for result in record["personalised"]:
        column = result["name"]
        if column == SPACES[1] and training.get("branch") == "none":
            continue
        for name_of, rates in ((tar_at, result["verification"]), (tpir_at, result["identification"])):
            for rate in rates:
                name = name_of(rate["far_target"])
                _put(found, column, name, rate["value"], rate["least_false_accepts"])
        _put(found, column, RANK_ONE, result["rank_one"])
    return found


def tar_at(far: float) -> str:
    """Name of the measure "true-accept rate at this false-accept rate"."""
    return f"TAR@FAR {rate_text(far)}"


def tpir_at(fpir: float) -> str:
    """Name of the measure "true-positive identification rate at this false-positive one"."""
    return f"TPIR@FPIR {rate_text(fpir)}"


def _put(
    found: dict[tuple[str, str], Value],
    column: str,
    measure: str,
    value: float | None,
    false_accepts: int | None = None,
) -> None:
    if value is not None:  # JSON's word for NaN: nothing was there to be measured
        found[column, measure] = Value(value, false_accepts)


@dataclass(frozen=True)
class Scores:
    """The figures of a whole study.

    Attributes:
        rows: names of the rows, in the table's order.
        seeds: the seeds.
        values: (row's name, seed) -> its figures; parts that failed are missing.
    """

    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Mapping[tuple[str, int], Values]

    @classmethod
    def of(
        cls, rows: Iterable[str], seeds: Iterable[int], records: Mapping[tuple[str, int], Mapping[str, Any]]
    ) -> Scores:
        """Read the records of a study."""
        return cls(tuple(rows), tuple(seeds), {key: values_of(record) for key, record in records.items()})

    def get(self, row: str, seed: int, column: str, measure: str) -> float | None:
        """One figure; None where the row has no such column, the part failed or was not run."""
        value = self.values.get((row, seed), {}).get((column, measure))
        return None if value is None else value.value

    def mean(self, row: str, column: str, measure: str) -> Mean | None:
        """A figure over the seeds that have it; None where none has."""
        keys = [(row, seed) for seed in self.seeds if (row, seed) in self.values]
        found = [self.values[key][column, measure] for key in keys if (column, measure) in self.values[key]]
        return Mean.over(found) if found else None

    def to_list(self) -> list[dict[str, Any]]:
        """Every cell over the seeds, JSON-able."""
        cells = []
        for row in self.rows:
            for column in COLUMNS:
                for measure in self.measures():
                    mean = self.mean(row, column, measure)
                    if mean is not None:
                        cells.append(
                            {
                                "row": row,
                                "column": column,
                                "measure": measure,
                                "value": mean.value,
                                "spread": finite_or_none(mean.spread),
                                "seeds": mean.seeds,
                                "least_false_accepts": mean.false_accepts,
                            }
                        )
        return cells

    def measures(self) -> tuple[str, ...]:
        """Every measure that some row has, in the order in which the records name them."""
        names = dict.fromkeys(measure for values in self.values.values() for _, measure in values)
        return tuple(sorted(names, key=_place))


def _place(measure: str) -> tuple[int, float]:
    """Kinds in the order of the protocols, milder rates first."""
    kind, _, rate = measure.partition(" ")
    if measure == RANK_ONE:
        return 2, 0.0
    if measure.endswith("on pairs"):
        return 3, 0.0 if measure == PAIRS_ACCURACY else 1 - float(rate.split()[0])
    if measure.startswith(IJBC):
        return 4 + ("TPIR" in measure), -float(measure.split()[-1])
    return (0 if kind == "TAR@FAR" else 1), -float(rate)
