"""Ears, neck, shoulders and clothes of one person (arguments have one row)."""

from __future__ import annotations

import numpy as np

from fedfr_edge.data.synth.identity import Identities
from fedfr_edge.data.synth.layers import Layers
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import Array, inside, ramp
from fedfr_edge.data.synth.skull import Skull, profile


def lay_torso(layers: Layers, people: Identities, shots: Nuisances) -> None:
    """Chest, shoulders and clothes, upright whatever the head does."""
    part = layers.part(-9.0, 9.0, 0.4, 9.0)
    x, y = _upright(part, shots)
    # Shoulders: a slope from the neck, rounded at the arms.
    shoulder = people.shoulders
    side = np.abs(x)
    top = 1.16 + 0.34 * side / shoulder + 0.5 * ramp(side, shoulder * 0.75, shoulder * 1.15) ** 2
    body_slope = np.clip(-x / shoulder * 0.5, -1, 1)
    on = inside(y - top, 0.03) * inside(shoulder * 1.12 + 0.05 * y - side, 0.04)
    part.lay(on * ramp(y, 1.0, 1.1), people.skin[0], (body_slope, 0.1), open=0.85, gloss=0.03)
    cut = _collar(people, shots, x)
    folds = 1 + 0.10 * np.sin(x * 9 + y * 5 + 6 * people.grain_shift[:, 0])
    hem = 1 - 0.35 * (1 - ramp(y - cut, 0.0, 0.05))
    colour = shots.cloth[0][:, None, None] * (folds * hem)
    part.lay(on * inside(y - cut, 0.025), colour, (body_slope, 0.35))


def lay_neck(layers: Layers, people: Identities, shots: Nuisances) -> None:
    """The neck, before the hair that hangs behind it."""
    wide = 2.2 * float(people.neck[0]) + 0.4
    part = layers.part(-wide, wide, 0.2, 2.2)
    x, y = _upright(part, shots)
    half = people.neck * (1 + 0.10 * ramp(y, 0.7, 0.5) + 0.9 * ramp(y, 1.05, 1.55) ** 2)
    bulge = np.clip(x / half, -0.97, 0.97)
    slope = -0.6 * bulge / np.sqrt(1 - bulge * bulge)
    chin = people.face_length
    under_chin = 0.25 + 0.60 * ramp(y, 0.98 * chin, 1.35 * chin)
    mask = (
        inside(half - np.abs(x), 0.03) * inside(y - 0.35, 0.1) * inside(_collar(people, shots, x) - y, 0.05)
    )
    part.lay(mask, people.skin[0], (slope, 0.1), open=under_chin, gloss=0.03)


def _upright(part: Layers, shots: Nuisances) -> tuple[Array, Array]:
    """Coordinates of a body that follows the head's movements only a little."""
    # The head rolls about the root of the neck; a quarter of it is the body's.
    back = 0.75 * float(shots.roll[0])
    sin, cos, root = float(np.sin(back)), float(np.cos(back)), 0.75
    y = part.qy - root
    x, y = part.qx * cos - y * sin, part.qx * sin + y * cos + root
    return x + 0.16 * np.sin(shots.yaw), y + 0.14 * np.sin(shots.pitch)


def _collar(people: Identities, shots: Nuisances, x: Array) -> Array:
    """Height of the clothes' upper edge: from a high round neck to a deep V."""
    collar = shots.collar
    dip = np.maximum(people.neck * (0.75 + 0.5 * collar) - np.abs(x), 0)
    return np.asarray(1.18 + 0.10 * collar + (0.15 + 0.85 * collar) * dip, np.float32)


def lay_ear(
    layers: Layers,
    skull: Skull,
    row: int,
    people: Identities,
    shots: Nuisances,
    side: float,
    *,
    in_front: bool,
) -> None:
    """One ear (``side`` −1 the picture's left, 1 its right), behind the head or in front of it.

    Both are laid before the head, which hides the far one; the near one is laid again on top as the
    head turns it towards the camera.
    """
    facing = -side * float(np.sin(shots.yaw[0]))  # 1 when this ear looks into the camera
    share = min(max((facing - 0.12) / 0.2, 0.0), 1.0) if in_front else 1.0
    if share == 0 or (not in_front and facing < -0.35):
        return
    at = np.full((1, 1), 0.10, np.float32)
    w, _ = profile(people, at)
    size, out = float(people.ear_size[0]), float(people.ear_out[0])
    point = np.array([[[side * (float(w[0, 0]) + 0.01 + 0.35 * out), 0.10, -0.06]]], np.float32)
    x0, y0, _ = skull.turned(point, row)[0, 0]
    half_x = size * (0.055 + 0.5 * out + 0.10 * max(facing, 0.0))
    half_y = size * 0.175
    part = layers.part(x0 - 1.5 * half_x, x0 + 1.5 * half_x, y0 - 1.15 * half_y, y0 + 1.15 * half_y)
    # An egg, wide above, leaning back.
    y = (part.qy - y0) / half_y
    x = (part.qx - x0 + side * 0.12 * half_y * y) / (half_x * (1 - 0.25 * y))
    radius = np.hypot(x, y)
    bowl = 0.62 + 0.38 * ramp(np.abs(radius - 0.55), 0.05, 0.3)
    colour = (people.skin[0] * np.array([1.0, 0.86, 0.84], np.float32))[:, None, None] * bowl
    part.lay(
        inside(1 - radius, 0.12) * share,
        colour,
        (-0.8 * side - 0.5 * side * x, 0.3 * y),
        open=0.85,
        gloss=0.04,
    )
