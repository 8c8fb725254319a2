"""Light: what a camera sees of layers under a directed and an ambient light."""

from __future__ import annotations

import cv2
import numpy as np

from fedfr_edge.data.synth.layers import Layers
from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import Array, ramp
from fedfr_edge.data.synth.skull import Skull


def relief_shadow(skull: Skull, shots: Nuisances) -> Array:
    """Share of the directed light that the relief lets through, on the canvas: (n, side, side).

    From each place three steps go towards the light; where the relief there stands higher than the
    light's path, the place lies in shadow (the nose's on a cheek, the brow's on an eye).
    """
    # The light in the head's own axes: the camera frame turned back by pitch, then yaw.
    x, y, z = shots.light.T
    sin, cos = np.sin(shots.pitch), np.cos(shots.pitch)
    y, z = y * cos + z * sin, z * cos - y * sin
    sin, cos = np.sin(shots.yaw), np.cos(shots.yaw)
    x, z = x * cos - z * sin, x * sin + z * cos
    level = np.maximum(np.hypot(x, y), 0.05)
    pixels = skull.side / Skull.SPAN
    result = np.empty_like(skull.relief)
    for i, delta in enumerate(skull.relief):
        blocked = np.zeros_like(delta)
        for step in (0.05, 0.11, 0.20):
            shift = np.array(
                [[1, 0, -x[i] / level[i] * step * pixels], [0, 1, -y[i] / level[i] * step * pixels]],
                np.float32,
            )
            there = cv2.warpAffine(delta, shift, delta.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            # 0.35·step²: the round head falls away under the light's straight path.
            rise = max(float(z[i] / level[i]), -0.2) * step + 0.35 * step * step
            np.maximum(blocked, there - delta - np.float32(rise), out=blocked)
        result[i] = 1 - np.clip(blocked * 28, 0, 1) * np.float32(0.85)
    return np.stack([cv2.GaussianBlur(m, (0, 0), skull.side / 160) for m in result])


def shine(layers: Layers, shots: Nuisances) -> Array:
    """The light that leaves the layers towards the camera: linear RGB (3, h, w).

    Lambert's cosine law with a light that wraps a little round the edge (skin lets light through),
    a Blinn–Phong highlight (exponent 16), ambient light that falls more from above, and a soft
    shadow of something outside the picture. ``shots`` has one row.
    """
    norm = 1 / np.sqrt(1 + layers.slope_x**2 + layers.slope_y**2)
    nx, ny = -layers.slope_x * norm, -layers.slope_y * norm
    lx, ly, lz = (float(v) for v in shots.light[0])
    cosine = nx * lx + ny * ly + norm * lz
    reach = layers.open
    if shots.shade[0] > 0:
        edge = layers.qx * np.cos(shots.shade_angle) + layers.qy * np.sin(shots.shade_angle)
        reach = reach * (1 - shots.shade * ramp(edge - shots.shade_offset, -0.12, 0.12))
    lambert = np.maximum((cosine + 0.12) / 1.12, 0) * reach
    # Halfway between the light and the camera at (0, 0, 1): the light's direction plus (0, 0, 1).
    mirror = np.maximum((cosine + norm) / float(np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)), 0)
    for _ in range(4):
        mirror *= mirror
    mirror *= reach
    mirror *= layers.gloss
    mirror *= cosine > 0
    # Ambient: less from below, and less where the surface turns away and sees little but itself.
    ambient = (1 - shots.sky * (ny + 0.1)) * (0.55 + 0.45 * norm)
    light = np.empty_like(layers.colour)
    for channel in range(3):
        key, fill = float(shots.key[0, channel]), float(shots.fill[0, channel])
        light[channel] = layers.colour[channel] * (lambert * key + ambient * fill) + mirror * key
    return light
