"""RetinaFace through insightface's model zoo: a network of its layout gives the faces that it was made to."""

from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Image
from fedfr_edge.vision.detect import open_detector

network = runpy.run_path(str(Path(__file__).with_name("zoo_network.py")))

LAYOUTS = {
    "9 outputs": {"strides": (8, 16, 32), "anchors": 2, "batched": False},
    "9 outputs, batched": {"strides": (8, 16, 32), "anchors": 2, "batched": True},
    "15 outputs": {"strides": (8, 16, 32, 64, 128), "anchors": 1, "batched": False},
}


@pytest.fixture(params=sorted(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def file(layout: str, tmp_path: Path) -> Path:
    return Path(network["write"](tmp_path / "det.onnx", **LAYOUTS[layout]))


def cells(strides: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """Stride -> column and row of its one cell of its colour, far from the others."""
    return {
        stride: (640 // stride // 5 * (level + 1) - 1, 2 + level % 2) for level, stride in enumerate(strides)
    }


def picture(strides: tuple[int, ...], scale: int) -> Image:
    """Grey, 640·scale pixels square, with one coloured square for each stride."""
    image = np.full((640 * scale, 640 * scale, 3), 128, np.uint8)
    for (stride, (column, row)), colour in zip(cells(strides).items(), network["COLOURS"], strict=False):
        side = stride * scale
        image[row * side : (row + 1) * side, column * side : (column + 1) * side] = colour
    return image


def expected(strides: tuple[int, ...], scale: int) -> list[tuple[npt.NDArray[np.float64], ...]]:
    """(box, landmarks) of each stride: distances from the cell's corner, then back to the photograph."""
    left, top, right, bottom = network["BOX"]
    found = []
    for stride, corner in cells(strides).items():
        x, y = corner
        box = np.array([x - left, y - top, x + right, y + bottom]) * stride
        points = (np.array(corner) + network["POINTS"]) * stride
        found.append(tuple((values + 0.5) * scale - 0.5 for values in (box, points)))
    return found


@pytest.mark.parametrize("scale", [1, 2])
def test_finds_each_face_where_it_is(layout: str, file: Path, scale: int) -> None:
    strides = LAYOUTS[layout]["strides"]
    assert isinstance(strides, tuple)
    faces = open_detector(f"insightface:{file}", threads=1).detect(picture(strides, scale))
    assert len(faces) == len(strides)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    assert faces[-1].score > 0.85
    for box, points in expected(strides, scale):
        (same,) = [face for face in faces if np.abs(face.box - box).max() < 0.01 * scale]
        np.testing.assert_allclose(same.landmarks, points, atol=0.01 * scale)


def test_is_what_the_zoo_itself_gives(layout: str, file: Path) -> None:
    """The zoo's own way from a file to faces, and its class of RetinaFace's name."""
    from insightface.model_zoo import get_model
    from insightface.model_zoo.retinaface import RetinaFace

    strides = LAYOUTS[layout]["strides"]
    assert isinstance(strides, tuple)
    image = picture(strides, 1)
    faces = open_detector(f"insightface:{file}", threads=1).detect(image)
    ours = np.array([[*face.box, face.score, *face.landmarks.reshape(-1)] for face in faces])
    nets = [get_model(str(file), providers=["CPUExecutionProvider"])]
    if not LAYOUTS[layout]["batched"]:  # that class takes flat outputs only
        nets.append(RetinaFace(str(file)))
    for net in nets:
        rows, points = net.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), input_size=(640, 640))
        theirs = np.concatenate([rows, points.reshape(len(rows), 10)], axis=1)
        np.testing.assert_allclose(ours[np.argsort(ours[:, 0])], theirs[np.argsort(theirs[:, 0])], atol=1e-3)


def test_no_face_of_any_colour(file: Path) -> None:
    assert open_detector(f"insightface:{file}", threads=1).detect(np.full((300, 500, 3), 128, np.uint8)) == []


@pytest.mark.parametrize(
    ("strides", "anchors", "outputs"), [((8, 16, 32), 2, 6), ((8, 16, 32, 64, 128), 1, 10)]
)
def test_a_network_without_landmarks_is_refused(
    strides: tuple[int, ...], anchors: int, outputs: int, tmp_path: Path
) -> None:
    file = network["write"](tmp_path / "boxes.onnx", strides=strides, anchors=anchors, batched=False, parts=2)
    with pytest.raises(
        MissingPartError, match=rf"no SCRFD or RetinaFace with landmarks: it has {outputs} outputs"
    ):
        open_detector(f"insightface:{file}")
