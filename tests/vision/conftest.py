"""The detector, opened once, and one photograph that needs no development data."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from fedfr_edge.types import Image
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.image import read_image


@pytest.fixture(scope="session")
def centerface() -> CenterFace:
    return CenterFace(threads=1)


@pytest.fixture(scope="session")
def group_photo() -> Image:
    """insightface's example of six people, read from the installed package (never stored here)."""
    spec = importlib.util.find_spec("insightface")
    assert spec is not None
    assert spec.origin is not None
    return read_image(Path(spec.origin).parent / "data" / "images" / "t1.jpg")
