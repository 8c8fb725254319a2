"""Mouth and nostrils, painted in place."""

from __future__ import annotations

import numpy as np

from fedfr_edge.data.synth.canvas import Canvas
from fedfr_edge.data.synth.shapes import column, hill, inside, paint, ramp, unit
from fedfr_edge.data.synth.skull import mouth_corners


def paint_mouth(canvas: Canvas) -> None:
    """Lips with their bow, the line between them, teeth and the dark behind when open."""
    part = canvas.window(-0.46, 0.46, 0.40, 0.98)
    people, shots, y = part.people, part.shots, part.y
    _, half, corner_y = (column(v) for v in mouth_corners(people, shots))
    t = unit(np.abs(part.s) / half)
    bowl = 1 - t * t
    # The line where the lips meet runs from corner to corner through the middle of the mouth.
    middle = column(people.mouth_y)
    line = corner_y + (middle - corner_y) * bowl
    opened = column(shots.mouth_open) * 0.12 + 0.02 * column(np.maximum(shots.smile - 0.45, 0))
    top, bottom = line - 0.35 * opened * bowl, line + 0.65 * opened * bowl
    bow = (
        1
        - 0.35 * column(people.lip_bow) * hill(part.s, 0, 0.035)
        + 0.12 * column(people.lip_bow) * hill(np.abs(part.s), 0.06, 0.03)
    )
    stretch = 1 - 0.25 * column(np.maximum(shots.smile, 0))
    upper = top - column(people.lip_upper) * stretch * bow * bowl**0.75
    lower = bottom + column(people.lip_lower) * stretch * bowl**0.8
    across = inside(half - np.abs(part.s), 0.02)
    lip = inside(np.minimum(y - upper, lower - y), 0.022) * across
    paint(part.colour, people.lips, 0.85 * lip)
    # Upper lip lies in shade, the lower one catches light; a shadow under it.
    part.colour *= 1 - (0.22 * lip * ramp(y, line + 0.005, line - 0.005))[:, None]
    sheen = lip * hill(y, bottom + 0.5 * (lower - bottom), 0.016) * hill(part.s, 0, 0.10)
    part.colour += (0.10 * sheen)[:, None]
    under = hill(y, lower + 0.035, 0.022) * hill(part.s, 0, half * 0.6)
    part.colour *= 1 - (0.18 * under)[:, None]
    hole = inside(np.minimum(y - top, bottom - y), part.softness) * across
    hole = hole * unit(opened * 60)
    part.gloss *= 1 - hole
    paint(part.colour, np.broadcast_to(np.array([0.035, 0.010, 0.010], np.float32), people.lips.shape), hole)
    teeth = hole * inside(top + 0.016 + 0.22 * opened - y, 0.014) * inside(half * 0.80 - np.abs(part.s), 0.06)
    paint(
        part.colour,
        np.broadcast_to(np.array([0.58, 0.54, 0.47], np.float32), people.lips.shape),
        0.92 * teeth,
    )
    seam = hill(y, line, 0.008) * across * (1 - unit(opened * 40))
    corners = hill(np.abs(part.s), half, 0.022) * hill(y, corner_y, 0.02)
    part.colour *= 1 - np.clip(0.72 * seam + 0.45 * corners, 0, 0.9)[:, None]


def paint_nose(canvas: Canvas) -> None:
    """Nostrils, the crease round the wings, the shade under the tip."""
    part = canvas.window(-0.30, 0.30, 0.16, 0.60)
    people, y = part.people, part.y
    x = np.abs(part.s - column(people.nose_skew))
    base = column(people.nose_y) + 0.075
    wide = column(people.nose_wide)
    nostril = hill(x, wide * 0.50, wide * 0.19) * hill(y, base - 0.004, 0.015) * column(people.nostril)
    wing = hill(np.hypot((x - wide * 0.72) / 0.055, (y - base + 0.025) / 0.06), 1.0, 0.22)
    wing = wing * ramp(x, wide * 0.75, wide * 1.0)
    under = hill(x, 0, wide * 0.7) * hill(y, base + 0.026, 0.018)
    dark = np.clip(0.80 * nostril + 0.30 * wing + 0.14 * under, 0, 0.92)
    part.colour[:, 0] *= 1 - 0.88 * dark
    part.colour[:, 1:] *= (1 - dark)[:, None]
