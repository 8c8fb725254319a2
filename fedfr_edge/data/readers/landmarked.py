"""Images whose landmarks a data set gives: aligned by those into a store, no detector asked."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.data.readers.importing import SKIPPED, import_items
from fedfr_edge.data.readers.journal import listed
from fedfr_edge.data.readers.outcome import Outcome
from fedfr_edge.data.store import FaceStore
from fedfr_edge.data.store_format import MANIFEST
from fedfr_edge.errors import AlignmentError, ImageError, StoreError
from fedfr_edge.types import Landmarks, Progress, no_progress
from fedfr_edge.vision.align import align, similarity_transform
from fedfr_edge.vision.image import read_image


@dataclass(frozen=True, eq=False)
class LandmarkedImage:
    """One face of a data set.

    Attributes:
        path: the image.
        landmarks: float32 (5, 2), in its pixels.
        identity: whose it is.
        name: its name in the store, unique.
    """

    path: Path
    landmarks: Landmarks
    identity: str
    name: str

    @property
    def shown(self) -> str:
        """How lists name it."""
        return self.name

    @property
    def place(self) -> LandmarkedImage:
        """What its reader reads."""
        return self


def import_landmarked(
    images: Sequence[LandmarkedImage],
    out: Path,
    *,
    source: str,
    licence: str,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> FaceStore:
    """Align every image into a store at ``out``; a finished store of the same list is just opened.

    Rows stand in the order of ``images``. An interrupted import goes on where it stopped. Images that
    give no face (``missing``, ``undecodable``, or ``misaligned``: all landmarks on one point) are listed
    in ``skipped.csv``. Landmarks that look like no face are taken all the same, and listed in
    ``notes.csv`` as ``odd_landmarks``.

    Args:
        images: what to align.
        out: folder of the store.
        source: where the faces come from, for the manifest.
        licence: under which terms, for the manifest.
        jobs: processes that read; the store does not depend on it.
        progress: counts images.

    Raises:
        StoreError: ``out`` holds something else, or a store of another list.
        DataError: no image gave a face.
        WriteError: the disk refused; what is written stays.
    """
    reader = LandmarkedReader(_list_digest(images))
    if (out / MANIFEST).is_file():
        store = FaceStore.open(out)
        if store.manifest.get("extra") != reader.describe():
            raise StoreError(
                f"{out} is a store of another list of faces; choose another folder, or delete this one first"
            )
        return store
    done = import_items(
        images, (), out, reader, source=source, licence=licence, alone=False, jobs=jobs, progress=progress
    )
    return done.store


def lacking_images(store: FaceStore, names: Iterable[str]) -> dict[str, str]:
    """Which of ``names`` the ``store`` lacks, each with the code why it was skipped."""
    codes: dict[str, str] = {}
    if (store.path / SKIPPED).is_file():
        with (store.path / SKIPPED).open(encoding="utf-8", newline="") as file:
            codes = {line["file"]: line["code"] for line in csv.DictReader(file)}
    return {name: codes.get(listed(name), "missing") for name in names if store.row_of(name) is None}


class LandmarkedReader:
    """Reads and aligns images by the landmarks that come with them.

    Args:
        digest: of the list of images, for the store's record of what it was made of.
    """

    def __init__(self, digest: str) -> None:
        self._digest = digest

    def open(self) -> None:
        """Nothing to get ready."""

    def describe(self) -> dict[str, str | int | bool]:
        """Kind, and which list."""
        return {"kind": "landmarked", "list": self._digest}

    def read(self, image: LandmarkedImage, /) -> Outcome:
        """Read and align one image; see :func:`import_landmarked` for the codes."""
        if not image.path.is_file():
            return Outcome(None, "missing", "there is no such file")
        try:
            pixels = read_image(image.path)
        except ImageError as error:
            return Outcome(None, "undecodable", str(error))
        try:
            face = align(pixels, image.landmarks, trusted=True)
        except AlignmentError as error:
            return Outcome(None, "misaligned", str(error))
        try:
            similarity_transform(image.landmarks)
        except AlignmentError as error:
            return Outcome(face, "odd_landmarks", str(error))
        return Outcome(face)


def _list_digest(images: Sequence[LandmarkedImage]) -> str:
    """What a store is made of: names, identities and landmarks, not the place of the files."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.name}\t{image.identity}\n".encode())
        digest.update(image.landmarks.astype("<f4").tobytes())
    return digest.hexdigest()
