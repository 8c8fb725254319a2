"""Films for the browser's fake webcam: YUV4MPEG2, uncompressed, 4:2:0."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2

from fedfr_edge.types import Image


def write_film(path: Path, frames: Iterable[Image], *, rate: int = 15) -> Path:
    """Write a film.

    Args:
        path: of the file.
        frames: uint8 (h, w, 3) RGB, all of one even size; played in a circle.
        rate: frames a second.
    """
    with path.open("wb") as file:
        size: tuple[int, ...] | None = None
        for image in frames:
            if size is None:
                size = image.shape
                file.write(f"YUV4MPEG2 W{size[1]} H{size[0]} F{rate}:1 Ip A1:1 C420jpeg\n".encode())
            assert image.shape == size, "all frames of a film have one size"
            # The studio range of BT.601, which the browser turns back.
            file.write(b"FRAME\n" + cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).tobytes())
        assert size is not None, "a film has frames"
    return path
