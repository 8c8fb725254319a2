"""Eyes and brows, painted in place."""

from __future__ import annotations

import numpy as np

from fedfr_edge.data.synth.canvas import Canvas
from fedfr_edge.data.synth.shapes import Array, column, hill, inside, paint, ramp, unit

_WINDOW = (0.04, 0.60, -0.34, 0.24)


def paint_eyes(canvas: Canvas) -> None:
    """Both eyes and brows: lids, white, iris, pupil, glint, lashes, crease, bags, hair of the brow."""
    near, far, top, bottom = _WINDOW
    for side in (-1.0, 1.0):
        edges = (near, far) if side > 0 else (-far, -near)
        part = canvas.window(*edges, top, bottom)
        _paint_eye(part, side)
        _paint_brow(part, side)
    _paint_join(canvas.window(-0.14, 0.14, -0.34, 0.0))


def _paint_eye(part: Canvas, side: float) -> None:
    people, shots = part.people, part.shots
    # u grows outward from the nose on both sides.
    u = side * part.s - column(people.eye_x)
    v = part.y - column(people.eye_tilt) * -u
    half = column(people.eye_width)
    t = np.clip(np.abs(u) / half, 0, 1.2)
    squint = 1 - 0.25 * column(np.maximum(shots.smile, 0))
    opening = column(people.eye_open * shots.lids) * squint
    # The upper lid peaks a little towards the nose, the lower one a little away from it.
    upper = -0.64 * opening * unit(1 - t * t) * (1 - 0.25 * u / half)
    lower = 0.36 * opening * unit(1 - t**3) * (1 + 0.2 * u / half)
    gap = np.minimum(v - upper, lower - v)
    eye = inside(gap, part.softness) * inside(half - np.abs(u), 0.02)

    # Shadow of the socket, bags, lid crease.
    lid = hill(u, 0, half * 0.9) * hill(v, -0.07, 0.035) * column(people.lid_dark) * 0.45
    bag_line = hill(v, lower + 0.055 - 0.25 * u * u, 0.016) * hill(u, 0, half * 0.7)
    dark = lid + column(people.bags) * 0.5 * bag_line
    dark = dark + column(people.bags) * 0.25 * hill(u, -0.02, half * 0.8) * hill(v, 0.06, 0.04)
    crease_at = upper - column(people.lid_crease)
    crease = hill(v, crease_at, 0.009) * inside(half * 1.1 - np.abs(u), 0.08)
    dark = np.clip(dark + 0.42 * crease, 0, 0.85)
    part.colour[:, 0] *= 1 - 0.85 * dark
    part.colour[:, 1:] *= (1 - dark)[:, None]

    shadow_mask = (
        inside(upper - v, 0.03) * inside(v - crease_at + 0.035, 0.06) * inside(half * 1.15 - np.abs(u), 0.12)
    )
    paint(part.colour, people.lid_colour, shadow_mask * column(people.lid_paint))

    # The ball: white, darker under the lid and in the corners.
    white = np.full_like(people.skin, 0.66) * (0.55 + 0.45 * people.skin.max(axis=1, keepdims=True))
    white *= np.array([1.0, 0.95, 0.92], np.float32)
    paint(part.colour, white, eye)
    # Wet, but a ball of its own: the glint below is its mirror image of the light, not the skin's sheen.
    part.gloss *= 1 - 0.85 * eye
    shadow = ramp(v, upper + 0.04, upper) * 0.55 + 0.30 * unit(t) ** 2
    part.colour *= 1 - (eye * np.clip(shadow, 0, 0.7))[:, None]
    gaze_x, gaze_y = column(shots.gaze[:, 0]), column(shots.gaze[:, 1])
    iris_u = u - side * gaze_x * 0.03
    iris_v = v - gaze_y * 0.015 + 0.10 * opening
    radius = column(people.iris_radius)
    distance = np.hypot(iris_u, iris_v)
    iris = eye * inside(radius - distance, part.softness)
    spokes = 1 + 0.35 * (distance / radius - 0.45)
    paint(part.colour, (people.iris[:, :, None, None] * spokes[:, None]), iris)
    ring = iris * ramp(distance, radius * 0.72, radius)
    part.colour *= 1 - (0.6 * ring)[:, None]
    pupil = eye * inside(radius * 0.42 - distance, part.softness)
    paint(part.colour, np.full_like(people.iris, 0.006), pupil)
    # The glint sits where the light comes from.
    glint_u = iris_u - side * column(shots.light[:, 0]) * 0.022
    glint_v = iris_v - column(shots.light[:, 1]) * 0.024 + 0.008
    glint = eye * inside(0.011 - np.hypot(glint_u, glint_v), part.softness * 0.8)
    paint(part.colour, np.full_like(people.iris, 1.3), 0.85 * glint)
    # Lashes: a dark line on the upper lid, thicker outward; a faint one below.
    thick = 0.010 + 0.012 * column(people.lash) * (0.7 + 0.5 * u / half)
    upper_line = hill(v, upper - 0.3 * thick, thick * 0.62) * inside(half * 1.06 - np.abs(u), 0.03)
    lower_line = hill(v, lower + 0.003, 0.007) * inside(half - np.abs(u), 0.06) * 0.35
    lashes = np.clip((0.55 + 0.4 * column(people.lash)) * np.maximum(upper_line, lower_line), 0, 0.95)
    paint(part.colour, people.skin * 0.06 + 0.004, lashes)


def _paint_brow(part: Canvas, side: float) -> None:
    people, shots = part.people, part.shots
    u = side * part.s - column(people.eye_x)
    reach = 0.155 * column(people.brow_long)
    along = (u + reach * 0.95) / (2.05 * reach)  # 0 at the nose, 1 at the temple
    raised = 0.045 * column(shots.brow_raise)
    middle = (
        -column(people.brow_y)
        - raised
        - column(people.brow_arch) * np.sin(np.pi * unit(along) ** 1.3)
        - column(people.brow_tilt) * (u - 0.05)
        + 0.035 * column(shots.frown) * (1 - unit(along)) ** 2
    )
    thick = column(people.brow_thick) * (0.85 + 0.5 * unit(along)) * unit(1.25 * (1.05 - along))
    body = (
        inside(thick - np.abs(part.y - middle), 0.022)
        * inside(along - 0.08, 0.26)
        * inside(1.02 - along, 0.1)
    )
    hairs = 0.85 + 0.15 * np.sin((u * 0.8 + (part.y - middle) * 1.4) * 260)
    mask = body * hairs * column(0.35 + 0.6 * people.brow_dense)
    paint(part.colour, _brow_colour(canvas=part), mask)


def _paint_join(part: Canvas) -> None:
    people = part.people
    if not people.brow_join.any():
        return
    middle = -column(people.brow_y) + 0.01 + column(people.brow_tilt) * 0.12
    mask = inside(column(people.brow_thick) * 0.75 - np.abs(part.y - middle), 0.03)
    mask = mask * hill(part.s, 0, 0.10) * column(people.brow_join) * 0.6
    paint(part.colour, _brow_colour(canvas=part), mask)


def _brow_colour(canvas: Canvas) -> Array:
    # Brows are darker than the hair on the head, and never lighter than the skin.
    return np.asarray(np.minimum(canvas.people.hair, canvas.people.skin) * 0.55, np.float32)
