"""The similarity transform against independent solutions, and crops against insightface's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedfr_edge.errors import AlignmentError
from fedfr_edge.types import Image
from fedfr_edge.vision.align import TEMPLATE, align, similarity_transform
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.refine import MIRRORED


def moved(scale: float, degrees: float, x: float, y: float) -> npt.NDArray[np.float64]:
    """The template, scaled, turned and shifted: landmarks of a perfect face."""
    a = np.radians(degrees)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return TEMPLATE.astype(np.float64) @ turn.T + (x, y)


def by_normal_equations(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same least squares as ten linear equations for a, b and the shift."""
    rows, right = [], []
    for (x, y), (u, v) in zip(points, TEMPLATE.astype(np.float64), strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    a, b, c, d = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


def test_equals_linear_least_squares() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        scale = rng.uniform(0.1, 20)
        points = moved(scale, rng.uniform(-180, 180), *rng.uniform(-500, 5000, 2))
        points += rng.normal(0, 4 * scale, (5, 2))
        np.testing.assert_allclose(similarity_transform(points), by_normal_equations(points), rtol=1e-7)


@given(st.floats(0.1, 50), st.floats(-180, 180), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_undoes_any_turn_scale_and_shift(scale: float, degrees: float, x: float, y: float) -> None:
    points = moved(scale, degrees, x, y)
    transform = similarity_transform(points)
    np.testing.assert_allclose(points @ transform[:, :2].T + transform[:, 2], TEMPLATE, atol=1e-4)
    assert np.hypot(*transform[:, 0]) == pytest.approx(1 / scale, rel=1e-6)


def test_a_face_on_the_template_is_copied_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align(image, TEMPLATE), image)


def test_outside_the_photograph_is_black() -> None:
    crop = align(np.full((60, 60, 3), 255, dtype=np.uint8), TEMPLATE)
    assert crop[:59, :59].min() == 255
    assert crop[60:].max() == 0
    assert crop[:, 60:].max() == 0


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.full((5, 2), np.nan), "not finite"),
        (np.where(np.eye(5, 2) > 0, np.inf, TEMPLATE), "not finite"),
        (np.full((5, 2), 7.0), "lie on one point"),
        (TEMPLATE[:4], r"shape \(4, 2\)"),
        (TEMPLATE * 1000, "scale the photograph"),
        (TEMPLATE / 1000, "scale the photograph"),
        (TEMPLATE[MIRRORED], "check the order"),
        (TEMPLATE * [-1, 1], "check the order"),
        (TEMPLATE[[2, 0, 3, 1, 4]], "check the order"),
    ],
)
def test_landmarks_that_are_no_face(landmarks: npt.NDArray[np.float64], message: str) -> None:
    with pytest.raises(AlignmentError, match=message) as error:
        align(np.zeros((112, 112, 3), dtype=np.uint8), landmarks)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def norm_crop() -> Callable[[Image, Any], Image]:
    """insightface's alignment; its use of scikit-image is deprecated, which is not our affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from insightface.utils.face_align import norm_crop as theirs

    def quiet(image: Image, landmarks: Any) -> Image:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(theirs(image, landmarks), dtype=np.uint8)

    return quiet


def share_within_one(ours: Image, theirs: Image) -> float:
    return float((np.abs(ours.astype(int) - theirs.astype(int)).max(axis=2) <= 1).mean())


def test_equals_insightface_on_six_people(
    norm_crop: Callable[[Image, Any], Image], centerface: CenterFace, group_photo: Image
) -> None:
    faces = centerface.detect(group_photo)
    assert len(faces) == 6
    for face in faces:
        ours, theirs = align(group_photo, face.landmarks), norm_crop(group_photo, face.landmarks)
        assert share_within_one(ours, theirs) >= 0.99


def test_equals_insightface_on_photographs(
    norm_crop: Callable[[Image, Any], Image], centerface: CenterFace, dev_data: Path
) -> None:
    names = [
        *sorted((dev_data / "faces" / "lfw_photos").rglob("*.jpg"))[::10],
        *sorted((dev_data / "faces" / "celebrity_photos").rglob("*.jpg"))[::10],
        *sorted((dev_data / "photos" / "compreface").rglob("*.jpg")),
        *sorted((dev_data / "photos" / "facenet-pytorch").rglob("*.jpg")),
        *sorted((dev_data / "photos" / "insightface" / "inspireface_test_res" / "pose").iterdir()),
    ]
    shares = []
    for name in names:
        image = read_image(name)
        for face in centerface.detect(image):
            shares.append(share_within_one(align(image, face.landmarks), norm_crop(image, face.landmarks)))
    assert len(shares) > 90
    assert min(shares) >= 0.99, f"{sum(share < 0.99 for share in shares)} of {len(shares)} crops differ"


def test_colour_order_is_kept(group_photo: Image, centerface: CenterFace) -> None:
    landmarks = centerface.detect(group_photo)[0].landmarks
    flipped = align(np.asarray(cv2.cvtColor(group_photo, cv2.COLOR_RGB2BGR), dtype=np.uint8), landmarks)
    np.testing.assert_array_equal(flipped[:, :, ::-1], align(group_photo, landmarks))


def test_given_landmarks_are_taken_as_they_are() -> None:
    """However unlike a face: the plain least-squares solution, which a benchmark's own code uses too."""
    mirrored = moved(1.3, 20.0, 5.0, 9.0)[MIRRORED]
    with pytest.raises(AlignmentError, match="of a face's shape"):
        similarity_transform(mirrored)
    x, y = mirrored.T
    one, zero = np.ones(5), np.zeros(5)
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, right, down = np.linalg.lstsq(rows, TEMPLATE.astype(np.float64).T.reshape(-1), rcond=None)[0]
    found = similarity_transform(mirrored, trusted=True)
    np.testing.assert_allclose(found, [[a, -b, right], [b, a, down]], atol=1e-9)
    assert align(np.zeros((9, 9, 3), np.uint8), mirrored, trusted=True).shape == (112, 112, 3)
    for bad in (np.full((5, 2), 7.0), np.full((5, 2), np.nan)):
        with pytest.raises(AlignmentError):
            similarity_transform(bad, trusted=True)
