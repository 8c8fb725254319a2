"""The tutorial's commands, word for word, but for the installation and what waits for a person."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```bash([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(text: str) -> str:
    """The page's blocks as one script; those with more than their language are not run."""
    return "".join(body for info, body in BLOCK.findall(text) if not info.strip())


def test_the_page_has_what_is_run_and_what_is_not() -> None:
    kinds = [info.strip() for info, _ in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    assert sorted(set(kinds)) == ["", "install", "try"]
    commands = script(PAGE.read_text(encoding="utf-8"))
    assert commands.startswith("fedfr doctor\n")
    assert "fedfr audit verify" in commands


@pytest.mark.long
def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    text = script(PAGE.read_text(encoding="utf-8"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    folder = tmp_path / "fedfr-quickstart"
    assert "The device part works." in done.stdout
    assert (folder / "report.html").is_file()
    assert (folder / "dashboard" / "index.html").is_file()
    assert (folder / "run" / "checkpoints" / "round_0008.safetensors").is_file()
    assert (folder / "run" / "scores.jsonl").is_file()
    assert "kept out" in done.stdout
    assert not list((folder / "door.fedfr").rglob("*.png"))
