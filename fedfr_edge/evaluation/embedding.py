"""Running a model over many images: in chunks, checked, with several embeddings from one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import DataError, ModelError
from fedfr_edge.types import AlignedFaces, Embeddings, Encoder, Progress

IMAGES_AT_ONCE = 512


class SpacesEncoder(Protocol):
    """A model that yields several embeddings of a face in one pass (Θ_l's own and Π_l's).

    Attributes:
        names: one name per embedding.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """One name per embedding."""
        ...

    def embed_each(self, faces: AlignedFaces) -> tuple[Embeddings, ...]:
        """Embed ``uint8 (n, 112, 112, 3)`` faces: one ``float32 (n, d)`` unit-row array per name."""
        ...


@dataclass(frozen=True)
class OneSpace:
    """An ordinary encoder as a :class:`SpacesEncoder`."""

    encoder: Encoder
    name: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The one name."""
        return (self.name or self.encoder.name,)

    def embed_each(self, faces: AlignedFaces) -> tuple[Embeddings, ...]:
        """The one embedding."""
        return (self.encoder.embed(faces),)


class Shares:
    """One progress report for work that is done in several goes.

    Args:
        progress: told ``(what, done so far over all goes, total)``.
        what: the work.
        total: steps over all goes.
    """

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress, self._what, self._total = progress, what, total
        self._done = 0

    def add(self, steps: int) -> None:
        """Report ``steps`` more."""
        self._done += steps
        self._progress(self._what, self._done, self._total)


def embed_rows(
    model: SpacesEncoder,
    images: AlignedFaces,
    rows: npt.NDArray[np.int64],
    done: Callable[[int], None] = lambda images: None,
    image_name: Callable[[int], str] = lambda row: f"row {row}",
) -> tuple[Embeddings, ...]:
    """Embed the images at ``rows``: one float32 (len(rows), d) array per space of ``model``.

    Args:
        model: what embeds.
        images: uint8 (n, 112, 112, 3), may be a memory map.
        rows: int64 (m,).
        done: told the number of images after each chunk.
        image_name: what an error calls the image of a row.

    Raises:
        DataError: no rows.
        ModelError: embeddings that are not finite or not of unit length (within 1e-3); the first image of
            which is named.
    """
    parts: list[tuple[Embeddings, ...]] = []
    for start in range(0, len(rows), IMAGES_AT_ONCE):
        chunk = rows[start : start + IMAGES_AT_ONCE]
        spaces = model.embed_each(np.ascontiguousarray(images[chunk]))
        for name, embeddings in zip(model.names, spaces, strict=True):
            _check(name, embeddings, chunk, image_name)
        parts.append(spaces)
        done(len(chunk))
    if not parts:
        raise DataError("there are no images to embed; check the split and the store")
    return tuple(np.concatenate(space).astype(np.float32, copy=False) for space in zip(*parts, strict=True))


def _check(
    name: str, embeddings: Embeddings, rows: npt.NDArray[np.int64], image_name: Callable[[int], str]
) -> None:
    if embeddings.ndim != 2 or len(embeddings) != len(rows):
        raise ModelError(
            f"{name} gave embeddings of shape {embeddings.shape} for {len(rows)} faces, expected "
            f"({len(rows)}, d); the file may hold another kind of model"
        )
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) < 1e-3))  # true for NaN too
    if wrong.size:
        more = f" and for {wrong.size - 1} of the next {len(rows) - 1} images" if wrong.size > 1 else ""
        raise ModelError(
            f"{name} gave an embedding of length {norms[wrong[0]]:.4g} for {image_name(int(rows[wrong[0]]))}"
            f"{more}, expected 1; its weights may be damaged or training may have diverged"
        )
