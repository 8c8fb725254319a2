"""The pile of layers that a picture of a person is made of, before any light falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Array, column, paint

_STEEPEST = 3.5


@dataclass
class Layers:
    """What lies foremost at each pixel of ``n`` pictures.

    Attributes:
        colour: linear RGB of the surface itself, (n, 3, h, w).
        slope_x, slope_y: how fast its depth grows to the right and downwards, (n, h, w).
        open: share of the directed light that reaches it, (n, h, w).
        gloss: strength of its mirror-like reflection, (n, h, w).
        cover: 1 where there is a person at all, (n, h, w).
    """

    colour: Array
    slope_x: Array
    slope_y: Array
    open: Array
    gloss: Array
    cover: Array

    @classmethod
    def empty(cls, n: int, height: int, width: int) -> Layers:
        """No person anywhere."""
        def zeros() -> Array:
            return np.zeros((n, height, width), np.float32)

        colour = np.zeros((n, 3, height, width), np.float32)
        return cls(colour, zeros(), zeros(), zeros(), zeros(), zeros())

    def lay(
        self,
        mask: Array,
        colour: Array,
        slopes: tuple[Array, Array],
        *,
        open: Array | float = 1.0,
        gloss: Array | float = 0.0,
    ) -> None:
        """Put a layer on top.

        Args:
            mask: (n, h, w), 0…1.
            colour: (n, 3) or (n, 3, h, w).
            slopes: as :func:`slopes_of` gives them.
            open, gloss: as the attributes; scalars, (n, 1, 1) or (n, h, w).
        """
        paint(self.colour, colour, mask)
        for plane, layer in (
            (self.slope_x, slopes[0]), (self.slope_y, slopes[1]), (self.open, open), (self.gloss, gloss),
            (self.cover, 1.0),
        ):
            plane += (layer - plane) * mask


def slopes_of(depth: Array, pixel: Array) -> tuple[Array, Array]:
    """The slopes of a depth map (n, h, w) in head units, for pixels of that size (n,)."""
    across, down = np.zeros_like(depth), np.zeros_like(depth)
    per_pixel = column(0.5 / pixel)
    across[:, :, 1:-1] = (depth[:, :, 2:] - depth[:, :, :-2]) * per_pixel
    down[:, 1:-1] = (depth[:, 2:] - depth[:, :-2]) * per_pixel
    return np.clip(across, -_STEEPEST, _STEEPEST), np.clip(down, -_STEEPEST, _STEEPEST)
