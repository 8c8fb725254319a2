"""Light: what a camera sees of layers under a directed and an ambient light."""

from __future__ import annotations

import cv2
import numpy as np

from .layers import Layers
from .nuisance import Nuisances
from .shapes import Array, column, ramp
from .skull import Skull


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
                [[1, 0, -x[i] / level[i] * step * pixels], [0, 1, -y[i] / level[i] * step * pixels]], np.float32
            )
            there = cv2.warpAffine(delta, shift, delta.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            # 0.35·step²: the round head falls away under the light's straight path.
            rise = max(float(z[i] / level[i]), -0.2) * step + 0.35 * step * step
            np.maximum(blocked, there - delta - np.float32(rise), out=blocked)
        result[i] = 1 - np.clip(blocked * 28, 0, 1) * np.float32(0.85)
    return cv2_blur(result, skull.side / 160)


def cv2_blur(maps: Array, sigma: float) -> Array:
    """Each (h, w) of (n, h, w) with a Gaussian blur of that sigma in pixels."""
    return np.stack([cv2.GaussianBlur(m, (0, 0), sigma) for m in maps])


def shine(layers: Layers, shots: Nuisances, qx: Array, qy: Array) -> Array:
    """The light that leaves the layers towards the camera: linear RGB (n, 3, h, w).

    Lambert's cosine law with a light that wraps a little round the edge (skin lets light through),
    a Blinn–Phong highlight, ambient light that falls more from above, and a soft shadow of
    something outside the picture.
    """
    norm = 1 / np.sqrt(1 + layers.slope_x**2 + layers.slope_y**2)
    nx, ny = -layers.slope_x * norm, -layers.slope_y * norm
    lx, ly, lz = (column(shots.light[:, k]) for k in range(3))
    cosine = nx * lx + ny * ly + norm * lz
    edge = qx * column(np.cos(shots.shade_angle)) + qy * column(np.sin(shots.shade_angle))
    outside = 1 - column(shots.shade) * ramp(edge - column(shots.shade_offset), -0.12, 0.12)
    reach = layers.open * outside
    lambert = np.maximum((cosine + 0.12) / 1.12, 0) * reach
    # Halfway between the light and the camera at (0, 0, 1).
    half = 1 / np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
    mirror = np.maximum((nx * lx + ny * ly + norm * (lz + 1)) * half, 0)
    mirror *= mirror
    mirror *= mirror
    mirror *= mirror
    mirror *= mirror
    mirror *= reach * layers.gloss * (cosine > 0)
    ambient = 1 - column(shots.sky) * (ny + 0.1)
    # Grazing places see less of the surroundings.
    ambient = ambient * (0.55 + 0.45 * norm)
    light = np.empty_like(layers.colour)
    for channel in range(3):
        key, fill = column(shots.key[:, channel]), column(shots.fill[:, channel])
        light[:, channel] = layers.colour[:, channel] * (lambert * key + ambient * fill) + mirror * key
    return light
