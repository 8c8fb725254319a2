"""SCRFD decoded here: the answers of insightface's class, on any size, steadily aligned."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Image
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.refine import MIRRORED
from fedfr_edge.vision.runtime import import_onnxruntime
from fedfr_edge.vision.scrfd import Scrfd, decode
from fedfr_edge.vision.select import largest_central
from fedfr_edge.vision.working import WorkingSize, at_working_size


@pytest.fixture(scope="module")
def file(dev_data: Path) -> Path:
    return dev_data / "models" / "scrfd_500m_kps.onnx"


@pytest.fixture(scope="module")
def portraits(dev_data: Path) -> list[Image]:
    names = sorted((dev_data / "faces" / "celebrity_photos").rglob("*.jpg"))[::55]
    return [read_image(name) for name in names]


def test_the_same_answers_as_insightface_s_class(
    file: Path, portraits: list[Image], group_photo: Image
) -> None:
    scrfd = pytest.importorskip("insightface.model_zoo.scrfd")
    session = import_onnxruntime().InferenceSession(str(file), providers=["CPUExecutionProvider"])
    theirs = scrfd.SCRFD(model_file=str(file), session=session)
    theirs.prepare(0, det_thresh=0.5)
    ours = Scrfd(file, threads=1)
    for image in (*portraits, group_photo):
        square = at_working_size(image, WorkingSize(least=640, most=640, square=640)).pixels
        rows, marks = theirs.detect(cv2.cvtColor(square, cv2.COLOR_RGB2BGR))
        found = ours._find(square)
        assert len(found) == len(rows) >= 1
        for face, row, points in zip(found, rows, marks, strict=True):
            np.testing.assert_allclose(face.box, row[:4], atol=1e-3)
            np.testing.assert_allclose(face.landmarks, points, atol=1e-3)
            assert face.score == pytest.approx(float(row[4]), abs=1e-6)


def test_a_known_cell_comes_out_where_it_belongs() -> None:
    """One proposal: the second box of row 2, column 3 at 16 pixels a cell, of an image of 96×64."""
    maps = [
        np.zeros((2 * (96 // s) * (64 // s), width), np.float32) for width in (1, 4, 10) for s in (8, 16, 32)
    ]
    row = 2 * (2 * 6 + 3) + 1
    maps[1][row] = 0.75
    maps[4][row] = [1, 2, 0.5, 0.25]
    maps[7][row] = np.arange(10) / 8
    (face,) = decode(maps, 96, 0.5)
    assert face.score == 0.75
    assert face.box.tolist() == [48 - 16, 32 - 32, 48 + 8, 32 + 4]
    assert face.landmarks.tolist() == [[48 + 4 * i, 32 + 4 * i + 2] for i in range(5)]
    assert decode(maps, 96, 0.8) == []


def test_the_second_look_steadies_the_landmarks(file: Path, portraits: list[Image]) -> None:
    """A mirrored photograph should have the mirrored landmarks; one look alone finds others."""

    def unsteadiness(detector: Scrfd) -> float:
        off = []
        for image in portraits:
            mirrored = np.ascontiguousarray(image[:, ::-1])
            one, other = (largest_central(detector.detect(view), view.shape) for view in (image, mirrored))
            back = other.landmarks[MIRRORED] * [-1, 1] + [image.shape[1] - 1, 0]
            off.append(np.abs(one.landmarks - back).mean() / (one.box[2] - one.box[0]))
        return float(np.mean(off))

    assert unsteadiness(Scrfd(file, threads=1)) < 0.5 * unsteadiness(Scrfd(file, second_look=None, threads=1))


@pytest.mark.parametrize("height", [40, 80, 320])
def test_small_and_large_faces_in_a_camera_s_frame(file: Path, portraits: list[Image], height: int) -> None:
    detector = Scrfd(file, threads=1)
    for image in portraits:
        box = largest_central(detector.detect(image), image.shape).box
        scale = height / float(box[3] - box[1])
        scaled = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        frame = np.full((480, 640, 3), 127, np.uint8)
        shown = scaled[:480, :640]
        frame[: shown.shape[0], : shown.shape[1]] = shown
        found = largest_central(detector.detect(frame), frame.shape).box
        assert np.abs(found - box * scale).max() < 0.25 * height


def test_a_network_of_one_size_names_the_way_out(file: Path, tmp_path: Path) -> None:
    """Here every output is reshaped to the length that 640×640 gives."""
    model = onnx.load(str(file))
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.output[0] == model.graph.output[0].name:
            shape = onnx.numpy_helper.from_array(np.array([1, 12800, 1], np.int64), "fixed")
            model.graph.initializer.append(shape)
            node.input[1] = "fixed"
            break
    else:
        # Its last node is a Sigmoid over the reshaped map: reshape that once more.
        last = next(n for n in model.graph.node if n.output[0] == model.graph.output[0].name)
        last.output[0] = "before"
        shape = onnx.numpy_helper.from_array(np.array([1, 12800, 1], np.int64), "fixed")
        model.graph.initializer.append(shape)
        name = model.graph.output[0].name
        model.graph.node.append(onnx.helper.make_node("Reshape", ["before", "fixed"], [name]))
    fixed = tmp_path / "fixed.onnx"
    onnx.save(model, str(fixed))
    with pytest.raises(MissingPartError, match=r"one size only; try it as insightface:"):
        Scrfd(fixed, threads=1).detect(np.zeros((100, 150, 3), np.uint8))


def test_insightface_is_not_needed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("insightface", "insightface.model_zoo", "insightface.model_zoo.scrfd"):
        monkeypatch.setitem(sys.modules, name, None)
    assert Scrfd(file, threads=1).detect(np.zeros((64, 64, 3), np.uint8)) == []
