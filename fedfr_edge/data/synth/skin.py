"""Skin: blotches, flush, freckles, moles, birthmark, scar, wrinkles, beard."""

from __future__ import annotations

import numpy as np

from fedfr_edge.data.synth.canvas import Canvas
from fedfr_edge.data.synth.shapes import column, hill, inside, paint, ramp, unit
from fedfr_edge.data.synth.skull import mouth_corners


def paint_skin(canvas: Canvas) -> None:
    """Everything on the skin that is no eye, brow, nose or mouth, in place."""
    people, s, y = canvas.people, canvas.s, canvas.y
    side = np.abs(s)
    blotch = 1 + 0.05 * canvas.grain("cloud")
    canvas.colour *= blotch[:, None]
    # Blood shows on cheeks and nose: less green and blue.
    flush = column(people.flush) * (
        hill(side, 0.36, 0.13) * hill(y, 0.30, 0.13)
        + 0.6 * hill(s, 0, 0.09) * hill(y, column(people.nose_y), 0.09)
    )
    canvas.colour[:, 1] *= 1 - 0.45 * flush
    canvas.colour[:, 2] *= 1 - 0.40 * flush
    _freckles(canvas)
    _birthmark(canvas)
    _wrinkles(canvas)
    _scar(canvas)
    _moles(canvas)


def _freckles(canvas: Canvas) -> None:
    people = canvas.people
    if not people.freckles.any():
        return
    where = hill(np.abs(canvas.s), 0.24, 0.20) * hill(canvas.y, 0.22, 0.17) + 0.35 * hill(
        canvas.y, -0.4, 0.15
    )
    spots = inside(canvas.grain("speck", 1) - 0.9, 0.8) * where * column(people.freckles)
    for channel, dark in enumerate((0.45, 0.62, 0.72)):
        canvas.colour[:, channel] *= 1 - dark * spots


def _birthmark(canvas: Canvas) -> None:
    x, y, half_width, half_height, strength = (column(v) for v in canvas.people.patch.T)
    if not canvas.people.patch[:, 4].any():
        return
    radius = np.hypot((canvas.s - x) / half_width, (canvas.y - y) / half_height)
    mask = inside(1 - radius + 0.18 * canvas.grain("cloud", 2), 0.35) * strength
    for channel, dark in enumerate((0.30, 0.60, 0.55)):
        canvas.colour[:, channel] *= 1 - dark * mask


def _wrinkles(canvas: Canvas) -> None:
    people, s, y = canvas.people, canvas.s, canvas.y
    old = column(unit(people.age - 0.35))
    raised = 0.6 * old + 0.30 * column(np.maximum(canvas.shots.brow_raise, 0))
    wave = y + 0.03 * s * s
    lines = sum(
        (hill(wave, -0.30 - 0.085 * k - 0.06 * column(people.grain_shift[:, 0]), 0.009) for k in range(3)),
        start=np.zeros_like(wave),
    )
    dark = 0.35 * raised * lines * hill(s, 0, 0.26)
    # Crow's feet, and the folds beside the mouth.
    side = np.abs(s)
    eye_x, wide = column(people.eye_x), column(people.eye_width)
    fan = np.cos((y + 0.01) * 130) * 0.5 + 0.5
    dark = dark + 0.30 * old * fan * hill(side, eye_x + wide + 0.09, 0.035) * hill(y, 0.0, 0.05)
    nose_y = column(people.nose_y)
    smile = column(np.maximum(canvas.shots.smile, 0))
    fold_x = 0.14 + 0.42 * (y - nose_y) + 0.03 * smile
    fold = hill(side, fold_x, 0.016) * hill(y, nose_y + 0.16, 0.09)
    dark = dark + (0.22 * column(people.fold) + 0.15 * smile) * fold
    frown = column(canvas.shots.frown) * hill(side, 0.035, 0.008) * hill(y, -0.15, 0.05)
    dark = np.clip(dark + 0.4 * frown, 0, 0.8)
    canvas.colour[:, 0] *= 1 - 0.75 * dark
    canvas.colour[:, 1:] *= (1 - dark)[:, None]


def _scar(canvas: Canvas) -> None:
    x, y, angle, half, strength = (column(v) for v in canvas.people.scar.T)
    if not canvas.people.scar[:, 4].any():
        return
    dx, dy = canvas.s - x, canvas.y - y
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = dy * np.cos(angle) - dx * np.sin(angle) + 0.5 * along * along
    body = inside(half - np.abs(along), 0.05) * strength
    line = body * hill(across, 0, 0.012)
    paint(canvas.colour, unit(canvas.people.skin * 1.35 + 0.05), 0.8 * line)
    canvas.colour *= 1 - (0.35 * body * hill(across, 0.024, 0.010))[:, None]


def _moles(canvas: Canvas) -> None:
    dark = np.zeros_like(canvas.colour[:, 0])
    for k in range(canvas.people.moles.shape[1]):
        x, y, radius, strength = canvas.people.moles[:, k].T
        if not strength.any():
            continue
        distance = np.hypot(canvas.s - column(x), canvas.y - column(y))
        spot = inside(column(radius) - distance, canvas.softness) * column(strength)
        np.maximum(dark, spot, out=dark)
    for channel, depth in enumerate((0.80, 0.90, 0.92)):
        canvas.colour[:, channel] *= 1 - depth * dark


def paint_beard(canvas: Canvas) -> None:
    """Moustache, goatee and cheek beard, in place; stubble grows and goes between photographs."""
    people, s, y = canvas.people, canvas.s, canvas.y
    amount = np.stack([people.moustache, people.goatee, people.cheeks_beard])
    if not amount.any():
        return
    _, half, corner = (column(v) for v in mouth_corners(people, canvas.shots))
    length = column(people.face_length)
    mouth_y, nose_y = column(people.mouth_y), column(people.nose_y)
    side = np.abs(s)
    top_lip = mouth_y - column(people.lip_upper) * 0.9
    moustache = (
        inside(half * 1.18 - side, 0.08)
        * inside(top_lip - y + 0.10 * np.maximum(side - half * 0.75, 0), 0.035)
        * inside(y - (nose_y + 0.105) - 0.1 * side, 0.035)
    )
    moustache = np.maximum(
        moustache,
        hill(side, half * 1.12, 0.035) * inside(y - top_lip, 0.05) * inside(corner + 0.12 - y, 0.06),
    )
    goatee = inside(0.19 - side, 0.08) * inside(y - (mouth_y + column(people.lip_lower) * 1.15), 0.05)
    goatee = np.maximum(goatee, inside(half * 1.2 - side, 0.09) * inside(y - (corner + 0.16), 0.06))
    edge = 0.80 * length - 0.62 * ramp(side, 0.22, 0.62)
    cheeks = inside(y - edge, 0.09)
    mask = np.maximum(
        np.maximum(moustache * column(people.moustache), goatee * column(people.goatee)),
        cheeks * column(people.cheeks_beard),
    )
    lips = (
        inside(half * 0.98 - side, 0.05)
        * inside(y - top_lip, 0.03)
        * inside(mouth_y + column(people.lip_lower) - y, 0.03)
    )
    mask = mask * (1 - lips)
    hairs = np.clip(0.78 + 0.20 * canvas.grain("speck", 3), 0.2, 1.0)
    grown = column(0.72 + 0.28 * canvas.shots.stubble)
    paint(canvas.colour, people.beard, mask * hairs * grown)
    canvas.gloss *= 1 - 0.7 * mask
