"""TAR of every client: a box per model, every client a point, the worst one named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

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

BOXES_FROM = 5
"""Clients from which on quartiles say more than the points themselves."""

NAMED_UP_TO = 4
"""Models between which there is room for names and joining lines."""

Values = npt.NDArray[np.float64]

JOINED_UP_TO = 12
"""Clients that can still be followed from model to model by a line each."""


def clients_figure(results: Sequence[PersonalisedResult], drawn: Sequence[str] = ()) -> Drawing | None:
    """One column per model; None where no false-accept rate is supported for all of them.

    Args:
        results: the models.
        drawn: names of those that other figures show, in their order: they keep their colours, the rest
            is grey. Empty where all are shown.
    """
    places = {name: number for number, name in enumerate(drawn or [result.name for result in results])}
    place = headline(results)
    if not all(result.verification[place].supported for result in results):
        return None
    far = results[0].verification[place].far_target
    trials = results[0].verification[place].trials
    names = [client.client for client in results[0].clients]
    values = np.array(
        [[100 * client.verification[place].value for client in result.clients] for result in results]
    )
    joined = 1 < len(names) <= JOINED_UP_TO and 1 < len(results) <= NAMED_UP_TO

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.grid(axis="x", visible=False)
        # A fixed zigzag instead of random jitter: the same result draws the same figure.
        shift = 0.0 if len(names) <= JOINED_UP_TO else 0.18 * (np.arange(len(names)) % 5 - 2) / 2
        x = np.arange(len(results))[:, None] + shift + np.zeros(len(names))
        if joined:
            axes.plot(x, values, color=MUTED, linewidth=0.8, zorder=2)
        for number, result in enumerate(results):
            worst = result.verification[place].worst_client
            _column(axes, number, places.get(result.name), names, x[number], values[number])
            if len(names) > 1 and len(results) <= NAMED_UP_TO and worst in names:
                _name_worst(
                    axes, number, worst, x[number][names.index(worst)], values[number][names.index(worst)]
                )
        slanted: dict[str, Any] = {"rotation": 25, "ha": "right"} if len(results) > 4 else {}
        axes.set_xticks(range(len(results)), [shown_name(result.name) for result in results], **slanted)
        axes.set_xlim(-0.6, len(results) - 0.4)
        axes.set_ylabel(f"TAR at FAR {rate_text(far)}, %")
        known = values[~np.isnan(values)]
        if known.size:
            room = max(0.06 * np.ptp(known), 0.6)
            axes.set_ylim(max(known.min() - room, 0.0), min(known.max() + room, 100.5))

    span = f"{trials[0]:,}" if trials[0] == trials[1] else f"{trials[0]:,} to {trials[1]:,}"
    named = len(names) > 1 and len(results) <= NAMED_UP_TO
    caption = (
        f"TAR at FAR {rate_text(far)} of every client ({span} mated pairs each); bar: mean"
        + ("; ring: the worst client. " if named else ". ")
        + ("Box: quartiles and median over the clients. " if len(names) >= BOXES_FROM else "")
        + ("Lines join the points of one client. " if joined else "")
        + (worst_text(results, place) if named else "The table above names each model's worst client.")
    )
    return draw("clients", caption, (max(5.2, min(1.9 * len(results) + 1.6, 10.4)), 4.1), fill)


def _column(
    axes: Axes, number: int, place: int | None, names: Sequence[str], x: Values, values: Values
) -> None:
    known = values[~np.isnan(values)]
    if not known.size:
        return
    hue = MUTED if place is None else colour(place)
    if len(names) >= BOXES_FROM:
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
    axes.plot([number - 0.25, number + 0.25], [known.mean()] * 2, color=hue, linewidth=2.6)
    marker = MARKERS[(place or 0) % len(MARKERS)]
    axes.scatter(x, values, s=24, color=hue, marker=marker, zorder=3)


def _name_worst(axes: Axes, number: int, name: str, x: float, value: float) -> None:
    """A ring around the point; the name stands clear of the points, joined to its own by a line."""
    if np.isnan(value):
        return
    axes.scatter([x], [value], s=64, facecolor=PAPER, edgecolor=INK, linewidth=1.6, zorder=4)
    axes.plot([x, number + 0.14], [value] * 2, color=INK, linewidth=0.8, zorder=3)
    axes.text(number + 0.16, value, name, fontsize=8.5, va="center")
