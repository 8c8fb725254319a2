"""Which face is meant."""

from __future__ import annotations

import numpy as np
import pytest

from fedfr_edge.errors import NoFaceError, SeveralFacesError
from fedfr_edge.types import Face
from fedfr_edge.vision.select import largest_central, only_face

SHAPE = (300, 400, 3)


def face(left: float, top: float, right: float, bottom: float, score: float = 0.9) -> Face:
    return Face(np.array([left, top, right, bottom], np.float32), np.zeros((5, 2), np.float32), score)


def test_of_two_equally_central_the_larger() -> None:
    small, large = face(180, 130, 220, 170, 0.99), face(150, 100, 250, 200, 0.6)
    assert largest_central([small, large], SHAPE) is large


def test_of_two_equally_large_the_more_central() -> None:
    aside, central = face(0, 0, 60, 60), face(180, 130, 240, 190)
    assert largest_central([aside, central], SHAPE) is central


def test_size_against_place() -> None:
    """Areas 6,400 and 10,000; 2·distance² = 2·60² = 7,200 and 0."""
    central, aside = face(160, 110, 240, 190), face(210, 100, 310, 200)
    assert largest_central([central, aside], SHAPE) is central
    # At 2·40² = 3,200 the larger wins.
    aside = face(190, 100, 290, 200)
    assert largest_central([central, aside], SHAPE) is aside


def test_one_only() -> None:
    one = face(0, 0, 10, 10)
    assert only_face([one]) is one
    assert largest_central([one], SHAPE) is one
    with pytest.raises(SeveralFacesError, match="3 faces were found, expected exactly one"):
        only_face([one] * 3)


def test_none() -> None:
    with pytest.raises(NoFaceError, match="no face was found"):
        only_face([])
    with pytest.raises(NoFaceError, match="no face was found"):
        largest_central([], SHAPE)
