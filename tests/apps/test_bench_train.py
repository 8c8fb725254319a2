"""``fedfr bench train`` at a minute size, and the memory that mining and averaging may take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedfr_edge.apps.bench import aggregation, mining
from fedfr_edge.apps.bench.isolated import alone
from fedfr_edge.cli import main


def test_every_figure_is_there_and_both_loops_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    small = "--width 8 --dim 32 --input-size 28 --local 9 --public 16 --batch 4 --epochs 2 --pairs 1"
    rest = "--mining-local 50 --mining-public 500 --clients 3 --parameters 0.5 --backbone sphereface10"
    small += " --learning-rate 1e-3"
    assert main(["bench", "train", *small.split(), *rest.split(), "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    one = found["backbones"]["sphereface10"]
    assert 0 < one["hard_negatives"] < 16
    images = 9 + int(one["hard_negatives"])
    # A last batch of a single image joins the one before it.
    assert one["steps"] == 2 * (images // 4 + (images % 4 > 1))
    assert one["largest_loss_difference"] < 1e-5
    assert found["round_ratio"] == {"sphereface10": one["round_ratio"]}
    assert one["round_ratio"] > 0
    assert one["round_ratio_cpu"] > 0
    assert sum(one["profile"].values()) == pytest.approx(1)
    assert one["profile"]["convolution"] > 0
    assert 0 < one["pretraining"]["share_of_peak"] < 1
    assert found["mining"]["equals_brute_force"]
    assert found["aggregation"]["clients"] == 3
    assert found["settings"]["seed"] == 0
    assert {"processor", "torch", "date"} <= found["machine"].keys()
    printed = capsys.readouterr().out
    assert "what bounds it" in printed
    assert "images/s" in printed
    assert (tmp_path / "bench.toml").is_file()


def test_mining_needs_no_memory_that_grows_with_the_public_set() -> None:
    """All 2,000 × 100,000 similarities would be 763 MiB."""
    found = alone(mining.measure, 2000, 100_000, 32, pairs=1, threads=1, seed=1)
    assert found["equals_brute_force"]
    assert found["hard_negatives"] > 10
    assert found["extra_bytes"] < 250 * 2**20


def test_averaging_holds_three_models_however_many_clients() -> None:
    """Two for the sums in float64 and one for the update that has just come, or for the mean.

    What is left over is the allocator's. Widening whole arrays, or sums beside the mean, is 3.5 or more.
    """
    found = alone(aggregation.measure, 6, 20.0, 0)
    assert 1.9 < found["peak_models"] < 3.4
