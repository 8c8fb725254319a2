"""A measure over a setting that was swept: the layout of the paper's Figures 3 and 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedfr_edge.evaluation.report.canvas import DASHES, MARKERS, Drawing, colour, draw, shown_name
from fedfr_edge.evaluation.report.content import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sweep_figure(sweep: Sweep) -> Drawing:
    """A panel per measure, a line per method."""

    columns = min(len(sweep.panels), 3)
    rows = -(-len(sweep.panels) // columns)

    def fill(figure: Figure) -> None:
        values = [point[0] for _, lines in sweep.panels for line in lines for point in line.points]
        span = max(values) - min(values)
        names = list(dict.fromkeys(line.name for _, lines in sweep.panels for line in lines))
        for number, (title, lines) in enumerate(sweep.panels):
            axes = figure.add_subplot(rows, columns, number + 1)
            for line in lines:
                place = names.index(line.name)
                x, value, low, high = 100 * np.array(line.points).T
                # A little apart, so that bars do not hide each other.
                x = x / 100 + (place - (len(names) - 1) / 2) * 0.012 * span
                known = ~np.isnan(low)
                axes.errorbar(
                    x,
                    value,
                    yerr=np.where(known, [value - low, high - value], 0),
                    color=colour(place),
                    linestyle=DASHES[place % len(DASHES)],
                    marker=MARKERS[place % len(MARKERS)],
                    capsize=3,
                    label=shown_name(line.name),
                )
            axes.set_title(shown_name(title), fontsize=9.5)
            axes.set_xlabel(sweep.setting)
            axes.set_xticks(sorted({point[0] for line in lines for point in line.points}))
            if number % columns == 0:
                axes.set_ylabel("%")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(len(names), 4))

    return draw(sweep.name, sweep.caption, (3.7 * columns + 0.3, 2.9 * rows + 0.6), fill)
