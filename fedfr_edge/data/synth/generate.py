"""Fill an aligned-face store with synthetic people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from fedfr_edge.data.side_by_side import in_order
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.data.synth.faces import render_faces
from fedfr_edge.errors import DataError
from fedfr_edge.types import AlignedFaces, Progress, no_progress

VERSION = 1
"""Of the renderer's output: goes up whenever the same seed gives other pixels."""

SOURCE = f"synthetic, fedfr-edge renderer v{VERSION}"
LICENCE = "CC0-1.0 (synthetic)"

_CHUNK = 32


def identity_name(index: int) -> str:
    """The name of person ``index`` in a store, for example ``"synth-0007"``."""
    return f"synth-{index:04d}"


def synthesize_store(
    path: Path,
    *,
    identities: int,
    images: int,
    seed: int,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> FaceStore:
    """Render ``images`` aligned crops of each of ``identities`` people into a new store.

    Names are ``synth-0007/0012`` (person 7, image 12). Interrupted, it goes on where it stopped when
    called again with the same arguments. The same seed gives the same first images whatever the two
    counts are, and however many processes (``jobs``) render.

    Raises:
        DataError: a count below 1 or a negative seed.
        StoreError: ``path`` holds something else.
        WriteError: the disk refused; the store can be resumed.
    """
    if identities < 1 or images < 1:
        raise DataError(f"{identities} identities with {images} images each, expected at least 1 of both")
    if seed < 0:
        raise DataError(f"the seed is {seed}, expected 0 or more")
    extra = {"seed": seed, "images_per_identity": images, "renderer": VERSION}
    with StoreWriter(path, source=SOURCE, licence=LICENCE, extra=extra) as writer:
        wanted = [
            (who, image, f"{identity_name(who)}/{image:04d}")
            for who in range(identities)
            for image in range(images)
        ]
        missing = [entry for entry in wanted if entry[2] not in writer]
        done = len(wanted) - len(missing)
        parts = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
        pairs = [[(who, image) for who, image, _ in part] for part in parts]
        with closing(in_order(partial(_renderer, seed), pairs, jobs)) as rendered:
            for part, faces in zip(parts, rendered, strict=True):
                for face, (who, _, name) in zip(faces, part, strict=True):
                    writer.add(face, identity_name(who), name)
                done += len(part)
                progress("rendering faces", done, len(wanted))
        if not missing:
            progress("rendering faces", done, len(wanted))
        return writer.finish()


def _renderer(seed: int) -> Callable[[Sequence[tuple[int, int]]], AlignedFaces]:
    return partial(render_faces, seed)
