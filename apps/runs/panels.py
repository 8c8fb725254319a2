"""What of a run is drawn, and in which panel: for the figures and for the dashboard alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedfr_edge.evaluation.report.losses import TERMS
from fedfr_edge.evaluation.tables import rate_text

from .means import LOSSES, client_range, round_means

TITLES = TERMS | {"hard_negatives": "hard negatives of a client", "seconds": "seconds a round"}
"""Name of a number -> title of its panel."""


@dataclass
class Line:
    """One line of a panel.

    Attributes:
        name: for the legend; empty where the panel has one line only.
        points: ``(round, value)``; values that are not known are left out.
        place: chooses colour, dash and marker.
        band: ``(round, lowest, highest)`` behind the line.
        hollow: rounds whose value rests on too little.
    """

    name: str
    points: list[tuple[int, float]]
    place: int = 0
    band: list[tuple[int, float, float]] = field(default_factory=list)
    hollow: set[int] = field(default_factory=set)


@dataclass
class Panel:
    """One pair of axes with its lines."""

    title: str
    lines: list[Line]


def run_panels(rounds: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Losses, hard negatives and time of one run, each with the band between its clients.

    Args:
        rounds: lines of ``metrics.jsonl``.
    """
    panels = []
    for name in (*LOSSES, "hard_negatives", "seconds"):
        line = mean_line(rounds, name)
        if name == "hard_negatives" and not any(value for _, value in line.points):
            continue
        if line.points:
            panels.append(Panel(TITLES[name], [line]))
    return panels


def mean_line(rounds: Sequence[Mapping[str, Any]], name: str) -> Line:
    """One number over the rounds, with the band between the clients."""
    line = Line("", [])
    for record in rounds:
        number, value = int(record["round"]), round_means(record).get(name)
        if value is None:
            continue
        if name == "hard_negatives":  # a client's share, so that the line lies within its band
            value /= max(len(record["clients"]), 1)
        line.points.append((number, value))
        between = client_range(record, name) if name != "seconds" else None
        if between is not None:
            line.band.append((number, *between))
    return line


def score_panels(scores: Sequence[Mapping[str, Any]], *, every: bool = False) -> list[Panel]:
    """One panel for each false-accept rate and one for rank 1, a line for each model.

    ``every`` keeps [Θ_l, Π_l] also where it is the same as Θ_l, because nothing trained Π.
    """
    panels: dict[str, dict[str, Line]] = {}
    for line in scores:
        number = int(line["round"])
        for model in line["models"]:
            values = {
                f"TAR at FAR {rate_text(rate['far_target'])}, %": (rate["value"], bool(rate["supported"]))
                for rate in model["verification"]
            }
            values["rank 1, %"] = (model["rank_one"], True)
            for title, (value, supported) in values.items():
                lines = panels.setdefault(title, {})
                drawn = lines.setdefault(model["name"], Line(model["name"], [], len(lines)))
                if value is not None:
                    drawn.points.append((number, 100 * float(value)))
                    drawn.hollow |= set() if supported else {number}
    chosen = (list(lines.values()) if every else _distinct(lines) for lines in panels.values())
    return [Panel(title, lines) for title, lines in zip(panels, chosen, strict=True)]


def _distinct(lines: Mapping[str, Line]) -> list[Line]:
    shown: list[Line] = []
    for line in lines.values():
        if not any(line.points == other.points and line.points for other in shown):
            shown.append(line)
    return shown
