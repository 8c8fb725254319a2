"""A template: several embeddings of one person as one vector, bound to the model that made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import GalleryError, ModelMismatchError
from fedfr_edge.types import Embeddings

# Embeddings that cancel out have no direction in common: their mean is noise.
_SHORTEST_MEAN = 1e-3


@dataclass(frozen=True, eq=False)
class Template:
    """What is kept of a person's faces, or made of a probe's.

    Attributes:
        vector: float32 (d,), unit length.
        model_digest: sha256 of the model file that made it, hexadecimal.
        images: how many faces it is the mean of.
    """

    vector: npt.NDArray[np.float32]
    model_digest: str
    images: int


def make_template(embeddings: Embeddings, model_digest: str) -> Template:
    """Average unit embeddings: t = m / ‖m‖ with m = (1/n) Σᵢ eᵢ (the gallery of the 1:N protocol).

    Args:
        embeddings: float32 (n, d), unit rows, n ≥ 1. One row gives that row.
        model_digest: sha256 of the model file.

    Raises:
        GalleryError: no embedding, one that is no unit vector, or embeddings that cancel out.
    """
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise GalleryError(
            f"a template needs at least one embedding, found an array of {embeddings.shape}; "
            "give photographs that show the person"
        )
    norms = np.linalg.norm(embeddings, axis=1)
    if not np.all(np.abs(norms - 1) <= 1e-3):
        raise GalleryError(
            "an embedding is no unit vector (or not finite), expected unit rows as Encoder.embed gives them"
        )
    mean = embeddings.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if length < _SHORTEST_MEAN:
        raise GalleryError(
            "these embeddings have no direction in common, so their mean says nothing; "
            "give photographs of one person"
        )
    return Template((mean / length).astype(np.float32), model_digest, len(embeddings))


def similarity(left: Template, right: Template) -> float:
    """Cosine of two templates, −1 to 1, float32 precision.

    Raises:
        ModelMismatchError: different models made them.
    """
    require_model(left.model_digest, right.model_digest)
    return float(left.vector @ right.vector)


def require_model(found: str, expected: str) -> None:
    """Refuse to mix embeddings of two models.

    Raises:
        ModelMismatchError: the digests differ.
    """
    if found != expected:
        raise ModelMismatchError(
            f"the template was made by model {found[:12]}…, this is model {expected[:12]}…; embeddings of "
            "different models cannot be compared: use the first model, or enrol again with this one"
        )
