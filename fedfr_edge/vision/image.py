"""Reading photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fedfr_edge.errors import ImageError
from fedfr_edge.types import Image


def read_image(path: Path) -> Image:
    """Read a photograph as RGB uint8 (h, w, 3); ImageError where that cannot be done."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}; check the path") from error
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str) -> Image:
    """Decode a photograph; ``name`` is for messages."""
    if not data:
        raise ImageError(f"{name} is empty, expected a photograph")
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"{name} cannot be decoded: {error.err}") from error
    if image is None:
        raise ImageError(f"{name} is no image that can be decoded")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
