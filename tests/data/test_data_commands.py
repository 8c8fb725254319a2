"""``fedfr data import``, ``split`` and ``show`` as a person types them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_stores import crops, face, named_store, small_store

from fedfr_edge.cli import main
from fedfr_edge.data.sheet import contact_sheet
from fedfr_edge.data.split import Split
from fedfr_edge.data.store import FaceStore

Capture = pytest.CaptureFixture[str]


def fails(capsys: Capture, *arguments: object) -> str:
    """The one line of a command that must fail."""
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    return lines[0]


def test_import_then_show(tmp_path: Path, capsys: Capture) -> None:
    crops(tmp_path / "in [a]", people=3, each=4)
    out = tmp_path / "out [b]"  # brackets are no markup
    (tmp_path / "settings.toml").write_text('[data.import]\nkind = "aligned"\nlicence = "CC0"\n')
    command = ["data", "import", str(tmp_path / "in [a]"), "--out", str(out)]
    assert main([*command, "--config", str(tmp_path / "settings.toml")]) == 0
    shown = capsys.readouterr().out
    assert f"12 images of 3 identities in {out}" in shown
    assert "no licence" not in shown
    recorded = tomllib.loads((out / "import.toml").read_text())["data"]["import"]
    assert recorded["kind"] == "aligned"
    assert recorded["inputs"] == [str(tmp_path / "in [a]")]

    assert main(["data", "show", str(out), "--verify"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "images      12",
        "identities  3",
        "each has    4 to 4 images, median 4",
        "source      in [a]",
        "licence     CC0",
        f"digest      {FaceStore.open(out).digest}",
        "verified: all 12 images are as they were written",
    ):
        assert line in shown.splitlines()


def test_import_says_what_it_left_out(tmp_path: Path, capsys: Capture) -> None:
    crops(tmp_path / "in", people=1, each=2)
    (tmp_path / "in" / "person_00" / "x.jpg").write_bytes(b"")
    assert (
        main(["data", "import", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--kind", "aligned"]) == 0
    )
    shown = capsys.readouterr().out
    assert f"1 skipped, of 3 files; each with its reason in {tmp_path / 'out' / 'skipped.csv'}" in shown
    assert "undecodable        1  no image, or damaged" in shown
    assert "state one with --licence" in shown


def test_import_errors(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert "is not there" in fails(capsys, "data", "import", tmp_path / "nowhere", "-o", out)
    crops(tmp_path / "in", people=1, each=2)
    line = fails(capsys, "data", "import", tmp_path / "in", "-o", out, "--detector", "magic")
    assert "magic" in line
    assert "expected one of centerface" in line
    assert not out.exists()
    assert "min_face" in fails(capsys, "data", "import", tmp_path / "in", "-o", out, "--min-face", "0")
    assert "inputs" in fails(capsys, "data", "import", "-o", out)


def test_split_then_show(tmp_path: Path, capsys: Capture) -> None:
    store = named_store(tmp_path / "store", {f"p{number}": 5 for number in range(10)})
    out = tmp_path / "split.json"
    command = ["data", "split", str(store.path), "-o", str(out), "--train-images", "3", "--test-images", "2"]
    assert main([*command, "--clients", "2", "--seed", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "public      6 identities" in lines
    assert "  client-01  2 identities, 6 training and 4 test images" in lines
    split = Split.load(out)
    assert split.seed == 7
    recorded = tomllib.loads((tmp_path / "split.toml").read_text())["data"]["split"]
    assert (recorded["clients"], recorded["seed"]) == (2, 7)

    assert main(["data", "show", str(out), "--store", str(store.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "seed        7" in lines
    assert lines[-1] == "the split fits the store"
    other = small_store(tmp_path / "other")
    assert "was made for store" in fails(capsys, "data", "show", out, "--store", other.path)
    assert "name its store" in fails(capsys, "data", "show", out, "--verify")
    assert "leave --store out" in fails(capsys, "data", "show", other.path, "--store", other.path)


def test_split_by_lists(tmp_path: Path, capsys: Capture) -> None:
    store = named_store(tmp_path / "store", {f"p{number}": 5 for number in range(6)})
    (tmp_path / "public.txt").write_text("p5\n\n p0 \n")
    (tmp_path / "clients.txt").write_text("p1\np2\np3\n")
    command = ["data", "split", str(store.path), "-o", str(tmp_path / "split.json")]
    command += ["--train-images", "3", "--test-images", "2", "--clients", "3"]
    lists = ["--public-identities", str(tmp_path / "public.txt")]
    lists += ["--client-identities", str(tmp_path / "clients.txt")]
    assert main([*command, *lists]) == 0
    split = Split.load(tmp_path / "split.json")
    assert split.public == ("p0", "p5")
    assert sorted(sum(split.clients.values(), ())) == ["p1", "p2", "p3"]
    (tmp_path / "public.txt").write_bytes(b"\xff\xfe")
    assert "cannot read the list" in fails(capsys, *command, *lists)
    before = (tmp_path / "split.json").read_bytes()
    assert "4 clients" in fails(capsys, *command[:-1], "4", "--per-client", "2")
    assert (tmp_path / "split.json").read_bytes() == before


def test_show_errors(tmp_path: Path, capsys: Capture) -> None:
    assert "is not there" in fails(capsys, "data", "show", tmp_path / "nowhere")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    assert "not valid JSON" in fails(capsys, "data", "show", tmp_path / "photo.jpg")
    store = small_store(tmp_path / "store")
    with (store.path / "images.npy").open("r+b") as file:
        file.truncate(5000)
    assert "cut short" in fails(capsys, "data", "show", store.path)


def test_contact_sheet(tmp_path: Path, capsys: Capture) -> None:
    store = small_store(tmp_path / "store")
    picture = tmp_path / "sheet.png"
    command = ["data", "show", str(store.path), "--sheet", str(picture), "--identities", "2", "--images", "5"]
    assert main(command) == 0
    assert f"contact sheet: {picture}" in capsys.readouterr().out
    assert (tmp_path / "sheet.toml").exists()
    sheet = cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(sheet, contact_sheet(store, identities=2, images=5))
    # Two rows of three faces, each where it belongs; something is written to the left of each row.
    assert sheet.shape == (2 * 116 + 4, 176 + 3 * 116 + 4, 3)
    for row in range(6):
        top, left = 4 + row // 3 * 116, 176 + row % 3 * 116
        assert np.array_equal(sheet[top : top + 112, left : left + 112], face(row))
    for top in (4, 120):
        assert (sheet[top : top + 112, :170] < 128).any()
