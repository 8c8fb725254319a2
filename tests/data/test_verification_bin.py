"""insightface's ``.bin`` sets: read without running what a pickle names, stored, evaluated."""

from __future__ import annotations

import csv
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_files import encoded
from small_stores import face

from fedfr_edge.cli import main
from fedfr_edge.data.readers.safe_pickle import load_plain, plain
from fedfr_edge.data.readers.verification_bin import read_bin
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.pairs_list import Pair, read_pairs


def python_2(images: list[bytes], same: list[bool]) -> bytes:
    """As cPickle of Python 2 wrote it with protocol 2: byte strings by BINSTRING, booleans by NEWTRUE."""
    out = b"\x80\x02]q\x01("
    for image in images:
        out += b"T" + struct.pack("<i", len(image)) + image
    out += b"e](" + b"".join(b"\x88" if one else b"\x89" for one in same) + b"e\x86."
    return out


def python_2_text(images: list[bytes], same: list[bool]) -> bytes:
    """As pickle of Python 2 wrote it with protocol 0: quoted strings, I01 and I00."""
    out = b"((l"
    for image in images:
        quoted = "".join(
            chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}" for byte in image
        )
        out += b"S'" + quoted.encode() + b"'\na"
    return out + b"(l" + b"".join(b"I01\na" if one else b"I00\na" for one in same) + b"t."


Writer = Callable[[list[bytes], list[bool]], bytes]


def python_3(protocol: int) -> Writer:
    return lambda images, same: pickle.dumps((images, same), protocol)


def arrays(protocol: int) -> Writer:
    """Encoded images as mxnet's encoder gave them, answers as NumPy's booleans."""
    return lambda images, same: pickle.dumps(
        ([np.frombuffer(image, np.uint8)[None] for image in images], [np.bool_(one) for one in same]),
        protocol,
    )


WRITERS: dict[str, Writer] = {
    "python 2": python_2,
    "python 2, text": python_2_text,
    **{f"python 3, protocol {number}": python_3(number) for number in range(6)},
    **{f"arrays, protocol {number}": arrays(number) for number in range(6)},
    "array of flags": lambda images, same: pickle.dumps((images, np.array(same)), 2),
    "array of objects": lambda images, same: pickle.dumps((np.array(images, dtype=object), same), 4),
    "a list of both": lambda images, same: pickle.dumps([images, [int(one) for one in same]], 3),
    "old numpy": lambda images, same: arrays(2)(images, same).replace(b"numpy._core.", b"numpy.core."),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_way_to_write_one(tmp_path: Path, writer: str) -> None:
    images = [encoded(face(number), ".jpg") for number in range(4)]
    path = tmp_path / "lfw.bin"
    path.write_bytes(WRITERS[writer](images, [True, False]))
    content = read_bin(path)
    assert content.encoded == images
    assert content.same == [True, False]
    assert all(type(one) is bool for one in content.same)
    assert content.pairs == [
        ("00000/00000", "00000/00001", True),
        ("00001/00002", "00002/00003", False),
    ]


class Command:
    """Unpickling it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch '{self.marker}'",)


def hostile(marker: Path) -> dict[str, bytes]:
    touch = f"touch '{marker}'"
    return {
        "os.system": pickle.dumps(([Command(marker)], [True])),
        "os.system, protocol 0": pickle.dumps(Command(marker), 0),
        "posix.system": b"cposix\nsystem\n(S" + repr(touch).encode() + b"\ntR.",
        "eval": b"c__builtin__\neval\n(S'open(\"" + str(marker).encode() + b'","w")\'\ntR.',
        "instance": b"(S" + repr(touch).encode() + b"\nios\nsystem\n.",
        "getattr": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        "numpy load": b"cnumpy\nload\n(S'x'\ntR.",
        "numpy testing": b"cnumpy.testing._private.utils\nrunstring\n(S'1'\n}tR.",
        "outside": b"Pos\n.",
        "extension": b"\x80\x02\x82\x01.",
    }


@pytest.mark.parametrize("case", hostile(Path("x")))
def test_nothing_that_it_names_is_run(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    marker = tmp_path / "was here"
    path = tmp_path / "lfw.bin"
    path.write_bytes(hostile(marker)[case])
    assert main(["data", "import", str(path), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1
    assert not marker.exists()
    assert not (tmp_path / "out").exists()
    if case == "os.system":
        assert "is refused: this pickle wants" in error
        assert "nothing of it was run" in error


def test_that_such_a_pickle_would_run_elsewhere(tmp_path: Path) -> None:
    """So that the tests above test something."""
    pickle.loads(hostile(tmp_path / "ran")["os.system, protocol 0"])
    assert (tmp_path / "ran").exists()


def test_stand_ins_cannot_be_altered(tmp_path: Path) -> None:
    """A BUILD opcode sets attributes of what is on the stack."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"cnumpy.core.multiarray\n_reconstruct\n}S'__call__'\nK\x01sb.")
    with pytest.raises(DataError, match="no pickle, or damaged"):
        load_plain(path)


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ("(I1\n(I5\nt{dtype}I00\nS'abcd'\nt", "shape .5,. with 4 bytes"),
        ("(I1\n(I-4\nt{dtype}I00\nS'abcd'\nt", "another form"),
        ("(I1\n(I99999999999999999\nt{dtype}I00\nS'abcd'\nt", "with 4 bytes"),
        ("(I1\n(I4\ntI0\nI00\nS'abcd'\nt", "without a dtype"),
    ],
)
def test_arrays_that_contradict_themselves(tmp_path: Path, state: str, match: str) -> None:
    dtype = "cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR"
    path = tmp_path / "a.bin"
    code = (
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        + state.format(dtype=dtype)
        + "b."
    )
    path.write_bytes(code.encode())
    with pytest.raises(ValueError, match=match):
        plain(load_plain(path))


