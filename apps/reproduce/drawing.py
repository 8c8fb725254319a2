"""A reproduction as a figure: dots per method for tables, lines over t_HN or over the people of a client."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfr_edge.evaluation.report.canvas import DASHES, INK, MARKERS, MUTED, Drawing, colour, draw, shown_name

from ..study.plan import PRETRAINED
from .outcome import Cell, Part, Reproduction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SEEDS = "Small dots: single seeds; bars: from the lowest to the highest of them"


def drawing(name: str, title: str, found: Reproduction) -> Drawing | None:
    """The figure of a target; None where it has no figures to show."""
    parts = [part for part in found.parts if part.cells]
    if not parts:
        return None
    if parts[0].x is None:
        return _dots(name, title, parts[0])
    return _lines(name, title, parts, found)


def _panels(parts: list[Part]) -> list[str]:
    headings = dict.fromkeys(column.heading for part in parts for column in part.columns)
    return [
        heading for heading in headings if any(known == heading for part in parts for _, known in part.cells)
    ]


def _dots(name: str, title: str, part: Part) -> Drawing:
    """A panel per column, a row per line: the mean, the seeds, and the interval of the mean."""
    headings = _panels([part])
    columns = min(len(headings), 3)
    rows = math.ceil(len(headings) / columns)
    caption = (
        "Large dots: means over the seeds; thin lines: 95 % intervals of the mean, cut off at the edge; "
        "small dots: seeds."
    )

    def fill(figure: Figure) -> None:
        for place, heading in enumerate(headings):
            axes = figure.add_subplot(rows, columns, place + 1)
            lines = [line for line in part.lines if (line.name, heading) in part.cells]
            for height, line in enumerate(lines):
                _dot(axes, height, part.cells[line.name, heading])
            axes.set_yticks(range(len(lines)), [shown_name(line.name) for line in lines])
            axes.set_ylim(len(lines) - 0.4, -0.6)
            _room(axes, [part.cells[line.name, heading] for line in lines])
            axes.set_title(f"{heading}, %")
        figure.suptitle(title.replace("t_HN", "t$_{HN}$"), x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8.5)

    height = rows * (0.9 + 0.3 * len(part.lines)) + 0.8
    return draw(name, caption, (3.7 * columns + 0.6, height), fill)


def _dot(axes: Axes, height: int, cell: Cell) -> None:
    values = [100 * value.value for value in cell.values.values()]
    low, high = cell.interval
    if not math.isinf(low):
        axes.plot([100 * low, 100 * high], [height, height], color=MUTED, linewidth=1.2)
    axes.plot(values, [height] * len(values), "o", color=MUTED, markersize=3)
    axes.plot(float(np.mean(values)), height, "o", color=colour(0), markersize=7)


def _room(axes: Axes, cells: list[Cell]) -> None:
    """Limits by the seeds, not by intervals that three seeds make wider than the scale."""
    values = [100 * value.value for cell in cells for value in cell.values.values()]
    low, high = min(values), max(values)
    pad = max(0.35 * (high - low), 0.5)
    axes.set_xlim(max(low - pad, -1.0), min(high + pad, 101.0))


def _lines(name: str, title: str, parts: list[Part], found: Reproduction) -> Drawing:
    headings = _panels(parts)
    counts = bool(found.hard_negatives)
    panels = len(headings) + counts
    # Four beside each other, or three where that leaves fewer places empty.
    columns = min((4, 3), key=lambda count: -panels % count) if panels > 4 else panels
    rows = math.ceil(panels / columns)
    grid = not counts
    xs = [float(part.x or 0) for part in parts]
    # People of a client are named on the axis: 40, 10, 4 and 1 lie evenly beside each other.
    at: dict[float, float] = {x: (place if grid else x) for place, x in enumerate(xs)}
    names = list(dict.fromkeys(line.name for part in parts for line in part.lines))

    def fill(figure: Figure) -> None:
        handles: dict[str, Any] = {}
        for place, heading in enumerate(headings):
            axes = figure.add_subplot(rows, columns, place + 1)
            for number, method in enumerate(names):
                cells = {
                    at[float(part.x or 0)]: part.cells[method, heading]
                    for part in parts
                    if (method, heading) in part.cells
                }
                if cells:
                    handles[method] = _line(axes, number, len(names), method, cells)
            _axis(axes, heading + ", %", at, grid)
        if counts:
            axes = figure.add_subplot(rows, columns, len(headings) + 1)
            for x, values in found.hard_negatives.items():
                axes.plot([x] * len(values), values, "o", color=MUTED, markersize=3)
            means = [
                float(np.mean(found.hard_negatives[x])) if found.hard_negatives[x] else math.nan for x in xs
            ]
            axes.plot(xs, means, color=INK, marker="o", markersize=5)
            _axis(axes, "hard negatives of a client", at, grid)
        figure.suptitle(title.replace("t_HN", "t$_{HN}$"), x=0.01, ha="left", fontsize=12, fontweight="bold")
        labels = [shown_name(label) for label in handles]
        figure.legend(list(handles.values()), labels, loc="outside upper right", ncols=len(labels))
        figure.supxlabel(f"Lines: means over the seeds. {_SEEDS}.", x=0.01, ha="left", fontsize=8.5)

    return draw(name, _SEEDS, (3.5 * columns + 0.4, 2.7 * rows + 0.9), fill)


def _line(axes: Axes, number: int, methods: int, method: str, cells: dict[float, Cell]) -> Any:
    # Beside each other, so that bars of methods that are alike do not cover each other.
    span = max(cells) - min(cells) if len(cells) > 1 else 1.0
    shift = (number - (methods - 1) / 2) * 0.012 * span
    xs = [x + shift for x in cells]
    for x, cell in zip(xs, cells.values(), strict=True):
        values = [100 * value.value for value in cell.values.values()]
        axes.plot([x, x], [min(values), max(values)], color=colour(number), linewidth=1, alpha=0.6)
        axes.plot([x] * len(values), values, "o", color=colour(number), markersize=2.5, alpha=0.6)
    means = [100 * cell.mean.value for cell in cells.values()]
    (handle,) = axes.plot(
        xs,
        means,
        color=colour(number),
        linestyle=":" if method == PRETRAINED else DASHES[number % len(DASHES)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=5,
    )
    return handle


def _axis(axes: Axes, title: str, at: dict[float, float], grid: bool) -> None:
    axes.set_title(title)
    axes.set_xticks(list(at.values()), [f"{x:g}" for x in at])
    axes.set_xlabel("people of a client" if grid else "t$_{HN}$")
