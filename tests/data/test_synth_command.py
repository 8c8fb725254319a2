"""``fedfr data synth``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedfr_edge.cli import main
from fedfr_edge.data.store import FaceStore
from fedfr_edge.data.synth import fairness
from fedfr_edge.data.synth.scene import render_scene
from fedfr_edge.vision.image import read_image


def test_store_and_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, scenes = tmp_path / "store", tmp_path / "scenes"
    arguments = ["data", "synth", "--out", str(store), "--identities", "3", "--images", "2", "--seed", "4"]
    arguments += ["--scenes", str(scenes), "--scene-count", "2", "--scene-people", "2"]
    arguments += ["--height", "120", "--width", "200"]
    assert main(arguments) == 0
    assert len(FaceStore.open(store)) == 6
    assert "images = 2" in (store / "synth.toml").read_text()
    truth = json.loads((scenes / "truth.json").read_text())
    assert truth["seed"] == 4
    assert len(truth["scenes"]) == 2
    for number, entry in enumerate(truth["scenes"]):
        who = [person["identity"] for person in entry["people"]]
        assert [person["name"] for person in entry["people"]] == [f"synth-{i:04d}" for i in who]
        expected = render_scene(4, number, who, height=120, width=200)
        assert np.array_equal(read_image(scenes / entry["file"]), expected.image)
        assert entry["people"][0]["landmarks"] == expected.truth()[0]["landmarks"]
    assert "6 images of 3 identities" in capsys.readouterr().out


@pytest.mark.parametrize(("bar", "verdict", "expected"), [(1.01, "pass", 0), (-0.01, "MISS", 1)])
def test_the_check_prints_both_figures_with_their_counts(
    bar: float,
    verdict: str,
    expected: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fairness, "PIXEL_BAR", bar)
    sizes = ["--check-scenes", "2", "--identities", "4", "--images", "3"]
    assert main(["data", "synth", "--check", *sizes, "--seed", "1"]) == expected
    printed = capsys.readouterr().out
    assert "of frontal scenes (2 of 2;" in printed
    assert f"{verdict} raw pixels" in printed
    assert "12 mated, 54 non-mated pairs, 0 false accepts; fewer than ten" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to do"),
        (["--scenes", "x", "--identities", "1", "--scene-people", "2"], "raise --identities"),
        (["--check", "--detector", "haar"], "unknown detector"),
        (["--out", "x", "--seed", "-1"], "at least 0"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synth", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not any(tmp_path.iterdir())
