"""Lists of pairs: the form of Labeled Faces in the Wild (LFW), and one for images of any name.

LFW's form (tabs between the fields; the first line says ten folds of 300 mated and 300 non-mated pairs;
with a single number there is one fold)::

    10      300
    Abel_Pacheco    1       4
    …
    Abdel_Madi_Shabneh      1       Dean_Barker     1
    …

names images as ``Abel_Pacheco/Abel_Pacheco_0001``. The general form gives the names themselves (tabs
between the fields; the first line says 6,000 pairs in ten folds; 1 is mated, 0 non-mated)::

    pairs   6000    10
    00000/00000     00000/00001     1
    …

Its folds are runs of consecutive pairs, as insightface evaluates its ``.bin`` sets: equally long, or
the first few one pair longer where the number of pairs is no multiple.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedfr_edge import atomic
from fedfr_edge.errors import DataError

GENERAL = "pairs"
"""First word of a list in the general form."""


@dataclass(frozen=True)
class Pair:
    """Two images by name, whether they show one person, the fold they belong to, the list's line."""

    first: str
    second: str
    mated: bool
    fold: int
    line: int = field(default=0, compare=False)


def read_pairs(path: Path) -> list[Pair]:
    """Parse a list of pairs.

    Raises:
        DataError: unreadable, a line of another form, or not as many pairs as its header says.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise DataError(f"cannot read pairs list {path}: {reason}; check the path") from error
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(f"{path} is empty, expected a pairs list in LFW's form; give another file")
    head, body = rows[0][1], rows[1:]
    if head.split()[0] == GENERAL:
        return _general(path, head, body)
    return _lfw(path, head, body)


def write_pairs(path: Path, pairs: Sequence[tuple[str, str, bool]], folds: int = 10) -> None:
    """Write a list in the general form: names of two images and whether they are one person's.

    Args:
        path: the file.
        pairs: in the order that the folds are made from.
        folds: how many; fewer where there are fewer pairs.

    Raises:
        WriteError: the disk refused.
    """
    lines = [f"{GENERAL}\t{len(pairs)}\t{min(folds, len(pairs))}"]
    lines += [f"{first}\t{second}\t{int(mated)}" for first, second, mated in pairs]
    atomic.write_text(path, "\n".join(lines) + "\n")


def _general(path: Path, head: str, body: list[tuple[int, str]]) -> list[Pair]:
    fields = head.split()[1:]
    if len(fields) != 2 or not all(field.isdecimal() and int(field) > 0 for field in fields):
        raise DataError(
            f"{path} begins with {head.strip()!r}, expected {GENERAL}, the number of pairs and of folds, for "
            f"example {GENERAL} 6000 10"
        )
    count, folds = map(int, fields)
    if len(body) != count or folds > count:
        raise DataError(
            f"{path} has {len(body)} pairs, its header says {count} in {folds} folds; the file may be cut "
            "short: copy it again, or correct the header"
        )
    pairs = []
    for fold, (number, line) in zip(_consecutive(count, folds), body, strict=True):
        parts = line.strip().split("\t") if "\t" in line else line.split()
        if len(parts) != 3 or parts[2] not in ("0", "1") or not (parts[0] and parts[1]):
            raise DataError(
                f"line {number} of {path} is {line.strip()!r}, expected name, name, 1 or 0 (one person's or "
                "two people's); correct the list"
            )
        pairs.append(Pair(parts[0], parts[1], parts[2] == "1", fold, number))
    return pairs


def _consecutive(count: int, folds: int) -> Iterator[int]:
    """The fold of each of ``count`` pairs: consecutive, the first ``count % folds`` one pair longer."""
    for fold in range(folds):
        for _ in range(count // folds + (fold < count % folds)):
            yield fold


def _lfw(path: Path, head: str, body: list[tuple[int, str]]) -> list[Pair]:
    folds, per_kind = _lfw_header(path, head)
    expected = folds * 2 * per_kind
    if len(body) != expected:
        raise DataError(
            f"{path} has {len(body)} pairs, its header says {folds} × 2 × {per_kind} = {expected}; "
            "the file may be cut short: copy it again, or correct the header"
        )
    pairs = []
    for place, (number, line) in enumerate(body):
        fold, within = divmod(place, 2 * per_kind)
        pairs.append(_lfw_pair(path, number, line, mated=within < per_kind, fold=fold))
    return pairs


def _lfw_header(path: Path, line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) not in (1, 2) or not all(field.isdecimal() and int(field) > 0 for field in fields):
        raise DataError(
            f"{path} begins with {line.strip()!r}, expected LFW's header: the number of folds and of "
            "pairs of each kind in a fold, for example 10 300"
        )
    numbers = [int(field) for field in fields]
    return (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def _lfw_pair(path: Path, number: int, line: str, *, mated: bool, fold: int) -> Pair:
    # Names may hold spaces where the list is made of tabs, as LFW's is.
    fields = line.strip().split("\t") if "\t" in line else line.split()
    form = ("name", "n", "n") if mated else ("name", "n", "name", "n")
    fits = len(fields) == len(form) and all(
        field.isdecimal() for field, kind in zip(fields, form, strict=True) if kind == "n"
    )
    if not fits:
        wanted = "name, number, number" if mated else "name, number, name, number"
        raise DataError(
            f"line {number} of {path} is {line.strip()!r}, expected {wanted} "
            f"({'a mated' if mated else 'a non-mated'} pair of fold {fold + 1}); correct the list"
        )
    first = _image_name(fields[0], fields[1])
    second = _image_name(fields[0], fields[2]) if mated else _image_name(fields[2], fields[3])
    return Pair(first, second, mated, fold, number)


def _image_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}"
