"""Embeddings of a whole store in a file that grows: hours of work survive a kill, and are done once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from fedfr_edge import atomic
from fedfr_edge.data.append_file import AppendFile
from fedfr_edge.evaluation.embedding import IMAGES_AT_ONCE, OneSpace, embed_rows
from fedfr_edge.types import AlignedFaces, Embeddings, Encoder, Progress


def embed_into_file(
    encoder: Encoder, images: AlignedFaces, folder: Path, key: Mapping[str, Any], progress: Progress
) -> Embeddings:
    """Embed all ``images``, or what is left of them.

    Args:
        encoder: the model.
        images: uint8 (n, 112, 112, 3), may be a memory map.
        folder: where the file is, named after ``key``, with ``key`` as .json beside it. Embeddings are
            biometric data: both are for their owner only.
        key: JSON-able; names the model, how it is used, and the images.
        progress: counts images.

    Returns:
        float32 (n, d), a read-only memory map.

    Raises:
        ModelError: an embedding that is not finite or not of unit length.
        WriteError: the disk refused; what is written stays.
        StoreError: another process is writing the same file.
    """
    text = json.dumps(dict(key), sort_keys=True, ensure_ascii=False)
    stem = hashlib.sha256(text.encode()).hexdigest()[:16]
    with atomic.write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic.write_text(folder / f"{stem}.json", text + "\n", mode=0o600)
    path, row = folder / f"{stem}.f32", 4 * encoder.dim
    what = f"embedding ({encoder.name})"
    with closing(AppendFile(path)) as file:
        path.chmod(0o600)
        file.lock()
        file.cut(min(len(file) // row, len(images)) * row)
        done = len(file) // row
        if done == len(images):
            progress(what, done, done)
        for start in range(done, len(images), IMAGES_AT_ONCE):
            rows = np.arange(start, min(start + IMAGES_AT_ONCE, len(images)))
            (embeddings,) = embed_rows(OneSpace(encoder), images, rows)
            file.append(np.ascontiguousarray(embeddings, dtype="<f4").tobytes())
            progress(what, int(rows[-1]) + 1, len(images))
        file.sync()
    return np.memmap(path, dtype="<f4", mode="r", shape=(len(images), encoder.dim))
