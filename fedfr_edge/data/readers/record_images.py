"""Images of MXNet's record files into a store."""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, overload

import numpy as np

from fedfr_edge.data.readers.aligned import as_face
from fedfr_edge.data.readers.folders import Skipped, labels_of
from fedfr_edge.data.readers.importing import Imported, import_items
from fedfr_edge.data.readers.outcome import Outcome
from fedfr_edge.data.readers.recordio import BadRecord, RecordFile, parse_header
from fedfr_edge.data.readers.records import TRAIN, Found, check_property, find_records
from fedfr_edge.data.store_format import FACE_BYTES, IMAGES
from fedfr_edge.errors import DataError, ImageError, WriteError
from fedfr_edge.types import Progress, no_progress
from fedfr_edge.vision.image import decode_image


class Place(NamedTuple):
    """Where an image record lies: number of the file, its key, its first byte."""

    file: int
    key: int
    offset: int


@dataclass(frozen=True)
class Naming:
    """How one file's records are called in the store.

    Attributes:
        shown: what lists call the file.
        identity: goes before the label.
        base: is added to the label.
        image: goes before the key in an image's name.
    """

    shown: str
    identity: str = ""
    base: int = 0
    image: str = ""


@dataclass(frozen=True)
class RecordImage:
    """One image record; see :class:`fedfr_edge.data.readers.outcome.Item`."""

    place: Place
    shown: str
    identity: str
    name: str


class RecordImages(Sequence[RecordImage]):
    """The images of several record files, named as they are asked for: millions take a few numbers each."""

    def __init__(self, files: Sequence[tuple[Found, Naming]]) -> None:
        self._files = list(files)
        self._ends = list(accumulate(len(found.keys) for found, _ in files))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The record files, by number."""
        return tuple(found.path for found, _ in self._files)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, number: int) -> RecordImage: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[RecordImage]: ...
    def __getitem__(self, number: int | slice) -> RecordImage | Sequence[RecordImage]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        file = bisect_right(self._ends, number)
        found, naming = self._files[file]
        row = number - (self._ends[file - 1] if file else 0)
        key = int(found.keys[row])
        identity = identity_of(naming, int(found.labels[row]))
        return RecordImage(
            Place(file, key, int(found.offsets[row])),
            f"{naming.shown}#{key}",
            identity,
            f"{identity}/{naming.image}{key:08d}",
        )


def identity_of(naming: Naming, label: int) -> str:
    """What the identity ``label`` of a file is called: seven digits at least, so that names sort."""
    return f"{naming.identity}{label + naming.base:07d}"


class RecordReader:
    """Reads images at their :class:`Place` in record files.

    Args:
        paths: the files, by number.
        resize: fit images of other sizes instead of skipping them.
        kind: what the manifest calls it.
        more: what else decides the result, for the manifest.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        resize: bool = False,
        kind: str = "records",
        more: dict[str, int] | None = None,
    ) -> None:
        self.paths, self.resize, self.kind, self.more = tuple(paths), resize, kind, more or {}
        self._files: list[RecordFile] = []

    def open(self) -> None:
        """Open the files.

        Raises:
            DataError: one cannot be read.
        """
        if not self._files:
            self._files = [RecordFile(path) for path in self.paths]

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.pop().close()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def describe(self) -> dict[str, str | int | bool]:
        """Kind, and whether other sizes are fitted."""
        return {"kind": self.kind, "resize": self.resize, **self.more}

    def read(self, place: Place, /) -> Outcome:
        """Read one image; see :class:`Outcome` for the codes."""
        file = self._files[place.file]
        try:
            content, _ = file.content(place.offset)
            *_, start = parse_header(content, place.offset)
        except BadRecord as error:
            return Outcome(None, "bad_record", f"record {place.key}, {error}")
        try:
            image = decode_image(content[start:], f"record {place.key}")
        except ImageError as error:
            return Outcome(None, "undecodable", f"byte {place.offset}: {error}")
        return as_face(image, self.resize)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": []}  # each process opens its own


