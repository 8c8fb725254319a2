"""A second look at each face, upright and at the size where the detector's landmarks are best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from fedfr_edge.errors import AlignmentError
from fedfr_edge.types import FACE_SIZE, Face, Image, Landmarks
from fedfr_edge.vision.align import similarity_transform
from fedfr_edge.vision.working import WorkingSize, at_working_size

MIRRORED = [1, 0, 2, 4, 3]
"""The order of the landmarks in a mirrored picture."""

MOST_FACES = 16
"""Only this many faces, the largest, get a second look: a crowd must not take minutes."""


@dataclass(frozen=True)
class Canvas:
    """What the detector is shown for one face.

    Attributes:
        side: of the square, in pixels; a multiple of 32.
        scale: size of the face, as a multiple of its size in a 112×112 aligned crop.
    """

    side: int
    scale: float


def look_twice(
    image: Image, find: Callable[[Image], list[Face]], working: WorkingSize, second_look: Canvas | None
) -> list[Face]:
    """Find faces at a working size, then improve their landmarks; what every such detector does.

    Args:
        image: uint8 (height, width, 3) RGB.
        find: detects in an image whose sides are multiples of 32, coordinates in that image's pixels.
        working: the size at which the photograph is shown to ``find``.
        second_look: as ``canvas`` of :func:`refine`; None leaves the second look out.
    """
    worked = at_working_size(image, working)
    faces = [worked.in_photograph(face) for face in find(worked.pixels)]
    return faces if second_look is None else refine(image, faces, find, second_look)


def refine(
    image: Image, faces: Sequence[Face], find: Callable[[Image], list[Face]], canvas: Canvas
) -> list[Face]:
    """Improve the landmarks of ``faces`` by detecting each again, alone, upright and scaled.

    The face is looked at as it is and mirrored, and the two answers are averaged, so that the
    alignment of a mirrored photograph is nearly the mirrored alignment. Boxes and scores stay.
    A face that is not found again keeps its landmarks.

    Args:
        image: uint8 (height, width, 3) RGB.
        faces: what a first pass found in it.
        find: detects in a small image, coordinates in that image's pixels.
        canvas: what to show to ``find``.
    """
    largest = sorted(range(len(faces)), key=lambda i: -_area(faces[i]))[:MOST_FACES]
    refined = list(faces)
    for i in largest:
        landmarks = _look_again(image, faces[i].landmarks, find, canvas)
        if landmarks is not None:
            refined[i] = replace(faces[i], landmarks=landmarks)
    return refined


def _look_again(
    image: Image, landmarks: Landmarks, find: Callable[[Image], list[Face]], canvas: Canvas
) -> Landmarks | None:
    try:
        transform = similarity_transform(landmarks)
    except AlignmentError:
        return None
    # The crop's middle lies between the eyes and the nose; more room is needed above than below.
    half, scale = canvas.side / 2, canvas.scale
    onto = np.array([[scale, 0, half - scale * FACE_SIZE / 2], [0, scale, half - scale * FACE_SIZE * 0.54]])
    transform = onto @ np.vstack([transform, [0, 0, 1]])
    shown = _warp_smoothly(image, transform, canvas.side)
    expected = _apply(transform, landmarks)
    reach = 0.2 * FACE_SIZE * scale

    seen = []
    for mirrored in (False, True):
        view = np.ascontiguousarray(shown[:, ::-1]) if mirrored else shown
        for face in find(view):
            points = face.landmarks.astype(np.float64)
            if mirrored:
                points = points[MIRRORED]
                points[:, 0] = canvas.side - 1 - points[:, 0]
            if np.abs(points.mean(axis=0) - expected.mean(axis=0)).max() < reach:
                # Best score first, so this is the view's answer.
                seen.append(points)
                break
    if not seen:
        return None
    back = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]
    return _apply(back, np.mean(seen, axis=0)).astype(np.float32)


def _warp_smoothly(image: Image, transform: npt.NDArray[np.float64], side: int) -> Image:
    """Sample a square; where that reduces the image, average first: sampling alone would alias."""
    reduction = int(1 / max(float(np.hypot(*transform[:, 0])), 1e-6))
    if reduction > 1:
        height, width = image.shape[:2]
        small = (max(1, width // reduction), max(1, height // reduction))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        ratio = np.array([width / small[0], height / small[1]])
        # x of the photograph = (x of the small one + ½)·ratio − ½
        transform = np.column_stack(
            [transform[:, :2] * ratio, transform[:, 2] + transform[:, :2] @ (ratio / 2 - 0.5)]
        )
    return np.asarray(cv2.warpAffine(image, transform, (side, side)), dtype=np.uint8)


def _apply(transform: npt.NDArray[np.float64], points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return points @ transform[:, :2].T + transform[:, 2]


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return float((right - left) * (bottom - top))
