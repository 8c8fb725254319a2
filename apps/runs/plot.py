"""Figures of one run, of several, and of pre-training, in the style of the report pages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge import atomic
from fedfr_edge.evaluation.report.canvas import (
    DASHES,
    MARKERS,
    PAPER,
    Drawing,
    colour,
    draw,
    shown_name,
)
from fedfr_edge.evaluation.tables import rate_text

from .means import LOSSES
from .panels import TITLES, Line, Panel, mean_line, run_panels, score_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def run_figure(
    title: str, rounds: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]
) -> Drawing | None:
    """Losses, scores, hard negatives and time of one run; None while there is nothing to show.

    Args:
        title: stands above the panels.
        rounds: lines of ``metrics.jsonl``.
        scores: lines of ``scores.jsonl``.
    """
    panels = score_panels(scores) + run_panels(rounds)
    caption = "Lines: means over the clients, weighted by images; bands: lowest to highest client."
    return _grid("run", title, caption, panels, "round") if panels else None


def comparison_figure(runs: Sequence[tuple[str, Sequence[Any], Sequence[Any]]]) -> Drawing | None:
    """The same panels with one line for each run: ``(name, rounds, scores)``."""
    panels = []
    for model in dict.fromkeys(m["name"] for _, _, scores in runs for line in scores for m in line["models"]):
        for title in dict.fromkeys(p.title for _, _, scores in runs for p in score_panels(scores)):
            found = []
            for place, (name, _, scores) in enumerate(runs):
                of_run = {panel.title: panel.lines for panel in score_panels(scores, every=True)}
                found += [
                    Line(name, line.points, place, hollow=line.hollow)
                    for line in of_run.get(title, [])
                    if line.name == model
                ]
            panels.append(Panel(f"{shown_name(model)}: {title}", found))
    for name in (*LOSSES, "hard_negatives", "seconds"):
        lines = [
            Line(title, mean_line(rounds, name).points, place)
            for place, (title, rounds, _) in enumerate(runs)
        ]
        if any(value for line in lines for _, value in line.points):
            panels.append(Panel(TITLES[name], [line for line in lines if line.points]))
    caption = "Lines: means over the clients, weighted by images."
    return _grid("comparison", "", caption, panels, "round") if panels else None


def pretrain_figure(title: str, records: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """Loss, accuracy, validation, learning rate and time of pre-training, from its ``metrics.jsonl``."""
    if not records:
        return None
    panels = [
        Panel(text, [Line("", [(int(r["epoch"]), factor * float(r[name])) for r in records])])
        for name, text, factor in (
            ("loss", "CosFace (Eq. 1)", 1),
            ("accuracy", "accuracy on its own faces, %", 100),
            ("learning_rate", "learning rate", 1),
            ("seconds", "seconds an epoch", 1),
        )
    ]
    measured = [(int(r["epoch"]), r["validation"]) for r in records if "validation" in r]
    known = [(epoch, rate) for epoch, rate in measured if rate["value"] is not None]
    if known:
        line = Line("", [(epoch, 100 * rate["value"]) for epoch, rate in known])
        line.hollow = {epoch for epoch, rate in known if not rate["supported"]}
        far = rate_text(known[0][1]["far_target"])
        panels.insert(2, Panel(f"held out: TAR at FAR {far}, %", [line]))
    return _grid("pretrain", title, "", panels, "epoch")


def write_drawing(drawing: Drawing, folder: Path, name: str) -> None:
    """Write ``<name>.svg`` and ``<name>.png``, each atomically.

    Raises:
        WriteError: the disk refused.
    """
    atomic.write_bytes(folder / f"{name}.svg", drawing.svg)
    atomic.write_bytes(folder / f"{name}.png", drawing.png)


def _grid(name: str, title: str, caption: str, panels: Sequence[Panel], unit: str) -> Drawing:
    # Four beside each other, or three where that leaves fewer places empty.
    columns = min((4, 3), key=lambda count: -len(panels) % count) if len(panels) > 4 else len(panels)
    rows = math.ceil(len(panels) / columns)
    names = {line.name: line.place for panel in panels for line in panel.lines if line.name}

    def fill(figure: Figure) -> None:
        handles: dict[str, Any] = {}
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, place + 1)
            for line in panel.lines:
                handle = _draw_line(axes, line)
                if line.name:
                    handles[line.name] = handle
            _dress(axes, panel, unit)
        if title:
            figure.suptitle(shown_name(title), x=0.01, ha="left", fontsize=12, fontweight="bold")
        if handles:
            labels = [shown_name(label) for label in handles]
            figure.legend(list(handles.values()), labels, loc="outside upper right", ncols=min(len(names), 4))
        if caption or any(line.hollow for panel in panels for line in panel.lines):
            hollow = any(line.hollow for panel in panels for line in panel.lines)
            more = " Hollow: rests on fewer than ten false accepts." if hollow else ""
            figure.supxlabel((caption + more).strip(), x=0.01, ha="left", fontsize=8.5)

    return draw(name, caption, (3.1 * columns + 0.3, 2.6 * rows + 0.8), fill)


def _draw_line(axes: Axes, line: Line) -> Any:
    if any(high > low for _, low, high in line.band):
        at, low, high = zip(*line.band, strict=True)
        axes.fill_between(at, low, high, color=colour(line.place), alpha=0.18, linewidth=0)
    numbers = [number for number, _ in line.points]
    style: dict[str, Any] = {
        "color": colour(line.place),
        # One step further on each time the colours begin again, so that no two lines look alike.
        "linestyle": DASHES[(line.place + line.place // len(MARKERS)) % len(DASHES)],
        "marker": MARKERS[line.place % len(MARKERS)],
        "markersize": 3 if len(numbers) > 12 else 5,
    }
    (handle,) = axes.plot(numbers, [value for _, value in line.points], **style)
    weak = [(number, value) for number, value in line.points if number in line.hollow]
    axes.plot(
        [number for number, _ in weak],
        [value for _, value in weak],
        **{**style, "linestyle": "none", "markerfacecolor": PAPER},
    )
    return handle


def _dress(axes: Axes, panel: Panel, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(panel.title)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-3, 5))
    numbers = [number for line in panel.lines for number, _ in line.points]
    if len(set(numbers)) == 1:
        axes.set_xlim(numbers[0] - 1, numbers[0] + 1)
    low, high = axes.get_ylim()
    middle = (low + high) / 2
    if high - low < 1e-3 * abs(middle):  # a constant, whose last digits are nobody's business
        axes.set_ylim(middle - 0.01 * abs(middle), middle + 0.01 * abs(middle))


class Plotter:
    """Draws a figure again and again; no fault of a plot can make its run fail.

    Drawing takes a second or two. It is left out while the last time is less than five times as long ago
    as drawing took, so that a run of very short rounds does not wait for its plot; :meth:`close` draws what
    was left out.

    Args:
        draw_it: makes the figure, or None while there is nothing to show.
        folder: where it goes, as ``<name>.svg`` and ``<name>.png``.
        name: see there.
        remark: told of the first fault.
        clock: seconds, from anywhere.
    """

    def __init__(
        self,
        draw_it: Callable[[], Drawing | None],
        folder: Path,
        name: str,
        remark: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw, self._folder, self._name = draw_it, folder, name
        self._remark, self._clock = remark, clock
        self._said = self._behind = False
        self._took, self._ended = 0.0, -math.inf

    def __call__(self) -> None:
        """Draw, unless that was done a moment ago."""
        self._behind = self._clock() - self._ended < 5 * self._took
        if not self._behind:
            self._redraw()

    def close(self) -> None:
        """Draw what was left out."""
        if self._behind:
            self._redraw()

    def _redraw(self) -> None:
        started, self._behind = self._clock(), False
        try:
            drawing = self._draw()
            if drawing is not None:
                write_drawing(drawing, self._folder, self._name)
        except Exception as error:  # of any kind: a plot is worth less than the run that it shows
            if not self._said:
                file = self._folder / f"{self._name}.svg"
                self._remark(f"the plot {file} could not be drawn ({error}); the run goes on without it")
            self._said = True
        self._ended = self._clock()
        self._took = self._ended - started
