"""Several embeddings of one person as one direction: their mean, or one that a few bad ones hardly move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import GalleryError

# Embeddings that cancel out have no direction in common: their mean is noise.
_SHORTEST_MEAN = 1e-3

# Weiszfeld's weights are 1 / distance; nearer than this a point weighs no more.
_NEAREST = 1e-6
_STEP, _STEPS = 1e-9, 1000


def mean_direction(
    points: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The mean, made a unit vector: x = m / ‖m‖, m = Σᵢ wᵢ eᵢ / Σᵢ wᵢ.

    Args:
        points: float64 (n, d), unit rows eᵢ, n ≥ 1.
        weights: float64 (n,), positive.

    Returns:
        float64 (d,), unit length.

    Raises:
        GalleryError: the points cancel out.
    """
    mean = weights @ points / weights.sum()
    length = float(np.linalg.norm(mean))
    if length < _SHORTEST_MEAN:
        raise GalleryError(
            "these embeddings have no direction in common, so their mean says nothing; "
            "give photographs of one person"
        )
    return np.asarray(mean / length)


def geometric_median(
    points: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The unit vector with the least sum of distances: argmin over ‖x‖ = 1 of Σᵢ wᵢ ‖x − eᵢ‖.

    Points far away pull no harder than near ones, so less than half of the weight cannot carry it off. Found
    by Weiszfeld's iteration (*Tôhoku Math. J.* 43, 1937) kept on the sphere, x ← n / ‖n‖ with
    n = Σᵢ wᵢ eᵢ / ‖x − eᵢ‖, from the mean. Each step minimises a bound from above on the sum (with c the
    distance now, ‖x − e‖ ≤ (‖x − e‖² + c²) / 2c), so the sum never grows.

    Args:
        points: float64 (n, d), unit rows eᵢ, n ≥ 1.
        weights: float64 (n,), positive.

    Returns:
        float64 (d,), unit length.

    Raises:
        GalleryError: the points cancel out.
    """
    place = mean_direction(points, weights)
    for _ in range(_STEPS):
        distances = np.maximum(np.linalg.norm(place - points, axis=1), _NEAREST)
        moved = mean_direction(points, weights / distances)
        step = float(np.linalg.norm(moved - place))
        place = moved
        if step < _STEP:
            break
    return place
