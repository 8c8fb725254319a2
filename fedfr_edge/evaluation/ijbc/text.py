"""Lines of the metadata files, with errors that name file, line and item."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedfr_edge.errors import DataError


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        DataError: it cannot be read, or holds nothing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; --root must hold IJB-C's folder meta, as insightface "
            "lays it out"
        ) from error
    if not data.strip():
        raise DataError(f"{path} is empty; copy it again")
    return data


def read_rows(path: Path, form: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """``(line number, fields)`` of each line that is not blank; fields stand apart by white space.

    Args:
        path: the file.
        form: what each field is; a line must have as many.

    Raises:
        DataError: see :func:`read_bytes`; not text; a line with more or fewer fields.
    """
    for number, line in enumerate(_decode(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != len(form):
            raise wrong_line(path, number, f"has {len(fields)} columns", f"{len(form)}: {' '.join(form)}")
        yield number, fields


def read_columns(path: Path, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """``(line number, values of the wanted columns)`` of a comma-separated file with a header.

    Raises:
        DataError: see :func:`read_bytes`; not text; a column is missing; a line of another length; no
            line below the header.
    """
    rows = _parsed(path)
    _, header = next(rows)
    header = [name.strip().upper() for name in header]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise wrong_line(path, 1, f"has no column {missing[0]}", f"a header with {', '.join(wanted)}")
    places = [header.index(name) for name in wanted]
    found = False
    for line, fields in rows:
        if len(fields) != len(header):
            raise wrong_line(path, line, f"has {len(fields)} columns", f"{len(header)}, as in the header")
        found = True
        yield line, [fields[place].strip() for place in places]
    if not found:
        raise DataError(f"{path} has a header and no line below it; copy it again")


def whole_number(path: Path, line: int, what: str, text: str) -> int:
    """``text`` as an integer of 0 or more.

    Raises:
        DataError: it is none.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise wrong_line(path, line, f"has {what} {text!r}", "a whole number")
    return int(text)


def wrong_line(path: Path, line: int, found: str, expected: str) -> DataError:
    """The error for a line that is not as it should be."""
    return DataError(f"line {line} of {path} {found}, expected {expected}; correct the file or copy it again")


def _parsed(path: Path) -> Iterator[tuple[int, list[str]]]:
    lines = csv.reader(io.StringIO(_decode(path), newline=""))
    try:
        for fields in lines:
            if fields:
                yield lines.line_num, fields
    except csv.Error as error:  # a quotation mark without its fellow, for example
        found = f"cannot be parsed ({error})"
        raise wrong_line(path, lines.line_num, found, "comma-separated values") from error


def _decode(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text (byte {error.start}); give IJB-C's own file") from error
