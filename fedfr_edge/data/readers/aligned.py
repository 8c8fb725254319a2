"""Images that are aligned already: 112×112 on ArcFace's template."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.data.readers.outcome import Outcome
from fedfr_edge.errors import ImageError
from fedfr_edge.types import FACE_SIZE, Image
from fedfr_edge.vision.image import read_image


class AlignedReader:
    """Takes aligned images as they are; grey ones become RGB.

    Args:
        resize: fit images of other sizes (see :func:`fit`) instead of skipping them.
    """

    def __init__(self, resize: bool = False) -> None:
        self.resize = resize

    def open(self) -> None:
        """Nothing to get ready."""

    def describe(self) -> dict[str, str | int | bool]:
        """Kind, and whether other sizes are fitted."""
        return {"kind": "aligned", "resize": self.resize}

    def read(self, path: Path, /) -> Outcome:
        """Read one image; see :class:`Outcome` for the codes."""
        try:
            image = read_image(path)
        except ImageError as error:
            return Outcome(None, "undecodable", str(error))
        return as_face(image, self.resize)


def as_face(image: Image, resize: bool) -> Outcome:
    """A decoded aligned image as it is if it has 112×112 pixels; else skipped, or fitted if ``resize``."""
    height, width = image.shape[:2]
    if (height, width) == (FACE_SIZE, FACE_SIZE):
        return Outcome(image)
    found = f"{width}×{height} pixels"
    if not resize:
        return Outcome(None, "wrong_size", f"{found}, expected {FACE_SIZE}×{FACE_SIZE}; --resize fits it")
    return Outcome(fit(image), "resized", f"was {found}")


def fit(image: Image) -> npt.NDArray[np.uint8]:
    """Scale ``image`` so that its longer side has 112 pixels, and fill up with black on both sides.

    Proportions stay. A 96×112 crop of SphereFace's layout (ArcFace's template less 8 columns on
    either side) comes out exactly on ArcFace's template.

    Args:
        image: uint8 (height, width, 3).

    Returns:
        uint8 (112, 112, 3).
    """
    height, width = image.shape[:2]
    scale = FACE_SIZE / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    scaled = image
    if (new_height, new_width) != (height, width):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=how), dtype=np.uint8)
    face = np.zeros((FACE_SIZE, FACE_SIZE, 3), dtype=np.uint8)
    top, left = (FACE_SIZE - new_height) // 2, (FACE_SIZE - new_width) // 2
    face[top : top + new_height, left : left + new_width] = scaled
    return face
