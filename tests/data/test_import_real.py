"""Imports of real faces (development data; skipped where it is absent)."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fedfr_edge.cli import main
from fedfr_edge.data.readers.aligned import AlignedReader
from fedfr_edge.data.readers.importing import import_faces
from fedfr_edge.data.split import make_split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.vision.align import TEMPLATE
from fedfr_edge.vision.detect import open_detector
from fedfr_edge.vision.image import read_image


def test_photographs_of_celebrities(
    dev_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for person in ("denzel_washington", "kate_winslet"):
        (tmp_path / "in" / person).mkdir(parents=True)
        for photo in sorted((dev_data / "faces" / "celebrity_photos" / person).iterdir())[:3]:
            shutil.copy(photo, tmp_path / "in" / person)
    shutil.copy(dev_data / "faces" / "lfw_pairs_5folds.txt", tmp_path / "in" / "kate_winslet" / "text.jpg")
    sky = np.full((300, 400, 3), (235, 180, 120), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "in" / "kate_winslet" / "sky.png"), sky)
    command = ["data", "import", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--jobs", "1"]
    assert main([*command, "--licence", "development only"]) == 0
    assert "6 images of 2 identities" in capsys.readouterr().out
    skipped = (tmp_path / "out" / "skipped.csv").read_text()
    assert "in/kate_winslet/sky.png,kate_winslet,no_face," in skipped
    assert "in/kate_winslet/text.jpg,kate_winslet,undecodable," in skipped
    store = FaceStore.open(tmp_path / "out", verify=True)
    assert store.manifest["licence"] == "development only"
    # Seen by the detector once more, each crop's points lie where the template has them.
    detector = open_detector(threads=1)
    for crop in store.images:
        frame = np.zeros((448, 448, 3), dtype=np.uint8)
        frame[112:336, 112:336] = cv2.resize(crop, (224, 224))
        points = (detector.detect(frame)[0].landmarks - 112) / 2
        assert np.abs(points - TEMPLATE).mean() < 4


def test_aligned_faces_of_pins(dev_data: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    people = sorted((dev_data / "faces" / "pins_aligned").iterdir())[:4]
    for person in people:
        (tmp_path / "in" / person.name).symlink_to(person)
    store = import_faces(
        [tmp_path / "in"], tmp_path / "out", AlignedReader(), source="pins", licence="development only"
    ).store
    assert store.identities == tuple(person.name for person in people)
    assert np.bincount(store.labels).tolist() == [100] * 4
    for row in (0, 123, 399):
        file = dev_data / "faces" / "pins_aligned" / f"{store.names[row]}.jpg"
        assert np.array_equal(store.images[row], read_image(file))
    split = make_split(store, public=2, clients=2, per_client=1, train_images=60, test_images=40, seed=0)
    assert [len(split.client_rows(store, client, "train")) for client in split.clients] == [60, 60]
    assert [len(split.client_rows(store, client, "test")) for client in split.clients] == [40, 40]
    assert len(split.public_rows(store)) == 200


def test_names_resolve_the_pairs_of_lfw(dev_data: Path, tmp_path: Path) -> None:
    """Each line of the pairs list names images that the store finds as ``name/name_0001``."""
    lines = (dev_data / "faces" / "lfw_pairs_5folds.txt").read_text().splitlines()[1:101]
    wanted = set()
    for line in lines:
        fields = line.split("\t")
        names = (fields[0], fields[0] if len(fields) == 3 else fields[2])
        numbers = (int(fields[1]), int(fields[-1]))
        wanted |= {f"{name}/{name}_{number:04d}" for name, number in zip(names, numbers, strict=True)}
    (tmp_path / "in").mkdir()
    for name in {image.split("/")[0] for image in wanted}:
        (tmp_path / "in" / name).symlink_to(dev_data / "faces" / "lfw_aligned" / name)
    store = import_faces(
        [tmp_path / "in"], tmp_path / "out", AlignedReader(), source="lfw", licence="development only"
    ).store
    assert len(wanted) > 100
    assert wanted <= set(store.names)


def test_grey_and_tiny_images_of_orl(dev_data: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "s1").symlink_to(dev_data / "faces" / "orl" / "s1")
    command = ["data", "import", str(tmp_path / "in"), "--kind", "aligned", "-o"]
    assert main([*command, str(tmp_path / "strict")]) == 1
    assert main([*command, str(tmp_path / "fitted"), "--resize"]) == 0
    store = FaceStore.open(tmp_path / "fitted")
    assert len(store) == 10
    assert (store.images[..., 0] == store.images[..., 2]).all()
    assert not store.images[:, :, :10].any()
    assert store.images[:, :, 10:102].any(axis=(1, 3)).all()
