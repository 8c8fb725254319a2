"""Clipping, sensitivity and noise of a client's update, each against plain numpy on the whole vector."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fedfr_edge.errors import NonFiniteError, TrainingError
from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.client import ClientUpdate
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.exchange import WITHHELD, model_after_round, what_leaves
from fedfr_edge.train.protected_update import protect, with_sound_variances

SPEC = BackboneSpec("iresnet18", dim=16, width=4, input_size=28)
NO_NOISE = b"\xff"  # the bytes for which the noise is 0: what is left is the grid


@pytest.fixture(scope="module")
def sent() -> GlobalModel:
    generator = torch.Generator().manual_seed(1)
    backbone = cpu_state(build_backbone(SPEC, seed=2))
    for name, tensor in backbone.items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 5 + 0.01)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(40)
    return GlobalModel(SPEC, backbone, torch.randn(7, SPEC.dim, generator=generator))


def trained(sent: GlobalModel, size: float, seed: int = 3, images: int = 100) -> ClientUpdate:
    """An update that moves every entry by about ``size``."""
    generator = torch.Generator().manual_seed(seed)

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():
            return tensor + 17
        return tensor + size * torch.randn(tensor.shape, generator=generator)

    backbone = {name: moved(tensor) for name, tensor in sent.backbone.items()}
    return ClientUpdate(backbone, moved(sent.global_proxies), images)


def vector(
    backbone: dict[str, torch.Tensor], proxies: torch.Tensor, sent: GlobalModel
) -> npt.NDArray[np.float64]:
    """The change of Θ's floats and of Φ as one vector, statistics in the sent model's own spread."""
    parts = [(proxies.double() - sent.global_proxies.double()).flatten()]
    for name, tensor in backbone.items():
        if not tensor.is_floating_point():
            continue
        change = tensor.double() - sent.backbone[name].double()
        stem = name.rpartition(".")[0]
        if name == f"{stem}.running_mean":
            change /= (sent.backbone[f"{stem}.running_var"].double() + 1e-5) ** 0.5
        elif name == f"{stem}.running_var":
            change /= sent.backbone[name].double() + 1e-5
        parts.append(change.flatten())
    return torch.cat(parts).numpy()


def change(update: ClientUpdate, sent: GlobalModel) -> npt.NDArray[np.float64]:
    return vector(update.backbone, update.global_proxies, sent)


@pytest.mark.parametrize("clip", [1e-3, 0.5, 40.0])
def test_a_large_update_is_shortened_to_the_norm(sent: GlobalModel, clip: float) -> None:
    raw = trained(sent, 3.0)
    before, after = change(raw, sent), change(protect(raw, sent, clip=clip, noise=0), sent)
    assert np.linalg.norm(before) > 100
    # What is left is the rounding of Θ to float32, for which 1 in 8 million is a step near 1.
    step = 2.0**-23 * 10 * math.sqrt(len(after))
    assert np.linalg.norm(after) == pytest.approx(clip, abs=step)
    assert np.abs(after - before * clip / np.linalg.norm(before)).max() < 1e-4


def test_a_small_update_stays_as_it_is(sent: GlobalModel) -> None:
    raw = trained(sent, 1e-3)
    kept = protect(raw, sent, clip=100.0, noise=0)
    for name, tensor in raw.backbone.items():
        if tensor.is_floating_point():
            assert torch.allclose(kept.backbone[name], tensor, rtol=2e-7, atol=1e-9), name
    assert torch.allclose(kept.global_proxies, raw.global_proxies, rtol=2e-7)


def test_theta_and_phi_are_clipped_as_one_vector(sent: GlobalModel) -> None:
    """A Φ that moves far leaves Θ little room."""
    raw = trained(sent, 1e-3)
    far = dataclasses.replace(raw, global_proxies=sent.global_proxies + 100.0)
    theta = np.linalg.norm(change(protect(far, sent, clip=1.0, noise=0), sent)[sent.global_proxies.numel() :])
    alone = np.linalg.norm(change(raw, sent)[raw.global_proxies.numel() :])
    assert theta == pytest.approx(alone / math.sqrt(7 * 16 * 100.0**2 + alone**2), rel=0.02)


def test_nothing_learned_and_counters(sent: GlobalModel) -> None:
    """A change of 0 has no direction; and counters, which tell of the number of images, do not leave."""
    nothing = ClientUpdate(
        {name: tensor.clone() for name, tensor in sent.backbone.items()}, sent.global_proxies.clone(), 5
    )
    for noise in (0.0, 1.0):
        kept = protect(nothing, sent, clip=1.0, noise=noise, random_bytes=lambda count: NO_NOISE * count)
        assert not change(kept, sent).any()
    kept = protect(trained(sent, 1.0), sent, clip=1.0, noise=1.0)
    counters = [name for name in sent.backbone if name.endswith("num_batches_tracked")]
    assert counters
    assert all(torch.equal(kept.backbone[name], sent.backbone[name]) for name in counters)


def adversaries(sent: GlobalModel) -> dict[str, ClientUpdate]:
    huge = trained(sent, 1e12, seed=9, images=10**9)
    one = trained(sent, 0.0, images=10**9)
    one.global_proxies[3, 5] += 1e6
    statistics = trained(sent, 0.0)
    for name, tensor in statistics.backbone.items():
        if name.endswith(("running_var", "running_mean")):
            tensor += 1e8
    edge = trained(sent, 0.3, seed=10, images=10**9)
    return {"huge": huge, "one entry": one, "statistics": statistics, "ordinary": edge}


@pytest.mark.parametrize("noise", [0.0, 1e-3, 2.0])
@pytest.mark.parametrize("kind", ["huge", "one entry", "statistics", "ordinary"])
def test_no_client_moves_the_mean_by_more_than_its_share(sent: GlobalModel, kind: str, noise: float) -> None:
    """The sensitivity: with the client's update, or with none of it, the mean differs by at most C/n.

    Whatever it sends and however many images it claims to have, weighted by the pool (the worst case)."""
    clip, others = 0.75, 4
    config = TrainConfig(dp_clip=clip, dp_noise=noise or None, client_weight="pool").resolved()

    def mean(last: ClientUpdate) -> GlobalModel:
        total = WeightedMean()
        for seed in range(others):
            mine = trained(sent, 0.01, seed=seed, images=seed + 1)
            add(total, mine)
        add(total, last)
        return total.result(sent)

    def add(total: WeightedMean, raw: ClientUpdate) -> None:
        metrics = {"images": float(raw.images), "hard_negatives": 5000.0, "steps": 3.0}
        update, told = what_leaves(raw, metrics, sent, config, lambda count: NO_NOISE * count)
        assert update is not None
        total.add(update, config.weight_of(told))

    with_it, without = mean(adversaries(sent)[kind]), mean(trained(sent, 0.0))
    moved = vector(with_it.backbone, with_it.global_proxies, sent) - vector(
        without.backbone, without.global_proxies, sent
    )
    rounding = 2.0**-23 * 10 * math.sqrt(len(moved))
    assert np.linalg.norm(moved) <= clip / (others + 1) + rounding
    if noise < 1:  # the bound is reached, so the test would see a wrong one
        assert np.linalg.norm(moved) > 0.9 * clip / (others + 1)


def test_weights_by_images_would_break_the_bound(sent: GlobalModel) -> None:
    """The same adversary, clipped but weighted as without privacy: it moves the mean by all of C."""
    total = WeightedMean()
    for seed, images in ((0, 10), (1, 10), (2, 10**6)):
        raw = trained(sent, 1.0, seed=seed, images=images)
        total.add(protect(raw, sent, clip=0.75, noise=0), float(images))
    result = total.result(sent)
    assert np.linalg.norm(vector(result.backbone, result.global_proxies, sent)) > 0.7


def test_the_noise_has_the_stated_spread(sent: GlobalModel) -> None:
    """z·C in every direction, statistics in their own spread; over real randomness, six deviations."""
    clip, noise = 2.0, 0.5
    raw = trained(sent, 1.0)
    bare = change(protect(raw, sent, clip=clip, noise=0), sent)
    added = change(protect(raw, sent, clip=clip, noise=noise), sent) - bare
    count = len(added)
    assert count > 40_000
    assert abs(added.mean()) < 6 * noise * clip / math.sqrt(count)
    assert added.std() == pytest.approx(noise * clip, rel=6 / math.sqrt(2 * count))
    for ending in ("running_mean", "running_var"):
        part = np.concatenate(
            [
                np.full(tensor.numel(), name.endswith(ending))
                for name, tensor in [("phi", raw.global_proxies), *raw.backbone.items()]
                if tensor.is_floating_point()
            ]
        )
        own = added[part]
        assert own.std() == pytest.approx(noise * clip, rel=6 / math.sqrt(2 * len(own)))


def test_the_noise_is_never_the_same(sent: GlobalModel) -> None:
    raw = trained(sent, 0.1)
    one, other = (change(protect(raw, sent, clip=1.0, noise=1.0), sent) for _ in range(2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 6 / math.sqrt(len(one))


def test_only_whole_steps_of_the_grid_leave(sent: GlobalModel) -> None:
    """For weights that were 0, where float32 hides nothing: multiples of z·C/1024 = 2^-8, exactly."""
    zeros = GlobalModel(
        SPEC,
        {name: torch.zeros_like(t) if "running" not in name else t for name, t in sent.backbone.items()},
        torch.zeros_like(sent.global_proxies),
    )
    kept = protect(trained(zeros, 1.0), zeros, clip=4.0, noise=1.0)
    weights = [tensor for name, tensor in kept.backbone.items() if name.endswith(".weight")]
    assert len(weights) > 20
    for tensor in [*weights, kept.global_proxies]:
        assert torch.equal(tensor * 256, torch.round(tensor * 256))


@pytest.mark.parametrize("noise", [1e-6, 1e-3, 1.0])
def test_the_grid_never_lengthens_an_update(sent: GlobalModel, noise: float) -> None:
    """Noise of 0, so that the rounded δ is seen alone; from zeros, so that float32 adds little."""
    zeros = GlobalModel(
        SPEC, {name: torch.zeros_like(t) for name, t in sent.backbone.items()}, torch.zeros(7, SPEC.dim)
    )
    kept = protect(
        trained(zeros, 1.0), zeros, clip=3.0, noise=noise, random_bytes=lambda count: NO_NOISE * count
    )
    assert np.linalg.norm(change(kept, zeros)) <= 3.0 * (1 + 1e-7)


def test_what_cannot_be_covered_is_refused(sent: GlobalModel) -> None:
    raw = trained(sent, 1.0)
    with pytest.raises(TrainingError, match="does not cover it"):
        protect(dataclasses.replace(raw, local_proxies=torch.ones(2, 16)), sent, clip=1.0, noise=1.0)
    with pytest.raises(TrainingError, match="differ in their arrays"):
        protect(dataclasses.replace(raw, global_proxies=torch.ones(6, 16)), sent, clip=1.0, noise=1.0)
    raw.global_proxies[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="no finite norm"):
        protect(raw, sent, clip=1.0, noise=1.0)


def test_variances_stay_above_zero(sent: GlobalModel) -> None:
    """After a round under much noise, by what was published alone; means and weights are left alone."""
    config = TrainConfig(dp_clip=1.0, dp_noise=0.45).resolved()
    total = WeightedMean()
    update, metrics = what_leaves(trained(sent, 0.1), {"images": 9.0}, sent, config)
    assert update is not None
    assert min(float(t.min()) for name, t in update.backbone.items() if "running_var" in name) < 0
    total.add(update, config.weight_of(metrics))
    model = model_after_round(sent, total, config)
    for name, tensor in model.backbone.items():
        if name.endswith("running_var"):
            assert bool((tensor >= 0.25 * sent.backbone[name]).all())
        else:
            assert torch.equal(tensor, update.backbone[name])
    assert bool(torch.isfinite(model.build()(torch.zeros(1, 3, 112, 112))).all())
    untouched = with_sound_variances(sent, sent)
    assert all(torch.equal(tensor, sent.backbone[name]) for name, tensor in untouched.backbone.items())


def test_what_leaves_without_and_with_privacy(sent: GlobalModel) -> None:
    raw, metrics = trained(sent, 1.0), {"images": 100.0, "hard_negatives": 3.0, "steps": 2.0, "loss": 1.5}
    update, told = what_leaves(raw, metrics, sent, TrainConfig().resolved())
    assert update is raw  # off: the very same objects
    assert told is metrics
    update, told = what_leaves(raw, metrics, sent, TrainConfig(dp_clip=1.0).resolved())
    assert update is not None
    assert update.images == 100  # clipping alone promises no privacy, so it hides nothing
    assert told is metrics
    update, told = what_leaves(raw, metrics, sent, TrainConfig(dp_clip=1.0, dp_noise=1.0).resolved())
    assert update is not None
    assert update.images == 1
    assert told == WITHHELD
    second = what_leaves(None, metrics, sent, TrainConfig(dp_clip=1.0, dp_noise=1.0).resolved())
    assert second == (None, WITHHELD)
