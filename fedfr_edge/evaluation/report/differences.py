"""Paired differences between models: a line for each, with its interval, about zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedfr_edge.evaluation.report.canvas import INK, MUTED, PAPER, RIGHT, WRONG, Drawing, draw, shown_name
from fedfr_edge.evaluation.report.content import Contrast
from fedfr_edge.evaluation.report.intervals import points
from fedfr_edge.evaluation.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 24
"""Differences that fit into one figure; the table has them all."""


def differences_figure(differences: Sequence[Contrast]) -> Drawing | None:
    """None where no difference has an interval."""
    drawn = [one for one in differences if math.isfinite(one.interval[0] + one.interval[1])][:MOST]
    if not drawn:
        return None

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=INK, linewidth=1.2)
        for row, one in enumerate(drawn):
            low, high = (100 * edge for edge in one.interval)
            hue = {"higher": RIGHT, "lower": WRONG, "no difference shown": MUTED}[one.verdict]
            clear = one.verdict != "no difference shown"
            axes.plot([low, high], [row, row], color=hue, linewidth=2.4, solid_capstyle="butt")
            axes.plot(
                [100 * one.value],
                [row],
                "o",
                color=hue,
                markerfacecolor=hue if clear else PAPER,
                markersize=6,
            )
        axes.set_yticks(range(len(drawn)), [shown_name(f"{one.text}, {one.measure}") for one in drawn])
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.set_xlabel("difference, percentage points")

    caption = (
        "Paired differences with 95 % intervals. Filled: the interval leaves 0 out. Hollow and grey: no "
        "difference shown, which does not say that there is none."
    )
    return draw("differences", caption, (8.6, 0.34 * len(drawn) + 1.1), fill)


def differences_table(differences: Sequence[Contrast]) -> Table:
    """One row per difference."""
    rows = []
    for one in differences:
        low, high = one.interval
        known = math.isfinite(low) and math.isfinite(high)
        rows.append(
            (
                one.text,
                one.measure,
                points(one.value),
                f"[{points(low)}, {points(high)}]" if known else "unknown",
                one.verdict,
            )
        )
    bases = "; ".join(dict.fromkeys(one.basis for one in differences))
    notes = (
        f"Percentage points; both sides of a difference saw the same trials. 95 % intervals: {bases}. "
        "Intervals are not widened for the number of comparisons.",
    )
    header = ("from → to", "measure", "difference", "95 % interval", "the right side is")
    return Table("Differences", header, tuple(rows), notes)
