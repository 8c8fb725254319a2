"""Small stores and image folders with known content."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.data.readers.aligned import AlignedReader
from fedfr_edge.data.readers.outcome import Outcome
from fedfr_edge.data.store import FaceStore, StoreWriter


def face(number: int) -> npt.NDArray[np.uint8]:
    """A face-sized image that no other number has."""
    return np.random.default_rng(number).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def fill(writer: StoreWriter, count: int, first: int = 0) -> None:
    """Add images ``first`` to ``count - 1``, three to an identity."""
    for number in range(first, count):
        writer.add(face(number), f"person {number // 3}", f"person {number // 3}/{number:03d}")


def begin(path: Path) -> StoreWriter:
    """A writer whose arguments are always the same."""
    return StoreWriter(path, source="a test", licence="none", extra={"kind": "test", "sizes": (1, 2)})


def small_store(path: Path, count: int = 7) -> FaceStore:
    """A finished store of :func:`fill`."""
    with begin(path) as writer:
        fill(writer, count)
        return writer.finish()


def named_store(path: Path, images: Mapping[str, int]) -> FaceStore:
    """A store of blank faces: identity -> number of images, named ``identity/000`` and so on."""
    blank = np.zeros((112, 112, 3), dtype=np.uint8)
    with begin(path) as writer:
        for identity, count in images.items():
            for number in range(count):
                writer.add(blank, identity, f"{identity}/{number:03d}")
        return writer.finish()


def write_image(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write ``pixels``, RGB (h, w, 3) or grey (h, w), in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    assert cv2.imwrite(str(path), ordered)


def crops(folder: Path, people: int, each: int) -> None:
    """A folder of aligned crops (PNG): ``person_00/0.png`` and so on."""
    for person in range(people):
        for number in range(each):
            write_image(folder / f"person_{person:02d}" / f"{number}.png", face(1000 * person + number))


class SlowReader(AlignedReader):
    """Takes its time over each image, and leaves the number of its process in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def read(self, path: Path) -> Outcome:
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.02)
        return super().read(path)
