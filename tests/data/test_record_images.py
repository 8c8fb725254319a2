"""Record files into a store: insightface's layout, names, every reason to skip, kill and resume."""

from __future__ import annotations

import csv
import itertools
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from record_files import MAGIC, content, emore, encoded, record, write
from small_stores import face

from fedfr_edge.cli import main
from fedfr_edge.data.readers.record_images import import_records
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import DataError, WriteError


def people(count: int, each: int) -> list[list[bytes]]:
    return [[encoded(face(100 * person + n)) for n in range(each)] for person in range(count)]


def imported(paths: list[Path], out: Path, **more: object) -> FaceStore:
    return import_records(paths, out, source="a test", licence="none", **more).store  # type: ignore[arg-type]


def skipped(out: Path) -> dict[str, tuple[str, str]]:
    with (out / "skipped.csv").open(newline="", encoding="utf-8") as file:
        return {line["file"]: (line["code"], line["detail"]) for line in csv.DictReader(file)}


def test_the_layout_of_faces_emore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = emore(tmp_path / "faces_emore", people(3, 4))
    out = tmp_path / "out"
    assert main(["data", "import", str(folder), "--out", str(out), "--licence", "x"]) == 0
    assert "12 images of 3 identities" in capsys.readouterr().out
    store = FaceStore.open(out, verify=True)
    assert store.identities == ("0000000", "0000001", "0000002")
    assert store.names[:2] == ("0000000/00000001", "0000000/00000002")
    assert store.names[-1] == "0000002/00000012"
    for person, number in itertools.product(range(3), range(4)):
        row = store.row_of(f"{person:07d}/{1 + 4 * person + number:08d}")
        assert row is not None
        assert np.array_equal(store.images[row], face(100 * person + number))
    assert store.manifest["source"] == "faces_emore"
    assert store.manifest["extra"] == {"kind": "records", "resize": False}
    assert skipped(out) == {}


def test_without_an_index_the_store_is_the_same(tmp_path: Path) -> None:
    folder = emore(tmp_path / "faces", people(3, 4))
    one = imported([folder / "train.rec"], tmp_path / "one")
    (folder / "train.idx").unlink()
    two = imported([folder / "train.rec"], tmp_path / "two")
    assert one.digest == two.digest
    # A record lost in the middle keeps the numbers of those after it.
    data = bytearray((folder / "train.rec").read_bytes())
    at = data.index(MAGIC, data.index(MAGIC, 8) + 8)
    data[at] ^= 1
    (folder / "train.rec").write_bytes(data)
    three = imported([folder / "train.rec"], tmp_path / "three")
    assert three.names == (one.names[0], *one.names[2:])
    assert list(skipped(tmp_path / "three")) == ["train.rec#2"]


