"""The detector, opened once."""

from __future__ import annotations

import pytest

from fedfr_edge.vision.centerface import CenterFace


@pytest.fixture(scope="session")
def centerface() -> CenterFace:
    return CenterFace(threads=1)
