"""Where the authors' public code departs from the paper, both ways run, each departure seen in its effect."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_training import clients, config, model

from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import client_round
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.loop import run_rounds
from fedfr_edge.train.seeds import RoundSeed


def settings(profile: str, **changes: object) -> TrainConfig:
    # Six hard negatives or so for each client, so that the two weights of the average differ.
    return config(**{"profile": profile, "mining_threshold": 0.2, "epochs": (1,), **changes})


def by_hand(profile: str) -> tuple[GlobalModel, dict[str, np.ndarray]]:
    """The first round's result, and the weighted mean of its updates in float64."""
    chosen = settings(profile)
    start = model()
    after, _, _ = run_rounds(start, clients(), chosen, seed=5, rounds=1)
    total, sums = 0.0, dict[str, np.ndarray]()
    for name, data in clients().items():
        _, update, metrics = client_round(None, start, data, chosen, RoundSeed(5, 1, name))
        assert update is not None
        assert metrics["hard_negatives"] > 0
        weight = metrics["images"] + (metrics["hard_negatives"] if profile == "reference" else 0)
        total += weight
        for key, value in {**update.backbone, "phi": update.global_proxies}.items():
            sums[key] = sums.get(key, 0.0) + weight * value.double().numpy()
    return after, {key: value / total for key, value in sums.items()}


@pytest.mark.parametrize("profile", ["paper", "reference"])
def test_the_average_weighs_local_images_or_the_whole_pool_and_phi_moves_or_stays(profile: str) -> None:
    after, mean = by_hand(profile)
    for name, value in after.backbone.items():
        np.testing.assert_allclose(value.numpy(), mean[name], rtol=1e-6, atol=1e-7)
    if profile == "paper":
        np.testing.assert_allclose(after.global_proxies.numpy(), mean["phi"], rtol=1e-6, atol=1e-7)
        assert not torch.equal(after.global_proxies, model().global_proxies)
    else:
        assert torch.equal(after.global_proxies, model().global_proxies)


def test_the_two_weights_are_told_apart_by_this_data() -> None:
    paper, reference = by_hand("paper")[1], by_hand("reference")[1]
    assert any(not np.allclose(paper[name], reference[name], atol=1e-5) for name in paper)


def test_the_first_contrastive_loss_is_log_2_or_that_of_a_random_model() -> None:
    _, _, (paper,) = run_rounds(model(), clients(), settings("paper"), seed=5, rounds=1)
    _, _, (reference,) = run_rounds(model(), clients(), settings("reference"), seed=5, rounds=1)
    for client in clients():
        assert paper[client]["loss_con"] == pytest.approx(math.log(2), abs=1e-6)
        assert abs(reference[client]["loss_con"] - math.log(2)) > 1e-4


def test_local_epochs_fall_from_ten_to_four_and_small_batches_are_dropped() -> None:
    chosen = settings("reference", epochs=(), mining_threshold=1.0, rounds=None)
    assert chosen.resolved().rounds == 20
    _, _, rounds = run_rounds(model(), clients(), chosen, seed=5, rounds=5)
    # 10, 12 and 6 images in batches of 8: one whole batch each; the client of 6 keeps its only one.
    for metrics in rounds[0].values():
        assert metrics["steps"] == 10
    assert [metrics["client-00"]["steps"] for metrics in rounds] == [10, 8, 6, 4, 4]
    plain = settings("paper", epochs=(), mining_threshold=1.0, rounds=None)
    assert plain.resolved().rounds == 30
    _, _, (first,) = run_rounds(model(), clients(), plain, seed=5, rounds=1)
    assert [metrics["steps"] for metrics in first.values()] == [8, 8, 4]
