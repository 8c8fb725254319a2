"""What ``fedfr reproduce --plan`` says, against counts by hand and against the commands themselves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fedfr_edge.apps.reproduce.cost import Sizes, pretraining_cost, row_cost
from fedfr_edge.apps.reproduce.network import Network, measure_network
from fedfr_edge.cli import main
from fedfr_edge.train.config import PretrainConfig, TrainConfig

SIZES = Sizes(
    public_people=10,
    public_images=1000,
    clients=4,
    people=5,
    training=6,
    test=3,
    unseen_images=200,
    pair_images=0,
    ijbc_images=0,
)
NETWORK = Network(parameters=10_000, macs=1_000_000, activations=5_000, dim=8)


def test_the_papers_backbone_is_counted_as_published() -> None:
    network = measure_network(PretrainConfig(backbone="sphereface64"))
    assert network.parameters == 49_726_656  # docs and test of the backbone: SphereFace-64
    assert network.macs == pytest.approx(6.90e9, rel=2e-3)


def test_a_thin_network_is_counted_by_hand() -> None:
    """MACs of stride-2 convolutions, residual blocks and the last layer of SphereFace-10, width 4, 28 px."""
    network = measure_network(PretrainConfig(backbone="sphereface10", width=4, dim=16, input_size=28))
    side, inside, macs = 28, 3, 0
    for width, blocks in zip((4, 8, 16, 32), (0, 1, 2, 0), strict=True):
        side = -(-side // 2)
        macs += side * side * width * inside * 9 + blocks * 2 * side * side * width * width * 9
        inside = width
    assert network.macs == macs + side * side * inside * 16


def test_fedavg_by_hand() -> None:
    train = TrainConfig(method="fedavg", rounds=7, epochs=(2,))
    cost = row_cost(train, SIZES, NETWORK, hard_share=0.5)
    local = 5 * 6
    assert cost.training == 3 * 2 * 7 * 4 * local
    assert cost.frozen == 7 * 4 * local  # W starts as class means; nothing is mined
    generic, personal = 4 * 5 * 9 + 200, 4 * (local + 4 * 5 * 3)
    assert cost.evaluation == generic + personal
    assert cost.bytes_up == cost.bytes_down == 4 * 10_000 * 4 * 7  # Θ alone


def test_fedfr_by_hand() -> None:
    train = TrainConfig(method="fedfr", rounds=3, epochs=(1,))
    cost = row_cost(train, SIZES, NETWORK, hard_share=0.1)
    local, pool = 30, 30 + 100
    assert cost.training == 3 * 3 * 4 * pool
    # Mined from 1000 images once a round; a single epoch shows half of the mirrored views, of Θ_g each round
    # and of the previous Θ_l, both views, from the second on.
    assert cost.frozen == 3 * (4 * local + 1000) + 3 * 4 * pool / 2 + 2 * 4 * 2 * pool / 2
    mining = 3 * 4 * local * 1000 * 8
    comparisons = 8 * (3 * 4 * 15 * 60 + 200**2 / 2)
    assert cost.products == mining + comparisons
    assert cost.bytes_up == 4 * (10_000 + 10 * 8) * 4 * 3


def test_methods_differ_where_they_should() -> None:
    def of(method: str, **more: object) -> float:
        train = dataclasses.replace(TrainConfig(rounds=4, epochs=(2,)), method=method, **more)
        return row_cost(train, SIZES, NETWORK, hard_share=0.1).training

    assert of("shared") == of("fedavg") + 3 * 2 * 4 * 4 * 1000
    assert of("central") == 3 * 2 * 4 * (4 * 30 + 1000)
    assert of("fine-tune", second_epochs=5) == of("contrastive") + 3 * 5 * 4 * 30
    assert of("fedavg", participation=0.5) == of("fedavg") / 2


def test_pretraining_is_three_passes_an_image() -> None:
    cost = pretraining_cost(PretrainConfig(epochs=9), SIZES, NETWORK)
    assert cost.training == 3 * 9 * 1000


def test_traffic_is_what_a_run_counts(tmp_path: Path) -> None:
    """``bytes_up`` of a real round is the plan's figure and a few hundred bytes for the message."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "[data.synth]\nidentities = 10\nimages = 4\n[data.split]\npublic = 4\nclients = 2\nper_client = 2\n"
        "train_images = 2\ntest_images = 2\n[pretrain]\nwidth = 4\nepochs = 1\n[train]\nrounds = 1\n"
        "epochs = [1]\n[reproduce]\nseeds = 1\n"
    )
    out = tmp_path / "out"
    assert main(["reproduce", "table3", "--recipe", str(recipe), "--out", str(out)]) == 0
    (line,) = (out / "0/fedfr/metrics.jsonl").read_text().splitlines()
    counted = sum(client["bytes_up"] for client in json.loads(line)["clients"].values())
    network = measure_network(PretrainConfig(backbone="sphereface10", width=4, input_size=28))
    sizes = dataclasses.replace(SIZES, public_people=4, clients=2)
    planned = row_cost(TrainConfig(rounds=1, epochs=(1,)), sizes, network, 0.1).bytes_up
    assert planned < counted < planned + 2 * 4096


@pytest.mark.parametrize("scale", ["paper", "small", "tiny"])
@pytest.mark.parametrize("target", ["table1", "table2", "table3", "figure3", "figure4"])
def test_every_scale_has_a_plan(
    target: str,
    scale: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", target, "--scale", scale, "--plan", "--gpu", "a100"]) == 0
    printed = capsys.readouterr().out
    for word in ("pre-training", "fedfr", "all, one seed", "traffic up", "Assumptions", "hard negatives"):
        assert word in printed
    assert not list(tmp_path.iterdir())  # a plan leaves nothing behind


def test_a_measured_rate_takes_the_place_of_a_peak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["reproduce", "table3", "--scale", "paper", "--plan", "--images-per-second", "1000"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "1000 images of training a second, as measured by you" in printed
    (line,) = [line for line in printed.splitlines() if "pre-training" in line]
    # 20 epochs of 420,000 images at 1,000 a second, and some evaluation beside them.
    assert 20 * 420 / 3600 < float(line.split()[-2]) < 2.6
