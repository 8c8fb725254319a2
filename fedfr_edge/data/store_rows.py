"""The rows of a store in memory: millions take about a hundred bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from fedfr_edge.data.store_format import Row


class Rows(Sequence[Row]):
    """A growing list of :class:`~fedfr_edge.data.store_format.Row`, kept in columns.

    Attributes:
        names: the images' names.
        identities: identity -> its number, in the order in which they first appear.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.identities: dict[str, int] = {}
        self._numbers = array("q")
        self._hashes = bytearray()
        self._by_number: list[str] = []

    def append(self, row: Row) -> None:
        """Add a row."""
        number = self.identities.setdefault(row.identity, len(self._by_number))
        if number == len(self._by_number):
            self._by_number.append(row.identity)
        self.names.append(row.name)
        self._numbers.append(number)
        self._hashes += bytes.fromhex(row.sha256)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """int64 (n,): number of each image's identity."""
        return np.array(self._numbers, dtype=np.int64)

    @property
    def hashes(self) -> npt.NDArray[np.uint8]:
        """uint8 (n, 32): sha256 of each image's pixels."""
        return np.frombuffer(bytes(self._hashes), dtype=np.uint8).reshape(-1, 32)

    def sha256(self, number: int) -> str:
        """One image's hash, in hexadecimal."""
        return self._hashes[32 * number : 32 * number + 32].hex()

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> list[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | list[Row]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        return Row(self.names[number], self._by_number[self._numbers[number]], self.sha256(number))
