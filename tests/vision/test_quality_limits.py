"""Each measure where its value is known, and the limits on ordinary and spoilt portraits."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedfr_edge.errors import AlignmentError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.align import TEMPLATE
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.quality import (
    ADVICE,
    Quality,
    QualityLimits,
    Reason,
    advice,
    measure_quality,
    turn_of,
)
from fedfr_edge.vision.select import largest_central

GOOD = Quality(size=120, brightness=130, sharpness=0.6, turn=0.05, outside=0.01, eyes=0.9)


def face_at(landmarks: npt.NDArray[np.floating]) -> Face:
    return Face(np.zeros(4, np.float32), landmarks.astype(np.float32), 1.0)


def waves(period: float, mean: float, height: float) -> Image:
    """Vertical stripes: mean + height·cos(2π x / period), 224×224."""
    row = mean + height * np.cos(2 * np.pi * np.arange(224) / period)
    return np.repeat(np.broadcast_to(np.rint(row), (224, 224))[:, :, None], 3, axis=2).astype(np.uint8)


def test_size_is_the_side_of_the_square_that_is_cut_out() -> None:
    image = np.zeros((300, 300, 3), dtype=np.uint8)
    assert measure_quality(image, face_at(TEMPLATE)).size == pytest.approx(112, rel=1e-5)
    assert measure_quality(image, face_at(TEMPLATE * 2.5)).size == pytest.approx(280, rel=1e-5)


@pytest.mark.parametrize("period", [6, 10, 20])
def test_brightness_and_sharpness_of_waves(period: float) -> None:
    """The second difference of a cosine of angular frequency ω is (2 − 2 cos ω) times itself."""
    quality = measure_quality(waves(period, 120, 60), face_at(TEMPLATE))
    assert quality.brightness == pytest.approx(120, abs=2)
    assert quality.sharpness == pytest.approx(2 - 2 * np.cos(2 * np.pi / period), rel=0.03, abs=0.005)


def test_sharpness_does_not_depend_on_exposure() -> None:
    light, dark = (measure_quality(waves(10, m, h), face_at(TEMPLATE)) for m, h in ((160, 80), (40, 20)))
    assert dark.sharpness == pytest.approx(light.sharpness, rel=0.03)


def test_a_blank_crop_is_not_sharp() -> None:
    assert measure_quality(np.full((112, 112, 3), 99, np.uint8), face_at(TEMPLATE)).sharpness == 0


@pytest.mark.parametrize("degrees", [0, 25, -90])
def test_turn_is_measured_across_the_face(degrees: float) -> None:
    face = np.array([[-20, 0], [20, 0], [12, 20], [-15, 40], [15, 40]], dtype=float)
    a = np.radians(degrees)
    landmarks = face @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + 150
    # The nose is 12 to the right of the middle line, the eyes are 40 apart.
    quality = measure_quality(np.zeros((300, 300, 3), np.uint8), face_at(landmarks))
    assert quality.turn == pytest.approx(0.3, abs=1e-6)


def test_reasons_are_the_stable_words() -> None:
    assert GOOD.reasons() == ()
    assert Quality(39, 39, 0.19, 0.41, 0, 0.9).reasons() == (
        "too_small",
        "too_dark",
        "blurred",
        "turned_away",
    )
    assert Quality(120, 221, 0.6, -0.41, 0, 0.9).reasons() == ("too_bright", "turned_away")
    assert GOOD.reasons(QualityLimits(size=121)) == ("too_small",)
    assert Quality(120, 130, 0.6, 0.0, 0.06, 0.9).reasons() == ("cut_off",)
    assert Quality(120, 130, 0.6, 0.0, 0.01, 0.39).reasons() == ("occluded",)


def test_every_reason_has_its_advice() -> None:
    assert set(ADVICE) == set(get_args(Reason))
    assert advice(()) == ""
    assert advice(("too_dark", "cut_off")) == (
        "too_dark: more light on the face; cut_off: bring the whole face into the picture"
    )


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_the_share_outside_the_photograph(degrees: int) -> None:
    """Of the inner face's 64 rows (36 to 99) the photograph keeps those up to 67: half are outside."""
    a = np.radians(degrees)
    spin = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = TEMPLATE @ spin.T
    corners = np.array([[0, 0], [111, 0], [0, 67], [111, 67]]) @ spin.T
    width, height = (np.rint(np.ptp(corners, axis=0)) + 1).astype(int)
    image = np.full((height, width, 3), 99, np.uint8)
    quality = measure_quality(image, face_at(points - corners.min(axis=0)))
    assert quality.outside == pytest.approx(0.5, abs=1e-3)
    whole = np.full((112, 112, 3), 99, np.uint8)
    assert measure_quality(whole, face_at(TEMPLATE)).outside == 0


