"""How well detectors find and align faces on real photographs.

The short tests hold bounds; ``pytest -m long tests/vision/test_vision_figures.py -s`` prints the figures
that the documentation quotes.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fedfr_edge.errors import AlignmentError
from fedfr_edge.types import Face, Image, Landmarks
from fedfr_edge.vision.align import TEMPLATE, similarity_transform
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.scrfd import Scrfd
from fedfr_edge.vision.select import largest_central
from fedfr_edge.vision.working import WorkingSize
from fedfr_edge.vision.yunet import YuNet

ONE_LOOK: dict[str, Any] = {"working": WorkingSize(least=640, most=640), "second_look": None}
"""SCRFD as insightface looks: once, at 640 pixels."""


@dataclass(frozen=True)
class Counted:
    """A photograph with the true nose tip of everyone in it, (n, 2)."""

    image: Image
    noses: npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def counted(dev_data: Path) -> list[Counted]:
    folder = dev_data / "photos" / "compreface" / "embedding-calculator" / "sample_images"
    rows = []
    with (folder / "noses.csv").open() as file:
        for row in csv.DictReader(file):
            if (folder / row["file"]).exists():
                noses = [[float(v) for v in pair.split()] for pair in row["nose_xy"].split(";") if pair]
                assert len(noses) == int(row["n_faces"])
                rows.append(Counted(read_image(folder / row["file"]), np.reshape(noses, (-1, 2))))
    assert len(rows) >= 10
    return rows


def right(photo: Counted, faces: Sequence[Face]) -> int:
    """How many true noses have a face of their own whose nose lies within a quarter of its box."""
    free = list(faces)
    hits = 0
    for nose in photo.noses:
        for place, face in enumerate(free):
            reach = 0.25 * float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))
            if np.hypot(*(face.landmarks[2] - nose)) < reach:
                del free[place]
                hits += 1
                break
    return hits


def count(detector: Detector, photos: Sequence[Counted]) -> tuple[int, int, int]:
    """Noses found, faces found elsewhere, photographs without either fault."""
    found = other = exact = 0
    for photo in photos:
        faces = detector.detect(photo.image)
        hits = right(photo, faces)
        found, other = found + hits, other + len(faces) - hits
        exact += hits == len(photo.noses) == len(faces)
    return found, other, exact


def turned(image: Image, landmarks: Landmarks, degrees: float) -> tuple[Image, Landmarks]:
    """The photograph turned about its middle in a frame that holds all of it."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    new = np.abs(matrix[:, :2]) @ [width, height]
    matrix[:, 2] += new / 2 - [width / 2, height / 2]
    picture = cv2.warpAffine(
        image, matrix, tuple(int(v) for v in np.ceil(new)), borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(picture, np.uint8), (landmarks @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def drift(found: Landmarks, reference: Landmarks) -> float:
    """By how much two alignments of one face differ: root mean square over the five template
    points, in pixels of the 112×112 crop."""
    ours, theirs = similarity_transform(found), similarity_transform(reference)
    # Where our crop shows what stands at the template's points in the reference crop.
    there = np.linalg.solve(theirs[:, :2], (TEMPLATE - theirs[:, 2]).T).T
    return float(np.sqrt(np.mean(np.sum((there @ ours[:, :2].T + ours[:, 2] - TEMPLATE) ** 2, axis=1))))


def same_face(faces: Sequence[Face], landmarks: Landmarks) -> Face | None:
    """The face that stands where ``landmarks`` do."""
    eyes_to_mouth = np.hypot(*(landmarks[0] - landmarks[3]))
    for face in sorted(faces, key=lambda face: np.hypot(*(face.landmarks - landmarks).mean(axis=0))):
        if np.hypot(*(face.landmarks - landmarks).mean(axis=0)) < eyes_to_mouth:
            return face
    return None


@dataclass(frozen=True)
class Referenced:
    """A portrait with the landmarks of SCRFD-2.5g, as insightface looks: once, at 640 pixels."""

    image: Image
    landmarks: Landmarks


@pytest.fixture(scope="module")
def reference(dev_data: Path) -> Callable[[Sequence[Path]], list[Referenced]]:
    file = dev_data / "models" / "scrfd_2.5g_kps.onnx"
    detector = Scrfd(file, threads=1, **ONE_LOOK)

    def look(names: Sequence[Path]) -> list[Referenced]:
        images = [read_image(name) for name in names]
        faces = [detector.detect(image) for image in images]
        return [
            Referenced(image, largest_central(found, image.shape).landmarks)
            for image, found in zip(images, faces, strict=True)
            if found
        ]

    return look


def agreement(
    detector: Detector, portraits: Sequence[Referenced], degrees: float = 0
) -> npt.NDArray[np.float64]:
    """Drift of each portrait's alignment against the reference; NaN where no face is found that can
    be aligned."""
    drifts = []
    for number, portrait in enumerate(portraits):
        image, landmarks = portrait.image, portrait.landmarks
        if degrees:
            image, landmarks = turned(image, landmarks, degrees if number % 2 else -degrees)
        face = same_face(detector.detect(image), landmarks)
        try:
            drifts.append(np.nan if face is None else drift(face.landmarks, landmarks))
        except AlignmentError:
            drifts.append(np.nan)
    return np.array(drifts)


def test_drift_of_a_known_shift_and_scale() -> None:
    assert drift(TEMPLATE + np.array([3, 4], np.float32), TEMPLATE) == pytest.approx(5, rel=1e-4)
    # In crop pixels, so the photograph's scale does not matter.
    assert drift((TEMPLATE + np.array([3, 4], np.float32)) * 7, TEMPLATE * 7) == pytest.approx(5, rel=1e-4)


def test_everyone_in_the_counted_photographs_is_found(centerface: CenterFace, counted: list[Counted]) -> None:
    assert count(centerface, counted) == (sum(len(photo.noses) for photo in counted), 0, len(counted))


def test_the_second_look_brings_alignment_nearer_upright_and_turned(
    centerface: CenterFace, dev_data: Path, reference: Callable[[Sequence[Path]], list[Referenced]]
) -> None:
    portraits = reference(sorted((dev_data / "faces" / "lfw_photos").rglob("*.jpg"))[::12])
    one_look = CenterFace(second_look=None, threads=1)
    for degrees, bound in ((0.0, 1.7), (30.0, 1.8)):
        two, one = (agreement(each, portraits, degrees) for each in (centerface, one_look))
        assert np.isfinite(two).all()
        assert two.mean() < bound
        assert two.mean() < one.mean()


@pytest.mark.long
def test_print_figures(
    dev_data: Path, counted: list[Counted], reference: Callable[[Sequence[Path]], list[Referenced]]
) -> None:
    cv2.setNumThreads(1)
    models, faces = dev_data / "models", dev_data / "faces"
    detectors: dict[str, Detector] = {
        "CenterFace": CenterFace(threads=1),
        "CenterFace, one look": CenterFace(second_look=None, threads=1),
        "YuNet-n": YuNet(models / "yunet_n_dynamic.onnx"),
        "YuNet-n, one look": YuNet(models / "yunet_n_dynamic.onnx", second_look=None),
        "YuNet 2026may": YuNet(models / "face_detection_yunet_2026may.onnx"),
        **{
            name + end: Scrfd(models / file, threads=1, **how)
            for name, file in (("SCRFD-500m", "scrfd_500m_kps.onnx"), ("SCRFD-2.5g", "scrfd_2.5g_kps.onnx"))
            for end, how in (("", {}), (", one look at 640", ONE_LOOK))
        },
    }
    lfw = sorted((faces / "lfw_photos").rglob("*.jpg"))
    press = sorted((faces / "celebrity_photos").rglob("*.jpg"))
    tight = sorted((faces / "orl").rglob("*.pgm"))[::4]
    images = {"LFW": [read_image(f) for f in lfw], "press": [read_image(f) for f in press]}
    images["ORL, tight"] = [read_image(f) for f in tight]
    group = read_image(dev_data / "photos" / "insightface" / "t1.jpg")
    vga = np.asarray(cv2.resize(group, (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
    portrait = next(i for i in images["press"] if i.shape[0] > i.shape[1])
    single = np.zeros((480, 640, 3), np.uint8)
    scale = 480 / portrait.shape[0]
    part = cv2.resize(portrait, (round(portrait.shape[1] * scale), 480), interpolation=cv2.INTER_AREA)
    single[:, : part.shape[1]] = part
    noses = sum(len(photo.noses) for photo in counted)
    references = {"LFW": reference(lfw), "press": reference(press)}
    for name, detector in detectors.items():
        found, other, exact = count(detector, counted)
        print(f"\n{name}: noses {found}/{noses}, elsewhere {other}, photographs exact {exact}/{len(counted)}")
        print(f"  t1.jpg: {len(detector.detect(group))} faces of 6, at 640×480 {len(detector.detect(vga))}")
        for kind, pictures in images.items():
            hits = [len(detector.detect(picture)) for picture in pictures]
            print(
                f"  {kind}: a face in {sum(h > 0 for h in hits)}/{len(hits)}, "
                f"exactly one in {sum(h == 1 for h in hits)}"
            )
        for kind, portraits in references.items():
            _print_drift(f"{kind} upright", agreement(detector, portraits))
        for degrees in (15, 30, 45, 60, 90):
            _print_drift(f"LFW turned ±{degrees}°", agreement(detector, references["LFW"][::2], degrees))
        for kind, picture in (("six faces", vga), ("one face", single)):
            times = []
            for _ in range(31):
                start = time.process_time()
                detector.detect(picture)
                times.append(time.process_time() - start)
            print(
                f"  640×480, {kind} ({len(detector.detect(picture))} found): "
                f"median {1000 * np.median(times):.0f} ms of one core"
            )
    assert count(detectors["YuNet-n"], counted)[0] == noses


def _print_drift(what: str, drifts: npt.NDArray[np.float64]) -> None:
    found = drifts[np.isfinite(drifts)]
    print(
        f"  {what}: aligned {len(found)}/{len(drifts)}, drift in crop pixels median {np.median(found):.2f}, "
        f"mean {found.mean():.2f}, 90 % {np.quantile(found, 0.9):.2f}"
    )
