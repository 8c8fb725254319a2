"""The strip of example decisions: cards on the page, a figure for files."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from fedfr_edge.evaluation.report.canvas import GRID, INK, RIGHT, WRONG, Drawing, draw
from fedfr_edge.evaluation.report.content import Decision
from fedfr_edge.evaluation.report.thumbnails import thumbnail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_ROW = 6


def verdict(decision: Decision) -> str:
    """What happened, in words that need no colour."""
    answer = "let in" if decision.accepted else "kept out"
    return f"{answer}, rightly" if decision.right else f"{answer}, wrongly"


def decisions_figure(decisions: Sequence[Decision]) -> Drawing:
    """Faces in rows, each with its score on a scale where the threshold is marked."""
    rows = -(-len(decisions) // PER_ROW)
    columns = min(len(decisions), PER_ROW)

    def fill(figure: Figure) -> None:
        for place, decision in enumerate(decisions):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.imshow(decision.image)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
            for spine in axes.spines.values():
                spine.set_visible(True)
                spine.set_color(RIGHT if decision.right else WRONG)
                spine.set_linewidth(2)
            axes.set_title(decision.name, fontsize=9)
            scale = axes.inset_axes((0.0, -0.13, 1.0, 0.08))
            scale.axis("off")
            scale.set_xlim(-0.2, 1)
            scale.set_ylim(-1, 1)
            scale.plot([-0.2, 1], [0, 0], color=GRID, linewidth=3, solid_capstyle="round")
            scale.plot([decision.threshold] * 2, [-1, 1], color=INK, linewidth=1.5)
            if decision.score is not None:
                fill_colour = RIGHT if decision.right else WRONG
                scale.plot([np.clip(decision.score, -0.2, 1)], [0], "o", color=fill_colour, markersize=6)
            score = "no score" if decision.score is None else f"{decision.score:.2f}"
            axes.set_xlabel(
                f"{score}, threshold {decision.threshold:.2f}\n{verdict(decision)}", fontsize=8, labelpad=18
            )

    return draw("decisions", decisions_caption(decisions), (1.9 * columns + 0.2, 2.75 * rows), fill)


def decisions_caption(decisions: Sequence[Decision]) -> str:
    """What the strip shows, with its counts."""
    genuine = [decision for decision in decisions if decision.expected]
    strangers = [decision for decision in decisions if not decision.expected]
    return (
        f"{len(decisions)} example decisions: {sum(d.accepted for d in genuine)} of {len(genuine)} genuine "
        f"attempts let in, {sum(not d.accepted for d in strangers)} of {len(strangers)} strangers kept out. "
        "Examples, not a measurement."
    )


def decisions_strip(decisions: Sequence[Decision]) -> str:
    """The cards."""
    cards = []
    for decision in decisions:
        score = "no score" if decision.score is None else f"score {decision.score:.3f}"
        dot = "" if decision.score is None else f'<em style="left:{_place(decision.score):.1f}%"></em>'
        detail = f"<br>{escape(decision.detail)}" if decision.detail else ""
        sign = "✓" if decision.right else "✗"
        cards.append(
            f'<div class="card" style="--c:var(--{"right" if decision.right else "wrong"})">'
            f'<img src="{thumbnail(decision.image)}" alt="{escape(decision.name, quote=True)}">'
            f'<div><span class="who">{escape(decision.name)}</span>'
            f'<div class="scale"><i></i><u style="left:{_place(decision.threshold):.1f}%"></u>{dot}</div>'
            f"{score}<br>threshold {decision.threshold:.3f}<br>"
            f'<span class="verdict">{sign} {verdict(decision)}</span>{detail}</div></div>'
        )
    return (
        f'<div class="strip">{"".join(cards)}</div><p class="note">{escape(decisions_caption(decisions))} '
        "The scale runs from −0.2 to 1; the bar across it is the threshold.</p>"
    )


def _place(score: float) -> float:
    return float(np.clip((score + 0.2) / 1.2 * 100, 0, 100))
