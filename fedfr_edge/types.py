"""Types that every layer shares: array aliases, a detected face, and what an encoder is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

FACE_SIZE = 112
"""Side of an aligned face in pixels."""

Image: TypeAlias = npt.NDArray[np.uint8]
"""A photograph: uint8 (height, width, 3), RGB."""

AlignedFaces: TypeAlias = npt.NDArray[np.uint8]
"""Aligned faces: uint8 (n, 112, 112, 3), RGB, on ArcFace's five-point template."""

Embeddings: TypeAlias = npt.NDArray[np.float32]
"""Embeddings: float32 (n, d), each row of unit length."""

Labels: TypeAlias = npt.NDArray[np.int64]
"""Identity numbers: int64 (n,)."""

Landmarks: TypeAlias = npt.NDArray[np.float32]
"""Five points in pixels, float32 (5, 2), (x, y): the eye on the image's left, the eye on its
right, nose tip, mouth corner on the image's left, mouth corner on its right."""

Scores: TypeAlias = npt.NDArray[np.float32]
"""Cosine similarities, float32."""


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face; two of them are equal only if they are the same object.

    Attributes:
        box: float32 (4,): left, top, right, bottom in pixels; may reach past the frame.
        landmarks: float32 (5, 2), see :data:`Landmarks`.
        score: the detector's confidence, 0 to 1.
    """

    box: npt.NDArray[np.float32]
    landmarks: Landmarks
    score: float


class Encoder(Protocol):
    """Anything that turns aligned faces into embeddings: a torch model, an exported file."""

    @property
    def name(self) -> str:
        """What to call it in tables."""
        ...

    @property
    def dim(self) -> int:
        """The embedding's length d."""
        ...

    def embed(self, faces: AlignedFaces) -> Embeddings:
        """Embed ``uint8 (n, 112, 112, 3)`` RGB faces as ``float32 (n, d)`` unit rows (n may be 0)."""
        ...


Progress: TypeAlias = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)``; called with ``done == total`` exactly once at the end
of each ``what``. Library functions default to :func:`no_progress`; the command line draws bars."""


def no_progress(what: str, done: int, total: int) -> None:
    """Report nothing."""
