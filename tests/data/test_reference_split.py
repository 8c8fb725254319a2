"""The layout that FedFR's published code writes, as a store and a split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from record_files import content, encoded, write
from small_stores import face

from fedfr_edge.cli import main
from fedfr_edge.data.readers.reference_split import import_reference_split
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import DataError

PUBLIC, CLIENTS, EACH, TRAIN, TEST = 3, 2, 2, 3, 2


def number_of(person: int, image: int) -> int:
    return 100 * person + image


def reference(root: Path, *, start: bool = True) -> Path:
    """As ``split_FL.py`` and ``split_pretrain.py`` write it: headers last, 40 test images first."""

    def images(people: list[tuple[float, int]], numbers: range) -> list[tuple[int, bytes]]:
        every = [(label, encoded(face(number_of(person, n)))) for label, person in people for n in numbers]
        return [(key, content(label, image, key)) for key, (label, image) in enumerate(every, 1)]

    people = CLIENTS * EACH
    whole = [(float(person), person) for person in range(people)]
    test = images(whole, range(TEST))
    write(root / f"local_veri_{people}" / "test.rec", [*test, (0, content([len(test) + 1, people], b""))])
    gallery = images(whole, range(TEST, TEST + TRAIN))
    write(
        root / f"local_gallery_{people}" / "test.rec",
        [*gallery, (0, content([len(gallery) + 1, people], b""))],
    )
    for client in range(CLIENTS):
        first = client * EACH
        own = images([(float(label), first + label) for label in range(EACH)], range(TEST, TEST + TRAIN))
        header = [len(own) + 1, EACH, first] if start else [len(own) + 1, EACH]
        folder = root / f"split_train_i{people:04d}c{CLIENTS:04d}" / f"client_{client:04d}"
        write(folder / "train.rec", [*own, (0, content(header, b""))])
    public = images([(float(label), 50 + label) for label in range(PUBLIC)], range(4))
    header = content([len(public) + 1, PUBLIC], encoded(face(1)))  # this script leaves an image behind it
    write(root / f"split_pretrain_{PUBLIC}" / "client_0000" / "train.rec", [*public, (0, header)])
    (root / "ID2idx.pickle").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    return root


@pytest.mark.parametrize("start", [True, False])
def test_store_and_split(tmp_path: Path, start: bool, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = reference(tmp_path / "ms1m_split", start=start), tmp_path / "out"
    assert main(["data", "import", str(root), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"{PUBLIC * 4 + CLIENTS * EACH * (TRAIN + TEST)} images of 7 identities" in said
    assert "  client-01  2 identities, 6 training and 4 test images" in said
    store, split = FaceStore.open(out, verify=True), Split.load(out / "split.json")
    split.check(store)
    assert split.public == tuple(f"public-{number:07d}" for number in range(PUBLIC))
    assert split.clients == {
        "client-00": ("local-0000000", "local-0000001"),
        "client-01": ("local-0000002", "local-0000003"),
    }
    for client in range(CLIENTS):
        for part, numbers in (("train", range(TEST, TEST + TRAIN)), ("test", range(TEST))):
            rows = split.client_rows(store, f"client-{client:02d}", part)  # type: ignore[arg-type]
            expected = [face(number_of(2 * client + own, n)) for own in range(EACH) for n in numbers]
            assert np.array_equal(store.images[rows], np.stack(expected))
    rows = split.public_rows(store)
    assert np.array_equal(store.images[rows[5]], face(number_of(51, 1)))
    assert main(["data", "show", str(out / "split.json"), "--store", str(out)]) == 0
    assert "the split fits the store" in capsys.readouterr().out


def test_an_identity_without_test_images(tmp_path: Path) -> None:
    root = reference(tmp_path / "in")
    path = root / "local_veri_4" / "test.rec"
    data = bytearray(path.read_bytes())
    offsets = [int(line.split("\t")[1]) for line in path.with_suffix(".idx").read_text().splitlines()]
    for at in offsets[2:4]:  # both of identity 1
        data[at] ^= 1
    path.write_bytes(data)
    done, split = import_reference_split(root, tmp_path / "out", source="x", licence="x")
    assert split.clients["client-00"] == ("local-0000000",)
    assert done.skipped == {"bad_record": 2}
    assert done.notes["not_in_split"] == 1
    assert (
        "local-0000001,local-0000001,not_in_split,it has no test image"
        in (tmp_path / "out" / "notes.csv").read_text()
    )


def test_several_public_folders(tmp_path: Path) -> None:
    """The script's default makes ten, each labelled from 0: they are different people."""
    root = reference(tmp_path / "in")
    public = root / f"split_pretrain_{PUBLIC}"
    write(
        public / "client_0001" / "train.rec",
        [(1, content(0.0, encoded(face(9)), 1)), (0, content([2, 1], b""))],
    )
    _, split = import_reference_split(root, tmp_path / "out", source="x", licence="x")
    assert split.public == (
        *(f"public-0000-{number:07d}" for number in range(PUBLIC)),
        "public-0001-0000000",
    )


def test_a_kill_between_store_and_split(tmp_path: Path) -> None:
    root, out = reference(tmp_path / "in"), tmp_path / "out"
    done, split = import_reference_split(root, out, source="x", licence="x")
    (out / "split.json").unlink()
    again, other = import_reference_split(root, out, source="x", licence="x")
    assert other == split
    assert again.store.digest == done.store.digest
    assert Split.load(out / "split.json") == split


def test_parts_that_are_absent(tmp_path: Path) -> None:
    root = reference(tmp_path / "in")
    out = tmp_path / "out"

    def fails(match: str) -> None:
        with pytest.raises(DataError, match=match):
            import_reference_split(root, out, source="x", licence="x")
        assert not out.exists()

    shutil.copytree(root / "split_train_i0004c0002", root / "split_train_i0004c0001")
    fails("holds 2 folders like split_train_i4000c0040 .*, expected one")
    shutil.rmtree(root / "split_train_i0004c0001")
    (root / "split_train_i0004c0002" / "client_0001" / "train.rec").rename(tmp_path / "kept")
    fails(r"client_0001/train\.rec is not there")
    (tmp_path / "kept").rename(root / "split_train_i0004c0002" / "client_0001" / "train.rec")
    (root / "local_veri_4").rename(root / "local_veri_5")
    fails(r"local_veri_4/test\.rec is not there, expected the test images")
    (root / "local_veri_5").rename(root / "local_veri_4")
    shutil.rmtree(root / "split_pretrain_3")
    fails(r"holds 0 folders like split_pretrain_6000 \(none\)")


def test_clients_that_share_an_identity(tmp_path: Path) -> None:
    root = reference(tmp_path / "in")
    path = root / "split_train_i0004c0002" / "client_0001" / "train.rec"
    write(path, [(1, content(0.0, encoded(face(1)), 1)), (0, content([2, 1, 1], b""))])
    with pytest.raises(DataError, match="has identity 1 of all clients, which client-00 has too"):
        import_reference_split(root, tmp_path / "out", source="x", licence="x")
