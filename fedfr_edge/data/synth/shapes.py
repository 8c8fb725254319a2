"""Soft-edged shapes and noise: the brushes that the renderer paints with.

Arrays of parameters have one row per image, ``(n,)`` or ``(n, 3)``; :func:`column` makes them
broadcast over pixel grids ``(n, height, width)``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
"""float32 of any shape (numpy's own annotations lose the width in powers and some sums)."""

NOISE_SIDE = 256
"""Side of the noise pictures; they repeat without a seam."""


def column(values: Array) -> Array:
    """``(n,)`` to ``(n, 1, 1)``: one value per image, ready to meet a grid of pixels."""
    return values.reshape(-1, 1, 1)


def unit(t: Array) -> Array:
    """``t`` clipped to 0…1; on small arrays much cheaper than ``np.clip``."""
    return np.minimum(np.maximum(t, 0), 1)


def smooth(t: Array) -> Array:
    """The cubic step 3t² − 2t³ of ``t`` clipped to 0…1."""
    t = unit(t)
    cubic = t * -2
    cubic += 3
    cubic *= t
    cubic *= t
    return cubic


def ramp(x: Array, start: Array | float, end: Array | float) -> Array:
    """A smooth step that is 0 below ``start`` and 1 above ``end``."""
    return smooth((x - start) / (end - start))


def inside(distance: Array, softness: Array | float) -> Array:
    """Coverage 0…1 of a shape, from the signed distance to its edge (positive inside).

    ``softness`` is the width of the edge, in the units of ``distance``.
    """
    return smooth(0.5 + distance / softness)


def hill(x: Array, centre: Array | float, width: Array | float) -> Array:
    """The Gaussian exp(−½((x − centre)/width)²); products of two make an axis-parallel blob."""
    z = (x - centre) / width
    z *= z
    z *= -0.5
    np.exp(z, out=z)
    return z


def mix(a: Array, b: Array | float, share: Array | float) -> Array:
    """``a`` where ``share`` is 0, ``b`` where it is 1, linear between."""
    return a + (b - a) * share


def sample(picture: Array, x: Array, y: Array, *, wrap: bool = False) -> Array:
    """Read a picture, (h, w[, c]), between its pixels: bilinear, at places of one shape (n, m).

    Past its border the picture repeats (``wrap``) or stays as at the border.
    """
    border = cv2.BORDER_WRAP if wrap else cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=border), np.float32)


def split(picture: Array) -> list[Array]:
    """The channels of (h, w, c), each contiguous."""
    return [np.asarray(channel, np.float32) for channel in cv2.split(picture)]


def paint(planes: Array, colour: Array, mask: Array) -> None:
    """Lay a colour over planes, in place.

    Args:
        planes: (n, 3, h, w), linear RGB; a view is fine.
        colour: (n, 3), or (n, 3, h, w).
        mask: (n, h, w), 0…1.
    """
    flat = colour.ndim == 2
    for channel in range(3):
        layer = column(colour[:, channel]) if flat else colour[:, channel]
        plane = planes[:, channel]
        plane += (layer - plane) * mask


@lru_cache(maxsize=8)
def noise(kind: str) -> Array:
    """A fixed picture of noise, (256, 256), mean 0, variance 1, periodic in both directions.

    Kinds: ``"cloud"`` (large soft blotches), ``"speck"`` (round spots of about 3 pixels),
    ``"strand"`` (fine across, long down: straight hair), ``"curl"`` (blobs of about 9 pixels).
    """
    rng = np.random.Generator(np.random.PCG64(0xFACE))
    white = np.fft.fft2(rng.standard_normal((NOISE_SIDE, NOISE_SIDE)))
    frequency = np.fft.fftfreq(NOISE_SIDE)
    down, across = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(down, across)
    gain = {
        "cloud": 1 / (radius + 0.008) ** 1.7,
        "speck": np.exp(-((radius - 0.14) ** 2) / (2 * 0.04**2)),
        "strand": np.exp(-(down**2) / (2 * 0.012**2)) / (np.abs(across) + 0.03) ** 0.8,
        "curl": np.exp(-((radius - 0.07) ** 2) / (2 * 0.025**2)),
    }[kind]
    gain[0, 0] = 0
    picture = np.fft.ifft2(white * gain).real
    result: Array = (picture / picture.std()).astype(np.float32)
    result.flags.writeable = False
    return result
