"""What goes into a store comes out of it, and every kind of damage is found."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_stores import begin, face, fill, small_store

from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.errors import StoreError


def test_round_trip(tmp_path: Path) -> None:
    small_store(tmp_path / "store")
    store = FaceStore.open(tmp_path / "store", verify=True)
    assert len(store) == 7
    assert store.images.shape == (7, 112, 112, 3)
    assert store.images.dtype == np.uint8
    for row in range(7):
        assert np.array_equal(store.images[row], face(row))
    assert store.identities == ("person 0", "person 1", "person 2")
    assert store.labels.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert store.labels.dtype == np.int64
    assert store.names[4] == "person 1/004"
    assert store.rows_of("person 1").tolist() == [3, 4, 5]
    assert store.row_of("person 2/006") == 6
    assert store.row_of("person 2/007") is None
    assert store.manifest["source"] == "a test"
    assert store.manifest["counts"] == {"images": 7, "identities": 3}
    assert store.manifest["extra"] == {"kind": "test", "sizes": [1, 2]}


def test_rows_of_identities_that_alternate(tmp_path: Path) -> None:
    with begin(tmp_path / "store") as writer:
        for number, identity in enumerate("babcab"):
            writer.add(face(number), identity, f"{identity}/{number}")
        store = writer.finish()
    assert store.identities == ("b", "a", "c")
    assert [store.rows_of(name).tolist() for name in "abc"] == [[1, 4], [0, 2, 5], [3]]
    assert store.labels.tolist() == [0, 1, 0, 2, 1, 0]


def test_digest_and_hashes_follow_their_definition(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store", 4)
    lines = "".join(
        f"person {n // 3}/{n:03d}\tperson {n // 3}\t{hashlib.sha256(face(n).tobytes()).hexdigest()}\n"
        for n in range(4)
    )
    assert store.digest == hashlib.sha256(lines.encode()).hexdigest()
    for part in ("images.npy", "index.tsv"):
        data = (store.path / part).read_bytes()
        assert store.manifest["parts"][part] == {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }


def test_images_are_a_plain_numpy_file(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store")
    loaded = np.load(store.path / "images.npy", mmap_mode="r")
    assert np.array_equal(loaded, store.images)


def test_an_unfinished_image_file_is_an_empty_array(tmp_path: Path) -> None:
    with begin(tmp_path / "store") as writer:
        fill(writer, 3)
    assert np.load(tmp_path / "store" / "images.npy").shape == (0, 112, 112, 3)


def test_nothing_can_be_written_into_an_open_store(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store")
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        store.labels[0] = 1


def test_digest_depends_on_content_alone(tmp_path: Path) -> None:
    store = small_store(tmp_path / "one")
    again = small_store(tmp_path / "elsewhere" / "two")
    assert store.digest == again.digest
    assert (store.path / "manifest.json").read_bytes() == (again.path / "manifest.json").read_bytes()

    def digest(name: str, rows: list[tuple[int, str, str]]) -> str:
        with begin(tmp_path / name) as writer:
            for number, identity, image in rows:
                writer.add(face(number), identity, image)
            return writer.finish().digest

    rows = [(0, "a", "a/0"), (1, "b", "b/1")]
    digests = {
        digest("same", rows),
        digest("other pixels", [(2, "a", "a/0"), rows[1]]),
        digest("other name", [(0, "a", "a/x"), rows[1]]),
        digest("other identity", [(0, "c", "a/0"), rows[1]]),
        digest("other order", rows[::-1]),
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("identity", "name", "pixels", "match"),
    [
        ("a", "a/0", np.zeros((112, 112), np.uint8), r"expected uint8 \(112, 112, 3\)"),
        ("a", "a/0", np.zeros((112, 112, 3), np.float32), "float32"),
        ("a", "a\t0", face(0), "cannot be stored"),
        ("a\n", "a/0", face(0), "cannot be stored"),
        ("", "a/0", face(0), "cannot be stored"),
        ("a", "a/\udcff", face(0), "cannot be stored"),
        ("person 0", "person 0/000", face(0), "already"),
    ],
)
def test_what_cannot_be_added(
    tmp_path: Path, identity: str, name: str, pixels: np.ndarray, match: str
) -> None:
    with begin(tmp_path / "store") as writer:
        fill(writer, 2)
        with pytest.raises(StoreError, match=match):
            writer.add(pixels, identity, name)
        assert len(writer) == 2
        assert len(writer.finish()) == 2


def test_names_in_any_script(tmp_path: Path) -> None:
    name = "Søren Kierkegård/写真 1\u3000\u2028"[:-1]  # an ideographic space is text, a line separator is not
    with begin(tmp_path / "store") as writer:
        writer.add(face(0), "Søren Kierkegård", name)
        assert writer.finish().names == (name,)


def damage_cut_images(path: Path) -> None:
    with (path / "images.npy").open("r+b") as file:
        file.truncate(128 + 6 * 37632 + 100)


def damage_long_images(path: Path) -> None:
    with (path / "images.npy").open("ab") as file:
        file.write(b"x")


def damage_header(path: Path) -> None:
    with (path / "images.npy").open("r+b") as file:
        file.seek(20)
        file.write(b"?")


def damage_cut_index(path: Path) -> None:
    lines = (path / "index.tsv").read_bytes().splitlines(keepends=True)
    (path / "index.tsv").write_bytes(b"".join(lines[:-1]))


def damage_label(path: Path) -> None:
    text = (path / "index.tsv").read_text()
    (path / "index.tsv").write_text(text.replace("\tperson 1\t", "\tperson 2\t", 1))


def damage_manifest(path: Path) -> None:
    (path / "manifest.json").write_text('{"format": "fedfr-faces"')


def edit_manifest(**changes: object):  # type: ignore[no-untyped-def]
    def damage(path: Path) -> None:
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))

    return damage


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (damage_cut_images, "images.npy is cut short: 226020 bytes, expected 263552 for 7 images"),
        (damage_long_images, "too long"),
        (damage_header, "header"),
        (lambda path: (path / "images.npy").unlink(), "images.npy cannot be read"),
        (damage_cut_index, "index.tsv is not as it was written"),
        (damage_label, "index.tsv is not as it was written"),
        (lambda path: (path / "index.tsv").unlink(), "index.tsv cannot be read"),
        (damage_manifest, "manifest cannot be read"),
        (edit_manifest(format="other"), "not of format 'fedfr-faces'"),
        (edit_manifest(version=2), "format version 2, this program reads version 1"),
        (edit_manifest(counts={"images": 8, "identities": 3}), "manifest says 8 images, index.tsv has 7"),
        (edit_manifest(counts=None), "lacks"),
        (edit_manifest(parts={}), "lacks"),
        (edit_manifest(digest="0" * 64), "digest"),
        (lambda path: (path / "manifest.json").write_text("[]"), "not of format"),
    ],
)
def test_damage_is_found_at_once(tmp_path: Path, damage, match: str) -> None:  # type: ignore[no-untyped-def]
    path = small_store(tmp_path / "store").path
    damage(path)
    with pytest.raises(StoreError, match=match):
        FaceStore.open(path)


def test_altered_pixels_are_found_by_verifying(tmp_path: Path) -> None:
    path = small_store(tmp_path / "store").path
    with (path / "images.npy").open("r+b") as file:
        file.seek(128 + 4 * 37632 + 5000)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    assert len(FaceStore.open(path)) == 7
    with pytest.raises(StoreError, match=r"1 of 7 images were altered, first 'person 1/004' \(row 4\)"):
        FaceStore.open(path, verify=True)


def test_progress_of_verifying(tmp_path: Path) -> None:
    path = small_store(tmp_path / "store").path
    calls: list[tuple[str, int, int]] = []
    FaceStore.open(path, verify=True, progress=lambda *call: calls.append(call))
    assert calls == [("verifying images", done, 7) for done in range(1, 8)]


def test_places_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not there"):
        FaceStore.open(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="no aligned-face store"):
        FaceStore.open(tmp_path)
    with begin(tmp_path / "store") as writer:
        fill(writer, 2)
    with pytest.raises(StoreError, match="is unfinished"):
        FaceStore.open(tmp_path / "store")
    with pytest.raises(StoreError, match="no identity 'nobody'"):
        small_store(tmp_path / "other").rows_of("nobody")


def test_a_store_can_be_copied_while_its_origin_goes(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store")
    shutil.copytree(store.path, tmp_path / "copy")
    shutil.rmtree(store.path)
    assert FaceStore.open(tmp_path / "copy", verify=True).digest == store.digest


def test_places_where_no_store_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"...")
    with pytest.raises(StoreError, match="is not empty and holds no store"):
        begin(tmp_path / "photos")
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["me.jpg"]
    with pytest.raises(StoreError, match="is a file"):
        begin(tmp_path / "photos" / "me.jpg")
    small_store(tmp_path / "done")
    with pytest.raises(StoreError, match="finished store already"):
        begin(tmp_path / "done")
    with begin(tmp_path / "empty") as writer, pytest.raises(StoreError, match="no image was written"):
        writer.finish()


def test_two_writers_at_once(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with begin(tmp_path / "store") as writer:
        fill(writer, 2)
        with pytest.raises(StoreError, match="another process is writing"):
            begin(tmp_path / "store")
        fill(writer, 4, first=2)
    with begin(tmp_path / "store") as writer:
        assert len(writer) == 4


def test_resuming_with_other_arguments(tmp_path: Path) -> None:
    with begin(tmp_path / "store") as writer:
        fill(writer, 2)
    with pytest.raises(StoreError, match="begun with licence 'none', now it is 'CC-BY'"):
        StoreWriter(tmp_path / "store", source="a test", licence="CC-BY", extra={})
    with pytest.raises(StoreError, match="begun with extra"):
        StoreWriter(tmp_path / "store", source="a test", licence="none", extra={"kind": "other"})
    (tmp_path / "store" / "unfinished.json").write_text("{")
    with pytest.raises(StoreError, match=r"cannot read .*unfinished.json"):
        begin(tmp_path / "store")
