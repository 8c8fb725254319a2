"""``fedfr bench federation``, in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedfr_edge.cli import main


@pytest.mark.long
def test_every_engine_is_measured_and_carries_the_model_unchanged(tmp_path: Path) -> None:
    """The measurement itself asserts that what comes back is what was sent."""
    file = tmp_path / "figures.json"
    options = ["--backbone", "mobilefacenet", "--dim", "64", "--rounds", "1", "--images-per-second", "100"]
    assert main(["bench", "federation", *options, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    one = found["backbones"]["mobilefacenet"]
    assert set(one["median_seconds"]) == {"plain", "in-process", "processes"}
    assert all(seconds > 0 for values in one["seconds"].values() for seconds in values)
    assert one["paper_round_seconds"] == 6000 * 4 / 100
    for engine, value in one["overhead_per_client"].items():
        difference = one["median_seconds"][engine] - one["median_seconds"]["plain"]
        assert value == pytest.approx(difference / 2)
        assert one["share_of_paper_round"][engine] == pytest.approx(value / 240)
    assert (tmp_path / "figures.toml").exists()
