"""What the how-to page for a device says in Python, run as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fedfr_edge.cli import main
from fedfr_edge.data.sheet import save_png
from fedfr_edge.data.synth.scene import render_portrait_scene

ROOT = Path(__file__).resolve().parents[1]
ANA, EVE = 3, 5
"""Numbers of rendered people whom the shipped model tells apart well."""


@pytest.mark.parametrize(("who", "answer"), [(ANA, "True accepted"), (EVE, "False not_recognised")])
def test_the_python_of_the_page_decides(
    who: int, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "howto-device.md").read_text(), re.MULTILINE | re.DOTALL
    )
    shutil.copy(ROOT / "models" / "synthetic.onnx", tmp_path / "client-00.onnx")
    (tmp_path / "photos-of-ana").mkdir()
    for number in range(4):
        save_png(render_portrait_scene(ANA, number, 77).image, tmp_path / "photos-of-ana" / f"{number}.png")
    save_png(render_portrait_scene(who, 9, 77).image, tmp_path / "at-the-door.png")
    (tmp_path / "at-the-door.png").rename(tmp_path / "at-the-door.jpg")  # what it is, its bytes say
    monkeypatch.chdir(tmp_path)
    enrol = [
        "enrol",
        "photos-of-ana",
        "--name",
        "Ana",
        "--model",
        "client-00.onnx",
        "--gallery",
        "door.fedfr",
    ]
    assert main(enrol) == 0
    capsys.readouterr()
    exec(compile(source, "howto-device.md", "exec"), {})
    assert capsys.readouterr().out.startswith(answer)
    assert main(["audit", "show", "--gallery", "door.fedfr"]) == 0
    assert capsys.readouterr().out.count(" login ") == 1
