"""Images that are read as they are needed: an array, a memory map, or some rows of one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedfr_edge.types import AlignedFaces


class ImageSource(Protocol):
    """Aligned faces by row: ``uint8 (n, 112, 112, 3)`` RGB.

    A plain array is one. ``source[rows]`` takes a slice or int64 row numbers and gives an array.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | npt.NDArray[np.int64], /) -> AlignedFaces: ...


class ImageRows:
    """Chosen rows of a larger source, read only when they are asked for.

    ``ImageRows(store.images, split.public_rows(store))`` costs no memory beyond the row numbers.
    """

    def __init__(self, source: ImageSource, rows: npt.NDArray[np.int64]) -> None:
        self.source, self.rows = source, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | npt.NDArray[np.int64], /) -> AlignedFaces:
        return self.source[self.rows[rows]]
