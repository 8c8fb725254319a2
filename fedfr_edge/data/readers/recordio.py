"""MXNet's RecordIO, read without MXNet: framing, image header, index file.

A ``.rec`` file is a chain of parts, all numbers little-endian::

    uint32 magic 0xced7230a | uint32 cflag << 29 | length | length bytes | zeros up to a multiple of 4

A record is one part of cflag 0; or, where the magic number occurs in its content at a multiple of four
bytes, several: 1, then any 2, then 3, with the magic number to be put back between them. So the magic
number at a multiple of four bytes always begins a part, and a damaged file can be read on from there.

The content of an image record is ``uint32 flag, float32 label, uint64 id, uint64 id2``, then ``flag``
float32 labels (with flag 0 the one label in the header counts), then the encoded image.

A ``.idx`` file has a line ``key <TAB> offset`` for each record.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError

MAGIC = struct.pack("<I", 0xCED7230A)
WHOLE, FIRST, MIDDLE, LAST = range(4)

_FRAME = struct.Struct("<4sI")
_HEADER = struct.Struct("<IfQQ")
_LENGTH = (1 << 29) - 1
_CHUNK = 1 << 20
_GLANCE = 1 << 8
"""Bytes looked at to learn a record's label: the frame, the header and a label vector of 56 numbers."""


class BadRecord(Exception):
    """A record that cannot be read; the text says what was found at which byte."""


class NoRecord(BadRecord):
    """There is something else within the file where a record should begin."""


class Glimpse(NamedTuple):
    """What a record is, without its image.

    Attributes:
        labels: the label, or the label vector.
        vector: whether it is a vector.
        id: the header's id.
        empty: whether nothing follows the header, as in records that are about other records.
        end: offset of the byte after the record.
    """

    labels: tuple[float, ...]
    vector: bool
    id: int
    empty: bool
    end: int


