"""Aligned crops: the same pixels alone and in company, and landmarks that are where they say."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fedfr_edge.data.synth.faces import PHOTO_SIDE, photograph_heads, render_faces
from fedfr_edge.data.synth.identity import identity_parameters
from fedfr_edge.data.synth.layers import Layers, Place
from fedfr_edge.data.synth.nuisance import Nuisances, nuisance
from fedfr_edge.data.synth.person import portray
from fedfr_edge.data.synth.skull import Skull
from fedfr_edge.types import Image, Landmarks
from fedfr_edge.vision.align import TEMPLATE, similarity_transform

Points = npt.NDArray[np.float64]


def posed(
    seed: int, who: int, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, *, strength: float = 0.0
) -> Nuisances:
    """Circumstances with that pose in degrees, plain but for the pose unless told."""
    angles = {
        name: np.radians([value]).astype(np.float32)
        for name, value in (("yaw", yaw), ("pitch", pitch), ("roll", roll))
    }
    return dataclasses.replace(nuisance(seed, who, 0, strength=strength), **angles)


def head(seed: int, who: int, shots: Nuisances) -> tuple[Image, Landmarks]:
    return photograph_heads(identity_parameters(seed, who), shots, [(seed, who, 0)])[0]


def test_an_image_is_the_same_alone_and_in_company() -> None:
    pairs = [(who, image) for who in (3, 0, 11) for image in (0, 5)]
    together = render_faces(9, pairs)
    assert together.shape == (6, 112, 112, 3)
    assert together.dtype == np.uint8
    alone = np.concatenate([render_faces(9, [pair]) for pair in pairs])
    assert np.array_equal(together, alone)
    assert np.array_equal(together[::-1], render_faces(9, pairs[::-1]))


def test_seed_identity_and_image_each_change_the_pixels() -> None:
    one = render_faces(9, [(3, 0)])
    for other in (render_faces(10, [(3, 0)]), render_faces(9, [(4, 0)]), render_faces(9, [(3, 1)])):
        assert np.abs(one.astype(int) - other).mean() > 5


def test_no_faces_are_an_empty_array() -> None:
    assert render_faces(0, []).shape == (0, 112, 112, 3)


def test_a_person_stays_the_same_over_plain_photographs() -> None:
    faces = render_faces(2, [(who, image) for who in range(6) for image in range(2)], strength=0.0)
    inner = faces[:, 40:100, 36:76].astype(int).reshape(6, 2, -1)
    # Background and clothes change, the face does not (JPEG works block by block).
    assert np.abs(inner[:, 0] - inner[:, 1]).mean() < 0.5
    assert np.abs(inner[0, 0] - inner[1:, 0]).mean() > 5


@pytest.mark.parametrize("who", range(6))
@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (18, 0, 0), (-12, 8, 15), (0, -10, -20)])
def test_eye_landmarks_lie_on_the_pupils(who: int, yaw: float, pitch: float, roll: float) -> None:
    """The centroid of the dark disc of a widely opened eye, against the landmark."""
    people = identity_parameters(31, who)
    people = dataclasses.replace(
        people,
        iris=np.full((1, 3), 0.004, np.float32),  # so that iris and pupil are one dark disc
        skin=np.full((1, 3), 0.5, np.float32),
        lash=np.zeros(1, np.float32),
        lid_paint=np.zeros(1, np.float32),
        bags=np.zeros(1, np.float32),
        eye_open=np.full(1, 0.12, np.float32),
        fringe=np.zeros(1, np.float32),
        moles=np.zeros_like(people.moles) + np.float32(0.01),
        scar=np.zeros_like(people.scar) + np.float32(0.01),
        patch=np.zeros_like(people.patch) + np.float32(0.01),
        brow_y=np.full(1, 0.22, np.float32),
    )
    side, scale = 400, 150.0
    shots = posed(31, who, yaw, pitch, roll)
    place = Place(side, side, 200.0, 190.0, scale, float(shots.roll[0]))
    portrait = portray(people, shots, [place], 384)[0]
    grey = portrait.light.mean(axis=0)
    eyes = portrait.landmarks[:2]
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    for x, y in eyes:
        reach = round(0.6 * float(people.iris_radius[0]) * scale) + 3
        left, top = round(float(x)) - reach, round(float(y)) - reach
        window = grey[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        dark = np.clip(0.08 - window, 0, None)
        rows, columns = np.mgrid[: window.shape[0], : window.shape[1]]
        centre = np.array([(dark * columns).sum(), (dark * rows).sum()]) / dark.sum() + [left, top]
        assert np.linalg.norm(centre - [x, y]) < 0.06 * distance


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (20, 0, 0), (-15, 10, 12), (8, -11, -20)])
def test_rays_and_projected_landmarks_agree(yaw: float, pitch: float, roll: float) -> None:
    """The ray through a landmark's pixel meets the head at the landmark: two independent ways."""
    for who in range(5):
        shots = posed(8, who, yaw, pitch, roll)
        skull = Skull(identity_parameters(8, who), shots, 256)
        place = Place(480, 480, 240.0, 240.0, 190.0, float(shots.roll[0]))
        pixels = place.to_pixels(skull.landmarks()[0])
        hits = skull.hit(0, Layers.empty(place))
        people = skull.people
        for (x, y), s_true, y_true in (
            (pixels[0], -people.eye_x[0], 0.0),
            (pixels[1], people.eye_x[0], 0.0),
            (pixels[2], people.nose_skew[0], people.nose_y[0]),
        ):
            at = (round(float(y)), round(float(x)))
            assert hits.cover[at] == 1
            assert abs(float(hits.s[at]) - float(s_true)) < 0.02
            assert abs(float(hits.y[at]) - float(y_true)) < 0.02


