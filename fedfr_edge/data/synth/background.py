"""Backgrounds: walls, windows, leaves, lamps, out of focus."""

from __future__ import annotations

import cv2
import numpy as np

from fedfr_edge.data.synth.shapes import Array


def background(rng: np.random.Generator, height: int, width: int) -> Array:
    """A picture of no person: linear RGB, float32 (3, height, width)."""
    longest = max(height, width)
    small = (max(2, 80 * width // longest), max(2, 80 * height // longest))

    def colour() -> Array:
        vivid = rng.uniform(0, 1, 3) ** 2
        tone = vivid if rng.random() < 0.4 else np.full(3, vivid.mean()) * rng.uniform(0.85, 1.15, 3)
        return (0.01 + 0.8 * tone).astype(np.float32)

    grid = int(rng.integers(2, 6))
    base = np.empty((grid, grid, 3), np.float32)
    first, second = colour(), colour()
    base[:] = first + (second - first) * rng.random((grid, grid, 1)).astype(np.float32)
    picture = cv2.resize(base, small, interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 9))):
        x, y = rng.uniform(-0.2, 1.0, 2) * small
        w, h = rng.uniform(0.05, 0.6, 2) * small
        paint_with = colour().tolist()
        kind = rng.integers(3)
        if kind == 0:
            cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), paint_with, -1)
        elif kind == 1:
            cv2.ellipse(
                picture,
                (int(x), int(y)),
                (int(w / 2), int(h / 2)),
                rng.uniform(0, 180),
                0,
                360,
                paint_with,
                -1,
            )
        else:
            cv2.line(
                picture, (int(x), int(y)), (int(x + 2 * w), int(y + h)), paint_with, int(rng.integers(1, 6))
            )
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.6, 4.0)))
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(np.maximum(picture, 0).transpose(2, 0, 1))
