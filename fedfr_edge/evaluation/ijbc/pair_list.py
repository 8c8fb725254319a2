"""IJB-C's list of 1:1 comparisons: millions of lines, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.ijbc.text import read_bytes, whole_number, wrong_line

BLOCK = 1 << 24
"""Bytes read at once; the numbers of such a block take about five times as much memory."""

_FORM = "3: template template label"


@dataclass(frozen=True)
class PairList:
    """Comparisons of two templates.

    Attributes:
        first: int32 (p,), place among the templates.
        second: int32 (p,), likewise.
        mated: bool (p,), whether the two are of one subject.
    """

    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    mated: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of comparisons."""
        return len(self.mated)


def read_pair_list(path: Path, template_ids: npt.NDArray[np.int64]) -> PairList:
    """Read ``path``.

    Args:
        path: lines of template, template, label (1: mated, 0: non-mated).
        template_ids: int64 (t,), the templates that have faces, rising.

    Raises:
        DataError: unreadable or empty; a line of another form; a template without faces; a template
            compared with itself; no mated or no non-mated pair. The message names the line.
    """
    firsts, seconds, labels = [], [], []
    for start, text in _blocks(read_bytes(path)):
        table, lines = _numbers(path, start, text)
        place = np.minimum(np.searchsorted(template_ids, table[:, :2]), len(template_ids) - 1)
        unknown = template_ids[place] != table[:, :2]
        if unknown.any():
            row, column = (int(value) for value in np.argwhere(unknown)[0])
            raise wrong_line(
                path,
                int(lines[row]),
                f"names template {table[row, column]}, which no face belongs to",
                "templates of the same set",
            )
        _check(path, lines, table)
        firsts.append(place[:, 0].astype(np.int32))
        seconds.append(place[:, 1].astype(np.int32))
        labels.append(table[:, 2] == 1)
    mated = np.concatenate(labels)
    if mated.all() or not mated.any():
        raise DataError(
            f"all {len(mated)} pairs of {path} are {'mated' if mated.all() else 'non-mated'}; rates need "
            "both kinds: copy the file again, it may be cut short"
        )
    return PairList(np.concatenate(firsts), np.concatenate(seconds), mated)


def _check(path: Path, lines: npt.NDArray[np.int64], table: npt.NDArray[np.int64]) -> None:
    wrong = np.flatnonzero(table[:, 2] > 1)
    if wrong.size:
        raise wrong_line(path, int(lines[wrong[0]]), f"has label {table[wrong[0], 2]}", "1 or 0")
    same = np.flatnonzero(table[:, 0] == table[:, 1])
    if same.size:
        raise wrong_line(
            path, int(lines[same[0]]), f"compares template {table[same[0], 0]} with itself", "two templates"
        )


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """``(number of the first line, whole lines)``."""
    line, start = 1, 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BLOCK) + 1
        if end == 0 or start + BLOCK >= len(data):
            end = len(data)
        yield line, data[start:end]
        line += data.count(b"\n", start, end)
        start = end


def _numbers(path: Path, start: int, text: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """int64 (rows, 3) of the lines that are not blank, and int64 (rows,) their numbers."""
    byte = np.frombuffer(text, dtype=np.uint8)
    is_digit = (byte >= ord("0")) & (byte <= ord("9"))
    is_space = (byte == ord(" ")) | (byte == ord("\t")) | (byte == ord("\r")) | (byte == ord("\n"))
    ends = np.flatnonzero(byte == ord("\n"))
    if not len(ends) or ends[-1] != len(byte) - 1:
        ends = np.append(ends, len(byte) - 1)  # the file's last line may lack its end
    begins = is_digit.copy()
    begins[1:] &= ~is_digit[:-1]
    counts = np.diff(np.cumsum(begins, dtype=np.int32)[ends], prepend=0)
    kept = np.flatnonzero(counts)
    if not np.all(is_digit | is_space) or not np.all(counts[kept] == 3):
        _raise_first_fault(path, start, text)
    values = np.fromstring(text, dtype=np.int64, sep=" ")  # any white space parts the numbers
    return values.reshape(-1, 3), start + kept


def _raise_first_fault(path: Path, start: int, text: bytes) -> None:
    for number, line in enumerate(text.split(b"\n"), start):
        fields = line.decode("utf-8", errors="replace").split()
        if fields and len(fields) != 3:
            raise wrong_line(path, number, f"has {len(fields)} columns", _FORM)
        for what, field in zip(("template", "template", "label"), fields, strict=False):
            whole_number(path, number, what, field)
    raise DataError(f"{path} has odd characters between its numbers; copy it again")