class RecordFile:
    """A ``.rec`` file open for reading at any offset; buffered, so reading in order is sequential.

    Raises:
        DataError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=_CHUNK)
            self.size = path.stat().st_size
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}; check the path") from error

    def content(self, offset: int) -> tuple[bytes, int]:
        """``(content, end)`` of the record at byte ``offset``, several parts joined.

        Raises:
            BadRecord: no record begins there, it is cut short or its parts are out of order.
        """
        parts: list[bytes] = []
        at, expected = offset, (WHOLE, FIRST)
        while True:
            flag, length = self._frame(at)
            if flag not in expected:
                raise BadRecord(f"byte {at}: part of kind {flag}, expected {' or '.join(map(str, expected))}")
            parts.append(self._read(at + _FRAME.size, length))
            if len(parts[-1]) < length:
                raise BadRecord(
                    f"byte {at}: {length} bytes should follow, the file ends after {len(parts[-1])}"
                )
            at += _FRAME.size + -(-length // 4) * 4
            if flag in (WHOLE, LAST):
                return MAGIC.join(parts), min(at, self.size)
            expected = (MIDDLE, LAST)

    def glimpse(self, offset: int) -> Glimpse:
        """What the record at byte ``offset`` is.

        Raises:
            BadRecord: as :meth:`content`, or its header is cut short.
        """
        flag, length = self._frame(offset)
        if flag == WHOLE:
            end = offset + _FRAME.size + -(-length // 4) * 4
            if offset + _FRAME.size + length > self.size:
                left = self.size - offset - _FRAME.size
                raise BadRecord(f"byte {offset}: {length} bytes should follow, the file ends after {left}")
            start = self._read(offset + _FRAME.size, min(length, _GLANCE))
            try:
                labels, vector, number, after = parse_header(start, offset)
                return Glimpse(labels, vector, number, after == length, min(end, self.size))
            except BadRecord:
                if length <= _GLANCE:
                    raise
        content, end = self.content(offset)
        labels, vector, number, after = parse_header(content, offset)
        return Glimpse(labels, vector, number, after == len(content), end)

    def walk(self) -> Iterator[tuple[int, Glimpse | str]]:
        """``(offset, what is there)`` of every record in order; a fault is a text, and reading goes on."""
        at = 0
        while at < self.size:
            try:
                found = self.glimpse(at)
                hidden = self._next_record(at + _FRAME.size, found.end)
                if hidden is not None:
                    raise BadRecord(f"byte {at}: its length reaches over the record at byte {hidden}")
            except BadRecord as error:
                yield at, str(error)
                following = self._next_record(at + 4, self.size)
                at = self.size if following is None else following
            else:
                yield at, found
                at = found.end

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _frame(self, at: int) -> tuple[int, int]:
        raw = self._read(at, _FRAME.size)
        if len(raw) < _FRAME.size:
            raise BadRecord(f"byte {at}: no record begins there, the file has {self.size} bytes")
        magic, word = _FRAME.unpack(raw)
        if magic != MAGIC:
            raise NoRecord(
                f"byte {at}: no record begins there (found {raw[:4].hex()}, expected {MAGIC.hex()})"
            )
        return word >> 29, word & _LENGTH

    def _read(self, at: int, count: int) -> bytes:
        if not 0 <= at < self.size:
            return b""
        try:
            self._file.seek(at)
            return self._file.read(min(count, self.size - at))
        except OSError as error:
            raise DataError(f"cannot read {self.path} at byte {at}: {error.strerror}") from error

    def _next_record(self, start: int, stop: int) -> int | None:
        """Offset of the first part in ``[start, stop)`` that begins a record."""
        for base in range(start, stop, _CHUNK):
            block = self._read(base, min(_CHUNK, stop - base) + _FRAME.size)
            at = block.find(MAGIC)
            while 0 <= at < _CHUNK and base + at < stop:
                if (base + at) % 4 == 0 and len(block) >= at + _FRAME.size:
                    _, word = _FRAME.unpack_from(block, at)
                    if word >> 29 in (WHOLE, FIRST):
                        return base + at
                at = block.find(MAGIC, at + 1)
        return None


def parse_header(content: bytes, offset: int) -> tuple[tuple[float, ...], bool, int, int]:
    """``(labels, is a vector, id, where the image begins)`` of a record's content.

    Raises:
        BadRecord: it is shorter than its header says; ``offset`` is for the message.
    """
    if len(content) < _HEADER.size:
        raise BadRecord(
            f"byte {offset}: content of {len(content)} bytes, its header alone has {_HEADER.size}"
        )
    flag, label, number, _ = _HEADER.unpack_from(content)
    start = _HEADER.size + 4 * flag
    if start > len(content):
        raise BadRecord(f"byte {offset}: {flag} labels in {len(content)} bytes, expected {start} or more")
    labels = struct.unpack_from(f"<{flag}f", content, _HEADER.size) if flag else (label,)
    return labels, flag > 0, number, start


def read_index(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """``(keys, offsets)`` of a ``.idx`` file, int64, keys ascending.

    Raises:
        DataError: it cannot be read, a line is of another form, or a key stands there twice.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from error
    numbers = _fast(data)
    if numbers is None:
        lines = [_index_line(path, *line) for line in enumerate(data.splitlines(), 1)]
        numbers = np.array(lines, dtype=np.int64)
    numbers = numbers.reshape(-1, 2)
    order = np.argsort(numbers[:, 0], kind="stable")
    keys, offsets = numbers[order, 0], numbers[order, 1]
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    if twice.size:
        raise DataError(f"index {path} has key {keys[twice[0]]} twice; {NO_INDEX}")
    return keys, offsets


NO_INDEX = "delete or rename the index, then the records are found by reading the file through"
"""Advice for an index that cannot be used."""


def _fast(data: bytes) -> npt.NDArray[np.int64] | None:
    """All numbers of an index at once; None if it does not look like two whole numbers a line."""
    if data.translate(None, b"0123456789\t\r\n"):
        return None
    tabs, lines = data.count(b"\t"), data.count(b"\n") + (not data.endswith(b"\n"))
    if tabs != lines:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy only warns of text that it cannot read to its end
        try:
            numbers = np.fromstring(data, dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    # What is too great for 64 bits comes out as the greatest.
    return numbers if numbers.size == 2 * lines and numbers.max(initial=0) < 10**18 else None


def _index_line(path: Path, number: int, line: bytes) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() and len(field) < 19 for field in fields):
        raise DataError(
            f"line {number} of index {path} is {line[:60].decode(errors='replace')!r}, expected a key and "
            f"an offset; {NO_INDEX}"
        )
    return int(fields[0]), int(fields[1])
