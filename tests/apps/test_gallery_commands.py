"""``fedfr gallery …`` and ``fedfr audit …`` on galleries that hold templates of no model in particular."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedfr_edge.cli import COMMANDS, main
from fedfr_edge.recognition import keys
from fedfr_edge.recognition.keys import KeyFile
from fedfr_edge.recognition.template import Template
from fedfr_edge.recognition.vault import Vault

MODEL, DIM = "a" * 64, 8


def template(seed: int) -> Template:
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), MODEL, 2)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(keys, "_ARGON2", {"memory_kib": 64, "iterations": 1, "lanes": 1})


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    path = tmp_path / "door"
    with Vault.open_or_make(path, KeyFile(tmp_path / "door.key"), model_digest=MODEL, dim=DIM) as vault:
        vault.enrol([("Ana Example", template(0))])
        vault.enrol([("Ben", template(1))])
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_list(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "gallery", "list", "--gallery", gallery)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("Ana Example  ")
    assert "2 images" in lines[1]
    assert lines[2].startswith(f"2 people in {gallery} (id ")
    status, out, _ = run(capsys, "gallery", "list", "--gallery", gallery, "--json")
    answer = json.loads(out)
    assert [person["name"] for person in answer["people"]] == ["Ana Example", "Ben"]
    assert set(answer["people"][0]) == {"id", "name", "images", "enrolled"}
    assert (answer["model"], answer["failures"], answer["log"]) == (MODEL, 0, 3)


def test_delete_says_what_is_gone(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = gallery.with_name("copy")
    shutil.copytree(gallery, copy)
    status, out, _ = run(capsys, "gallery", "delete", "Ben", "--gallery", gallery)
    assert status == 0
    assert "template and key; 1 person left" in out
    assert "their key is destroyed" in out
    assert "RUN/clients" in out
    assert f"\n1 person in {gallery} (id " in run(capsys, "gallery", "list", "--gallery", gallery)[1]
    status, _, err = run(capsys, "gallery", "list", "--gallery", copy, "--key-file", f"{gallery}.key")
    assert (status, "does not hold the key" in err) == (1, True)
    status, _, err = run(capsys, "gallery", "delete", "Eve", "--gallery", gallery)
    assert (status, "nobody called 'Eve'" in err) == (1, True)


def test_export_and_import(
    gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "moved", tmp_path / "other"
    status, _, err = run(capsys, "gallery", "export", "--gallery", gallery, "--out", file)
    assert (status, "FEDFR_EXPORT_PASSPHRASE" in err) == (1, True)
    monkeypatch.setenv("FEDFR_EXPORT_PASSPHRASE", "five random words")
    assert run(capsys, "gallery", "export", "--gallery", gallery, "--out", file)[0] == 0
    status, _, err = run(capsys, "gallery", "export", "--gallery", gallery, "--out", file)
    assert (status, "exists already" in err) == (1, True)
    status, out, _ = run(capsys, "gallery", "import", file, "--gallery", other)
    assert (status, out) == (0, f"2 people imported; 2 in {other}\n")
    status, _, err = run(capsys, "gallery", "import", file, "--gallery", other)
    assert (status, "enrolled already" in err) == (1, True)
    assert run(capsys, "gallery", "import", file, "--gallery", other, "--replace")[0] == 0
    assert "\nBen  " in run(capsys, "gallery", "list", "--gallery", other)[1]
    shown = run(capsys, "audit", "show", "--gallery", gallery)[1]
    assert "export" in shown.splitlines()[-1]
    monkeypatch.setenv("FEDFR_EXPORT_PASSPHRASE", "six random words")
    status, _, err = run(capsys, "gallery", "import", file, "--gallery", tmp_path / "third")
    assert (status, "passphrase is another" in err) == (1, True)
    assert not (tmp_path / "third").exists()


def test_rekey_to_a_passphrase_and_back(
    gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["gallery", "rekey", "--gallery", gallery]
    before = Path(f"{gallery}.key").read_text()
    assert run(capsys, *common)[0] == 0
    assert Path(f"{gallery}.key").read_text() != before
    monkeypatch.setenv("FEDFR_NEW_PASSPHRASE", "new words")
    assert run(capsys, *common, "--new-key", "passphrase")[0] == 0
    assert not Path(f"{gallery}.key").exists()
    monkeypatch.setenv("FEDFR_PASSPHRASE", "new words")
    monkeypatch.setenv("FEDFR_NEW_PASSPHRASE", "newer words")
    words = ["--key", "passphrase"]
    assert run(capsys, *common, *words)[0] == 0
    assert "does not fit" in run(capsys, *common, *words)[2]
    monkeypatch.setenv("FEDFR_PASSPHRASE", "newer words")
    assert (
        "still open with the passphrase"
        in run(capsys, "gallery", "delete", "Ben", "--gallery", gallery, *words)[1]
    )
    file = tmp_path / "stick" / "k"
    assert run(capsys, *common, *words, "--new-key", "file", "--new-key-file", file)[0] == 0
    status, out, _ = run(capsys, "gallery", "list", "--gallery", gallery, "--key-file", file)
    assert (status, out.startswith("Ana Example")) == (0, True)


def test_a_restored_copy(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = gallery.with_name("copy")
    shutil.copytree(gallery, copy)
    assert run(capsys, "gallery", "unlock", "--gallery", gallery)[0] == 0
    shutil.rmtree(gallery)
    copy.rename(gallery)
    for command in (["gallery", "list"], ["audit", "verify"], ["gallery", "rekey"]):
        status, _, err = run(capsys, *command, "--gallery", gallery)
        assert (status, "rolled back to an older copy" in err) == (1, True)
    assert run(capsys, "gallery", "rekey", "--gallery", gallery, "--accept-restored")[0] == 0
    assert run(capsys, "audit", "verify", "--gallery", gallery)[0] == 0


def test_audit_show_and_verify(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "audit", "show", "--gallery", gallery)
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[2] for line in lines] == ["make", "enrol", "enrol"]
    assert "Ana" not in out
    named = run(capsys, "audit", "show", "--gallery", gallery, "--names", "--last", "1")[1]
    assert (named.count("\n"), "Ben" in named) == (1, True)
    status, out, _ = run(capsys, "audit", "verify", "--gallery", gallery)
    assert (status, out.startswith("whole: 3 lines, newest chain value ")) == (0, True)
    log = gallery / "audit.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b'"event": "make"', b'"event": "fake"'))
    status, out, _ = run(capsys, "audit", "verify", "--gallery", gallery)
    assert (status, out.splitlines()[0]) == (1, "edited: line 1 was edited, or the one before it")
    log.write_bytes(whole[: whole.index(b"\n") + 1])
    status, out, _ = run(capsys, "audit", "verify", "--gallery", gallery)
    assert (status, out.splitlines()[0]) == (1, "cut: the last 2 of 3 lines are missing")
    status, _, err = run(capsys, "gallery", "list", "--gallery", gallery)
    assert (status, "fedfr audit verify" in err) == (1, True)
    log.write_bytes(whole)
    assert run(capsys, "audit", "verify", "--gallery", gallery)[0] == 0


@pytest.mark.parametrize(
    "command", [f"{group} {name}" for group in ("gallery", "audit") for name in COMMANDS[group]]
)
def test_help_says_what_goes_in_and_comes_out(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, *command.split(), "--help")
    assert status == 0
    assert "In:" in out
    assert "Out:" in out


def test_galleries_need_no_onnxruntime_and_no_torch(gallery: Path) -> None:
    code = (
        "import sys\n"
        "from fedfr_edge.cli import main\n"
        f"assert main(['gallery', 'list', '--gallery', {str(gallery)!r}]) == 0\n"
        "assert not {'torch', 'flwr', 'onnxruntime', 'insightface'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
