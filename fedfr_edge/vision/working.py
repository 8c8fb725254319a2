"""The size at which a detector first sees a photograph."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ImageError
from fedfr_edge.types import Face, Image


@dataclass(frozen=True)
class WorkingSize:
    """Bounds on the longer side of the image that a detector sees, in pixels.

    Attributes:
        least: smaller photographs are enlarged to it.
        most: larger photographs are reduced to it; a face must still be some 16 pixels wide then.
        square: pad to a square of this side, for networks of one fixed input size.
    """

    least: int
    most: int
    square: int | None = None


@dataclass(frozen=True)
class Worked:
    """A photograph at working size.

    Attributes:
        pixels: uint8 (H, W, 3) RGB, both sides multiples of 32; black right of and below the image.
        scale: working pixels per pixel of the photograph, (x, y).
    """

    pixels: Image
    scale: tuple[float, float]

    def to_photograph(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Bring (…, 2) working points (x, y) back to the photograph's pixels, float32."""
        # A pixel's middle is at its whole-number coordinate, so halves are added while scaling.
        photograph = (points + 0.5) / np.asarray(self.scale) - 0.5
        return np.asarray(photograph, dtype=np.float32)

    def in_photograph(self, face: Face) -> Face:
        """A face found in the working image, in the photograph's pixels."""
        box = self.to_photograph(face.box.reshape(2, 2)).reshape(4)
        return Face(box, self.to_photograph(face.landmarks), face.score)


def at_working_size(image: Image, size: WorkingSize) -> Worked:
    """Scale ``image``, keeping its proportions, and pad it to multiples of 32.

    Raises:
        ImageError: ``image`` is no uint8 (h, w, 3) array with pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            f"found an array {image.dtype} {image.shape}, expected uint8 (height, width, 3) RGB; "
            "use read_image"
        )
    height, width = image.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, size.least), size.most) / longest
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    if (new_width, new_height) != (width, height):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=method), dtype=np.uint8)
    padded = [size.square or -(-side // 32) * 32 for side in (new_height, new_width)]
    pixels = np.zeros((*padded, 3), dtype=np.uint8)
    pixels[:new_height, :new_width] = image
    return Worked(pixels, (new_width / width, new_height / height))
