"""Small pictures inside a page."""

from __future__ import annotations

import base64
import io

import numpy as np

from fedfr_edge.types import Image

THUMBNAIL = 168
"""Longer side, pixels at most (drawn at half that on a dense screen)."""


def thumbnail(image: Image) -> str:
    """``image`` as a small JPEG in a data URI."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(np.ascontiguousarray(image, dtype=np.uint8))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
