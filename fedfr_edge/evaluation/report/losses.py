"""The loss terms of the clients over the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.evaluation.report.canvas import Drawing, colour, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TERMS = {
    "loss": "total $L$ (Eq. 7)",
    "loss_cos": "CosFace (Eq. 1 and 3)",
    "loss_con": "contrastive (Eq. 5)",
    "loss_bce": "binary, decoupled (Eq. 6)",
    "loss_branch": "CosFace in the branch",
    "loss_kd": "distillation (KL)",
    "hard_negatives": "hard negatives, images",
}
"""Key in ``metrics.jsonl`` -> title of its panel."""


def losses_figure(rounds: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """One panel per term: mean over the clients, and the range between them; None without any."""
    series = {term: found for term in TERMS if (found := _series(rounds, term)) is not None}
    if not series:
        return None

    def fill(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        for place, (term, (numbers, values)) in enumerate(series.items()):
            axes = figure.add_subplot(1, len(series), place + 1)
            low, mean, high = (np.array([reduce(v) for v in values]) for reduce in (np.min, np.mean, np.max))
            axes.fill_between(numbers, low, high, color=colour(0), alpha=0.18, linewidth=0)
            axes.plot(numbers, mean, color=colour(0), marker="o", markersize=3 if len(numbers) > 12 else 5)
            axes.set_title(TERMS[term])
            axes.set_xlabel("round")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-3, 5))
            if place == 0:
                axes.set_ylabel("mean over a round's images")

    clients = len({client for line in rounds for client in line.get("clients", {})})
    caption = (
        f"Loss terms over {len(rounds)} round{'s' if len(rounds) > 1 else ''}. Line: mean over the "
        f"{clients} client{'s' if clients > 1 else ''}; band: from the lowest to the highest client."
    )
    return draw("losses", caption, (2.7 * len(series) + 0.4, 2.9), fill)


def _series(
    rounds: Sequence[Mapping[str, Any]], term: str
) -> tuple[list[int], list[npt.NDArray[np.float64]]] | None:
    """Rounds that have the term, and its value for each of their clients."""
    numbers, values = [], []
    for line in rounds:
        found = [float(client[term]) for client in line.get("clients", {}).values() if term in client]
        if found:
            numbers.append(int(line["round"]))
            values.append(np.array(found))
    return (numbers, values) if numbers else None