def test_what_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [encoded(face(n), ".jpg") for n in range(4)]
    records = [
        (5, content(0.0, good[0], 5)),
        (6, content(0.0, good[1][:-40], 6)),  # cut short
        (7, content([1.0, 0.25], good[2], 7)),
        (8, content(1.0, b"no image at all", 8)),
        (9, content(1.0, encoded(face(9)[:60], ".jpg"), 9)),
        (10, content(-1.0, good[3], 10)),
        (11, content(2.0, encoded(np.repeat(face(4)[:, :, :1], 3, 2), ".jpg"), 11)),
    ]
    offsets = write(tmp_path / "mine.rec", records)
    data = bytearray((tmp_path / "mine.rec").read_bytes())
    (tmp_path / "mine.rec").write_bytes(data[:-100])
    assert main(["data", "import", str(tmp_path / "mine.rec"), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "2 images of 2 identities" in said
    assert f"5 skipped, of 7 images; each with its reason in {tmp_path / 'out' / 'skipped.csv'}" in said
    assert "bad_record         1  cut short or damaged" in said
    found = skipped(tmp_path / "out")
    assert {name: code for name, (code, _) in found.items()} == {
        "mine.rec#6": "undecodable",
        "mine.rec#8": "undecodable",
        "mine.rec#9": "wrong_size",
        "mine.rec#10": "bad_label",
        "mine.rec#11": "bad_record",
    }
    assert found["mine.rec#6"][1].startswith(f"byte {offsets[1]}: record 6 is a JPEG cut short")
    assert f"byte {offsets[6]}: " in found["mine.rec#11"][1]
    store = FaceStore.open(tmp_path / "out", verify=True)
    assert store.names == ("0000000/00000005", "0000001/00000007")
    decoded = cv2.imdecode(np.frombuffer(good[2], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.array_equal(store.images[1], decoded)  # a JPEG's colours in the right order


def test_a_length_that_reaches_over_the_next_record(tmp_path: Path) -> None:
    """With an index only its image shows it; the image that follows is found by the index."""
    images = people(1, 3)[0]
    offsets = write(tmp_path / "a.rec", [(key, content(0.0, image)) for key, image in enumerate(images)])
    data = bytearray((tmp_path / "a.rec").read_bytes())
    data[offsets[0] + 4 : offsets[0] + 8] = (offsets[2] - offsets[0] - 8).to_bytes(4, "little")
    (tmp_path / "a.rec").write_bytes(data)
    store = imported([tmp_path / "a.rec"], tmp_path / "out")
    assert store.names[-2:] == ("0000000/00000001", "0000000/00000002")
    (tmp_path / "a.idx").unlink()
    store = imported([tmp_path / "a.rec"], tmp_path / "walked")
    assert store.names == ("0000000/00000001", "0000000/00000002")
    assert skipped(tmp_path / "walked")["a.rec#0"][1].startswith("byte 0: its length reaches over the record")


def test_an_image_in_several_parts(tmp_path: Path) -> None:
    """A BMP whose pixels hold the magic number where it matters."""
    pixels = face(1).copy()
    blue_first = pixels.reshape(-1)
    blue_first[:4] = blue_first[4:8] = list(MAGIC)
    image = encoded(pixels[::-1, :, ::-1].copy(), ".bmp")  # BMP stores rows from the bottom, blue first
    shift = -(24 + image.index(MAGIC)) % 4
    assert shift % 4 == 2  # a BMP's header has 54 bytes
    whole = content([0.0], image) if shift == 0 else content(0.0, image)
    assert len(record(whole)) == len(record(b"\0" * len(whole)))  # not aligned: one part
    image = image[:10] + (56).to_bytes(4, "little") + image[14:54] + b"\0\0" + image[54:]
    whole = content(0.0, image)
    assert record(whole).count(MAGIC) > 2
    (tmp_path / "a.rec").write_bytes(record(whole))
    store = imported([tmp_path / "a.rec"], tmp_path / "out")
    assert np.array_equal(store.images[0][::-1, :, ::-1], pixels)


def test_other_sizes_are_fitted_when_asked(tmp_path: Path) -> None:
    write(tmp_path / "a.rec", [(0, content(0.0, encoded(face(1)[:, 8:104])))])
    with pytest.raises(DataError, match=r"no face .* \(wrong_size 1\)"):
        imported([tmp_path / "a.rec"], tmp_path / "out")
    store = imported([tmp_path / "a.rec"], tmp_path / "fitted", resize=True)
    assert np.array_equal(store.images[0][:, 8:104], face(1)[:, 8:104])


def test_the_property_file(tmp_path: Path) -> None:
    folder = emore(tmp_path / "faces", people(2, 2))
    (folder / "property").write_text("3,112,112")
    imported([folder / "train.rec"], tmp_path / "out")
    note = (tmp_path / "out" / "notes.csv").read_text()
    assert "train.rec/property,,other_count," in note
    assert "it says 3 identities, the records have 2" in note
    (folder / "property").write_text("2,224,224")
    with pytest.raises(DataError, match="224×224 pixels, expected 112×112; --resize"):
        imported([folder / "train.rec"], tmp_path / "no")
    (folder / "property").write_text("hello")
    with pytest.raises(DataError, match="is not of the form"):
        imported([folder / "train.rec"], tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_several_files(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        images = [encoded(face(10 * number + n)) for n in range(2)]
        records = [(n, content(float(n), image)) for n, image in enumerate(images)]
        write(tmp_path / name / "train.rec", records)
    paths = [tmp_path / "one" / "train.rec", tmp_path / "two" / "train.rec"]
    apart = imported(paths, tmp_path / "apart")
    assert apart.identities == ("one-0000000", "one-0000001", "two-0000000", "two-0000001")
    together = imported(paths, tmp_path / "together", merge=True)
    assert together.identities == ("0000000", "0000001")
    assert together.names[2] == "0000000/two-00000000"
    assert np.array_equal(apart.images, together.images)


def test_only_identities_with_enough_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [person[: 3 - number] for number, person in enumerate(people(3, 3))]
    folder = emore(tmp_path / "faces", sets)
    command = ["data", "import", str(folder), "--out", str(tmp_path / "out"), "--least-images"]
    assert main([*command, "2"]) == 0
    store = FaceStore.open(tmp_path / "out")
    assert np.bincount(store.labels).tolist() == [3, 2]
    assert skipped(tmp_path / "out")["0000002"] == ("few_images", "1 images, expected 2 or more")
    command[4] = str(tmp_path / "none")
    assert main([*command, "4"]) == 1
    assert "none of 3 identities has 4 images (most: 3)" in capsys.readouterr().err
    (tmp_path / "photos").mkdir()
    assert main(
        ["data", "import", str(tmp_path / "photos"), "-o", str(tmp_path / "x"), "--least-images", "2"]
    )
    assert "goes with record files" in capsys.readouterr().err


def test_what_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*arguments: object) -> str:
        assert main(["data", "import", *map(str, arguments), "--out", str(tmp_path / "out")]) == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert not (tmp_path / "out").exists()
        return error

    write(tmp_path / "two" / "a.rec", [(0, content(0.0, b""))])
    shutil.copy(tmp_path / "two" / "a.rec", tmp_path / "two" / "b.rec")
    assert "holds 2 record files, first a.rec" in fails(tmp_path / "two")
    (tmp_path / "photos").mkdir()
    assert "different kinds (photos, records)" in fails(tmp_path / "photos", tmp_path / "two" / "a.rec")
    assert "holds no .rec file" in fails(tmp_path / "photos", "--kind", "records")
    assert "cannot read" in fails(tmp_path / "none.rec")


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = emore(tmp_path / "faces", people(2, 2))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4 * 37632 - 1))
    with pytest.raises(WriteError, match=r"a store of 4 images takes 0\.0 GB, .* take fewer"):
        imported([folder / "train.rec"], tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4 * 37632))
    imported([folder / "train.rec"], tmp_path / "new" / "out")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = emore(tmp_path_factory.mktemp("large") / "faces", people(20, 10))
    data = bytearray((folder / "train.rec").read_bytes())
    for number in (3, 150):  # one damaged record before the kill, one after it
        line = (folder / "train.idx").read_text().splitlines()[number]
        data[int(line.split("\t")[1]) + 60] ^= 0xFF
    (folder / "train.rec").write_bytes(data)
    return folder


@pytest.mark.parametrize("index", [True, False])
def test_killed_in_the_middle(
    large: Path, tmp_path: Path, index: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "faces"
    shutil.copytree(large, folder)
    if not index:
        (folder / "train.idx").unlink()
    whole = imported([folder / "train.rec"], tmp_path / "whole")
    assert len(skipped(whole.path)) == 2
    code = (
        "import sys, time\n"
        "from fedfr_edge.cli import main\n"
        "from fedfr_edge.data.store import StoreWriter\n"
        "add = StoreWriter.add\n"
        "StoreWriter.add = lambda *given: (time.sleep(0.005), add(*given))[1]\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    out = tmp_path / "out"
    arguments = ["data", "import", str(folder), "--out", str(out), "--licence", "none", "--source", "a test"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE)
    written = out / "index.tsv"
    deadline = time.monotonic() + 60
    while not (written.exists() and written.stat().st_size > 5000):
        assert process.poll() is None, "the import ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 20 < written.read_bytes().count(b"\n") < 198
    assert main(arguments) == 0
    assert "of them had been written by an interrupted run" in capsys.readouterr().out
    for file in ("images.npy", "index.tsv", "manifest.json", "skipped.csv", "notes.csv"):
        assert (out / file).read_bytes() == (whole.path / file).read_bytes(), file
