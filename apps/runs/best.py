"""Scores of rounds, read: the false-accept rate to compare at, and the best rounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedfr_edge.evaluation.tables import percent, rate_text

from .means import round_means


@dataclass(frozen=True)
class Best:
    """A round that is best at something.

    Attributes:
        round: its number; the first of several that are equal.
        value: what it reached.
    """

    round: int
    value: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"round": self.round, "value": self.value}


def score_text(model: Mapping[str, Any]) -> str:
    """One model of a line of ``scores.jsonl`` in words."""
    rates = [
        f"TAR@FAR {rate_text(rate['far_target'])} {_percent(rate['value'])}"
        + ("" if rate["supported"] else f" †{rate['least_false_accepts']}")
        for rate in model["verification"]
    ]
    return f"{model['name']} " + ", ".join([*rates, f"rank 1 {_percent(model['rank_one'])}"])


def headline_far(scores: Iterable[Mapping[str, Any]]) -> float | None:
    """The strictest false-accept rate at which every score rests on ten false accepts or more.

    Only rates that all lines have; the mildest of them where none is supported; None without any.
    """
    supported: dict[float, bool] = {}
    common: set[float] | None = None
    for line in scores:
        for model in line["models"]:
            rates = {float(rate["far_target"]): bool(rate["supported"]) for rate in model["verification"]}
            common = rates.keys() & common if common is not None else set(rates)
            for far, sound in rates.items():
                supported[far] = supported.get(far, True) and sound
    if not common:
        return None
    return min((far for far in common if supported[far]), default=max(common))


def score_curve(scores: Iterable[Mapping[str, Any]], model: str, far: float | None) -> dict[int, float]:
    """Round -> TAR of ``model`` at ``far`` (None: its rank-1 rate), 0 to 1, where it is known."""
    curve = {}
    for line in scores:
        for one in line["models"]:
            if one["name"] != model:
                continue
            if far is None:
                value = one["rank_one"]
            else:
                value = next((r["value"] for r in one["verification"] if r["far_target"] == far), None)
            if value is not None:
                curve[int(line["round"])] = float(value)
    return curve


def loss_curve(rounds: Iterable[Mapping[str, Any]], term: str = "loss") -> dict[int, float]:
    """Round -> mean over the clients, where the term is on."""
    curves = ((int(record["round"]), round_means(record).get(term)) for record in rounds)
    return {number: value for number, value in curves if value is not None}


def best_of(curve: Mapping[int, float], *, lowest: bool = False) -> Best | None:
    """The best round of a curve; None for an empty one."""
    if not curve:
        return None
    value = (min if lowest else max)(curve.values())
    return Best(min(number for number, found in curve.items() if found == value), value)


def model_names(scores: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    """The models that are scored, generic first."""
    return list(dict.fromkeys(model["name"] for line in scores for model in line["models"]))


def _percent(value: float | None) -> str:
    return "–" if value is None else percent(value)
