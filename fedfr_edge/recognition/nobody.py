"""A claim to be somebody who is not enrolled, treated as one that is: nobody learns who is."""

from __future__ import annotations

import numpy as np

from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.template import Template


def gallery_of_nobody(claim: str, like: Gallery) -> Gallery:
    """A gallery of one entry called ``claim`` with a random template, which no face has.

    A login that claims to be them goes through the same steps, takes the same time and ends like that of
    anybody whose face does not fit.

    Args:
        claim: the name.
        like: whose model and calibration it has.

    Raises:
        GalleryError: the name is unusable.
    """
    alone = Gallery(like.model_digest, like.dim)
    alone.calibration = like.calibration
    drawn = np.random.default_rng().normal(size=(2, like.dim))
    own, backbone = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    alone.add(claim, Template(own, like.model_digest, 1, backbone=backbone))
    return alone
