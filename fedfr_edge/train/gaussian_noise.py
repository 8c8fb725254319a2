"""Normal numbers from the operating system's cryptographic source, for noise that nobody can take away again.

Noise that follows from a run's seed protects nothing: the seed travels in every instruction. A generator
such as PCG64 or Mersenne Twister is no better, since its outputs give its state away.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

RandomBytes = Callable[[int], bytes]
"""Gives so many random bytes, as :func:`os.urandom` does; only tests have another."""


def normals(count: int, random_bytes: RandomBytes = os.urandom) -> npt.NDArray[np.float64]:
    """``count`` independent numbers of N(0, 1), float64, by the Box–Muller transform.

    Uniform numbers of 64 bits reach 9.5 standard deviations. Where they become too coarse for a grid of
    1/1024 standard deviation, less than 1e-17 of the probability is left.
    """
    pairs = (count + 1) // 2
    words = np.frombuffer(random_bytes(16 * pairs), dtype="<u8").reshape(2, pairs)
    # The half keeps 0, whose logarithm is infinite, out of the first one.
    uniform = (words.astype(np.float64) + 0.5) * 2.0**-64
    radius = np.sqrt(-2.0 * np.log(uniform[0]))
    angle = 2.0 * np.pi * uniform[1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
