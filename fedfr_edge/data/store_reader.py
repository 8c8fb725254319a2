"""Reading a finished aligned-face store; see :mod:`fedfr_edge.data.store_format` for its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fedfr_edge.data import store_format as layout
from fedfr_edge.data.store_rows import Rows
from fedfr_edge.errors import StoreError
from fedfr_edge.types import AlignedFaces, Labels, Progress, no_progress


class FaceStore:
    """A finished store of aligned faces, open for reading; make one with :meth:`open`.

    Attributes:
        path: its folder.
        images: read-only memory map, uint8 (n, 112, 112, 3), RGB.
        labels: int64 (n,), numbers into ``identities``.
        identities: names of the people, in the order in which they first appear.
        names: one name for each image, unique, in the style ``identity/file-stem``.
        manifest: source, licence, counts, hashes, what made it.
        digest: sha256 that names the whole content; equal digests mean equal arrays.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], rows: Rows) -> None:
        self.path = path
        self.manifest = manifest
        self.digest: str = manifest["digest"]
        self.names: tuple[str, ...] = tuple(rows.names)
        self.identities: tuple[str, ...] = tuple(rows.identities)
        self.labels: Labels = rows.labels
        self.labels.flags.writeable = False
        self._rows = rows
        self.images: AlignedFaces = np.memmap(
            path / layout.IMAGES,
            dtype=np.uint8,
            mode="r",
            offset=layout.HEADER_BYTES,
            shape=(len(rows), *layout.FACE_SHAPE),
        )

    @classmethod
    def open(cls, path: Path, *, verify: bool = False, progress: Progress = no_progress) -> FaceStore:
        """Open the store in folder ``path``.

        The manifest, the index's hash and the size of the image file are always checked;
        ``verify`` also hashes every image (about a second for 10,000 images).

        Raises:
            StoreError: there is none, or it is unfinished, cut short, altered or of another format.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        rows, digest = _read_index(path / layout.INDEX)
        if digest != manifest["parts"][layout.INDEX]["sha256"]:
            raise _damaged(path, f"{layout.INDEX} is not as it was written")
        if manifest["digest"] != manifest["parts"][layout.INDEX]["sha256"]:
            raise _damaged(path, "its manifest names two digests")
        count: int = manifest["counts"]["images"]
        if len(rows) != count:
            raise _damaged(path, f"manifest says {count} images, {layout.INDEX} has {len(rows)}")
        _check_images(path, count)
        store = cls(path, manifest, rows)
        if verify:
            store._verify(progress)
        return store

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def rows_of(self, identity: str) -> npt.NDArray[np.int64]:
        """Rows of one identity's images, ascending, int64.

        Raises:
            StoreError: the store has no such identity.
        """
        rows = self._rows_by_identity.get(identity)
        if rows is None:
            raise StoreError(
                f"{self.path} has no identity {identity!r}; list what it holds: fedfr data show {self.path}"
            )
        return rows

    def has_identity(self, identity: str) -> bool:
        """Whether the store has an identity of this name."""
        return identity in self._rows_by_identity

    def row_of(self, name: str) -> int | None:
        """Row of the image called ``name``; None if there is none."""
        return self._row_by_name.get(name)

    @cached_property
    def _rows_by_identity(self) -> dict[str, npt.NDArray[np.int64]]:
        order = np.argsort(self.labels, kind="stable").astype(np.int64)
        ends = np.cumsum(np.bincount(self.labels, minlength=len(self.identities)))
        return dict(zip(self.identities, np.split(order, ends[:-1]), strict=True))

    @cached_property
    def _row_by_name(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def _verify(self, progress: Progress) -> None:
        altered = []
        for row in range(len(self)):
            if layout.face_hash(self.images[row].tobytes()) != self._rows.sha256(row):
                altered.append(row)
            progress("verifying images", row + 1, len(self))
        if altered:
            first = f"{self.names[altered[0]]!r} (row {altered[0]})"
            raise _damaged(self.path, f"{len(altered)} of {len(self)} images were altered, first {first}")


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / layout.MANIFEST
    if not file.exists():
        if (path / layout.UNFINISHED).exists():
            raise StoreError(
                f"{path} is unfinished; run the command that was making it again, it goes on from there"
            )
        found = "no aligned-face store: it has no manifest.json" if path.exists() else "not there"
        raise StoreError(f"{path} is {found}; make a store with fedfr data import or fedfr data synth")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, f"its manifest cannot be read ({error})") from error
    fault = layout.manifest_fault(manifest)
    if fault is not None:
        raise _damaged(path, fault)
    return dict(manifest)


def _read_index(file: Path) -> tuple[Rows, str]:
    """The rows, up to the first malformed one, and the sha256 of all lines."""
    digest = hashlib.sha256()
    rows = Rows()

    def lines(index: BinaryIO) -> Iterator[bytes]:
        for line in index:
            digest.update(line)
            yield line

    try:
        with file.open("rb") as index:
            read = lines(index)
            for row in layout.parse_rows(read):
                rows.append(row)
            for _ in read:  # what a malformed line left
                pass
    except OSError as error:
        raise _damaged(file.parent, f"{file.name} cannot be read ({error.strerror})") from error
    return rows, digest.hexdigest()


def _check_images(path: Path, count: int) -> None:
    file, expected = path / layout.IMAGES, layout.HEADER_BYTES + count * layout.FACE_BYTES
    try:
        with file.open("rb") as images:
            header = images.read(layout.HEADER_BYTES)
        size = file.stat().st_size
    except OSError as error:
        raise _damaged(path, f"{file.name} cannot be read ({error.strerror})") from error
    if size != expected:
        how = "cut short" if size < expected else "too long"
        raise _damaged(path, f"{file.name} is {how}: {size} bytes, expected {expected} for {count} images")
    if header != layout.npy_header(count):
        raise _damaged(path, f"the header of {file.name} is not as it was written")


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(f"store {path} cannot be used: {what}; copy it again from its origin, or make it anew")
