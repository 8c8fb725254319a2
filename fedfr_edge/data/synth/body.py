"""Ears, neck, shoulders and clothes."""

from __future__ import annotations

import numpy as np

from .layers import Layers
from .shapes import Array, column, inside, ramp, smooth
from .skull import Skull, profile


def lay_torso(layers: Layers, skull: Skull, qx: Array, qy: Array) -> None:
    """Chest, shoulders and clothes, upright whatever the head does."""
    people, shots = skull.people, skull.shots
    x, y = _upright(skull, qx, qy)
    # Shoulders: a slope from the neck, rounded at the arms.
    shoulder = column(people.shoulders)
    top = 1.16 + 0.34 * np.abs(x) / shoulder + 0.5 * ramp(np.abs(x), shoulder * 0.75, shoulder * 1.15) ** 2
    body_slope = np.clip(-x / shoulder * 0.5, -1, 1)
    on = inside(y - top, 0.03)
    layers.lay(on * ramp(y, 1.0, 1.1), people.skin, (body_slope, 0.1 + 0 * x), open=0.85, gloss=0.03)
    cut = _collar(skull, x)
    cloth = on * inside(y - cut, 0.025)
    folds = 1 + 0.10 * np.sin(x * 9 + y * 5 + 6 * column(people.grain_shift[:, 0]))
    hem = 1 - 0.35 * (1 - ramp(y - cut, 0.0, 0.05))
    layers.lay(cloth, shots.cloth[:, :, None, None] * (folds * hem)[:, None], (body_slope, 0.35 + 0 * x))


def lay_neck(layers: Layers, skull: Skull, qx: Array, qy: Array) -> None:
    """The neck, before the hair that hangs behind it."""
    people = skull.people
    x, y = _upright(skull, qx, qy)
    neck = column(people.neck)
    half = neck * (1 + 0.10 * ramp(y, 0.7, 0.5) + 0.9 * ramp(y, 1.05, 1.55) ** 2)
    bulge = np.clip(x / half, -0.97, 0.97)
    neck_slope = -bulge / np.sqrt(1 - bulge * bulge) * 0.6
    under_chin = 0.25 + 0.60 * ramp(y, 0.98 * column(people.face_length), 1.35 * column(people.face_length))
    neck_mask = inside(half - np.abs(x), 0.03) * inside(y - 0.35, 0.1) * inside(_collar(skull, x) - y, 0.05)
    layers.lay(neck_mask, people.skin, (neck_slope, 0.1 + 0 * neck_slope), open=under_chin, gloss=0.03)


def _upright(skull: Skull, qx: Array, qy: Array) -> tuple[Array, Array]:
    """Coordinates of a body that follows the head's turn a little."""
    shots = skull.shots
    return qx + column(0.16 * np.sin(shots.yaw)), qy + column(0.14 * np.sin(shots.pitch))


def _collar(skull: Skull, x: Array) -> Array:
    """Height of the clothes' upper edge: from a high round neck to a deep V."""
    neck, collar = column(skull.people.neck), column(skull.shots.collar)
    return 1.18 + 0.10 * collar + (0.15 + 0.85 * collar) * np.maximum(neck * (0.75 + 0.5 * collar) - np.abs(x), 0)


def lay_ear(layers: Layers, skull: Skull, qx: Array, qy: Array, side: float, *, in_front: bool) -> None:
    """One ear (``side`` −1 the picture's left, 1 its right), behind the head or in front of it.

    Both are laid before the head, which hides the far one; the near one is laid again on top as the
    head turns it towards the camera.
    """
    people, shots = skull.people, skull.shots
    at = np.full((len(people), 1), 0.10, np.float32)
    w, _ = profile(people, at)
    size = people.ear_size
    point = np.stack([side * (w[:, 0] + 0.01 + 0.35 * people.ear_out), at[:, 0], np.full_like(size, -0.06)], axis=1)
    centre = skull.turned(point[:, None])[:, 0]
    facing = side * -np.sin(shots.yaw)  # 1 when this ear looks into the camera
    half_x = size * (0.055 + 0.5 * people.ear_out + 0.10 * np.maximum(facing, 0))
    half_y = size * 0.175
    x, y = qx - column(centre[:, 0]), qy - column(centre[:, 1])
    # An egg, wide above, leaning back.
    x = (x + side * y * 0.12) / (column(half_x) * (1 - 0.25 * y / column(half_y)))
    y = y / column(half_y)
    radius = np.hypot(x, y)
    mask = inside(1 - radius, 0.12)
    if in_front:
        mask = mask * column(smooth((facing - 0.12) / 0.25))
    if not mask.any():
        return
    bowl = 0.62 + 0.38 * ramp(np.abs(radius - 0.55), 0.05, 0.3)
    colour = people.skin[:, :, None, None] * np.array([1.0, 0.86, 0.84], np.float32)[:, None, None] * bowl[:, None]
    slope = -0.8 * side * np.ones_like(x)
    layers.lay(mask, colour, (slope - 0.5 * x * side, 0.3 * y), open=0.85, gloss=0.04)
