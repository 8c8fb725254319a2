"""A picture of one person under construction: what lies foremost at each pixel, before any light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedfr_edge.data.synth.shapes import Array, paint

_STEEPEST = 3.5


@dataclass(frozen=True)
class Place:
    """Where a head lies in its picture.

    Attributes:
        height, width: pixels.
        x, y: pixel position of the point between the eyes, in the head's middle; a pixel's centre
            has whole coordinates.
        scale: pixels per head unit.
        roll: turn in the picture plane, radians, clockwise.
    """

    height: int
    width: int
    x: float
    y: float
    scale: float
    roll: float

    def to_pixels(self, points: Array) -> Array:
        """Unrolled head units (…, 2 or more) to pixels, float32 (…, 2)."""
        sin, cos = np.sin(self.roll), np.cos(self.roll)
        x, y = points[..., 0] * self.scale, points[..., 1] * self.scale
        pixels = np.stack([self.x + x * cos - y * sin, self.y + x * sin + y * cos], axis=-1)
        return pixels.astype(np.float32)


@dataclass
class Layers:
    """What lies foremost at each pixel. All arrays are float32 (h, w), ``colour`` (3, h, w).

    Attributes:
        place: where the head lies.
        corner: pixel (x, y) of this part's first pixel in the whole picture.
        qx, qy: head-unit coordinates of the pixels, with the roll taken out.
        colour: linear RGB of the surface itself.
        slope_x, slope_y: how fast its depth grows to the right and downwards.
        open: share of the directed light that reaches it.
        gloss: strength of its mirror-like reflection.
        cover: 1 where there is a person at all.
    """

    place: Place
    corner: tuple[int, int]
    qx: Array
    qy: Array
    colour: Array
    slope_x: Array
    slope_y: Array
    open: Array
    gloss: Array
    cover: Array

    @classmethod
    def empty(cls, place: Place) -> Layers:
        """No person yet."""
        shape = (place.height, place.width)
        dx = (np.arange(place.width, dtype=np.float32) - np.float32(place.x)) / np.float32(place.scale)
        dy = (np.arange(place.height, dtype=np.float32) - np.float32(place.y))[:, None] / np.float32(
            place.scale
        )
        sin, cos = float(np.sin(place.roll)), float(np.cos(place.roll))
        planes = [np.zeros(shape, np.float32) for _ in range(5)]
        return cls(
            place,
            (0, 0),
            dx * cos + dy * sin,
            dy * cos - dx * sin,
            np.zeros((3, *shape), np.float32),
            *planes,
        )

    @property
    def pixel(self) -> float:
        """Size of a pixel in head units."""
        return 1 / self.place.scale

    def part(self, left: float, right: float, top: float, bottom: float) -> Layers:
        """The pixels round a box in unrolled head units, as views: what is laid there is laid here.

        May be empty (a height or width of 0).
        """
        sin, cos = math.sin(self.place.roll), math.cos(self.place.roll)
        x_origin, y_origin = self.place.x - self.corner[0], self.place.y - self.corner[1]
        corners = [(x * self.place.scale, y * self.place.scale) for x in (left, right) for y in (top, bottom)]
        xs = [x_origin + x * cos - y * sin for x, y in corners]
        ys = [y_origin + x * sin + y * cos for x, y in corners]
        height, width = self.cover.shape
        x0, x1 = (min(max(x, 0), width) for x in (math.floor(min(xs)) - 2, math.ceil(max(xs)) + 3))
        y0, y1 = (min(max(y, 0), height) for y in (math.floor(min(ys)) - 2, math.ceil(max(ys)) + 3))
        box = (slice(y0, y1), slice(x0, x1))
        return Layers(
            self.place,
            (self.corner[0] + x0, self.corner[1] + y0),
            self.qx[box],
            self.qy[box],
            self.colour[:, box[0], box[1]],
            self.slope_x[box],
            self.slope_y[box],
            self.open[box],
            self.gloss[box],
            self.cover[box],
        )

    def lay(
        self,
        mask: Array,
        colour: Array,
        slopes: tuple[Array | float, Array | float],
        *,
        open: Array | float = 1.0,
        gloss: Array | float = 0.0,
    ) -> None:
        """Put a layer on top.

        Args:
            mask: (h, w), 0…1.
            colour: (3,) or (3, h, w).
            slopes: of its depth, to the right and downwards.
            open, gloss: as the attributes.
        """
        paint(self.colour[None], colour[None], mask)
        for plane, layer in (
            (self.slope_x, slopes[0]),
            (self.slope_y, slopes[1]),
            (self.open, open),
            (self.gloss, gloss),
            (self.cover, 1.0),
        ):
            plane += (layer - plane) * mask

    def slopes_of(self, depth: Array) -> tuple[Array, Array]:
        """The slopes of a depth map in head units over these pixels; 0 at the border."""
        across, down = np.zeros_like(depth), np.zeros_like(depth)
        per_pixel = 0.5 * self.place.scale
        np.subtract(depth[:, 2:], depth[:, :-2], out=across[:, 1:-1])
        np.subtract(depth[2:], depth[:-2], out=down[1:-1])
        for slope in (across, down):
            slope *= per_pixel
            np.clip(slope, -_STEEPEST, _STEEPEST, out=slope)
        return across, down
