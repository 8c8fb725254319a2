"""The command line: exit codes, one-line errors, help of every command, lazy imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedfr_edge.cli import COMMANDS, main
from fedfr_edge.extras import missing_part

LEAVES = [
    [name, *rest]
    for name, entry in COMMANDS.items()
    for rest in ([[sub] for sub in entry] if isinstance(entry, dict) else [[]])
]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_says_what_goes_in_and_comes_out(path: list[str], capsys) -> None:
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert "In:" in text
    assert "Out:" in text
    assert "--config" in text


def test_wrong_use_exits_with_two(capsys) -> None:
    assert main(["data", "nonsense"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_a_missing_setting_is_one_line(capsys) -> None:
    assert main(["data", "show"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_missing_config_file_is_one_line(capsys) -> None:
    assert main(["data", "show", "--config", "/nowhere.toml"]) == 1
    assert "cannot read config file /nowhere.toml" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from fedfr_edge.cli import COMMANDS, main; main(['--help'])\n"
        "paths = [[n, s] for n, e in COMMANDS.items() if isinstance(e, dict) for s in e]\n"
        "paths += [[n] for n, e in COMMANDS.items() if not isinstance(e, dict)]\n"
        "[main([*path, '--help']) for path in paths]\n"
        "heavy = {'torch', 'flwr', 'onnxruntime', 'cv2', 'insightface', 'matplotlib', 'onnx'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"imported for --help: {run.stderr}"


@pytest.mark.parametrize(
    ("command", "extras"),
    [
        (["quickstart"], "train,federation,report"),
        (["pretrain", "x", "--split", "x", "--out", "x"], "train"),
        (["train", "--pretrained", "x", "--store", "x", "--split", "x", "--out", "x"], "train,federation"),
        (["study", "x", "--split", "x", "--recipe", "x", "--out", "x"], "train,federation"),
        (["reproduce", "table1"], "train,federation"),
        (["bench", "train"], "train"),
        (["serve", "--model", "x", "--gallery", "x"], "web"),
    ],
)
def test_without_its_extra_a_command_says_in_a_line_which_one_it_needs(
    command: list[str], extras: str, tmp_path: Path
) -> None:
    # As on a device: only the packages that the extra "cpu" brings.
    hidden = ("torch", "safetensors", "onnxscript", "flwr", "matplotlib", "fastapi", "uvicorn", "websockets")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden!r}))\n"
        "from fedfr_edge.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert f"pip install 'fedfr-edge[{extras}]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_import_of_ours_that_fails_is_no_missing_extra() -> None:
    assert missing_part(ModuleNotFoundError("no", name="fedfr_edge.nowhere")) is None
    assert missing_part(ModuleNotFoundError("no")) is None
    found = missing_part(ModuleNotFoundError("no", name="matplotlib.figure"))
    assert "fedfr-edge[report]" in str(found)


def test_no_help_shows_a_mark_of_its_layout(capsys) -> None:
    for path in LEAVES:
        main([*path, "--help"])
        text = capsys.readouterr().out
        assert "\\b" not in text, path
        assert "\b" not in text, path
