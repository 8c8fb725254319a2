"""The noise's distribution, over numbers that no test can know beforehand: bounds of six deviations."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from fedfr_edge.train.gaussian_noise import normals

COUNT = 200_000


def test_moments_and_distribution() -> None:
    draw = normals(COUNT)
    assert draw.dtype == np.float64
    assert abs(draw.mean()) < 6 / math.sqrt(COUNT)
    assert abs(draw.var() - 1) < 6 * math.sqrt(2 / COUNT)
    assert abs((draw**3).mean()) < 6 * math.sqrt(15 / COUNT)
    assert abs((draw**4).mean() - 3) < 6 * math.sqrt(96 / COUNT)
    # Kolmogorov's distance; 3/√n is passed once in 30 million times.
    normal = statistics.NormalDist()
    points = np.linspace(-4, 4, 401)
    found = np.searchsorted(np.sort(draw), points) / COUNT
    expected = np.array([normal.cdf(point) for point in points])
    assert np.abs(found - expected).max() < 3 / math.sqrt(COUNT)


def test_the_two_halves_of_a_pair_and_neighbours_are_independent() -> None:
    draw = normals(COUNT)
    half = COUNT // 2
    for one, other in ((draw[:half], draw[half:]), (draw[:-1], draw[1:])):
        assert abs((one * other).mean()) < 6 / math.sqrt(len(one))
        assert abs((one**2 * other**2).mean() - 1) < 6 * math.sqrt(8 / len(one))


def test_no_two_draws_are_alike() -> None:
    assert not np.array_equal(normals(8), normals(8))


def test_what_a_source_gives_decides() -> None:
    source = np.random.default_rng(0).bytes
    one = normals(7, source)
    assert one.shape == (7,)
    assert np.array_equal(one, normals(7, np.random.default_rng(0).bytes))


@pytest.mark.parametrize(("byte", "largest"), [(b"\x00", 9.49), (b"\xff", 0.0)])
def test_the_ends_of_the_range_are_finite(byte: bytes, largest: float) -> None:
    """From the largest deviation that there is to none at all, and no warning."""
    draw = normals(4, lambda count: byte * count)
    assert np.isfinite(draw).all()
    assert np.abs(draw).max() == pytest.approx(largest, abs=0.01)
