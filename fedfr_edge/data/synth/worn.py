"""Glasses, and things that come between the face and the camera."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .layers import Layers
from .nuisance import Nuisances
from .shapes import Array, column, hill, inside, paint, ramp
from .skull import Skull


def paint_arms(canvas: Canvas) -> None:
    """The arms of glasses along the temples, on the skin's own picture."""
    people, shots = canvas.people, canvas.shots
    if not (shots.glasses > 0.5).any():
        return
    start = np.maximum(people.eye_x, shots.rim_size[:, 0] + 0.03) + shots.rim_size[:, 0]
    line = inside(column(shots.rim_thick) * 0.6 - np.abs(canvas.y + 0.03), canvas.softness)
    line = line * inside(np.abs(canvas.s) - column(start), 0.05) * column(shots.glasses)
    paint(canvas.colour, shots.rim, line)


def lay_glasses(layers: Layers, skull: Skull, qx: Array, qy: Array, pixel: Array) -> None:
    """A frame on a plane before the eyes, with its bridge and lenses; a no-op where none is worn."""
    people, shots = skull.people, skull.shots
    if not (shots.glasses > 0.5).any():
        return
    # Where the camera's ray meets the plane z = front of the head's own axes.
    front = column(people.depth * 0.93 + 0.05)
    sin, cos = column(np.sin(shots.yaw)), column(np.cos(shots.yaw))
    z = (front - qx * sin) / cos
    x = qx * cos - z * sin
    y = qy / column(np.cos(shots.pitch)) + z * column(np.tan(shots.pitch))
    half_x, half_y = column(shots.rim_size[:, 0]), column(shots.rim_size[:, 1])
    power = column(shots.rim_power)
    gap = np.maximum(column(people.eye_x), half_x + 0.03)
    u = (np.abs(x) - gap) / half_x
    v = (y - 0.03) / half_y
    radius = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
    distance = (1 - radius) * half_y
    thick = column(shots.rim_thick)
    soft = 1.2 * column(pixel)
    worn = column(shots.glasses)
    lens = inside(distance, soft) * worn
    rim = inside(thick * 0.5 - np.abs(distance), soft)
    bridge = inside(thick * 0.5 - np.abs(y + 0.02 + 0.3 * x * x), soft) * inside(gap - half_x * 0.9 - np.abs(x), soft)
    flat = (np.zeros_like(x), np.zeros_like(x))
    tint = column(shots.tint)
    layers.colour *= 1 - (lens * tint)[:, None]
    layers.gloss *= 1 - lens * tint
    # A streak of sky mirrored in the glass.
    streak = hill(u + 0.5 * v, 0.35, 0.16) * lens * (0.05 + 0.08 * tint)
    layers.colour += streak[:, None]
    frame = np.maximum(rim, bridge) * worn
    layers.lay(frame, shots.rim, flat, gloss=0.15)


def lay_cover(layers: Layers, shots: Nuisances, qx: Array, qy: Array) -> None:
    """Something in front of a corner of the face: a hand, a cup, somebody's shoulder."""
    if not (shots.cover[:, 5] > 0.5).any():
        return
    x0, y0, half_x, half_y, angle, there = (column(v) for v in shots.cover.T)
    dx, dy = qx - x0, qy - y0
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / half_x
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / half_y
    radius = (u**4 + v**4) ** 0.25
    mask = inside(1 - radius, 0.12) * there
    pattern = 1 - 0.3 * ramp(np.sin(u * 7), 0.2, 0.6)
    layers.lay(mask, shots.cover_colour[:, :, None, None] * pattern[:, None], (-0.5 * u, -0.5 * v))
