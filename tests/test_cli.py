"""The command line: exit codes, one-line errors, help of every command, lazy imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fedfr_edge.cli import COMMANDS, main

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
