"""TAR of every client, the worst one named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedfr_edge.evaluation.outcome import PersonalisedResult, headline
from fedfr_edge.evaluation.report.canvas import (
    GRID,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    Drawing,
    colour,
    draw,
    shown_name,
)
from fedfr_edge.evaluation.tables import rate_text, worst_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS_UP_TO = 12
"""Clients that still fit side by side as bars; more become a box per model."""


def clients_figure(results: Sequence[PersonalisedResult]) -> Drawing:
    """Bars for few clients, boxes with every client as a point for many."""
    place = headline(results)
    far = results[0].verification[place].far_target
    trials = results[0].verification[place].trials
    few = len(results[0].clients) <= BARS_UP_TO

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.grid(axis="x", visible=False)
        (_bars if few else _boxes)(axes, results, place)
        axes.set_ylabel(f"TAR at FAR {rate_text(far)}, %")

    span = f"{trials[0]:,}" if trials[0] == trials[1] else f"{trials[0]:,} to {trials[1]:,}"
    caption = (
        f"TAR at FAR {rate_text(far)} of every client ({span} mated pairs each); the worst is outlined. "
        + worst_text(results, place)
    )
    return draw("clients", caption, (9.2, 3.7), fill)


def _bars(axes: Axes, results: Sequence[PersonalisedResult], place: int) -> None:
    names = [client.client for client in results[0].clients]
    width = 0.8 / len(results)
    for number, result in enumerate(results):
        x = np.arange(len(names)) + (number - (len(results) - 1) / 2) * width
        values = [100 * client.verification[place].value for client in result.clients]
        bars = axes.bar(
            x, values, width * 0.92, color=colour(number), label=shown_name(result.name), zorder=2
        )
        worst = names.index(result.verification[place].worst_client)
        bars[worst].set_edgecolor(INK)
        bars[worst].set_linewidth(1.8)
        for left, value in zip(x, values, strict=True):
            if not np.isnan(value) and len(names) * len(results) <= 24:
                axes.annotate(
                    f"{value:.1f}",
                    (left, value),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7.5,
                )
    axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 8 else 0)
    axes.set_xlabel("client")
    axes.set_ylim(0, 108)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=len(results))


def _boxes(axes: Axes, results: Sequence[PersonalisedResult], place: int) -> None:
    for number, result in enumerate(results):
        values = np.array([100 * client.verification[place].value for client in result.clients])
        known = values[~np.isnan(values)]
        axes.boxplot(
            [known],
            positions=[number],
            widths=0.5,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": GRID, "edgecolor": MUTED},
            medianprops={"color": INK, "linewidth": 1.6},
            whiskerprops={"color": MUTED},
            capprops={"color": MUTED},
        )
        # A fixed zigzag instead of random jitter: the same result draws the same figure.
        x = number + 0.18 * (np.arange(len(values)) % 5 - 2) / 2
        axes.scatter(x, values, s=20, color=colour(number), marker=MARKERS[number % len(MARKERS)], zorder=3)
        mean = result.verification[place]
        if np.isnan(mean.worst):
            continue
        worst = [client.client for client in result.clients].index(mean.worst_client)
        axes.scatter(
            [x[worst]], [values[worst]], s=60, facecolor=PAPER, edgecolor=INK, linewidth=1.6, zorder=4
        )
        # The name stands clear of the box, joined to its point by a line.
        axes.plot(
            [x[worst], number + 0.29], [values[worst]] * 2, color=INK, linewidth=0.8, zorder=3, clip_on=False
        )
        axes.text(
            number + 0.3, values[worst], f"{mean.worst_client} {mean.worst:.1%}", fontsize=9, va="center"
        )
    axes.set_xticks(range(len(results)), [shown_name(result.name) for result in results])
    axes.set_xlim(-0.6, len(results) - 0.4)
