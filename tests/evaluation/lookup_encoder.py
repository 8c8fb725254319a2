"""An encoder for tests: each "face" carries the number of its embedding in its first pixel."""

from __future__ import annotations

import numpy as np

from fedfr_edge.types import AlignedFaces, Embeddings


class LookupEncoder:
    """Gives row i of ``table`` for the face made by ``numbered_faces`` as number i."""

    def __init__(self, table: np.ndarray, name: str = "lookup") -> None:
        self.table = table.astype(np.float32)
        self.name = name
        self.faces_seen = 0

    @property
    def dim(self) -> int:
        return self.table.shape[1]

    def embed(self, faces: AlignedFaces) -> Embeddings:
        self.faces_seen += len(faces)
        return self.table[faces[:, 0, 0, 0].astype(int) * 256 + faces[:, 0, 0, 1]]


def numbered_faces(n: int) -> AlignedFaces:
    """uint8 (n, 112, 112, 3), all black but for the number."""
    faces = np.zeros((n, 112, 112, 3), np.uint8)
    faces[:, 0, 0, 0], faces[:, 0, 0, 1] = np.divmod(np.arange(n), 256)
    return faces


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
