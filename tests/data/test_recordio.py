"""MXNet's record files: framing, headers, index; damage of every kind is named and read past."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_files import MAGIC, content, part, record, write

from fedfr_edge.data.readers.recordio import BadRecord, Glimpse, NoRecord, RecordFile, read_index
from fedfr_edge.data.readers.records import Found, find_records
from fedfr_edge.errors import DataError


def codes(found: Found) -> list[tuple[str, str]]:
    return [(fault.shown, fault.code) for fault in found.faults]


def walked(path: Path) -> list[tuple[int, Glimpse | str]]:
    with RecordFile(path) as file:
        return list(file.walk())


words = st.lists(st.sampled_from([MAGIC, b"\0\0\0\0", b"abcd", MAGIC[:2]]), max_size=12).map(b"".join)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=4))
def test_any_content_comes_back(tmp_path_factory: pytest.TempPathFactory, images: list[bytes]) -> None:
    """Also where it holds the magic number, which cuts a record into parts."""
    path = tmp_path_factory.mktemp("rec") / "a.rec"
    whole = [content(float(number), image, number) for number, image in enumerate(images)]
    offsets = write(path, list(enumerate(whole)))
    with RecordFile(path) as file:
        assert [file.content(at)[0] for at in offsets] == whole
        assert [file.content(at)[1] for at in offsets] == [*offsets[1:], path.stat().st_size]
        assert [at for at, _ in file.walk()] == offsets
        for at, image in zip(offsets, images, strict=True):
            assert file.glimpse(at).empty == (not image)


def test_bytes_of_a_record_in_three_parts() -> None:
    """The writer of these tests, held against the layout written out by hand."""
    assert record(b"ab" * 2 + MAGIC + MAGIC + b"xyz") == (
        MAGIC + struct.pack("<I", (1 << 29) | 4) + b"abab"
        + MAGIC + struct.pack("<I", (2 << 29) | 0)
        + MAGIC + struct.pack("<I", (3 << 29) | 3) + b"xyz\0"
    )  # fmt: skip
    assert struct.pack("<I", 0xCED7230A) == MAGIC


def test_labels(tmp_path: Path) -> None:
    long = [float(number) for number in range(100)]  # longer than what a glimpse reads at first
    offsets = write(
        tmp_path / "a.rec",
        [(0, content(7.0, b"x", 3)), (1, content([8.0, 0.5], b"x", 4)), (2, content(long, b""))],
    )
    with RecordFile(tmp_path / "a.rec") as file:
        assert file.glimpse(offsets[0])[:4] == ((7.0,), False, 3, False)
        assert file.glimpse(offsets[1])[:4] == ((8.0, 0.5), True, 4, False)
        assert file.glimpse(offsets[2])[:4] == (tuple(long), True, 0, True)
    found = find_records(tmp_path / "a.rec", "a.rec")
    assert found.labels.tolist() == [7, 8]
    assert (found.keys.tolist(), found.others, found.header) == ([0, 1], 1, ())


def three(path: Path, *, index: bool) -> list[int]:
    return write(
        path, [(key, content(float(key), b"image of %d" % key, key)) for key in range(3)], index=index
    )


@pytest.mark.parametrize("index", [True, False])
def test_a_tail_that_is_cut_off(tmp_path: Path, index: bool) -> None:
    path = tmp_path / "a.rec"
    offsets = three(path, index=index)
    path.write_bytes(path.read_bytes()[:-6])
    found = find_records(path, "a.rec")
    assert found.keys.tolist() == [0, 1]
    (fault,) = found.faults
    assert (fault.shown, fault.code) == ("a.rec#2", "bad_record")
    assert fault.detail == f"byte {offsets[2]}: 34 bytes should follow, the file ends after 30"
    path.write_bytes(path.read_bytes()[: offsets[2] + 5])  # in the middle of the frame
    found = find_records(path, "a.rec")
    assert codes(found) == [("a.rec#2", "bad_record")]
    assert f"byte {offsets[2]}: " in found.faults[0].detail


@pytest.mark.parametrize("index", [True, False])
def test_a_file_cut_to_a_third(tmp_path: Path, index: bool) -> None:
    path = tmp_path / "a.rec"
    offsets = three(path, index=index)
    path.write_bytes(path.read_bytes()[: offsets[1]])
    found = find_records(path, "a.rec")
    assert found.keys.tolist() == [0]
    # The index knows what is gone; the file itself cannot.
    assert codes(found) == ([("a.rec#1", "bad_record"), ("a.rec#2", "bad_record")] if index else [])


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("where", ["magic", "longer", "shorter", "kind", "flag"])
def test_damage_in_the_middle_costs_one_record(tmp_path: Path, index: bool, where: str) -> None:
    path = tmp_path / "a.rec"
    offsets = three(path, index=index)
    data = bytearray(path.read_bytes())
    at = offsets[1]
    match where:
        case "magic":
            data[at] ^= 1
        case "longer":  # the length reaches into the next record
            data[at + 4 : at + 8] = (44).to_bytes(4, "little")
        case "shorter":  # not even the header fits
            data[at + 4 : at + 8] = (20).to_bytes(4, "little")
        case "kind":  # a last part that nothing went before
            data[at + 7] = 3 << 5
        case "flag":  # a label vector longer than the record
            data[at + 8 : at + 12] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    found = find_records(path, "a.rec")
    if where == "longer" and index:  # only its image shows it; see test_record_images
        assert found.keys.tolist() == [0, 1, 2]
        return
    assert found.keys.tolist() == [0, 2]
    assert found.offsets.tolist() == [offsets[0], offsets[2]]
    assert codes(found) == [("a.rec#1", "bad_record")]
    assert f"byte {at}: " in found.faults[0].detail


def test_parts_that_lost_their_record(tmp_path: Path) -> None:
    """A record in three parts whose first is damaged is one fault, not three."""
    broken = bytearray(record(b"h" * 24 + MAGIC + b"xxxx" + MAGIC + b"y"))
    broken[0] ^= 0xFF
    good = record(content(1.0, b"image"))
    (tmp_path / "a.rec").write_bytes(good + broken + good)
    kinds = [isinstance(found, str) for _, found in walked(tmp_path / "a.rec")]
    assert kinds == [False, True, False]
    # A record that never ends: the next one begins instead.
    (tmp_path / "b.rec").write_bytes(good + part(1, b"h" * 24) + good)
    seen = walked(tmp_path / "b.rec")
    assert [isinstance(found, str) for _, found in seen] == [False, True, False]
    assert seen[1][1] == f"byte {len(good) + 32}: part of kind 0, expected 2 or 3"


@settings(deadline=None, max_examples=60)
@given(
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=9)), max_size=3),
    cut=st.integers(0, 300),
)
def test_any_damage_is_survived(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("rec") / "a.rec"
    write(path, [(key, content(float(key), b"i" * (5 * key + 1), key)) for key in range(12)])
    data = bytearray(path.read_bytes())
    for at, what in damage:
        at %= len(data)
        data[at : at + len(what)] = what
    path.write_bytes(data[: len(data) - cut])
    index = path.with_suffix(".idx")
    for keep in (True, False):
        if not keep:
            index.unlink()
        try:
            found = find_records(path, "a.rec")
        except DataError:
            continue
        assert found.keys.tolist() == sorted(set(found.keys.tolist()))
        if not damage and not cut:
            assert not found.faults
        if keep:
            assert len(found.keys) + len(found.faults) + found.others >= 12


def test_an_index_that_leads_astray(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    offsets = three(path, index=True)
    path.with_suffix(".idx").write_text(f"0\t{offsets[0]}\n1\t{offsets[1] + 4}\n2\t99999\n")
    found = find_records(path, "a.rec")
    assert found.keys.tolist() == [0]
    details = [fault.detail for fault in found.faults]
    assert details[0].startswith(f"byte {offsets[1] + 4}: no record begins there (found ")
    assert details[1] == f"byte 99999: no record begins there, the file has {path.stat().st_size} bytes"
    path.with_suffix(".idx").write_text("".join(f"{key}\t{at + 8}\n" for key, at in enumerate(offsets)))
    with pytest.raises(
        DataError, match=r"none of the 3 entries of .*a\.idx leads to a record of a\.rec, .* delete"
    ):
        find_records(path, "a.rec")
    path.with_suffix(".idx").write_text("")
    with pytest.raises(DataError, match="is empty; delete or rename"):
        find_records(path, "a.rec")


def test_index_files(tmp_path: Path) -> None:
    path = tmp_path / "a.idx"
    path.write_bytes(b"2\t40\r\n0\t0\r\n10\t80")
    keys, offsets = read_index(path)
    assert (keys.tolist(), offsets.tolist()) == ([0, 2, 10], [0, 40, 80])
    assert keys.dtype == offsets.dtype == np.int64
    path.write_text("0 0\n1 44\n")  # written with spaces
    assert read_index(path)[1].tolist() == [0, 44]
    for text, match in (
        ("0\t0\n1\n", "line 2 of index"),
        ("0\t0\n1\tx\n", "line 2 of index"),
        ("0\t0\n-1\t9\n", "line 2 of index"),
        ("0\t0\n1\t" + "9" * 25 + "\n", "line 2 of index"),
        ("1\t0\n1\t9\n", "has key 1 twice"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=match):
            read_index(path)
    with pytest.raises(DataError, match="cannot read"):
        read_index(tmp_path / "none.idx")


def test_labels_that_name_nobody(tmp_path: Path) -> None:
    bad = [-1.0, 2.5, float("nan"), float("inf")]
    write(tmp_path / "a.rec", [(key, content(label, b"x")) for key, label in enumerate([*bad, 5.0])])
    found = find_records(tmp_path / "a.rec", "a.rec")
    assert (found.keys.tolist(), found.labels.tolist()) == ([4], [5])
    assert [code for _, code in codes(found)] == ["bad_label"] * 4
    assert "label nan" in found.faults[2].detail


def test_a_record_without_its_image(tmp_path: Path) -> None:
    write(tmp_path / "a.rec", [(0, content(1.0, b"")), (1, content(1.0, b"x"))])
    found = find_records(tmp_path / "a.rec", "a.rec")
    assert codes(found) == [("a.rec#0", "undecodable")]
    assert found.keys.tolist() == [1]


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("tail", [b"", b"an image that is none of them"])
def test_the_record_that_describes_the_file(tmp_path: Path, index: bool, place: str, tail: bytes) -> None:
    """insightface puts it first, the reference code last, in one script with an image after it."""
    images = [(key, content(float(10 + key), b"x", key)) for key in range(1, 4)]
    header = (0, content([4.0, 3.0, 200.0], tail))
    write(tmp_path / "a.rec", [header, *images] if place == "first" else [*images, header], index=index)
    found = find_records(tmp_path / "a.rec", "a.rec")
    assert (found.keys.tolist(), found.labels.tolist()) == ([1, 2, 3], [11, 12, 13])
    assert (found.header, found.others, found.faults) == ((4.0, 3.0, 200.0), 1, [])


def test_label_vectors_all_over_have_no_header(tmp_path: Path) -> None:
    """As im2rec packs them: record 0 is an image like the others."""
    for index in (True, False):
        write(tmp_path / "a.rec", [(n, content([float(n + 1), 9.0], b"x", n)) for n in range(3)], index=index)
        found = find_records(tmp_path / "a.rec", "a.rec")
        assert (found.keys.tolist(), found.labels.tolist()) == ([0, 1, 2], [1, 2, 3])
        (tmp_path / "a.idx").unlink(missing_ok=True)


def test_an_index_that_is_cut_short(tmp_path: Path) -> None:
    records = [(0, content([4.0, 5.0], b"")), *((key, content(0.0, b"x", key)) for key in range(1, 4))]
    write(tmp_path / "a.rec", records)
    index = tmp_path / "a.idx"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(lines[:-1]))
    found = find_records(tmp_path / "a.rec", "a.rec")
    assert found.keys.tolist() == [1, 2]
    assert codes(found) == [("a.rec#3", "missing")]
    index.write_text("".join(lines[:2]))
    with pytest.raises(DataError, match="lacks 2 of 3 images"):
        find_records(tmp_path / "a.rec", "a.rec")
    write(tmp_path / "a.rec", [(0, content([3e38, 5.0], b"")), (1, content(0.0, b"x", 1))])
    with pytest.raises(DataError, match=r"lacks \d+ of \d+ images"):  # without making room for them
        find_records(tmp_path / "a.rec", "a.rec")


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.rec"):
        RecordFile(tmp_path / "none.rec")
    (tmp_path / "text.rec").write_text("this is no record file at all")
    found = find_records(tmp_path / "text.rec", "text.rec")
    assert codes(found) == [("text.rec#0", "bad_record")]
    with RecordFile(tmp_path / "text.rec") as file:
        with pytest.raises(NoRecord, match="expected 0a23d7ce"):
            file.content(0)
        with pytest.raises(BadRecord, match="the file has 29 bytes"):
            file.content(100)
