"""The README's Python, run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from fedfr_edge.data.synth.scene import render_portrait_scene

ROOT = Path(__file__).resolve().parents[1]


def snippet() -> str:
    """The one block of Python in the README."""
    (block,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return str(block)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[list[Path], Path], list[str]]:
    """Runs it in a folder with the files that it names, on given photographs; gives what it prints."""
    (tmp_path / "exported").mkdir()
    (tmp_path / "photos-of-ana").mkdir()
    model = ROOT / "models" / "synthetic.onnx"
    shutil.copy(model, tmp_path / "exported" / "personal-client-00.onnx")

    def run(photos: list[Path], at_the_door: Path) -> list[str]:
        for number, photo in enumerate(photos):
            shutil.copy(photo, tmp_path / "photos-of-ana" / f"{number}{photo.suffix}")
        shutil.copy(at_the_door, tmp_path / "at-the-door.jpg")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", snippet()],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        return line.split()

    return run


def portraits(folder: Path, identity: int, numbers: range) -> list[Path]:
    """Rendered photographs of somebody."""
    files = []
    for number in numbers:
        file = folder / f"rendered-{identity}-{number}.jpg"
        cv2.imwrite(str(file), render_portrait_scene(identity, number, 5).image[:, :, ::-1])
        files.append(file)
    return files


def test_ten_lines_take_a_photograph_to_a_decision() -> None:
    lines = [line for line in snippet().splitlines() if line.strip()]
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 110


def test_it_lets_ana_in_and_keeps_a_stranger_out(
    run: Callable[[list[Path], Path], list[str]], tmp_path: Path
) -> None:
    ana = portraits(tmp_path, 0, range(4))
    accepted, reason, score = run(ana[:3], ana[3])
    assert (accepted, reason) == ("True", "accepted")
    assert 0 < float(score) <= 1
    (stranger,) = portraits(tmp_path, 1, range(1))
    accepted, reason, lower = run(ana[:3], stranger)
    assert (accepted, reason) == ("False", "not_recognised")
    assert float(lower) < float(score)


def test_it_works_on_real_photographs(run: Callable[[list[Path], Path], list[str]], dev_data: Path) -> None:
    """With the shipped model, which knows no real faces: so the very photograph is shown again."""
    photos = sorted((dev_data / "faces" / "celebrity_photos" / "angelina_jolie").iterdir())[:1]
    accepted, reason, score = run(photos, photos[0])
    assert (accepted, reason) == ("True", "accepted")
    assert float(score) > 0.99
