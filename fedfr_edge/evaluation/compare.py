"""Is one model better than another? The paired bootstrap of their difference.

Both models meet the same images, and a person who is hard for one is mostly hard for the other. So the two
are not set beside each other with an interval each: replicate by replicate (:mod:`.bootstrap`), with the
same people drawn, the difference is taken, and the interval holds the middle 95 % of those. Where it holds
0, no difference is shown, however far apart the two figures look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.bootstrap import LEVEL
from fedfr_edge.evaluation.metrics import Interval
from fedfr_edge.evaluation.outcome import Array, PersonalisedResult, Reading, mean_known
from fedfr_edge.evaluation.pairs import PairsResult
from fedfr_edge.evaluation.tables import DASH, Table, percent, rate_text

Verdict: TypeAlias = Literal["higher", "lower", "no difference shown"]

NO_DIFFERENCE: Verdict = "no difference shown"


@dataclass(frozen=True)
class Difference:
    """One measure of the second model against the first.

    Attributes:
        measure: "TAR@FAR 1e-3", "TPIR@FPIR 1e-1", "rank 1", "accuracy" or "EER".
        client: whose; None for the mean over the clients.
        first: the first model's value.
        second: the second's.
        interval: of ``second − first``; None where there are too few people to say.
    """

    measure: str
    client: str | None
    first: float
    second: float
    interval: Interval | None

    @property
    def value(self) -> float:
        """``second − first``."""
        return self.second - self.first

    @property
    def verdict(self) -> Verdict:
        """What the second model is, as far as the interval shows."""
        if self.interval is None or self.interval.low <= 0 <= self.interval.high:
            return NO_DIFFERENCE
        return "higher" if self.interval.low > 0 else "lower"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "measure": self.measure,
            "client": self.client,
            "first": self.first,
            "second": self.second,
            "value": self.value,
            "interval": self.interval.to_dict() if self.interval else None,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Comparison:
    """Two models on the same people.

    Attributes:
        first: name of the first model.
        second: of the second.
        reading: in which reading.
        differences: the means over the clients first, then client by client.
    """

    first: str
    second: str
    reading: Reading
    differences: tuple[Difference, ...]

    @property
    def means(self) -> tuple[Difference, ...]:
        """The differences of the means over the clients."""
        return tuple(one for one in self.differences if one.client is None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "first": self.first,
            "second": self.second,
            "reading": self.reading,
            "differences": [difference.to_dict() for difference in self.differences],
        }


_KINDS = (("TAR@FAR", "verification", "tar"), ("TPIR@FPIR", "identification", "tpir"))


@dataclass(frozen=True)
class _Measured:
    """What is compared, by measure and client (None: the mean): value, and replicates (R,)."""

    name: str
    reading: Reading
    values: Mapping[tuple[str, str | None], tuple[float, Array]]


def compare(first: PersonalisedResult, second: PersonalisedResult) -> Comparison:
    """Two results of one evaluation, or of two with the same split, seed and number of replicates.

    Measures that only one of them has, or that the trials do not carry, are left out.

    Raises:
        DataError: no replicates, not as many, or other clients.
    """
    return _compare(_of_result(first), _of_result(second))


def compare_all_pairs(results: Sequence[PersonalisedResult]) -> list[Comparison]:
    """Every two models of one reading, in order; none without replicates."""
    return [
        compare(one, other)
        for one, other in combinations(results, 2)
        if one.reading == other.reading and one.replicates is not None and other.replicates is not None
    ]


def compare_lists(results: Sequence[PairsResult]) -> list[Comparison]:
    """Every two models on one list of pairs, in order; none without replicates."""
    found = []
    for one, other in combinations(results, 2):
        first, second = _of_pairs(one), _of_pairs(other)
        differences = tuple(difference_of(measure, first[measure], second[measure]) for measure in first)
        if differences:
            found.append(Comparison(one.name, other.name, "standard", differences))
    return found


def difference_of(
    measure: str, first: tuple[float, Array], second: tuple[float, Array], client: str | None = None
) -> Difference:
    """One measure's difference, from each model's value and replicates (R,) of the same draws."""
    gap, replicates = second[0] - first[0], second[1] - first[1]
    return Difference(measure, client, first[0], second[0], _interval(gap, replicates))


def compare_files(
    first: Path, second: Path, first_name: str, second_name: str, *, reading: Reading = "standard"
) -> Comparison:
    """As :func:`compare`, from the folders that ``fedfr evaluate personalised`` wrote.

    Args:
        first: folder with ``personalised.json`` and ``curves.npz``.
        second: likewise; may be the same.
        first_name: the model's name there, such as "Θ_g".
        second_name: likewise.
        reading: which reading of both.

    Raises:
        DataError: unreadable, no such model, evaluated without intervals, or other people drawn.
    """
    one, other = _read(first), _read(second)
    pairing = [record["intervals"]["pairing"] for record, _ in (one, other)]
    for folder, key in zip((first, second), pairing, strict=True):
        if key is None:
            raise DataError(f"{folder} was evaluated without intervals; evaluate again with --intervals 200")
    if pairing[0] != pairing[1]:
        raise DataError(
            f"{first} and {second} were not evaluated on the same draws: another split, store, seed or "
            "number of replicates; evaluate both alike"
        )
    return _compare(
        _of_file(first, *one, first_name, reading), _of_file(second, *other, second_name, reading)
    )


def difference_table(comparisons: Sequence[Comparison]) -> Table:
    """Differences of the means over the clients, one row per two models and measure."""
    rows = []
    for comparison in comparisons:
        for one in comparison.means:
            rows.append(
                (
                    f"{comparison.second} − {comparison.first}",
                    one.measure,
                    _points(one.value),
                    _span(one.interval),
                    one.verdict,
                )
            )
    reading = comparisons[0].reading if comparisons else "standard"
    note = (
        "In points, with the 95 % interval of the difference (paired bootstrap: the same people drawn for "
        "both models). Where it holds 0, no difference is shown."
    )
    header = ("models", "measure", "difference", "95 %", "the first is")
    return Table(f"Differences, {reading} reading", header, tuple(rows), (note,))


def _span(interval: Interval | None) -> str:
    return DASH if interval is None else f"{_points(interval.low)} … {_points(interval.high)}"


def _points(share: float) -> str:
    return ("+" if share > 0 else "−" if share < 0 else "") + percent(abs(share))


def _compare(one: _Measured, other: _Measured) -> Comparison:
    clients = [{client for _, client in side.values if client is not None} for side in (one, other)]
    if clients[0] != clients[1]:
        raise DataError(
            f"{one.name} and {other.name} were evaluated on other clients, "
            f"{len(clients[0])} and {len(clients[1])}; compare results of one split"
        )
    differences = []
    for key, (value, replicates) in one.values.items():
        if key not in other.values:
            continue
        second, others = other.values[key]
        if replicates.shape != others.shape:
            raise DataError(
                f"{one.name} has {replicates.size} replicates, {other.name} {others.size}; evaluate both "
                "with the same --intervals"
            )
        measure, client = key
        differences.append(difference_of(measure, (value, replicates), (second, others), client))
    return Comparison(one.name, other.name, one.reading, tuple(differences))


def _interval(value: float, replicates: Array) -> Interval | None:
    known = replicates[~np.isnan(replicates)]
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(min(low, value)), float(max(high, value)), "bootstrap")


def _of_pairs(result: PairsResult) -> dict[str, tuple[float, Array]]:
    found = result.replicates
    if found is None:
        return {}
    values = {"accuracy": (result.accuracy, found.accuracy)} if result.folds else {}
    for place, rate in enumerate(result.rates):
        if rate.carried:
            values[f"TAR@FAR {rate_text(rate.far_target)}"] = (rate.value, found.rates[:, place])
    return values | {"EER": (result.eer, found.eer)}


def _of_result(result: PersonalisedResult) -> _Measured:
    if result.replicates is None:
        raise DataError(f"{result.name} was evaluated without intervals; evaluate with a Resampling")
    return _measured(result.to_dict(), result.to_arrays())


def _of_file(
    folder: Path, record: Mapping[str, Any], arrays: Mapping[str, Any], name: str, reading: Reading
) -> _Measured:
    for result in record["results"]:
        if (result["name"], result["reading"]) == (name, reading):
            prefix = f"{reading}/{name}/"
            return _measured(
                result, {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
            )
    have = ", ".join(dict.fromkeys(f"{one['name']} ({one['reading']})" for one in record["results"]))
    raise DataError(f"{folder} has no {name} in the {reading} reading, it has {have}; name one of these")


def _measured(result: Mapping[str, Any], arrays: Mapping[str, Any]) -> _Measured:
    """From a result's ``to_dict`` and ``to_arrays``."""
    draws = {key: np.asarray(arrays[f"{key}_replicates"]) for key in ("tar", "tpir", "rank_one")}
    values: dict[tuple[str, str | None], tuple[float, Array]] = {}
    for place, rates in enumerate((result, *result["clients"])):
        client = rates.get("client")
        of = {key: mean_known(array) if place == 0 else array[place - 1] for key, array in draws.items()}
        for kind, key, column in _KINDS:
            for number, rate in enumerate(rates[key]):
                if rate["carried"] and rate["value"] is not None:
                    measure = f"{kind} {rate_text(rate['far_target'])}"
                    values[measure, client] = rate["value"], of[column][:, number]
        if rates["rank_one"] is not None:
            values["rank 1", client] = rates["rank_one"], of["rank_one"]
    return _Measured(result["name"], result["reading"], values)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        record = json.loads((folder / "personalised.json").read_text(encoding="utf-8"))
        record.setdefault("intervals", {"pairing": None})
        with np.load(folder / "curves.npz") as arrays:
            return record, {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"cannot read {folder}: {error}; expected the folder of a personalised evaluation with "
            "personalised.json and curves.npz"
        ) from error
