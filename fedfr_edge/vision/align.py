"""Five landmarks to ArcFace's 112×112 crop: a least-squares similarity transform in closed form."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import AlignmentError
from fedfr_edge.types import FACE_SIZE, Image, Landmarks

TEMPLATE: Landmarks = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
)
"""Where ArcFace puts the five landmarks in a 112×112 crop: float32 (5, 2), (x, y) in pixels."""
TEMPLATE.flags.writeable = False

SMALLEST_SCALE, LARGEST_SCALE = 1 / 256, 16.0
"""Scales (crop pixels per photograph pixel) outside this range are taken for a detector's mistake:
a face would have to be more than about 28,000 or less than about 7 pixels wide."""

LEAST_EXPLAINED = 0.4
"""Least share of the template's variance that the transform must explain. Detected faces have 0.85 to
1.0 (420 portraits) and, in profile or tiny, 0.7; left and right confused give 0.05."""

_TARGET = TEMPLATE.astype(np.float64)
_TARGET_MEAN = _TARGET.mean(axis=0)
_TARGET_CENTRED = _TARGET - _TARGET_MEAN
_TARGET_SPREAD = float((_TARGET_CENTRED**2).sum())


def similarity_transform(
    landmarks: npt.NDArray[np.floating], *, trusted: bool = False
) -> npt.NDArray[np.float64]:
    """The rotation, scale and shift that bring ``landmarks`` nearest to :data:`TEMPLATE`.

    With p the landmarks and q the template, both centred, the least-squares similarity
    [[a, −b], [b, a]] is (setting the derivatives of Σ|A p − q|² to zero)::

        a = Σ (px·qx + py·qy) / Σ |p|²        b = Σ (px·qy − py·qx) / Σ |p|²

    which is Umeyama's solution (1991) in two dimensions wherever that needs no reflection.

    Args:
        landmarks: (5, 2), (x, y) in pixels of the photograph, in the order of
            :data:`fedfr_edge.types.Landmarks`.
        trusted: take them as they are, however unlike a face: a benchmark that gives landmarks asks for
            every one of its faces.

    Returns:
        float64 (2, 3): maps photograph pixels to pixels of the crop.

    Raises:
        AlignmentError: wrong shape, values that are not finite, points that (nearly) coincide and,
            unless ``trusted``, a scale that no face has, or points that no turn makes a face
            (mirrored, mixed up).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2):
        raise AlignmentError(
            f"landmarks have shape {points.shape}, expected (5, 2); pass the five points of one face"
        )
    if not np.isfinite(points).all():
        raise AlignmentError("landmarks are not finite (NaN or infinite); detect the face again")
    mean = points.mean(axis=0)
    x, y = (points - mean).T
    target_x, target_y = _TARGET_CENTRED.T
    spread = float(x @ x + y @ y)
    if spread < 1e-6:
        raise AlignmentError("all five landmarks lie on one point, expected a face; detect the face again")
    a = float(x @ target_x + y @ target_y) / spread
    b = float(x @ target_y - y @ target_x) / spread
    scale = float(np.hypot(a, b))
    if not trusted and not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        raise AlignmentError(
            f"landmarks would scale the photograph by {scale:.3g}, expected {SMALLEST_SCALE:.3g} to "
            f"{LARGEST_SCALE:g}; these are not the five points of a face"
        )
    # Σ|A p − q|² = Σ|q|² − (a² + b²)·Σ|p|² at the minimum.
    explained = scale**2 * spread / _TARGET_SPREAD
    if not trusted and explained < LEAST_EXPLAINED:
        raise AlignmentError(
            f"landmarks explain {explained:.0%} of a face's shape, expected at least {LEAST_EXPLAINED:.0%}; "
            "use a clearer, upright photograph, or check the order of the points (left of the image first)"
        )
    turn = np.array([[a, -b], [b, a]])
    shift = _TARGET_MEAN - turn @ mean
    return np.column_stack([turn, shift])


def align(
    image: Image, landmarks: npt.NDArray[np.floating], *, trusted: bool = False
) -> npt.NDArray[np.uint8]:
    """Cut one face out, upright and on ArcFace's template; black outside the photograph.

    Bilinear sampling without prior smoothing, also for faces far larger than the crop, exactly as
    insightface's ``norm_crop`` does it: public recognition weights were trained on such crops.

    Args:
        image: uint8 (height, width, 3); any colour order, which the crop keeps (RGB here).
        landmarks: (5, 2), (x, y) in pixels.
        trusted: see :func:`similarity_transform`.

    Returns:
        uint8 (112, 112, 3).

    Raises:
        AlignmentError: see :func:`similarity_transform`.
    """
    return warp(image, similarity_transform(landmarks, trusted=trusted))


def warp(image: Image, transform: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Sample the 112×112 crop that ``transform``, float64 (2, 3), picks out of ``image``."""
    crop = cv2.warpAffine(
        image,
        transform,
        (FACE_SIZE, FACE_SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0.0, 0.0, 0.0),
    )
    return np.asarray(crop, dtype=np.uint8)
