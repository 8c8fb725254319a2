"""Faces in every space that a model has: its own, and for a personal model its backbone's beside it."""

from __future__ import annotations

from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.manifest import BACKBONE_EMBEDDING
from fedfr_edge.recognition.template import Template, make_template
from fedfr_edge.types import AlignedFaces, Embeddings


def embed_spaces(encoder: OnnxEncoder, faces: AlignedFaces) -> tuple[Embeddings, Embeddings | None]:
    """Embed faces, from one pass.

    Args:
        encoder: the model.
        faces: uint8 (n, 112, 112, 3), RGB.

    Returns:
        float32 (n, d) in the space in which the model decides (of Π_l, if it is personal), and float32
        (n, d) in its backbone's (Θ_l); None for a generic model, whose backbone's space is the first.

    Raises:
        ImageError, ForeignModelError: as ``OnnxEncoder.embed``.
    """
    if BACKBONE_EMBEDDING not in encoder.manifest.outputs:
        return encoder.embed(faces), None
    backbone, own = encoder.embed_both(faces)
    return own, backbone


def probe_of(encoder: OnnxEncoder, faces: AlignedFaces) -> Template:
    """Faces of one unknown person as one probe: their mean, in every space that the model has.

    Args:
        encoder: the model.
        faces: uint8 (n, 112, 112, 3), RGB, n ≥ 1.

    Raises:
        ImageError, ForeignModelError: as ``OnnxEncoder.embed``.
        GalleryError: no face, or faces that have nothing in common.
    """
    own, backbone = embed_spaces(encoder, faces)
    return make_template(own, encoder.digest, backbone=backbone)
