"""The second look, with a detector that knows the truth: five dots of five colours."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fedfr_edge.types import Face, Image
from fedfr_edge.vision.align import TEMPLATE
from fedfr_edge.vision.refine import MIRRORED, MOST_FACES, Canvas, refine

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
"""Of the face's own left eye, right eye, nose and mouth corners, as they stand in the image."""

CANVAS = Canvas(side=224, scale=1.4)


def dotted_face(scale: float, degrees: float) -> tuple[Image, npt.NDArray[np.float32]]:
    a = np.radians(degrees)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = (TEMPLATE - 56) @ turn.T + scale * 130
    side = int(scale * 260)
    image = np.zeros((side, side, 3), dtype=np.uint8)
    for point, colour in zip(points, COLOURS, strict=True):
        # Sixteenths of a pixel, so that dots lie where the points are.
        centre = tuple(round(float(v) * 16) for v in point)
        cv2.circle(image, centre, int(scale * 5 * 16), colour, cv2.FILLED, cv2.LINE_AA, 4)
    return image, points.astype(np.float32)


def find_dots(pixels: Image) -> list[Face]:
    """Find the dots by colour; the order is by place, as of a detector that sees a mirrored face."""
    share = pixels.astype(np.float64) / 255
    points = []
    for colour in COLOURS:
        on = np.array(colour) > 0
        weight = np.where(on, share, 1 - share).min(axis=2) - 0.5
        weight = np.maximum(weight, 0) * (share.max(axis=2) > 0.6)
        if weight.sum() < 5:
            return []
        y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
        points.append([(x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()])
    found = np.array(points, dtype=np.float32)
    if found[0, 0] > found[1, 0]:
        found = found[MIRRORED]
    return [Face(np.array([0, 0, *pixels.shape[1::-1]], dtype=np.float32), found, 0.9)]


def rough(points: npt.NDArray[np.float32], by: float) -> Face:
    noise = np.random.default_rng(0).normal(0, by, (5, 2)).astype(np.float32)
    return Face(np.array([1, 2, 3, 4], dtype=np.float32), points + noise, 0.7)


@pytest.mark.parametrize("degrees", [0, 30, -45, 90, 180])
@pytest.mark.parametrize("scale", [1.0, 3.3, 9.0])
def test_rough_landmarks_become_exact(scale: float, degrees: float) -> None:
    image, points = dotted_face(scale, degrees)
    face = rough(points, by=2 * scale)
    (refined,) = refine(image, [face], find_dots, CANVAS)
    assert np.abs(face.landmarks - points).max() > 2 * scale
    # A fifth of a pixel of what the detector was shown.
    assert np.abs(refined.landmarks - points).max() < 0.2 * max(scale / CANVAS.scale, 1)
    assert refined.landmarks.dtype == np.float32
    np.testing.assert_array_equal(refined.box, face.box)
    assert refined.score == face.score


def test_both_views_are_averaged() -> None:
    """A detector that is always two pixels too far right is right on average."""
    image, points = dotted_face(2.0, 10)

    def biased(pixels: Image) -> list[Face]:
        (face,) = find_dots(pixels)
        return [Face(face.box, face.landmarks + np.array([2, 0], np.float32), face.score)]

    (refined,) = refine(image, [rough(points, 1)], biased, CANVAS)
    assert np.abs(refined.landmarks - points).max() < 0.3


@pytest.mark.parametrize(
    "find",
    [
        lambda pixels: [],
        lambda pixels: [Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)],
    ],
    ids=["nothing", "elsewhere"],
)
def test_a_face_not_found_again_keeps_its_landmarks(find: Callable[[Image], list[Face]]) -> None:
    image, points = dotted_face(1.0, 0)
    face = rough(points, 1)
    assert refine(image, [face], find, CANVAS) == [face]


def test_landmarks_that_are_no_face_are_kept() -> None:
    image, _ = dotted_face(1.0, 0)
    face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.5)
    assert refine(image, [face], find_dots, CANVAS) == [face]
    assert refine(image, [], find_dots, CANVAS) == []


def test_only_the_largest_of_a_crowd_are_looked_at_again() -> None:
    image, points = dotted_face(1.0, 0)
    near = points + np.float32(1)
    faces = [
        Face(np.array([0, 0, 10 + i, 10], np.float32), near, 0.9 - i / 100) for i in range(MOST_FACES + 4)
    ]
    refined = refine(image, faces, find_dots, CANVAS)
    changed = [not np.array_equal(a.landmarks, b.landmarks) for a, b in zip(faces, refined, strict=True)]
    assert changed == [False] * 4 + [True] * MOST_FACES
