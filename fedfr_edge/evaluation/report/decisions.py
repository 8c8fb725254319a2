"""The strip of example decisions, as a figure for files; the page draws its own cards."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedfr_edge.evaluation.report.canvas import GRID, INK, RIGHT, WRONG, Drawing, draw
from fedfr_edge.evaluation.report.content import Decision
from fedfr_edge.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAIL = 168
"""Longer side of a thumbnail on the page, pixels (drawn at half that on a dense screen)."""

PER_ROW = 6


def verdict(decision: Decision) -> str:
    """What happened, in words that need no colour."""
    answer = "let in" if decision.accepted else "kept out"
    return f"{answer}, rightly" if decision.right else f"{answer}, wrongly"


def thumbnail(image: Image) -> str:
    """``image`` as a small JPEG in a data URI."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(np.ascontiguousarray(image, dtype=np.uint8))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


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
