"""Which of the faces in a photograph is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedfr_edge.errors import NoFaceError, SeveralFacesError
from fedfr_edge.types import Face


def largest_central(faces: Sequence[Face], shape: tuple[int, ...]) -> Face:
    """The face a photograph is about: large and near the middle.

    The rank of a face is its box's area minus twice the squared distance from the box's middle to
    the image's middle (both in pixels²): a face must be larger by twice the square of how
    much farther out it stands.

    Args:
        faces: detected faces.
        shape: the image's shape, (height, width, …).

    Raises:
        NoFaceError: ``faces`` is empty.
    """
    if not faces:
        raise NoFaceError("no face was found; use a photograph that shows one clearly")
    middle = np.array([shape[1], shape[0]], dtype=np.float64) / 2

    def rank(face: Face) -> float:
        left, top, right, bottom = face.box.astype(np.float64)
        away = np.array([left + right, top + bottom]) / 2 - middle
        return float((right - left) * (bottom - top) - 2 * away @ away)

    return max(faces, key=rank)


def only_face(faces: Sequence[Face]) -> Face:
    """The one face of a photograph that must show exactly one.

    Raises:
        NoFaceError: none was found.
        SeveralFacesError: more than one was found.
    """
    if not faces:
        raise NoFaceError("no face was found; use a photograph that shows one clearly")
    if len(faces) > 1:
        raise SeveralFacesError(
            f"{len(faces)} faces were found, expected exactly one; crop the photograph to the person meant"
        )
    return faces[0]
