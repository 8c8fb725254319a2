"""YuNet and SCRFD: the detectors a user brings a file for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fedfr_edge.errors import MissingPartError
from fedfr_edge.types import Image
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.detect import Detector, open_detector
from fedfr_edge.vision.image import read_image

FILES = {
    "yunet": "yunet_s_640_640.onnx",
    "scrfd": "scrfd_500m_kps.onnx",
    "insightface": "scrfd_500m_kps.onnx",
}


@pytest.fixture(scope="module", params=sorted(FILES))
def detector(request: pytest.FixtureRequest, dev_data: Path) -> Detector:
    return open_detector(f"{request.param}:{dev_data / 'models' / FILES[request.param]}", threads=1)


def test_finds_the_same_six_people_as_centerface(
    detector: Detector, centerface: CenterFace, group_photo: Image
) -> None:
    faces = detector.detect(group_photo)
    assert len(faces) == 6
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for face in centerface.detect(group_photo):
        width = face.box[2] - face.box[0]
        away = [float(np.abs(other.landmarks - face.landmarks).max()) for other in faces]
        assert min(away) < 0.12 * width


def test_a_specification_opens_the_detector_again(detector: Detector) -> None:
    assert open_detector(detector.name).name == detector.name


def test_no_face(detector: Detector) -> None:
    assert detector.detect(np.full((200, 300, 3), 90, dtype=np.uint8)) == []


def test_a_face_that_fills_the_frame(detector: Detector, dev_data: Path) -> None:
    """Portraits of 92×112 pixels: SCRFD alone finds none of them."""
    names = sorted((dev_data / "faces" / "orl").rglob("*.pgm"))[::20]
    found = [len(detector.detect(read_image(name))) for name in names]
    assert sum(count == 1 for count in found) >= len(names) - 1


def test_opening_yunet_prints_nothing_and_keeps_the_log_level(
    dev_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log: Any = cv2 if hasattr(cv2, "getLogLevel") else cv2.utils.logging
    before = log.getLogLevel()
    open_detector(f"yunet:{dev_data / 'models' / FILES['yunet']}")
    assert log.getLogLevel() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", sorted(FILES))
def test_files_that_are_no_detector(kind: str, tmp_path: Path, dev_data: Path) -> None:
    with pytest.raises(MissingPartError, match=r"no file .*; check the path"):
        open_detector(f"{kind}:{tmp_path / 'missing.onnx'}")
    (tmp_path / "text.onnx").write_text("this is no network")
    with pytest.raises(MissingPartError, match=r"cannot run .*text\.onnx") as error:
        open_detector(f"{kind}:{tmp_path / 'text.onnx'}")
    assert "\n" not in str(error.value)


def test_each_others_files_are_refused(dev_data: Path) -> None:
    with pytest.raises(MissingPartError, match="no SCRFD with landmarks: it has 12 outputs"):
        open_detector(f"scrfd:{dev_data / 'models' / FILES['yunet']}")
    with pytest.raises(MissingPartError, match="no SCRFD or RetinaFace with landmarks: it has 12 outputs"):
        open_detector(f"insightface:{dev_data / 'models' / FILES['yunet']}")
    with pytest.raises(MissingPartError, match=r"OpenCV .* cannot run .* as YuNet"):
        open_detector(f"yunet:{dev_data / 'models' / FILES['insightface']}")


def test_without_insightface(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"x")
    for name in ("insightface", "insightface.model_zoo", "insightface.model_zoo.scrfd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPartError, match=r"insightface is not installed.*'fedfr-edge\[insightface\]'"):
        open_detector(f"insightface:{tmp_path / 'x.onnx'}")
