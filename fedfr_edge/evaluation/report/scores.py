"""How scores of mated and non-mated comparisons lie, with the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedfr_edge.evaluation.outcome import PLOT_BINS, PersonalisedResult, headline
from fedfr_edge.evaluation.report.canvas import INK, SERIES, Drawing, draw, shown_name
from fedfr_edge.evaluation.tables import rate_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MATED, NON_MATED = SERIES[0], SERIES[2]


def scores_figure(results: Sequence[PersonalisedResult]) -> Drawing:
    """One panel per model, all clients' comparisons together."""
    place = headline(results)
    far = rate_text(results[0].verification[place].far_target)
    sound = all(result.verification[place].supported for result in results)
    edges = np.linspace(-1, 1, PLOT_BINS + 1)
    both = np.array(
        [c.mated_histogram + c.non_mated_histogram for result in results for c in result.clients]
    ).sum(axis=0)
    occupied = np.flatnonzero(both)
    left, right = edges[max(occupied[0] - 2, 0)], edges[min(occupied[-1] + 3, PLOT_BINS)]

    columns = min(len(results), 3)
    rows = -(-len(results) // columns)
    sums = [
        sum(int(getattr(client, kind).sum()) for client in results[0].clients)
        for kind in ("mated_histogram", "non_mated_histogram")
    ]
    trials = f"{sums[0]:,} mated and {sums[1]:,} non-mated"

    def fill(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        first = None
        for number, result in enumerate(results):
            axes = figure.add_subplot(rows, columns, number + 1, sharex=first, sharey=first)
            first = first or axes
            mated = np.sum([client.mated_histogram for client in result.clients], axis=0)
            non_mated = np.sum([client.non_mated_histogram for client in result.clients], axis=0)
            for counts, colour, label, hatch in (
                (non_mated, NON_MATED, "non-mated", None),
                (mated, MATED, "mated", "///"),
            ):
                share = 100 * counts / max(counts.sum(), 1)
                axes.stairs(share, edges, fill=True, color=colour, alpha=0.3, linewidth=0, hatch=hatch)
                axes.stairs(share, edges, color=colour, linewidth=1.6, label=label)
            if sound:
                thresholds = [client.verification[place].threshold for client in result.clients]
                axes.axvspan(min(thresholds), max(thresholds), color=INK, alpha=0.12, linewidth=0)
                axes.axvline(
                    float(np.mean(thresholds)),
                    color=INK,
                    linewidth=1.4,
                    linestyle=(0, (5, 2)),
                    label=f"threshold at FAR {far}",
                )
            axes.set_title(shown_name(result.name))
            axes.set_xlim(left, right)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.tick_params(labelleft=number % columns == 0)  # the panels share the axis
            axes.set_xlabel("score (cosine)")
            if number % columns == 0:
                axes.set_ylabel("share of comparisons, %")
        if first is not None:
            figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=3)

    caption = (
        f"1:1 scores of all {len(results[0].clients)} clients together, {results[0].reading} reading: "
        f"{trials}. "
    )
    if sound:
        caption += f"Dashed: mean of the clients' thresholds at FAR {far}; grey: their range."
    else:
        caption += "No threshold is drawn: none rests on ten false accepts for every client."
    return draw("scores", caption, (3.4 * columns + 0.6, 2.7 * rows + 0.9), fill)