def test_a_known_turn_moves_the_eyes_as_a_rotation_does() -> None:
    """Against rotation matrices in float64, for the points that lie on the plain head."""
    who, yaw, pitch, roll = 4, 17.0, -9.0, 13.0
    shots = posed(8, who, yaw, pitch, roll)
    straight = Skull(identity_parameters(8, who), posed(8, who), 128).landmarks()[0].astype(np.float64)
    a, b, c = np.radians([yaw, pitch, roll])
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    expected = straight @ (turn_z @ turn_x @ turn_y).T
    place = Place(100, 100, 50.0, 40.0, 30.0, float(shots.roll[0]))
    pixels = place.to_pixels(Skull(identity_parameters(8, who), shots, 128).landmarks()[0])
    assert np.allclose(pixels, [50, 40] + 30 * expected[:, :2], atol=1e-3)


def test_landmarks_come_to_lie_on_the_template() -> None:
    """Averaged over people and poses to within half a pixel; each face near it, as real faces are."""
    mapped = []
    for who in range(40):
        shots = nuisance(6, who, 0)
        _, landmarks = head(6, who, shots)
        transform = similarity_transform(landmarks)
        mapped.append(landmarks @ transform[:, :2].T + transform[:, 2])
    centres = np.mean(mapped, axis=1)
    assert np.allclose(centres, TEMPLATE.mean(axis=0), atol=0.01)
    assert np.abs(np.mean(mapped, axis=0) - TEMPLATE).max() < 4
    assert np.linalg.norm(np.array(mapped) - TEMPLATE, axis=2).mean() < 6


def test_the_crop_shows_the_photograph_at_the_landmarks() -> None:
    """Colours at the landmarks of the photograph reappear where the transform puts them."""
    for who in range(4):
        photo, landmarks = head(6, who, posed(6, who, yaw=10, roll=12))
        crop = render_crop(photo, landmarks)
        transform = similarity_transform(landmarks)
        mapped = landmarks @ transform[:, :2].T + transform[:, 2]
        for (x, y), (u, v) in zip(landmarks, mapped, strict=True):
            there = cv2.getRectSubPix(photo, (3, 3), (float(x), float(y))).mean(axis=(0, 1))
            here = cv2.getRectSubPix(crop, (3, 3), (float(u), float(v))).mean(axis=(0, 1))
            assert np.abs(there - here).max() < 16


def render_crop(photo: Image, landmarks: Landmarks) -> Image:
    from fedfr_edge.vision.align import align

    return align(photo, landmarks)


def test_a_blurred_small_photograph_keeps_its_landmarks() -> None:
    sharp = posed(6, 1)
    coarse = dataclasses.replace(sharp, sharpness=np.full(1, 0.5, np.float32))
    photo, landmarks = head(6, 1, sharp)
    small, scaled = head(6, 1, coarse)
    assert photo.shape == (PHOTO_SIDE, PHOTO_SIDE, 3)
    assert small.shape == (PHOTO_SIDE // 2, PHOTO_SIDE // 2, 3)
    assert np.allclose((scaled + 0.5) * 2 - 0.5, landmarks, atol=1e-3)


def test_light_from_a_side_brightens_that_side() -> None:
    for direction, brighter in ((-0.9, 0), (0.9, 1)):
        light = np.array([[direction, -0.1, np.sqrt(1 - direction**2 - 0.01)]], np.float32)
        shots = dataclasses.replace(posed(3, 2), light=light)
        portrait = portray(identity_parameters(3, 2), shots, [Place(160, 160, 80, 76, 61, 0.0)], 144)[0]
        cheeks = [portrait.light[:, 80:95, 55:65].mean(), portrait.light[:, 80:95, 95:105].mean()]
        assert cheeks[brighter] > 1.3 * cheeks[1 - brighter]
