"""What a target has shown: its lines and columns with spread and interval, and the orderings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedfr_edge.evaluation.metrics import finite_or_none

from ..models_for_evaluation import GENERIC, SPACES
from ..study.orderings import Outcome as Difference
from ..study.orderings import compare, mean_interval
from ..study.scores import Mean, Scores, Value
from .published import Figure
from .target import PERSONAL, Column

BACKBONE, BRANCH = SPACES


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        name: its label.
        row: the study's row.
        embedding: where columns leave it open, the study's column.
        common: the same in all parts: shown once, without a part's label.
    """

    name: str
    row: str
    embedding: str | None = None
    common: bool = False


@dataclass(frozen=True)
class Cell:
    """One figure of ours: a share for each seed that has it."""

    values: Mapping[int, Value]

    @property
    def mean(self) -> Mean:
        """Over the seeds."""
        return Mean.over(list(self.values.values()))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean (Student's t over the seeds); infinite for one seed."""
        return mean_interval([value.value for value in self.values.values()])

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; shares, 0 to 1."""
        mean, (low, high) = self.mean, self.interval
        return {
            "values": {str(seed): value.value for seed, value in self.values.items()},
            "mean": mean.value,
            "spread": finite_or_none(mean.spread),
            "interval": None if math.isinf(low) else [low, high],
            "least_false_accepts": mean.false_accepts,
        }


@dataclass
class Part:
    """One table: a whole target, or one number of people in Figure 4's grid.

    Attributes:
        title: what it is about.
        x: where it lies on a figure's axis; None in a table.
        label: before its lines' names where a table has several parts.
        lines, columns: of the table.
        cells: (line's name, heading) -> figure; what could not be had is missing.
        differences: the paper's orderings.
    """

    title: str
    x: float | None
    lines: list[Line]
    columns: list[Column]
    label: str = ""
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        title: str,
        scores: Scores,
        lines: Sequence[Line],
        columns: Sequence[Column],
        orderings: Sequence[Any] = (),
        *,
        x: float | None = None,
        label: str = "",
    ) -> Part:
        """Read a part out of a study's figures."""
        part = cls(title, x, list(lines), list(columns), label)
        for line in lines:
            for column in columns:
                values = {
                    seed: value
                    for seed in scores.seeds
                    if (value := _value(scores, line, column, seed)) is not None
                }
                if values:
                    part.cells[line.name, column.heading] = Cell(values)
        shown = {column.measure for column in columns}
        part.differences = [one for one in compare(scores, tuple(orderings)) if one.measure in shown]
        return part

    def shown_name(self, line: Line) -> str:
        """A line's name in a table of several parts."""
        return f"{self.label}: {line.name}" if self.label and not line.common else line.name

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "title": self.title,
            "x": self.x,
            "cells": [
                {"line": line, "column": heading, **cell.to_dict()}
                for (line, heading), cell in self.cells.items()
            ],
            "orderings": [one.to_dict() for one in self.differences],
        }


@dataclass
class Reproduction:
    """A target as it was run.

    Attributes:
        parts: its tables.
        failures: (row, seed) -> why it has no figures.
        seeds: all that were asked for.
        published: the paper's own figures.
        remarks: what the reader should know.
        hard_negatives: for Figure 3: threshold -> a client's mean hard negatives, one figure per seed.
    """

    parts: list[Part]
    failures: dict[tuple[str, int], str]
    seeds: tuple[int, ...]
    published: list[Figure]
    remarks: list[str] = field(default_factory=list)
    hard_negatives: dict[float, list[float]] = field(default_factory=dict)


def _value(scores: Scores, line: Line, column: Column, seed: int) -> Value | None:
    values = scores.values.get((line.row, seed), {})
    embedding = column.embedding or line.embedding
    if embedding != PERSONAL:
        return values.get((str(embedding), column.measure))
    for own in (BRANCH, BACKBONE, GENERIC):
        if any(key[0] == own for key in values):
            return values.get((own, column.measure))
    return None
