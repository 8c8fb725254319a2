"""Faces of strangers for a calibration: from an aligned-face store, or from folders of photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import ConfigError, DataError, ImageError
from fedfr_edge.types import Labels, Progress

if TYPE_CHECKING:
    from fedfr_edge.data.readers.folders import ImageFile
    from fedfr_edge.recognition.stranger_trials import Strangers
    from fedfr_edge.vision.detect import Detector


def read_strangers(
    path: Path, *, split: Path | None, detector: Detector | None, limit: int, seed: int, progress: Progress
) -> Strangers:
    """Read at most ``limit`` faces; of a store with a split only the public identities.

    Args:
        path: a store, or a folder with one folder for each person.
        split: of the store; its clients' people are left out.
        detector: finds the face of each photograph; None if they are aligned faces already.
        limit: the most faces, drawn with ``seed``.
        seed: of the draw.
        progress: called for each photograph.

    Raises:
        StoreError, SplitError, DataError: nothing that can be used is there.
        ConfigError: a split without a store.
    """
    from fedfr_edge.data.store_format import MANIFEST

    if (path / MANIFEST).exists():
        return _of_store(path, split, limit, seed)
    if split is not None:
        raise ConfigError(f"--split {split} belongs to a store, and {path} is none; leave it away")
    return _of_photographs(path, detector, limit, seed, progress)


def _of_store(path: Path, split: Path | None, limit: int, seed: int) -> Strangers:
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.recognition.stranger_trials import Strangers

    store = FaceStore.open(path)
    rows = np.arange(len(store)) if split is None else Split.load(split).public_rows(store)
    chosen = _draw(len(rows), limit, seed)
    what = "" if split is None else "public identities of "
    drawn = "" if len(chosen) == len(rows) else f", {len(chosen)} faces of {len(rows)}"
    source = f"{what}store {path.name}{drawn}"
    rows = rows[chosen]
    digest = hashlib.sha256(f"{store.digest}\n".encode() + rows.astype("<i8").tobytes()).hexdigest()
    return Strangers(np.asarray(store.images[rows]), store.labels[rows], source, digest)


def _of_photographs(
    path: Path, detector: Detector | None, limit: int, seed: int, progress: Progress
) -> Strangers:
    from fedfr_edge.data.readers.folders import find_images
    from fedfr_edge.recognition.stranger_trials import Strangers

    files, _ = find_images([path])
    files = [files[place] for place in _draw(len(files), limit, seed)]
    faces, whose = _aligned(files, detector, progress)
    if not faces:
        raise DataError(
            f"none of {len(files)} photographs in {path} shows one face alone; give others, or --aligned for "
            "faces of 112×112 pixels"
        )
    _, numbers = np.unique(whose, return_inverse=True)
    labels: Labels = numbers.astype(np.int64)
    stacked = np.stack(faces)
    names = "\n".join(whose).encode()
    digest = hashlib.sha256(names + stacked.tobytes()).hexdigest()
    source = f"photographs in {path.resolve().name}, {len(faces)} of {len(files)} used"
    return Strangers(stacked, labels, source, digest)


def _aligned(
    files: Sequence[ImageFile], detector: Detector | None, progress: Progress
) -> tuple[list[npt.NDArray[np.uint8]], list[str]]:
    """The faces of those that show one alone, and whose each is."""
    from fedfr_edge.recognition.capture import capture
    from fedfr_edge.vision.image import read_image

    faces, whose = [], []
    for number, file in enumerate(files, 1):
        try:
            found = capture(read_image(file.path), detector, several="refuse")
        except ImageError:
            found = None
        if found is not None and found.face is not None:
            faces.append(found.face)
            whose.append(file.identity)
        progress("photographs", number, len(files))
    return faces, whose


def _draw(count: int, limit: int, seed: int) -> npt.NDArray[np.int64]:
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size=limit, replace=False))
