"""Making an aligned-face store; see :mod:`fedfr_edge.data.store_format` for its files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

import fedfr_edge
from fedfr_edge import atomic
from fedfr_edge.data import store_format as layout
from fedfr_edge.data.append_file import AppendFile
from fedfr_edge.data.store_reader import FaceStore
from fedfr_edge.data.store_rows import Rows
from fedfr_edge.errors import StoreError
from fedfr_edge.types import Progress, no_progress


class StoreWriter:
    """Makes a store, one face after another; resumable after a kill at any point.

    Use as a context manager: leaving it without :meth:`finish` keeps what was written, and a new
    writer on the same folder with the same arguments goes on from there (``name in writer`` says
    what is there already). Pixels are written before the index line that names them, and a resumed
    writer checks every face against its line, so it never builds on a torn record.

    Args:
        path: folder of the store; absent, empty or holding an unfinished store.
        source: where the faces come from.
        licence: under which terms they may be used.
        extra: anything JSON-able to record in the manifest, for example the detector.

    Raises:
        StoreError: the folder holds a finished store, something else, a store begun with other
            arguments, or another process is writing it.
        WriteError: the disk refused.
    """

    def __init__(
        self, path: Path, *, source: str, licence: str, extra: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self._begun = {
            "format": layout.FORMAT,
            "version": layout.VERSION,
            "source": source,
            "licence": licence,
            "extra": json.loads(json.dumps(dict(extra or {}))),  # as it will be read back
        }
        self.rows = Rows()
        """What is written so far: name, identity and pixel hash of each face."""
        self._names: set[str] = set()
        self._begin()
        self._images = AppendFile(self.path / layout.IMAGES)
        self._index = AppendFile(self.path / layout.INDEX)
        try:
            self._images.lock()
            self._recover()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Number of images written so far."""
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        """Whether the image ``name`` is written already."""
        return name in self._names

    def add(self, face: npt.NDArray[np.uint8], identity: str, name: str) -> None:
        """Append ``face``, uint8 (112, 112, 3) RGB, of ``identity``, under the unique ``name``.

        Raises:
            StoreError: wrong shape or dtype, a name that is there already or cannot be stored.
            WriteError: the disk refused; the store is as before this call and can be resumed.
        """
        if face.shape != layout.FACE_SHAPE or face.dtype != np.uint8:
            raise StoreError(
                f"face {name!r} is {face.dtype} {face.shape}, expected uint8 {layout.FACE_SHAPE}; "
                "align it first"
            )
        layout.check_storable(identity, "identity")
        layout.check_storable(name, "image name")
        if name in self._names:
            raise StoreError(f"image name {name!r} is in {self.path} already; names must be unique")
        pixels = face.tobytes()
        row = layout.Row(name, identity, layout.face_hash(pixels))
        self._images.append(pixels)
        try:
            self._index.append(layout.row_line(row))
        except BaseException:
            self._images.cut(len(self._images) - layout.FACE_BYTES)
            raise
        self._keep(row)

    def finish(self, *, progress: Progress = no_progress) -> FaceStore:
        """Complete the store and open it; the manifest is written last, atomically.

        Raises:
            StoreError: nothing was added.
            WriteError: the disk refused; the store stays unfinished and can be resumed.
        """
        if not self.rows:
            raise StoreError(
                f"no image was written to {self.path}, a store needs at least one; check the input"
            )
        self._images.overwrite_start(layout.npy_header(len(self)))
        self._images.sync()
        self._index.sync()
        parts = {
            layout.IMAGES: {"bytes": len(self._images), "sha256": self._images.sha256(progress)},
            layout.INDEX: {"bytes": len(self._index), "sha256": self._index.sha256()},
        }
        manifest = {
            **self._begun,
            "counts": {"images": len(self), "identities": len(self.rows.identities)},
            "parts": parts,
            "digest": parts[layout.INDEX]["sha256"],
            "made_by": f"fedfr-edge {fedfr_edge.__version__}",
        }
        self.close()
        atomic.write_text(
            self.path / layout.MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        )
        with atomic.write_errors(self.path / layout.UNFINISHED):
            (self.path / layout.UNFINISHED).unlink(missing_ok=True)
        return FaceStore.open(self.path)

    def close(self) -> None:
        """Close the files; an unfinished store stays and can be resumed."""
        self._images.close()
        self._index.close()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        marker = self.path / layout.UNFINISHED
        if (self.path / layout.MANIFEST).exists():
            raise StoreError(
                f"{self.path} is a finished store already; choose another folder, or delete this one first"
            )
        if marker.exists():
            self._compare_with(marker)
            return
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file, expected a folder for the store; choose another place")
        if self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and holds no store; choose a new or an empty folder")
        atomic.write_text(marker, json.dumps(self._begun, indent=2, ensure_ascii=False) + "\n")

    def _compare_with(self, marker: Path) -> None:
        try:
            begun = json.loads(marker.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {marker}: {error}; delete {self.path} and start again") from error
        if not isinstance(begun, dict):
            raise StoreError(f"{marker} is damaged; delete {self.path} and start again")
        for key, now in self._begun.items():
            if begun.get(key) != now:
                raise StoreError(
                    f"{self.path} holds an unfinished store begun with {key} {begun.get(key)!r}, now it is "
                    f"{now!r}; repeat the first command, or choose another folder"
                )

    def _keep(self, row: layout.Row) -> None:
        self.rows.append(row)
        self._names.add(row.name)

    def _recover(self) -> None:
        """Keep the longest run of rows whose pixels match their index lines; cut off the rest."""
        index = io.BytesIO(self._index.read(0, len(self._index)))
        kept = 0
        for row in layout.parse_rows(index):
            offset = layout.HEADER_BYTES + len(self) * layout.FACE_BYTES
            pixels = self._images.read(offset, layout.FACE_BYTES)
            if len(pixels) < layout.FACE_BYTES or layout.face_hash(pixels) != row.sha256:
                break
            self._keep(row)
            kept += len(layout.row_line(row))
        self._index.cut(kept)
        if len(self._images) < layout.HEADER_BYTES:
            self._images.cut(0)
            self._images.append(layout.npy_header(0))
        self._images.cut(layout.HEADER_BYTES + len(self) * layout.FACE_BYTES)
