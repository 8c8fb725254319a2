"""Test-time flipping for a model of any kind."""

from __future__ import annotations

import numpy as np

from fedfr_edge.errors import ModelError
from fedfr_edge.types import AlignedFaces, Embeddings, Encoder


class Mirrored:
    """An encoder that adds the embedding of a face's mirror image to its own.

    The sum of the two unit embeddings, scaled to unit length: it needs nothing of the model but its
    output, so a checkpoint and the file exported from it give the same. (Summing a network's raw features
    before they are scaled weighs the two views by their lengths, which an exported model does not show.)

    Args:
        encoder: the model; embedding takes twice its time.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._encoder.name

    @property
    def dim(self) -> int:
        """Length d of an embedding."""
        return self._encoder.dim

    def embed(self, faces: AlignedFaces) -> Embeddings:
        """Embed uint8 (n, 112, 112, 3) faces as float32 (n, d) unit rows.

        Raises:
            ModelError: a face and its mirror image have opposite embeddings.
        """
        mirrored = np.ascontiguousarray(faces[:, :, ::-1])
        total = self._encoder.embed(faces).astype(np.float64) + self._encoder.embed(mirrored)
        lengths = np.linalg.norm(total, axis=1, keepdims=True)
        if not np.all(lengths > 1e-6):  # false for NaN too
            raise ModelError(
                f"{self.name} gives a face and its mirror image opposite or invalid embeddings, "
                "expected like ones; its weights may be damaged, or evaluate without --flip"
            )
        unit: Embeddings = (total / lengths).astype(np.float32)
        return unit
