"""Glasses, and things that come between the face and the camera."""

from __future__ import annotations

import numpy as np

from fedfr_edge.data.synth.canvas import Canvas
from fedfr_edge.data.synth.identity import Identities
from fedfr_edge.data.synth.layers import Layers
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import column, hill, inside, paint, ramp


def paint_arms(canvas: Canvas) -> None:
    """The arms of glasses along the temples, on the skin's own picture."""
    people, shots = canvas.people, canvas.shots
    if not (shots.glasses > 0.5).any():
        return
    start = np.maximum(people.eye_x, shots.rim_size[:, 0] + 0.03) + shots.rim_size[:, 0]
    line = inside(column(shots.rim_thick) * 0.6 - np.abs(canvas.y + 0.03), canvas.softness)
    line = line * inside(np.abs(canvas.s) - column(start), 0.05) * column(shots.glasses)
    paint(canvas.colour, shots.rim, line)


def lay_glasses(layers: Layers, people: Identities, shots: Nuisances) -> None:
    """A frame on a plane before the eyes, with its bridge and lenses, if this person wears one."""
    if shots.glasses[0] < 0.5:
        return
    sin, cos = float(np.sin(shots.yaw[0])), float(np.cos(shots.yaw[0]))
    front = 0.93 * float(people.depth[0]) + 0.05
    rise = -front * float(np.sin(shots.pitch[0]))
    part = layers.part(-0.65 + front * sin, 0.65 + front * sin, rise - 0.35, rise + 0.35)
    # Where the camera's ray meets the plane z = front of the head's own axes.
    z = (front - part.qx * sin) / cos
    x = part.qx * cos - z * sin
    y = part.qy / np.cos(shots.pitch) + z * np.tan(shots.pitch)
    half_x, half_y = (float(v) for v in shots.rim_size[0])
    power, thick, tint = float(shots.rim_power[0]), float(shots.rim_thick[0]), float(shots.tint[0])
    gap = max(float(people.eye_x[0]), half_x + 0.03)
    u, v = (np.abs(x) - gap) / half_x, (y - 0.03) / half_y
    radius = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
    distance = (1 - radius) * half_y
    soft = 1.2 * part.pixel
    lens = inside(distance, soft)
    rim = inside(0.5 * thick - np.abs(distance), soft)
    bridge = inside(0.5 * thick - np.abs(y + 0.02 + 0.3 * x * x), soft) * inside(
        gap - 0.9 * half_x - np.abs(x), soft
    )
    part.colour *= 1 - lens * tint
    part.gloss *= 1 - lens * tint
    # A streak of sky mirrored in the glass.
    part.colour += hill(u + 0.5 * v, 0.35, 0.16) * lens * (0.05 + 0.08 * tint)
    part.lay(np.maximum(rim, bridge), shots.rim[0], (0.0, 0.0), gloss=0.15)


def lay_cover(layers: Layers, shots: Nuisances) -> None:
    """Something in front of a corner of the face: a hand, a cup, somebody's shoulder."""
    x0, y0, half_x, half_y, angle, there = (float(v) for v in shots.cover[0])
    if there < 0.5:
        return
    reach = 1.2 * max(half_x, half_y)
    part = layers.part(x0 - reach, x0 + reach, y0 - reach, y0 + reach)
    dx, dy = part.qx - x0, part.qy - y0
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / half_x
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / half_y
    u, v = u.astype(np.float32), v.astype(np.float32)
    uu, vv = u * u, v * v
    radius = np.sqrt(np.sqrt(uu * uu + vv * vv))
    pattern = 1 - 0.3 * ramp(np.sin(u * 7), 0.2, 0.6)
    part.lay(inside(1 - radius, 0.12), shots.cover_colour[0][:, None, None] * pattern, (-0.5 * u, -0.5 * v))
