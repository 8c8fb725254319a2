"""Images that are read as they are needed: an array, a memory map, or some rows of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedfr_edge.types import FACE_SIZE, AlignedFaces

Rows: TypeAlias = "slice | npt.NDArray[np.int64]"
"""Which rows: a slice, or int64 row numbers (n,)."""


class ImageSource(Protocol):
    """Aligned faces by row: ``uint8 (n, 112, 112, 3)`` RGB.

    A plain array is one. ``source[rows]`` gives an array.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> AlignedFaces: ...


class ImageRows:
    """Chosen rows of a larger source, read only when they are asked for.

    ``ImageRows(store.images, split.public_rows(store))`` costs no memory beyond the row numbers.
    """

    def __init__(self, source: ImageSource, rows: npt.NDArray[np.int64]) -> None:
        self.source, self.rows = source, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Rows, /) -> AlignedFaces:
        return self.source[self.rows[rows]]


class JoinedImages:
    """Several sources one after the other, as one."""

    def __init__(self, parts: Sequence[ImageSource]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *map(len, self.parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: Rows, /) -> AlignedFaces:
        numbers = np.arange(len(self))[rows]
        faces = np.empty((len(numbers), FACE_SIZE, FACE_SIZE, 3), dtype=np.uint8)
        for part, start, end in zip(self.parts, self.starts, self.starts[1:], strict=False):
            here = (start <= numbers) & (numbers < end)
            if here.any():
                faces[here] = part[numbers[here] - start]
        return faces