@settings(max_examples=60, deadline=None)
@given(
    yaw=st.floats(-70, 70), spin=st.floats(-180, 180), scale=st.floats(0.3, 20), shift=st.floats(-900, 900)
)
def test_a_flat_picture_keeps_its_turn_wherever_it_is_held(
    yaw: float, spin: float, scale: float, shift: float
) -> None:
    """Far away, a picture turned about its vertical is squeezed by the cosine; then spun, scaled, moved."""
    a = np.radians(spin)
    points = TEMPLATE * [np.cos(np.radians(yaw)), 1]
    # TEMPLATE is nearly, not exactly, symmetrical: the line from eyes to mouth leans a little.
    points = points @ (scale * np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])) + shift
    assert turn_of(points.astype(np.float32)) == pytest.approx(turn_of(TEMPLATE), abs=0.01)


@pytest.mark.parametrize(
    ("left", "right", "light"), [(50, 50, 0.25), (50, 150, 0.75), (200, 200, 1.0), (0, 0, 0.0)]
)
def test_the_light_around_the_eyes(left: int, right: int, light: float) -> None:
    """Grey 200 with a patch over each eye's surroundings: of the two, the lighter counts."""
    image = np.full((112, 112, 3), 200, np.uint8)
    image[44:62, 26:50], image[44:62, 62:86] = left, right
    assert measure_quality(image, face_at(TEMPLATE)).eyes == pytest.approx(light, abs=0.01)


def test_a_black_picture_is_dark_and_not_more() -> None:
    quality = measure_quality(np.zeros((112, 112, 3), np.uint8), face_at(TEMPLATE))
    assert quality.eyes == 1
    assert "occluded" not in quality.reasons()


def test_dark_glasses_are_noticed(dev_data: Path) -> None:
    for name in ("Keanu_Reeves_0006", "Will_Smith_0002", "Jessica_Lange_0001"):
        crop = read_image(dev_data / "faces" / "lfw_aligned" / name[:-5] / f"{name}.jpg")
        assert measure_quality(crop, face_at(TEMPLATE)).eyes < QualityLimits().eyes, name


def test_landmarks_that_are_no_face() -> None:
    with pytest.raises(AlignmentError):
        measure_quality(np.zeros((9, 9, 3), np.uint8), face_at(np.zeros((5, 2))))


def test_portraits_pass_and_spoilt_portraits_fail(centerface: CenterFace, dev_data: Path) -> None:
    names = [
        *sorted((dev_data / "faces" / "lfw_photos").rglob("*.jpg"))[::8],
        *sorted((dev_data / "faces" / "celebrity_photos").rglob("*.jpg"))[::11],
    ]
    failures = {"as they are": 0, "blurred": 0, "too_dark": 0, "too_bright": 0, "too_small": 0}
    for name in names:
        image = read_image(name)
        face = largest_central(centerface.detect(image), image.shape)
        quality = measure_quality(image, face)
        failures["as they are"] += bool(quality.reasons())
        sigma = 2 * quality.size / 112
        small = 30 / quality.size
        spoilt = {
            "blurred": (cv2.GaussianBlur(image, (0, 0), sigma), face),
            "too_dark": ((image * (25 / quality.brightness)).astype(np.uint8), face),
            "too_bright": (np.minimum(image * (400 / quality.brightness), 255).astype(np.uint8), face),
            "too_small": (cv2.resize(image, None, fx=small, fy=small), face_at(face.landmarks * small)),
        }
        for reason, (picture, there) in spoilt.items():
            failures[reason] += reason in measure_quality(np.asarray(picture, np.uint8), there).reasons()
    assert failures["as they are"] <= 0.05 * len(names)
    assert failures["blurred"] == failures["too_small"] == failures["too_dark"] == len(names)
    assert failures["too_bright"] >= 0.9 * len(names)


def test_a_profile_is_turned_away(centerface: CenterFace, dev_data: Path) -> None:
    folder = dev_data / "photos" / "insightface" / "inspireface_test_res" / "pose"
    for name, turned in (("right_face.png", True), ("rise_face.jpeg", False), ("left_wryneck.png", False)):
        image = read_image(folder / name)
        reasons = measure_quality(image, largest_central(centerface.detect(image), image.shape)).reasons()
        assert ("turned_away" in reasons) == turned, name
