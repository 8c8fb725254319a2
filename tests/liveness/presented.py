"""Photographs as an attacker presents them: printed or on a screen, held before the camera, also bent.

Made by computer, not filmed: the geometry is right, paper and screen are only roughly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fedfr_edge.types import Image

WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class Held:
    """How a picture is held.

    Attributes:
        yaw: degrees about its vertical.
        nearness: 1 shows it 300 pixels high, 2 twice that.
        aside: pixels to the right.
        bend: 0 is flat; 1 rolls it about its vertical with a radius of its own height, -1 the other way.
    """

    yaw: float = 0.0
    nearness: float = 1.0
    aside: float = 0.0
    bend: float = 0.0


def hold(picture: Image, held: Held) -> Image:
    """What a camera of 640×480 with a focal length of 700 pixels sees of it, before a grey wall."""
    high, wide = picture.shape[:2]
    focal, tall = 700.0, 300.0
    away = focal / held.nearness
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 65), np.linspace(-0.5, 0.5, 65)), axis=-1)
    along, y = grid[..., 0] * tall * wide / high, grid[..., 1] * tall
    if held.bend:
        radius = tall / held.bend
        x, z = radius * np.sin(along / radius), radius * (1 - np.cos(along / radius))
    else:
        x, z = along, np.zeros_like(along)
    a = np.radians(held.yaw)
    x, z = x * np.cos(a) - z * np.sin(a), x * np.sin(a) + z * np.cos(a)
    seen = np.stack(
        [focal * x / (away + z) + WIDTH / 2 + held.aside, focal * y / (away + z) + HEIGHT / 2], -1
    )
    # Where each pixel of the camera looks: the grid's cells are small enough to be taken as parallelograms.
    out = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    corners = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])
    step = np.array([(wide - 1) / 64, (high - 1) / 64], np.float32)
    if not held.bend:
        whole = seen[[0, 0, -1, -1], [0, -1, -1, 0]].astype(np.float32)
        matrix = cv2.getPerspectiveTransform(corners * np.float32([wide - 1, high - 1]), whole)
        cv2.warpPerspective(picture, matrix, (WIDTH, HEIGHT), out, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
        return out
    for column in range(64):  # a strip bent about the vertical is flat
        strip = seen[[0, 0, -1, -1], [column, column + 1, column + 1, column]].astype(np.float32)
        source = np.float32([[column, 0], [column + 1, 0], [column + 1, 64], [column, 64]]) * step
        matrix = cv2.getPerspectiveTransform(source, strip)
        layer = cv2.warpPerspective(picture, matrix, (WIDTH, HEIGHT))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillConvexPoly(mask, np.rint(strip).astype(np.int32), 1)
        out[mask > 0] = layer[mask > 0]
    return out


def printed(picture: Image) -> Image:
    """As on paper: less contrast, a yellowish white, dots, softened by the camera."""
    rng = np.random.default_rng(1)
    paper = 30 + picture.astype(np.float32) * 0.75 * np.float32([1.0, 0.98, 0.9])
    dots = rng.normal(0, 9, picture.shape[:2]).astype(np.float32)
    return _taken(paper + dots[:, :, None], 1.0)


def screened(picture: Image) -> Image:
    """As on a screen: bluish, with the grid of its pixels against the camera's, and a window's reflection."""
    high, wide = picture.shape[:2]
    y, x = np.mgrid[:high, :wide].astype(np.float32)
    grid = 1 + 0.08 * np.sin(2 * np.pi * x / 2.7) * np.sin(2 * np.pi * y / 2.9)
    shine = 60 * np.exp(-(((x - 0.75 * wide) / (0.2 * wide)) ** 2 + ((y - 0.25 * high) / (0.2 * high)) ** 2))
    glass = picture.astype(np.float32) * np.float32([0.92, 0.98, 1.08]) * grid[:, :, None] + shine[:, :, None]
    return _taken(glass, 0.7)


def _taken(light: np.ndarray, sigma: float) -> Image:
    blurred = cv2.GaussianBlur(light, (0, 0), sigma)
    return np.asarray(np.clip(blurred, 0, 255), np.uint8)
