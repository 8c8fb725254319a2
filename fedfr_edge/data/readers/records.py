"""Which records of MXNet's record files are images, and whose."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedfr_edge.data.readers.folders import Skipped
from fedfr_edge.data.readers.recordio import NO_INDEX, BadRecord, Glimpse, NoRecord, RecordFile, read_index
from fedfr_edge.errors import DataError
from fedfr_edge.types import FACE_SIZE, Progress, no_progress

TRAIN = "train.rec"
"""What insightface's sets, and the reference code's, call their record file."""

_TOLD = 4096
"""Records between two reports of progress."""


@dataclass(frozen=True)
class Found:
    """The image records of one file, in the order of their keys.

    Attributes:
        path: the ``.rec`` file.
        keys: int64 (n,): keys of the index; without one, their numbers in the file as the index would
            have them.
        offsets: int64 (n,), their first bytes.
        labels: int64 (n,), whose they are: the label, or the first number of a label vector.
        faults: records that are no image and should be one.
        header: label vector of the record that describes the file (insightface's record 0): first key
            that is no image, then what its writer added; empty without one.
        others: records that rightly are no image: that header, and one per identity.
    """

    path: Path
    keys: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    faults: list[Skipped]
    header: tuple[float, ...]
    others: int


def find_records(path: Path, label: str, progress: Progress = no_progress) -> Found:
    """The image records of the file ``path``.

    With an index of the same name (``train.idx`` beside ``train.rec``) the records it names are read;
    without one, all that the file holds, and past damage from the next record on. Where the record of
    key 0 carries a label vector that begins with a count, as insightface's does, the images are the
    keys from 1 to that number less one; otherwise all records that hold anything after their header.

    Args:
        path: the ``.rec`` file.
        label: what lists call the file.
        progress: counts records, or mebibytes where there is no index.

    Raises:
        DataError: a file cannot be read, or the index belongs to another record file.
    """
    index = path.with_suffix(".idx")
    with RecordFile(path) as file:
        look = _Look(label)
        if index.exists():
            return _by_index(file, index, look, progress)
        return _walk(file, look, progress)


def records_in(folder: Path) -> Path | None:
    """The record file of a folder (``train.rec``, or the only one there); None if it holds none.

    Raises:
        DataError: it holds several, none of them called ``train.rec``.
    """
    if (folder / TRAIN).is_file():
        return folder / TRAIN
    files = sorted(folder.glob("*.rec"))
    if len(files) > 1:
        raise DataError(
            f"{folder} holds {len(files)} record files, first {files[0].name}, expected one; name the file"
        )
    return files[0] if files else None


def check_property(found: Found, identities: int, resize: bool) -> str:
    """Compare insightface's ``property`` file (identities, height, width) with what was found.

    Returns:
        what differs, for a note; empty if nothing does or there is no such file.

    Raises:
        DataError: it is no such file, or says that the images are of another size.
    """
    path = found.path.with_name("property")
    if not path.is_file():
        return ""
    try:
        numbers = [int(field) for field in path.read_text(encoding="utf-8").strip().split(",")]
    except (OSError, ValueError):
        numbers = []
    if len(numbers) != 3:
        raise DataError(f"{path} is not of the form 85742,112,112 (identities, height, width); remove it")
    if numbers[1:] != [FACE_SIZE, FACE_SIZE] and not resize:
        raise DataError(
            f"{path} says that the images are {numbers[2]}×{numbers[1]} pixels, expected "
            f"{FACE_SIZE}×{FACE_SIZE}; --resize fits them"
        )
    if numbers[0] != identities:
        return f"it says {numbers[0]} identities, the records have {identities}"
    return ""


class _Look:
    """What is learned while looking through a file, in eight bytes a number."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.keys, self.offsets, self.labels = array("q"), array("q"), array("q")
        self.faults: list[tuple[int, str, str]] = []
        self.header: tuple[float, ...] = ()
        self.others = 0

    def add(self, key: int, offset: int, glimpse: Glimpse) -> None:
        """Take a record: an image, one about others (a label vector, no more), or one without its image."""
        number = glimpse.labels[0]
        if glimpse.empty and glimpse.vector:
            self.others += 1
        elif glimpse.empty:
            self.fault(key, "undecodable", f"byte {offset}: the record is empty after its header")
        elif not 0 <= number < 2**53 or number != int(number):  # NaN fails the first
            self.fault(key, "bad_label", f"byte {offset}: label {number:g} is no identity's number")
        else:
            self.keys.append(key)
            self.offsets.append(offset)
            self.labels.append(int(number))

    def fault(self, key: int, code: str, detail: str) -> None:
        """Note a record that should be an image and is none."""
        self.faults.append((key, code, detail))

    def found(self, path: Path, header: int | None = None) -> Found:
        """All of it; records were numbered from 0, the one at ``header`` among them and not to be counted."""
        keys, offsets, labels = (
            np.array(column, dtype=np.int64) for column in (self.keys, self.offsets, self.labels)
        )
        faults = self.faults
        if header is not None:  # its key is 0, and the others count from 1
            keep = keys != header
            keys, offsets, labels = keys[keep], offsets[keep], labels[keep]
            keys += keys < header
            faults = [(key + (key < header), code, detail) for key, code, detail in faults]
        skipped = [Skipped(f"{self.label}#{key}", "", code, detail) for key, code, detail in faults]
        return Found(path, keys, offsets, labels, skipped, self.header, self.others)


def _by_index(file: RecordFile, index: Path, look: _Look, progress: Progress) -> Found:
    keys, offsets = read_index(index)
    if not keys.size:
        raise DataError(f"index {index} is empty; {NO_INDEX}")
    images = keys
    if _has_header(file, keys, offsets, look):
        count = int(look.header[0]) - 1
        named = int(np.count_nonzero((keys > 0) & (keys <= count)))
        if count > 2 * named:
            raise DataError(
                f"index {index} lacks {count - named} of {count} images that the header of {file.path.name} "
                f"counts; {NO_INDEX}"
            )
        images = np.arange(1, count + 1)
        look.others = 1 + int(np.count_nonzero(keys > count))
    at = np.searchsorted(keys, images).clip(max=len(keys) - 1)
    astray = 0
    # As arrays of their own they give plain numbers one by one, which a list would hold all at once.
    entries = zip(array("q", images.tobytes()), array("q", at.tobytes()), strict=True)
    for number, (key, row) in enumerate(entries, 1):
        offset = int(offsets[row])
        if keys[row] != key:
            look.fault(key, "missing", f"the file's header counts it, {index.name} does not name it")
        else:
            try:
                look.add(key, offset, file.glimpse(offset))
            except BadRecord as error:
                astray += isinstance(error, NoRecord)
                look.fault(key, "bad_record", str(error))
        if number % _TOLD == 0 or number == len(images):
            progress(f"finding records in {look.label}", number, len(images))
    if astray and not look.keys:
        key, _, detail = look.faults[0]
        raise DataError(
            f"none of the {len(images)} entries of {index} leads to a record of {file.path.name}, first "
            f"{key} ({detail}); {NO_INDEX}"
        )
    return look.found(file.path)


def _has_header(
    file: RecordFile, keys: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], look: _Look
) -> bool:
    """Whether record 0 is a header that counts the images; if so, ``look`` is told."""
    if keys[0] != 0:
        return False
    try:
        first = file.glimpse(int(offsets[0]))
        second = file.glimpse(int(offsets[1])) if len(keys) > 1 else first
    except BadRecord:
        return False
    if not _counts(first) or not (first.empty or not second.vector):
        return False
    look.header = first.labels
    return True


def _walk(file: RecordFile, look: _Look, progress: Progress) -> Found:
    total = max(1, -(-file.size // (1 << 20)))
    what = f"finding records in {look.label}"
    counting: dict[int, Glimpse] = {}
    vectors = 0
    for number, (offset, found) in enumerate(file.walk()):
        if isinstance(found, str):
            look.fault(number, "bad_record", found)
        else:
            look.add(number, offset, found)
            vectors += found.vector and not found.empty
            if found.id == 0 and _counts(found):
                counting[number] = found
        if (number + 1) % _TOLD == 0:
            progress(what, min(offset >> 20, total - 1), total)
    progress(what, total, total)
    for number, glimpse in counting.items():
        # Record 0 of insightface holds nothing else; one that holds an image too is the only one of its kind.
        if glimpse.empty or vectors == 1:
            look.header = glimpse.labels
            look.others += not glimpse.empty
            return look.found(file.path, number)
    return look.found(file.path)


def _counts(glimpse: Glimpse) -> bool:
    """Whether a record of key or id 0 can be a header: a label vector that begins with a count."""
    labels = glimpse.labels
    return glimpse.vector and len(labels) > 1 and labels[0] >= 1 and all(map(math.isfinite, labels))
