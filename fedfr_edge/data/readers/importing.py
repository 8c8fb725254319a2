"""Images into a store: what every kind of import does."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedfr_edge.data.readers.folders import Skipped, find_images
from fedfr_edge.data.readers.journal import Journal, listed
from fedfr_edge.data.readers.outcome import FaceReader, Item, Outcome
from fedfr_edge.data.side_by_side import in_order
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.data.store_format import MANIFEST, Row
from fedfr_edge.data.store_rows import Rows
from fedfr_edge.errors import DataError
from fedfr_edge.types import Progress, no_progress

SKIPPED, NOTES = "skipped.csv", "notes.csv"


@dataclass(frozen=True)
class Imported:
    """What an import came to.

    Attributes:
        store: the finished store.
        found: image files and other entries that were looked at.
        skipped: code -> number of entries in ``skipped.csv``.
        notes: code -> number of entries in ``notes.csv``: ``several_faces``, ``resized``,
            ``single_image`` (an identity with one image), ``duplicate`` (the same pixels as an
            earlier image of the identity), ``shared`` (the same pixels as another identity's).
        resumed: images that an earlier, interrupted run had written.
    """

    store: FaceStore
    found: int
    skipped: dict[str, int]
    notes: dict[str, int]
    resumed: int


def import_faces(
    inputs: Sequence[Path],
    out: Path,
    reader: FaceReader,
    *,
    source: str,
    licence: str,
    merge: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> Imported:
    """Read every image under ``inputs`` with ``reader`` into a store at ``out``.

    Rows are sorted by identity and name. An interrupted import goes on where it stopped when it is
    called again with the same arguments: images that were written or skipped are not read again.
    The finished store is the same, to the bit, as one made without interruption.

    Args:
        inputs: folders with one folder per identity.
        out: folder of the store; absent, empty, or holding the unfinished import.
        reader: a ``PhotoReader`` or an ``AlignedReader``.
        source: where the faces come from, for the manifest.
        licence: under which terms, for the manifest.
        merge: equal identity names in several inputs are one person; otherwise an error.
        jobs: processes that read; results do not depend on it.
        progress: counts image files.

    Raises:
        DataError: the inputs are unusable, or no image gave a face.
        ConfigError, MissingPartError: the reader cannot work; nothing was written.
        StoreError: ``out`` holds something else.
        WriteError: the disk refused; what is written stays.
    """
    images, odd = find_images(inputs, merge=merge)
    return import_items(
        images, odd, out, reader, source=source, licence=licence, jobs=jobs, progress=progress
    )


def import_items(
    images: Sequence[Item],
    odd: Sequence[Skipped],
    out: Path,
    reader: FaceReader,
    *,
    source: str,
    licence: str,
    notes: Sequence[Skipped] = (),
    alone: bool = True,
    companion: str | None = None,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> Imported:
    """Read ``images`` with ``reader`` into a store at ``out``, rows in their order.

    Resumes, and raises, as :func:`import_faces`. Images are asked for one after another and may be made
    as they are asked for.

    Args:
        images: what to read.
        odd: what was found beside them and is no image: goes to the list of what is skipped.
        out: folder of the store.
        reader: knows their places.
        source: where the faces come from, for the manifest.
        licence: under which terms, for the manifest.
        notes: what is known of the input already and worth a line in the list of notes.
        alone: note identities that have one image.
        companion: a file that the caller makes beside the finished store; where only that is wanting, for a
            kill between the two, the store is opened and nothing is read.
        jobs: processes that read; results do not depend on it.
        progress: counts images.
    """
    reader.open()
    if companion is not None and _finished(out, source, licence, reader) and not (out / companion).exists():
        with Journal(out / SKIPPED) as skipped, Journal(out / NOTES) as noted:
            store = FaceStore.open(out)
            return Imported(store, len(images) + len(odd), skipped.counts(), noted.counts(), len(store))
    with (
        StoreWriter(out, source=source, licence=licence, extra=reader.describe()) as writer,
        Journal(out / SKIPPED) as skipped,
        Journal(out / NOTES) as noted,
    ):
        resumed = len(writer)
        for entry in odd:
            skipped.add(entry.shown, entry.identity, entry.code, entry.detail)
        for entry in notes:
            noted.add(entry.shown, entry.identity, entry.code, entry.detail)
        todo = _Remaining(images, writer, skipped.files())
        with closing(in_order(partial(_open, reader), todo, jobs)) as outcomes:
            for number, (image, outcome) in enumerate(zip(todo.items(), outcomes, strict=True), start=1):
                if outcome.face is None:
                    skipped.add(image.shown, image.identity, outcome.code, outcome.detail)
                else:
                    if outcome.code:
                        noted.add(image.shown, image.identity, outcome.code, outcome.detail)
                    writer.add(outcome.face, image.identity, image.name)
                progress("reading images", len(images) - len(todo) + number, len(images))
        if not len(writer):
            raise DataError(_nothing(len(images), skipped, out))
        _note_content(writer.rows, images, noted, alone)
        store = writer.finish(progress=progress)
        return Imported(store, len(images) + len(odd), skipped.counts(), noted.counts(), resumed)


def _finished(out: Path, source: str, licence: str, reader: FaceReader) -> bool:
    """Whether ``out`` is the finished store of this very import."""
    if not (out / MANIFEST).exists():
        return False
    manifest = FaceStore.open(out).manifest
    begun = {"source": source, "licence": licence, "extra": reader.describe()}
    return all(manifest.get(key) == value for key, value in begun.items())


class _Remaining(Sequence[Any]):
    """Places of the images that are neither written nor skipped yet, made as they are asked for."""

    def __init__(self, images: Sequence[Item], written: StoreWriter, skipped: set[str]) -> None:
        self._images = images
        left = (
            number
            for number, image in enumerate(images)
            if image.name not in written and listed(image.shown) not in skipped
        )
        self._numbers = array("q", left)

    def items(self) -> Iterator[Item]:
        """The images themselves."""
        return (self._images[number] for number in self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: Any) -> Any:
        return self._images[self._numbers[number]].place


def _nothing(images: int, skipped: Journal, out: Path) -> str:
    reasons = ", ".join(f"{code} {count}" for code, count in skipped.counts().items())
    return (
        f"no face came out of {images} image files ({reasons}); see {out / SKIPPED} for each, then mend "
        "the images or choose another kind, detector or least face, and another folder for the store"
    )


def _note_content(rows: Rows, images: Sequence[Item], noted: Journal, alone: bool) -> None:
    """Note what only the whole store shows: single images and equal pixels."""
    remarks: list[tuple[Row, str, str]] = []
    first: dict[str, Row] = {}
    for row in (rows[number] for number in _alike(rows.hashes)):
        same = first.setdefault(row.sha256, row)
        if same is not row:
            code = "duplicate" if same.identity == row.identity else "shared"
            remarks.append((row, code, f"same pixels as {same.name}"))
    if alone:
        labels = rows.labels
        detail = "the identity has this image only: it can be neither trained and tested nor compared"
        single = np.flatnonzero(np.bincount(labels)[labels] == 1).tolist()
        remarks += [(rows[number], "single_image", detail) for number in single]
    names = {row.name for row, _, _ in remarks}
    shown = {image.name: image.shown for image in images if image.name in names} if names else {}
    for row, code, what in remarks:
        noted.add(shown.get(row.name, row.name), row.identity, code, what)


def _alike(hashes: npt.NDArray[np.uint8]) -> list[int]:
    """Rows that share the first eight bytes of their hash with another row, ascending."""
    start = np.ascontiguousarray(hashes[:, :8]).view(np.uint64)[:, 0]
    order = np.argsort(start, kind="stable")
    equal = start[order][1:] == start[order][:-1]
    alike: list[int] = np.sort(order[np.append(equal, False) | np.append(False, equal)]).tolist()
    return alike


def _open(reader: FaceReader) -> Callable[[Any], Outcome]:
    reader.open()
    return reader.read
