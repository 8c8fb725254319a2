"""Importing: each kind of image, each reason to skip or note, and the lists that are kept."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from small_stores import crops, face, write_image

from fedfr_edge.data.readers.aligned import AlignedReader, fit
from fedfr_edge.data.readers.importing import Imported, import_faces
from fedfr_edge.data.readers.journal import Journal
from fedfr_edge.data.readers.photos import PhotoReader
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import DataError, StoreError
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.align import TEMPLATE


def run(source: Path, out: Path, reader: AlignedReader | PhotoReader, **more: object) -> Imported:
    return import_faces([source], out, reader, source="a test", licence="none", **more)  # type: ignore[arg-type]


def listing(path: Path) -> list[tuple[str, str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return [(line["file"], line["code"], line["detail"]) for line in lines]


def test_aligned_images_come_in_as_they_are(tmp_path: Path) -> None:
    crops(tmp_path / "in", people=3, each=2)
    calls: list[tuple[str, int, int]] = []
    done = run(tmp_path / "in", tmp_path / "out", AlignedReader(), progress=lambda *call: calls.append(call))
    store = FaceStore.open(tmp_path / "out", verify=True)
    assert store.names[:3] == ("person_00/0", "person_00/1", "person_01/0")
    for person in range(3):
        for number in range(2):
            row = store.row_of(f"person_{person:02d}/{number}")
            assert row is not None
            assert np.array_equal(store.images[row], face(1000 * person + number))
    assert (done.found, done.skipped, done.notes, done.resumed) == (6, {}, {}, 0)
    assert [call for call in calls if call[0] == "reading images"] == [
        ("reading images", n, 6) for n in range(1, 7)
    ]
    assert store.manifest["extra"] == {"kind": "aligned", "resize": False}
    assert listing(tmp_path / "out" / "skipped.csv") == []


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    grey = face(1)[:, :, 0]
    write_image(tmp_path / "in" / "a" / "1.pgm", grey)
    write_image(tmp_path / "in" / "a" / "2.png", grey)
    store = run(tmp_path / "in", tmp_path / "out", AlignedReader()).store
    for row in range(2):
        assert np.array_equal(store.images[row], np.repeat(grey[:, :, None], 3, axis=2))


def test_what_is_skipped_and_noted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    crops(folder, people=2, each=2)
    write_image(folder / "person_00" / "small.png", face(5)[:92])
    (folder / "person_00" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "person_00" / "empty.png").write_bytes(b"")
    (folder / "person_00" / "list.txt").write_text("x")
    (folder / "person_00" / "again.png").write_bytes((folder / "person_00" / "0.png").read_bytes())
    write_image(folder / "person_01" / "stolen.bmp", face(1))  # person_00/1 in another format
    write_image(folder / "person_02" / "only.png", face(9))
    done = run(folder, tmp_path / "out", AlignedReader())
    assert done.skipped == {"not_an_image": 1, "undecodable": 2, "wrong_size": 1}
    assert done.notes == {"duplicate": 1, "shared": 1, "single_image": 1}
    assert done.found == 11
    assert len(done.store) == 7
    skipped = {file: (code, detail) for file, code, detail in listing(tmp_path / "out" / "skipped.csv")}
    assert skipped["in/person_00/small.png"] == (
        "wrong_size",
        "112×92 pixels, expected 112×112; --resize fits it",
    )
    assert skipped["in/person_00/broken.jpg"][0] == "undecodable"
    notes = listing(tmp_path / "out" / "notes.csv")
    assert ("in/person_00/again.png", "duplicate", "same pixels as person_00/0") in notes
    assert ("in/person_01/stolen.bmp", "shared", "same pixels as person_00/1") in notes
    assert [note[0] for note in notes if note[1] == "single_image"] == ["in/person_02/only.png"]


def test_resizing_is_done_when_asked(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a" / "1.png", face(1)[:, 8:104])
    write_image(tmp_path / "in" / "a" / "2.png", face(2))
    done = run(tmp_path / "in", tmp_path / "out", AlignedReader(resize=True))
    assert done.notes == {"resized": 1}
    assert listing(tmp_path / "out" / "notes.csv") == [("in/a/1.png", "resized", "was 96×112 pixels")]
    expected = face(1).copy()
    expected[:, :8] = expected[:, 104:] = 0
    assert np.array_equal(done.store.images[0], expected)


@pytest.mark.parametrize(
    ("height", "width"), [(224, 224), (50, 100), (1, 300), (300, 1), (56, 56), (113, 112)]
)
def test_fit_keeps_proportions(height: int, width: int) -> None:
    fitted = fit(np.full((height, width, 3), 200, dtype=np.uint8))
    assert fitted.shape == (112, 112, 3)
    rows, columns = (fitted == 200).all(axis=2).nonzero()
    got = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
    scale = 112 / max(height, width)
    assert got == (max(1, round(height * scale)), max(1, round(width * scale)))
    assert (fitted == 200).all(axis=2).sum() == got[0] * got[1]
    # In the middle, to the pixel.
    assert abs(rows.min() - (111 - rows.max())) <= 1
    assert abs(columns.min() - (111 - columns.max())) <= 1


def test_fit_halves_by_averaging() -> None:
    image = np.zeros((224, 224, 3), dtype=np.uint8)
    image[::2] = 100
    assert (fit(image) == 50).all()


def test_no_image_gives_a_face(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a" / "1.png", face(1)[:50])
    with pytest.raises(DataError, match=r"no face .* 1 image files \(wrong_size 1\); see .*skipped\.csv"):
        run(tmp_path / "in", tmp_path / "out", AlignedReader())
    with pytest.raises(StoreError, match="is unfinished"):
        FaceStore.open(tmp_path / "out")


def test_the_same_folder_is_not_imported_twice(tmp_path: Path) -> None:
    crops(tmp_path / "in", people=1, each=2)
    run(tmp_path / "in", tmp_path / "out", AlignedReader())
    with pytest.raises(StoreError, match="finished store already"):
        run(tmp_path / "in", tmp_path / "out", AlignedReader())
    with pytest.raises(StoreError, match="is not empty and holds no store"):
        run(tmp_path / "in", tmp_path / "in", AlignedReader())


def test_several_processes_give_the_same_store(tmp_path: Path) -> None:
    crops(tmp_path / "in", people=4, each=5)
    (tmp_path / "in" / "person_01" / "bad.jpg").write_bytes(b"bad")
    one = run(tmp_path / "in", tmp_path / "one", AlignedReader())
    two = run(tmp_path / "in", tmp_path / "two", AlignedReader(), jobs=2)
    assert one.store.digest == two.store.digest
    assert (one.skipped, one.notes) == (two.skipped, two.notes)


class PlainDetector:
    """Finds what its test tells it."""

    name = "plain"

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, image: Image) -> list[Face]:
        return self.faces


def detected(left: float, side: float, landmarks: npt.NDArray[np.float32] | None = None) -> Face:
    box = np.array([left, 20, left + side, 20 + side * 1.2], dtype=np.float32)
    points = TEMPLATE * np.float32(side / 112) + np.array([left, 20], dtype=np.float32)
    return Face(box, (points if landmarks is None else landmarks).astype(np.float32), 0.9)


@pytest.mark.parametrize(
    ("faces", "code", "detail"),
    [
        ([], "no_face", "no face was found in 320×240 pixels"),
        ([detected(100, 31)], "too_small", "the face is 31 pixels wide, expected 32 or more"),
        ([detected(100, 64, np.ones((5, 2), np.float32))], "misaligned", "all five landmarks"),
        ([detected(100, 32)], "", ""),
        ([detected(200, 40), detected(90, 112)], "several_faces", "2 faces, kept the largest central one"),
    ],
)
def test_what_becomes_of_a_photograph(tmp_path: Path, faces: list[Face], code: str, detail: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    write_image(tmp_path / "photo.png", photo)
    reader = PhotoReader(min_face=32)
    reader._detector = PlainDetector(*faces)
    outcome = reader.read(tmp_path / "photo.png")
    assert outcome.code == code
    assert outcome.detail.startswith(detail)
    assert (outcome.face is None) == (code not in ("", "several_faces"))
    if code == "several_faces":
        # The second face's landmarks are the template, shifted by whole pixels.
        assert outcome.face is not None
        assert np.array_equal(outcome.face, photo[20:132, 90:202])


def test_a_photograph_that_cannot_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"text")
    reader = PhotoReader()
    reader._detector = PlainDetector()
    outcome = reader.read(tmp_path / "photo.jpg")
    assert (outcome.face, outcome.code) == (None, "undecodable")


def test_a_detectors_folder_is_not_recorded() -> None:
    described = PhotoReader("yunet:/home/me/models/yunet.onnx", 40).describe()
    assert described == {"kind": "photos", "detector": "yunet:yunet.onnx", "min_face": 40}


def test_journal_survives_a_torn_line_and_writes_once(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with Journal(path) as journal:
        journal.add('a/"odd", name.png', "a", "no_face", "line\nbreak")
        journal.add("b.png", "b", "no_face", "")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with Journal(path) as journal:
        assert journal.files() == {'a/"odd", name.png'}
        journal.add('a/"odd", name.png', "a", "no_face", "said before")
        journal.add("b.png", "b", "no_face", "")
        assert journal.counts() == {"no_face": 2}
    assert path.read_bytes() == whole
    assert listing(path)[0] == ('a/"odd", name.png', "no_face", r"line\nbreak")
    path.write_bytes(b"file,iden")
    with Journal(path) as journal:
        journal.add("b.png", "b", "no_face", "")
    assert path.read_bytes() == b"file,identity,code,detail\nb.png,b,no_face,\n"


def test_pixels_are_rgb(tmp_path: Path) -> None:
    """Written by OpenCV in its own order (BGR), so that this test does not rest on our reader."""
    (tmp_path / "in" / "a").mkdir(parents=True)
    blue_first = np.zeros((112, 112, 3), dtype=np.uint8)
    blue_first[..., 2] = 250
    cv2.imwrite(str(tmp_path / "in" / "a" / "red.png"), blue_first)
    store = run(tmp_path / "in", tmp_path / "out", AlignedReader()).store
    assert store.images[0, 50, 50].tolist() == [250, 0, 0]
