"""The camera: exposure, tone, focus, noise, and the JPEG file that comes out of it."""

from __future__ import annotations

import cv2
import numpy as np

from fedfr_edge.data.synth.nuisance import Nuisances
from fedfr_edge.data.synth.shapes import Array
from fedfr_edge.errors import DataError
from fedfr_edge.types import Image


def photograph(light: Array, shots: Nuisances, row: int, rng: np.random.Generator) -> tuple[Image, float]:
    """Take one picture.

    Args:
        light: linear RGB of the scene, float32 (3, h, w).
        shots, row: the circumstances and which of their rows holds.
        rng: the stream of this picture's noise.

    Returns:
        RGB uint8, and how many of its pixels go into one of ``light``'s (at most 1). Pixel (x, y) of
        ``light`` lies at ((x + ½)·factor − ½, …).
    """
    gains = shots.exposure[row] * shots.balance[row]
    picture = np.ascontiguousarray((light * gains[:, None, None]).transpose(1, 2, 0))
    factor = float(shots.sharpness[row])
    height, width = (max(8, round(side * factor)) for side in picture.shape[:2])
    factor = width / picture.shape[1]
    if factor < 1:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    if shots.blur[row] > 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), float(shots.blur[row]))
    dx, dy = shots.motion[row]
    if abs(dx) + abs(dy) > 0.5:
        picture = _shaken(picture, float(dx), float(dy))
    # The tone curve is the square root.
    np.sqrt(np.maximum(picture, 0), out=picture)
    # Saturation mixes with the grey of the same pixel, contrast turns about middle grey: one matrix.
    saturation, contrast = float(shots.saturation[row]), float(shots.contrast[row])
    weights = np.array([0.30, 0.59, 0.11])
    matrix = contrast * (saturation * np.eye(3) + (1 - saturation) * weights)
    shift = np.full((3, 1), 0.5 - 0.5 * contrast)
    graded = cv2.transform(picture, np.hstack([matrix, shift]).astype(np.float32))
    picture = np.asarray(graded, np.float32)
    if shots.noise[row] > 0:
        grain = rng.standard_normal(picture.shape, dtype=np.float32)
        grain *= shots.noise[row]
        picture += grain
    picture *= 255
    picture += 0.5
    photo = np.clip(picture, 0, 255.4, out=picture).astype(np.uint8)
    return _through_jpeg(photo, int(shots.jpeg[row])), factor


def _shaken(picture: Array, dx: float, dy: float) -> Array:
    """Motion blur: the mean along a short straight path."""
    reach = int(np.ceil(max(abs(dx), abs(dy)))) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for t in np.linspace(-0.5, 0.5, 9):
        x, y = reach + t * dx, reach + t * dy
        left, top = int(x), int(y)
        fx, fy = x - left, y - top
        for column, row, share in (
            (left, top, (1 - fx) * (1 - fy)),
            (left + 1, top, fx * (1 - fy)),
            (left, top + 1, (1 - fx) * fy),
            (left + 1, top + 1, fx * fy),
        ):
            kernel[row, column] += share
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.float32)


def _through_jpeg(photo: Image, quality: int) -> Image:
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    back = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if back is None:
        raise DataError("OpenCV cannot read its own JPEG back; reinstall opencv-python")
    return np.asarray(cv2.cvtColor(back, cv2.COLOR_BGR2RGB), np.uint8)
