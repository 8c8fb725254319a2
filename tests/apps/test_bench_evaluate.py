"""The evaluation benchmark at toy size, and scores made by torch against those of numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fedfr_edge.apps.bench.evaluate import embeddings
from fedfr_edge.apps.torch_products import TorchProducts
from fedfr_edge.cli import main
from fedfr_edge.evaluation.personalised import evaluate_client
from fedfr_edge.evaluation.products import HostProducts, look_through


def test_every_figure_is_told_and_written(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "bench.json"
    sizes = ["--clients", "3", "--people", "5", "--images", "4", "--train-images", "2", "--dim", "16"]
    assert main(["bench", "evaluate", *sizes, "--pairs", "2", "--intervals", "10", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["mated"] == 5 * 6
    assert found["non_mated"] == 20 * 40 + 10 * 16
    assert found["equals_full_sort"] is True
    assert found["matmul_ratio"] > 0
    assert found["peak_extra_bytes"] >= 0
    assert len(found["ours_seconds"]) == len(found["bare_seconds"]) == 2
    assert found["machine"]["cores"] >= 1
    assert found["verification"][0]["trials"] == 30
    assert (tmp_path / "bench.toml").is_file()
    shown = capsys.readouterr().out
    assert "30 mated, 960 non-mated" in shown
    assert "rates equal a full sort" in shown


def test_torch_finds_what_numpy_finds() -> None:
    """On the CPU; a GPU differs in the last bits of its sums."""
    draw = np.random.default_rng(0)
    left, right = (draw.integers(-4, 5, (n, 8)).astype(np.float32) / 8 for n in (30, 50))
    torch_, host = TorchProducts("cpu", tile=64), HostProducts(64)
    for floor, every, first in ((0.3, 7, 3), (-np.inf, 0, 0), (9.0, 1, 0)):
        one = torch_.above(torch_.put(left), torch_.put(right), floor, every, first)
        other = host.above(host.put(left), host.put(right), floor, every, first)
        assert one.count == other.count == 1500
        assert np.array_equal(one.scores, other.scores)
        assert np.array_equal(one.index, other.index)
        assert np.array_equal(one.sample, other.sample)
        assert np.array_equal(
            other.scores, look_through((left @ right.T).ravel(), floor, every, first).scores
        )


def test_a_client_is_the_same_by_torch_and_by_numpy() -> None:
    given = embeddings(3, 8, 5, 2, 32, seed=1)
    (by_torch,) = evaluate_client(
        "c", given, fars=(0.1, 0.01), fpirs=(0.1,), products=TorchProducts("cpu", 16)
    )
    (by_numpy,) = evaluate_client("c", given, fars=(0.1, 0.01), fpirs=(0.1,))
    for one, other in zip(by_torch.verification, by_numpy.verification, strict=True):
        assert one.false_accepts == other.false_accepts
        assert abs(one.threshold - other.threshold) < 1e-6
        assert abs(one.value - other.value) <= 1 / one.trials