def import_records(
    paths: Sequence[Path],
    out: Path,
    *,
    source: str,
    licence: str,
    resize: bool = False,
    merge: bool = False,
    least_images: int = 1,
    progress: Progress = no_progress,
) -> Imported:
    """Import the images of record files into a store at ``out``, in the order of their keys.

    The identity of an image is its label in seven digits (``0000123``), the image's name is that and its
    key (``0000123/00004567``). With several files the file's name goes before the label, or with
    ``merge`` before the key. It resumes as :func:`fedfr_edge.data.readers.importing.import_faces` does.

    Args:
        paths: ``.rec`` files.
        out: folder of the store.
        source: where the faces come from, for the manifest.
        licence: under which terms, for the manifest.
        resize: fit images of other sizes into 112×112 instead of skipping them.
        merge: equal labels in several files are the same person.
        least_images: leave out identities with fewer images; each is listed as skipped.
        progress: counts records as they are found, then images.

    Raises:
        DataError: a file cannot be read or used, or no image gave a face.
        StoreError: ``out`` holds something else.
        WriteError: the disk has no room, or refused; what is written stays.
    """
    several = len(paths) > 1
    # Of many files called train.rec, their folders' names say more.
    telling = [path.parent if several and path.name == TRAIN else path for path in paths]
    files: list[tuple[Found, Naming]] = []
    odd: list[Skipped] = []
    notes: list[Skipped] = []
    for path, label in zip(paths, labels_of(telling), strict=True):
        found = find_records(path, label, progress)
        before = f"{label.replace('.rec', '')}-" if several else ""
        naming = Naming(label, identity="" if merge else before, image=before if merge else "")
        odd += found.faults
        differs = check_property(found, len(np.unique(found.labels)), resize)
        if differs:
            notes.append(Skipped(f"{label}/property", "", "other_count", differs))
        files.append((found, naming))
    if least_images > 1:
        files, few = _with_enough(files, least_images)
        odd += few
    images = RecordImages(files)
    check_room(len(images), out)
    more = {"least_images": least_images} if least_images > 1 else None
    with RecordReader(images.paths, resize, more=more) as reader:
        return import_items(
            images, odd, out, reader, source=source, licence=licence, notes=notes, progress=progress
        )


def check_room(images: int, out: Path) -> None:
    """Make sure, before hours of work, that the disk has room for a store of ``images`` at ``out``.

    Raises:
        WriteError: it has not.
    """
    there = out
    while not there.exists():
        there = there.parent
    written = out / IMAGES
    needed = images * FACE_BYTES - (written.stat().st_size if written.is_file() else 0)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise WriteError(
            f"a store of {images:,} images takes {images * FACE_BYTES / 1e9:,.1f} GB, {out} has "
            f"{free / 1e9:,.1f} GB left; free some, choose another place, or take fewer (--least-images)"
        )


def _with_enough(
    files: Sequence[tuple[Found, Naming]], least: int
) -> tuple[list[tuple[Found, Naming]], list[Skipped]]:
    """The files without identities of fewer than ``least`` images, and those identities."""
    count: dict[str, int] = {}
    for found, naming in files:
        for label, images in zip(*np.unique(found.labels, return_counts=True), strict=True):
            identity = identity_of(naming, int(label))
            count[identity] = count.get(identity, 0) + int(images)
    kept = []
    for found, naming in files:
        numbers, inverse = np.unique(found.labels, return_inverse=True)
        enough = np.array([count[identity_of(naming, int(label))] >= least for label in numbers], dtype=bool)
        keep = enough[inverse]
        columns = {name: getattr(found, name)[keep] for name in ("keys", "offsets", "labels")}
        kept.append((replace(found, **columns), naming))
    few = [
        Skipped(identity, identity, "few_images", f"{images} images, expected {least} or more")
        for identity, images in sorted(count.items())
        if images < least
    ]
    if len(few) == len(count):
        raise DataError(
            f"none of {len(count)} identities has {least} images (most: {max(count.values(), default=0)}); "
            "ask for fewer with --least-images"
        )
    return kept, few
