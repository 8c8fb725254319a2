"""ROC and DET of every model, means over the clients, with the target rates marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfr_edge.evaluation.outcome import PLOT_FMRS, PersonalisedResult
from fedfr_edge.evaluation.report.canvas import (
    DASHES,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    Drawing,
    colour,
    draw,
    shown_name,
)
from fedfr_edge.evaluation.tables import rate_text, trials_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def roc_figure(results: Sequence[PersonalisedResult]) -> Drawing:
    """TAR over FMR (logarithmic)."""

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, result in enumerate(results):
            known = ~np.isnan(result.tar_curve)
            _line(axes, place, result.name, PLOT_FMRS[known], 100 * result.tar_curve[known])
            for rate in result.verification:
                _point(axes, place, rate.far_target, 100 * rate.value, rate.supported)
        _fmr_axis(axes, results)
        axes.set_ylabel("true accept rate (TAR), %")
        axes.set_ylim(0, 102)
        axes.legend(loc="lower right")

    return draw("roc", _caption("ROC", results), (5.6, 4.1), fill)


def det_figure(results: Sequence[PersonalisedResult]) -> Drawing:
    """FNMR over FMR, both logarithmic: where errors are rare, differences show."""
    # Below one missed pair of the smallest client there is nothing to see.
    floor = 100 / max(1, min(rate.trials[0] for result in results for rate in result.verification))
    floor = max(floor, 0.01)

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, result in enumerate(results):
            known = ~np.isnan(result.tar_curve)
            fnmr = np.maximum(100 * (1 - result.tar_curve[known]), floor)
            _line(axes, place, result.name, PLOT_FMRS[known], fnmr)
            for rate in result.verification:
                _point(axes, place, rate.far_target, max(100 * (1 - rate.value), floor), rate.supported)
        _fmr_axis(axes, results)
        axes.set_yscale("log")
        axes.set_ylabel("false non-match rate (FNMR), %")
        axes.set_ylim(floor * 0.85, 130)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(loc="lower left")

    note = f" Values below {floor:.2g} % are drawn there: no client has trials enough to show them."
    return draw("det", _caption("DET", results) + note, (5.6, 4.1), fill)


def _line(axes: Axes, place: int, name: str, x: Any, y: Any) -> None:
    axes.plot(
        x, y, color=colour(place), linestyle=DASHES[place % len(DASHES)], label=shown_name(name), zorder=3
    )


def _point(axes: Axes, place: int, x: float, y: float, supported: bool) -> None:
    if np.isnan(y):
        return
    axes.plot(
        [x],
        [y],
        marker=MARKERS[place % len(MARKERS)],
        markersize=6,
        markerfacecolor=colour(place) if supported else PAPER,
        markeredgecolor=colour(place),
        linestyle="none",
        zorder=4,
        clip_on=False,
    )


def _fmr_axis(axes: Axes, results: Sequence[PersonalisedResult]) -> None:
    known = [PLOT_FMRS[~np.isnan(result.tar_curve)] for result in results]
    targets = sorted({rate.far_target for result in results for rate in result.verification})
    low = min([*(x[0] for x in known if x.size), *targets])
    axes.set_xscale("log")
    axes.set_xlim(low * 0.8, 1.1)
    axes.set_xlabel("false match rate (FMR)")
    for target in targets:
        axes.axvline(target, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            f"FAR {rate_text(target)}",
            (target, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            va="bottom",
            ha="center",
            fontsize=8.5,
            color=INK,
        )


def _caption(kind: str, results: Sequence[PersonalisedResult]) -> str:
    clients = len(results[0].clients)
    hollow = any(not rate.supported for result in results for rate in result.verification)
    return (
        f"{kind}, {results[0].reading} reading, mean over {clients} client{'s' if clients > 1 else ''}. "
        f"Per client: {trials_text(results[0])} Dotted: the target false-accept rates"
        + ("; hollow marks rest on fewer than ten false accepts." if hollow else ".")
    )