def fault_of(path: Path) -> str:
    try:
        read_bin(path)
    except DataError as error:
        return str(error)
    return ""


def test_any_cut_or_flipped_byte_is_one_clean_error(tmp_path: Path) -> None:
    images = [bytes([number]) * 6 for number in range(4)]
    for data in (
        python_2(images, [True, False]),
        pickle.dumps(([np.frombuffer(i, np.uint8) for i in images], [1, 0])),
    ):
        path = tmp_path / "a.bin"
        for at in range(len(data)):
            for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :]):
                path.write_bytes(damaged)
                said = fault_of(path)
                assert said == "" or (str(path) in said and "\n" not in said)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({}, "holds a dict"),
        (([b"a"], [True], []), "holds a tuple"),
        ((b"ab", [True]), "holds a bytes where a list should be"),
        (([b"a", 5], [True]), "image 1 of .* is a int"),
        (([b"a", np.zeros(3)], [True]), "image 1 of .* is a ndarray"),
        (([b"a", b"b"], ["yes"]), "pair 0 of .* is marked 'yes'"),
        (([b"a", b"b"], [2]), "pair 0 of .* is marked '2'"),
        (([b"a", b"b", b"c"], [True]), "has 3 images and 1 pairs"),
        (([], []), "has 0 images and 0 pairs"),
    ],
)
def test_pickles_of_another_form(tmp_path: Path, content: Any, match: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=match):
        read_bin(path)


def test_images_that_recur_are_one(tmp_path: Path) -> None:
    a, b, c, d = (encoded(face(number)) for number in range(4))
    path = tmp_path / "a.bin"
    path.write_bytes(pickle.dumps(([a, b, c, d, b, c, d, a], [True, False, True, False])))
    content = read_bin(path)
    assert [image.place for image in content.images] == [0, 1, 2, 3]
    # a-b and b-c are one person each, so a, b and c are one.
    assert [image.identity for image in content.images] == ["00000", "00000", "00000", "00001"]
    assert content.pairs[2:] == [("00000/00001", "00000/00002", True), ("00001/00003", "00000/00000", False)]


@pytest.fixture
def said(imported: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command printed as it made ``imported``."""
    return capsys.readouterr().out


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Eleven pairs, the fourth with a damaged image; of the last, both occur before."""
    images = [encoded(face(number), ".jpg") for number in range(20)]
    images[6] = images[6][:200]
    (tmp_path / "agedb_30.bin").write_bytes(
        python_2([*images, images[0], images[1]], [number % 2 == 0 for number in range(11)])
    )
    out = tmp_path / "store"
    assert main(["data", "import", str(tmp_path / "agedb_30.bin"), "--out", str(out)]) == 0
    return out


def test_import(imported: Path, said: str) -> None:
    assert "19 images of" in said
    assert f"11 pairs (6 mated, 5 non-mated) in {imported / 'pairs.txt'}" in said
    assert "1 skipped, of 20 images" in said
    with (imported / "skipped.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["file"], line["code"]) == ("agedb_30.bin#6", "undecodable")
    assert (imported / "notes.csv").read_text().splitlines()[1:] == [
        "agedb_30.bin,,repeated,2 of 22 images occur before in the file and are stored once"
    ]
    pairs = read_pairs(imported / "pairs.txt")
    assert len(pairs) == 11
    assert [pair.fold for pair in pairs] == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [pair.mated for pair in pairs] == [number % 2 == 0 for number in range(11)]
    assert pairs[10] == Pair(pairs[0].first, pairs[0].second, True, 9)
    store = FaceStore.open(imported)
    absent = {name for pair in pairs for name in (pair.first, pair.second) if store.row_of(name) is None}
    assert len(absent) == 1


def test_a_kill_between_store_and_pairs(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (imported / "pairs.txt").rename(imported / "kept")
    command = ["data", "import", str(imported.parent / "agedb_30.bin"), "--out", str(imported)]
    assert main(command) == 0
    assert (imported / "pairs.txt").read_bytes() == (imported / "kept").read_bytes()
    assert main(command) == 1
    assert "is a finished store already" in capsys.readouterr().err


def test_the_development_set(dev_data: Path, tmp_path: Path) -> None:
    content = read_bin(dev_data / "faces" / "small_lfw.bin")
    assert (len(content.encoded), content.same) == (20, [True] * 10)
    names = {
        argument
        for code, argument, _ in pickletools.genops((dev_data / "faces" / "small_lfw.bin").read_bytes())
        if code.name == "GLOBAL"
    }
    assert "numpy ndarray" in names
    assert (
        main(["data", "import", str(dev_data / "faces" / "small_lfw.bin"), "-o", str(tmp_path / "out")]) == 0
    )
    assert len(FaceStore.open(tmp_path / "out")) == len(set(content.encoded))
