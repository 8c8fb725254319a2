"""ROC, DET and TPIR over FPIR of every model, means over the clients.

A line ends where some client has fewer than ten false accepts left: what lies to its left looks like
a measurement and is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS
from fedfr_edge.evaluation.outcome import PLOT_FMRS, PLOT_FPIRS, MeanRate, PersonalisedResult
from fedfr_edge.evaluation.report.canvas import (
    DASHES,
    INK,
    MARKERS,
    MUTED,
    Drawing,
    colour,
    draw,
    shown_name,
)
from fedfr_edge.evaluation.tables import rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (5.6, 4.3)

DET_UP_TO = 0.3
"""Greatest FMR of the DET."""


def roc_figure(results: Sequence[PersonalisedResult]) -> Drawing | None:
    """TAR over FMR (logarithmic); None where no client has ten false accepts at any FMR."""
    carried = [_carried(result) for result in results]
    if not any(mask.any() for mask in carried):
        return None

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (result, mask) in enumerate(zip(results, carried, strict=True)):
            _curve(axes, place, result.name, PLOT_FMRS, result.tar_curve, result.tar_band, mask, _per_cent)
            _points(axes, place, result.verification, _per_cent)
        _rate_axis(
            axes, [rate for result in results for rate in result.verification], PLOT_FMRS, carried, "FAR"
        )
        axes.set_xlabel("false match rate (FMR)")
        axes.set_ylabel("true accept rate (TAR), %")
        axes.set_ylim(0, 102)
        axes.legend(loc="lower right")

    return draw("roc", "ROC: " + _caption(results), SIZE, fill)


def det_figure(results: Sequence[PersonalisedResult]) -> Drawing | None:
    """FNMR over FMR, both logarithmic: where errors are rare, differences show."""
    # Further right FNMR falls to nothing and would squeeze the rest into a corner.
    carried = [_carried(result) & (PLOT_FMRS <= DET_UP_TO) for result in results]
    if not any(mask.any() for mask in carried):
        return None
    # Below one missed pair of all clients together there is nothing to see.
    totals = [sum(client.verification[0].trials for client in result.clients) for result in results]
    floor = max(100 / max(1, *totals), 0.001)
    drawn = [(result, mask) for result, mask in zip(results, carried, strict=True) if mask.any()]

    def missed(tar: Any) -> Any:
        return np.maximum(100 * (1 - tar), floor)

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (result, mask) in enumerate(zip(results, carried, strict=True)):
            _curve(axes, place, result.name, PLOT_FMRS, result.tar_curve, result.tar_band, mask, missed)
            _points(axes, place, result.verification, missed)
        _rate_axis(
            axes, [rate for result in results for rate in result.verification], PLOT_FMRS, carried, "FAR"
        )
        axes.set_xlabel("false match rate (FMR)")
        axes.set_yscale("log")
        axes.set_ylabel("false non-match rate (FNMR), %")
        lowest = min(missed(result.tar_curve[mask]).min() for result, mask in drawn)
        axes.set_ylim(max(0.7 * lowest, 0.85 * floor), 115)
        axes.set_xlim(right=DET_UP_TO)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}" if lowest > 10 else "")
        axes.legend(loc="lower left")

    note = ""
    if any((missed(result.tar_curve[mask]) <= floor).any() for result, mask in drawn):
        note = (
            f" Values below {floor:.2g} % are drawn there: that is one missed pair of all clients together."
        )
    return draw("det", "DET: " + _caption(results) + note, SIZE, fill)


def search_figure(results: Sequence[PersonalisedResult]) -> Drawing | None:
    """TPIR over FPIR; None where no client has ten false positives at any FPIR."""
    carried = [
        _supported(result.identification, PLOT_FPIRS) & ~np.isnan(result.tpir_curve) for result in results
    ]
    if not any(mask.any() for mask in carried):
        return None

    def fill(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (result, mask) in enumerate(zip(results, carried, strict=True)):
            _curve(axes, place, result.name, PLOT_FPIRS, result.tpir_curve, result.tpir_band, mask, _per_cent)
            _points(axes, place, result.identification, _per_cent)
        _rate_axis(
            axes, [rate for result in results for rate in result.identification], PLOT_FPIRS, carried, "FPIR"
        )
        axes.set_xlabel("false positive identification rate (FPIR)")
        axes.set_ylabel("true positive identification rate (TPIR), %")
        axes.set_ylim(0, 102)
        axes.legend(loc="lower right")

    return draw("search", "TPIR over FPIR: " + _caption(results, "1:N"), SIZE, fill)


def _supported(rates: Sequence[MeanRate], targets: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Where every client has ten false accepts or more."""
    least = min((rate.non_mated[0] for rate in rates), default=0)
    return np.asarray(targets * least >= LEAST_FALSE_ACCEPTS)


def _carried(result: PersonalisedResult) -> npt.NDArray[np.bool_]:
    """Where the ROC may be drawn: bool (141,)."""
    return _supported(result.verification, PLOT_FMRS) & ~np.isnan(result.tar_curve)


def _per_cent(share: Any) -> Any:
    return 100 * share


def _curve(
    axes: Axes,
    place: int,
    name: str,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    band: npt.NDArray[np.float64] | None,
    mask: npt.NDArray[np.bool_],
    shown: Callable[[Any], Any],
) -> None:
    """One model's line with its band where ``mask`` allows; ``shown`` is the axis's scale."""
    if band is not None:
        low, high = (shown(edge[mask]) for edge in band)
        axes.fill_between(x[mask], low, high, color=colour(place), alpha=0.16, linewidth=0)
    style = DASHES[place % len(DASHES)]
    axes.plot(x[mask], shown(y[mask]), color=colour(place), linestyle=style, label=shown_name(name), zorder=3)


def _points(axes: Axes, place: int, rates: Sequence[MeanRate], y: Any) -> None:
    """A mark at each supported target."""
    for rate in rates:
        if rate.supported and not np.isnan(rate.value):
            axes.plot(
                [rate.far_target],
                [y(rate.value)],
                marker=MARKERS[place % len(MARKERS)],
                markersize=6,
                color=colour(place),
                linestyle="none",
                zorder=4,
                clip_on=False,
            )


def _rate_axis(
    axes: Axes,
    rates: Sequence[MeanRate],
    curve: npt.NDArray[np.float64],
    carried: Sequence[npt.NDArray[np.bool_]],
    word: str,
) -> None:
    targets = sorted({rate.far_target for rate in rates if rate.supported})
    low = min([*(curve[mask][0] for mask in carried if mask.any()), *targets])
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlim(low * 0.8, 1.1)
    for target in targets:
        axes.axvline(target, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            f"{word} {rate_text(target)}",
            (target, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            va="bottom",
            ha="center",
            fontsize=8.5,
            color=INK,
        )


def _caption(results: Sequence[PersonalisedResult], kind: str = "1:1") -> str:
    first = results[0]
    clients = len(first.clients)
    rate = first.verification[0] if kind == "1:1" else first.identification[0]
    trials, accepts = ("pairs", "false accepts") if kind == "1:1" else ("probes", "false positives")
    text = (
        f"{first.reading} reading, mean over {clients} client{'s' if clients > 1 else ''}; at least "
        f"{rate.trials[0]:,} mated and {rate.non_mated[0]:,} non-mated {trials} each. "
    )
    if any(result.tar_band is not None for result in results):
        text += "Bands: 95 % intervals, people drawn anew. "
    return text + f"Dotted: target rates. Lines end where some client has fewer than ten {accepts} left."
