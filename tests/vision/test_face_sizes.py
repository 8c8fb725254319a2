"""Faces from 40 pixels to 95 % of the frame, and the largest photographs that are read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fedfr_edge.types import Face, Image
from fedfr_edge.vision.align import similarity_transform
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.image import MOST_PIXELS, decode_image, read_image
from fedfr_edge.vision.select import largest_central


@pytest.fixture(scope="module")
def portraits(dev_data: Path, centerface: CenterFace) -> list[tuple[Image, Face]]:
    names = sorted((dev_data / "faces" / "celebrity_photos").rglob("*.jpg"))[::28]
    images = [read_image(name) for name in names]
    return [(image, largest_central(centerface.detect(image), image.shape)) for image in images]


def moved(landmarks: np.ndarray, reference: np.ndarray, scale: float, shift: np.ndarray) -> float:
    """Greatest way of a landmark from where it belongs, in pixels of the 112×112 crop."""
    belongs = (reference + 0.5 - shift) * scale - 0.5
    per_pixel = float(np.hypot(*similarity_transform(belongs)[:, 0]))
    return float(np.hypot(*(landmarks - belongs).T).max()) * per_pixel


@pytest.mark.parametrize("height", [40, 80, 160, 320])
def test_small_and_large_faces(
    portraits: list[tuple[Image, Face]], centerface: CenterFace, height: int
) -> None:
    """The photograph scaled so that the face's box is so many pixels high."""
    for image, face in portraits:
        scale = height / float(face.box[3] - face.box[1])
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=kind), np.uint8)
        found = largest_central(centerface.detect(scaled), scaled.shape)
        assert moved(found.landmarks, face.landmarks, scale, np.zeros(2)) < (7 if height == 40 else 4)


def test_a_face_that_fills_95_percent_of_the_frame(
    portraits: list[tuple[Image, Face]], centerface: CenterFace
) -> None:
    for image, face in portraits:
        left, top, right, bottom = face.box
        # The frame is the box enlarged so that the box is 95 % of its height and, at most, of its width.
        high = (bottom - top) / 0.95
        wide = max((right - left) / 0.95, 0.75 * high)
        x, y = (left + right - wide) / 2, (top + bottom - high) / 2
        frame = image[max(int(y), 0) : int(y + high), max(int(x), 0) : int(x + wide)]
        found = largest_central(centerface.detect(np.ascontiguousarray(frame)), frame.shape)
        shift = np.array([max(int(x), 0), max(int(y), 0)], float)
        assert moved(found.landmarks, face.landmarks, 1.0, shift) < 5


@pytest.mark.long
def test_a_photograph_of_100_megapixels(portraits: list[tuple[Image, Face]], centerface: CenterFace) -> None:
    side = round(MOST_PIXELS**0.5)
    image, face = portraits[0]
    scale = side / max(image.shape)
    large = np.zeros((side, side, 3), np.uint8)
    part = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    large[: part.shape[0], : part.shape[1]] = part[:side, :side]
    data = cv2.imencode(".jpg", large)[1].tobytes()
    del part, large
    read = decode_image(data, "large.jpg")
    assert read.shape[0] * read.shape[1] == MOST_PIXELS
    found = largest_central(centerface.detect(read), read.shape)
    assert moved(found.landmarks, face.landmarks, scale, np.zeros(2)) < 5


def test_one_pixel(centerface: CenterFace) -> None:
    data = cv2.imencode(".png", np.full((1, 1, 3), 7, np.uint8))[1].tobytes()
    assert centerface.detect(decode_image(data, "dot.png")) == []
