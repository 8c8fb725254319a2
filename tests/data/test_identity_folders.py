"""Finding the images of an import, and naming each so that no two are alike."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedfr_edge.data.readers.folders import find_images
from fedfr_edge.errors import DataError


def touch(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")
    return root


def names(*inputs: Path, merge: bool = False) -> list[str]:
    return [image.name for image in find_images(inputs, merge=merge)[0]]


def test_layout_of_lfw(tmp_path: Path) -> None:
    root = touch(tmp_path / "lfw", "Ann_Lee/Ann_Lee_0002.jpg", "Ann_Lee/Ann_Lee_0001.jpg", "Al/Al_0001.JPG")
    images, skipped = find_images([root])
    assert [image.name for image in images] == ["Al/Al_0001", "Ann_Lee/Ann_Lee_0001", "Ann_Lee/Ann_Lee_0002"]
    assert [image.identity for image in images] == ["Al", "Ann_Lee", "Ann_Lee"]
    assert images[0].shown == "lfw/Al/Al_0001.JPG"
    assert images[0].path == root / "Al" / "Al_0001.JPG"
    assert skipped == []


def test_folders_inside_an_identity(tmp_path: Path) -> None:
    root = touch(tmp_path / "in", "a/clip/2.png", "a/clip/1.png", "a/1.png")
    assert names(root) == ["a/1", "a/clip/1", "a/clip/2"]


def test_equal_stems_keep_their_endings(tmp_path: Path) -> None:
    root = touch(tmp_path / "in", "a/1.png", "a/1.jpg", "a/2.jpg")
    assert names(root) == ["a/1.jpg", "a/1.png", "a/2"]


def test_merging_inputs(tmp_path: Path) -> None:
    one = touch(tmp_path / "x" / "faces", "a/1.png", "a/2.png", "b/1.png")
    two = touch(tmp_path / "y" / "faces", "a/1.png", "c/1.png")
    with pytest.raises(
        DataError, match=r"1 identities are in several inputs, first 'a' \(in faces and faces~2\)"
    ):
        find_images([one, two])
    images, _ = find_images([one, two], merge=True)
    assert [image.name for image in images] == ["a/1/1.png", "a/2", "a/2/1.png", "b/1", "c/1"]
    assert [image.shown for image in images if image.identity == "a"] == [
        "faces/a/1.png",
        "faces/a/2.png",
        "faces~2/a/1.png",
    ]


def test_what_is_no_image_is_listed(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "in", "a/1.png", "a/notes.txt", "loose.jpg", "a/.hidden.jpg", ".cache/1.jpg", "a/.t/1.jpg"
    )
    (root / "empty").mkdir()
    images, skipped = find_images([root])
    assert [image.name for image in images] == ["a/1"]
    assert sorted((entry.shown, entry.code) for entry in skipped) == [
        ("in/a/notes.txt", "not_an_image"),
        ("in/empty", "empty"),
        ("in/loose.jpg", "no_identity"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there")
def test_names_that_cannot_be_stored(tmp_path: Path) -> None:
    root = touch(tmp_path / "in", "a/1.png", "a/ta\tb.png", "line\nbreak/1.png")
    Path(os.fsdecode(os.fsencode(root) + b"/a/\xff.png")).write_bytes(b"")
    images, skipped = find_images([root])
    assert [image.name for image in images] == ["a/1"]
    assert [entry.code for entry in skipped] == ["bad_name"] * 3


def test_inputs_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        find_images([tmp_path / "nowhere"])
    root = touch(tmp_path / "in", "1.png")
    with pytest.raises(DataError, match="is a file"):
        find_images([root / "1.png"])
    with pytest.raises(DataError, match="holds no folder"):
        find_images([root])
    with pytest.raises(DataError, match="given twice"):
        find_images([root, tmp_path / "other" / ".." / "in"])
    with pytest.raises(DataError, match="no input folder"):
        find_images([])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(
            st.from_regex(r"\A(([12]/){0,2}[12](\.(png|jpg)){1,2})\Z", fullmatch=True),
            max_size=8,
            unique=True,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_names_are_unique_and_do_not_depend_on_listing_order(inputs: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        roots = []
        for number, files in enumerate(inputs):
            root = Path(folder) / f"in{number}"
            (root / "a").mkdir(parents=True)
            for file in files:
                if not (root / "a" / file).is_dir():
                    try:
                        touch(root / "a", file)
                    except (FileExistsError, NotADirectoryError):
                        continue  # "1.png" cannot be a file and a folder
            roots.append(root)
        images, _ = find_images(roots, merge=True)
        on_disk = [path for root in roots for path in root.rglob("*") if path.is_file()]
        assert sorted(image.path for image in images) == sorted(on_disk)
        assert len({image.name for image in images}) == len(images)
        assert [image.name for image in images] == sorted(image.name for image in images)
        assert all(image.name.startswith("a/") for image in images)
