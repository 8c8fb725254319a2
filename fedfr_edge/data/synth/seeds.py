"""Random streams that depend on nothing but their own numbers.

Every draw of the renderer comes from ``stream(seed, purpose, identity, image)``, so an image is the
same whatever else is rendered, in whatever order, in batches of whatever size.
"""

from __future__ import annotations

import zlib

import numpy as np

from fedfr_edge.errors import DataError


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The random generator of one purpose.

    Args:
        seed: the set's seed, at least 0.
        purpose: what the numbers are for, for example ``"identity"``; different purposes are
            independent streams.
        numbers: what they belong to: an identity, an image; each at least 0.

    Raises:
        DataError: a negative number.
    """
    for number in (seed, *numbers):
        if number < 0:
            raise DataError(f"a seed, identity or image number is {number}, expected 0 or more; count from 0")
    key = (zlib.crc32(purpose.encode()), seed, *numbers)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
