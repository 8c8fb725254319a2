"""The lists an import keeps beside the store: ``skipped.csv`` and ``notes.csv``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from types import TracebackType

from fedfr_edge.data.append_file import AppendFile

COLUMNS = ("file", "identity", "code", "detail")


class Journal:
    """A CSV file that grows line by line and survives a kill; an entry is written once.

    Args:
        path: the file; what it holds from an interrupted run is kept, a torn last line is cut off.

    Raises:
        WriteError: the disk refused.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)
        self._entries: dict[tuple[str, str], None] = {}
        whole = self._file.read(0, len(self._file))
        self._file.cut(whole.rfind(b"\n") + 1)
        lines = whole[: len(self._file)].decode(errors="replace").splitlines()
        for line in csv.reader(lines[1:]):
            if len(line) == len(COLUMNS):
                self._entries[line[0], line[2]] = None
        if not lines:
            self._file.append(_csv_line(COLUMNS))

    def add(self, file: str, identity: str, code: str, detail: str) -> None:
        """Append an entry, unless this ``file`` has one with this ``code`` already."""
        key = (_one_line(file), code)
        if key not in self._entries:
            self._file.append(_csv_line((key[0], _one_line(identity), code, _one_line(detail))))
            self._entries[key] = None

    def files(self) -> set[str]:
        """The files that have an entry, as :func:`listed` writes them."""
        return {file for file, _ in self._entries}

    def counts(self) -> dict[str, int]:
        """Number of entries of each code, sorted by code."""
        return dict(sorted(Counter(code for _, code in self._entries).items()))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def listed(file: str) -> str:
    """How ``file`` stands in a journal: on one line, as valid UTF-8."""
    return _one_line(file)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _csv_line(values: tuple[str, ...]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue().encode()
