"""Folders of images into a store: what every kind of import does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fedfr_edge.data.readers.folders import ImageFile, find_images
from fedfr_edge.data.readers.journal import Journal, listed
from fedfr_edge.data.readers.outcome import FaceReader, Outcome
from fedfr_edge.data.side_by_side import in_order
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.data.store_format import Row
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
    reader.open()
    with (
        StoreWriter(out, source=source, licence=licence, extra=reader.describe()) as writer,
        Journal(out / SKIPPED) as skipped,
        Journal(out / NOTES) as notes,
    ):
        resumed = len(writer)
        for entry in odd:
            skipped.add(entry.shown, entry.identity, entry.code, entry.detail)
        done = skipped.files()
        todo = [image for image in images if image.name not in writer and listed(image.shown) not in done]
        paths = [image.path for image in todo]
        with closing(in_order(partial(_open, reader), paths, jobs)) as outcomes:
            for number, (image, outcome) in enumerate(zip(todo, outcomes, strict=True), start=1):
                if outcome.face is None:
                    skipped.add(image.shown, image.identity, outcome.code, outcome.detail)
                else:
                    if outcome.code:
                        notes.add(image.shown, image.identity, outcome.code, outcome.detail)
                    writer.add(outcome.face, image.identity, image.name)
                progress("reading images", len(images) - len(todo) + number, len(images))
        if not len(writer):
            raise DataError(_nothing(len(images), skipped, out))
        _note_content(writer.rows, images, notes)
        store = writer.finish(progress=progress)
        return Imported(store, len(images) + len(odd), skipped.counts(), notes.counts(), resumed)


def _nothing(images: int, skipped: Journal, out: Path) -> str:
    reasons = ", ".join(f"{code} {count}" for code, count in skipped.counts().items())
    return (
        f"no face came out of {images} image files ({reasons}); see {out / SKIPPED} for each, then choose "
        "another kind, detector or least face, and another folder for the store"
    )


def _note_content(rows: Sequence[Row], images: Sequence[ImageFile], notes: Journal) -> None:
    """Note what only the whole store shows: single images and equal pixels."""
    shown = {image.name: image.shown for image in images}
    count: dict[str, int] = {}
    first: dict[str, Row] = {}
    for row in rows:
        count[row.identity] = count.get(row.identity, 0) + 1
        same = first.setdefault(row.sha256, row)
        if same is not row:
            code = "duplicate" if same.identity == row.identity else "shared"
            notes.add(shown.get(row.name, row.name), row.identity, code, f"same pixels as {same.name}")
    for row in rows:
        if count[row.identity] == 1:
            detail = "the identity has this image only: it can be neither trained and tested nor compared"
            notes.add(shown.get(row.name, row.name), row.identity, "single_image", detail)


def _open(reader: FaceReader) -> Callable[[Path], Outcome]:
    reader.open()
    return reader.read
