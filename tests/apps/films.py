"""Films for tests: made at test time from rendered faces, in whatever OpenCV writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from fedfr_edge.data.synth.scene import render_portrait_scene
from fedfr_edge.types import Image

SEED = 5
"""People of this seed are told apart by the shipped synthetic model."""


def portrait(identity: int, number: int) -> Image:
    """A rendered photograph, 640×480, of somebody facing the camera."""
    return render_portrait_scene(identity, number, SEED).image


def nobody() -> Image:
    """A grey picture, 640×480."""
    return np.full((480, 640, 3), 110, np.uint8)


def write_film(path: Path, pictures: Sequence[Image], *, rate: float = 15.0, hold: int = 3) -> Path:
    """Write pictures, each ``hold`` times, as MP4 (mp4v) or AVI (MJPG), by the file's suffix."""
    code = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        for _ in range(hold):
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


class FakeCapture:
    """Stands in for ``cv2.VideoCapture`` of a webcam: gives pictures, then whatever the script says."""

    def __init__(self, pictures: Iterable[Image], then: str = "unplugged", opens: bool = True) -> None:
        self.pictures = iter(pictures)
        self.then, self.opens = then, opens
        self.released = False

    def __call__(self, index: int) -> FakeCapture:
        return self

    def isOpened(self) -> bool:
        return self.opens

    def set(self, what: int, value: float) -> bool:
        return True

    def read(self) -> tuple[bool, Image | None]:
        import time

        time.sleep(0.005)
        picture = next(self.pictures, None)
        if picture is not None:
            return True, np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
        while self.then == "hangs" and not self.released:
            time.sleep(0.01)
        if self.then == "breaks":
            raise cv2.error("the driver said no")
        return False, None

    def release(self) -> None:
        self.released = True
