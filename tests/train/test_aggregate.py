"""Eq. 2 and 4 against float64 loops, and what must not enter an average."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tiny_training import SPEC_BN, model

from fedfr_edge.errors import NonFiniteError, TrainingError
from fedfr_edge.train.aggregate import WeightedMean
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import cpu_state
from fedfr_edge.train.client import ClientUpdate

WEIGHTS = (60.0, 1.0, 240.0)


def update(seed: int) -> ClientUpdate:
    generator = torch.Generator().manual_seed(seed)
    state = cpu_state(build_backbone(SPEC_BN, seed=seed))
    for name, value in state.items():
        if not value.is_floating_point():
            state[name] = value + 10 * seed
    return ClientUpdate(state, torch.randn((4, 16), generator=generator), images=5)


def mean_of(updates: list[ClientUpdate], **settings: bool) -> WeightedMean:
    mean = WeightedMean(**settings)
    for one, weight in zip(updates, WEIGHTS, strict=True):
        mean.add(one, weight)
    return mean


def test_theta_and_phi_are_the_weighted_means_of_a_float64_loop() -> None:
    updates, before = [update(seed) for seed in (1, 2, 3)], model(SPEC_BN)
    after = mean_of(updates).result(before)
    pairs = [(name, [u.backbone[name] for u in updates]) for name in before.backbone]
    pairs.append(("phi", [u.global_proxies for u in updates]))
    for name, parts in pairs:
        found = after.global_proxies if name == "phi" else after.backbone[name]
        if not found.is_floating_point():
            assert found.item() == 30  # a counter: the largest of 10, 20, 30
            continue
        total = np.zeros(tuple(found.shape))
        for part, weight in zip(parts, WEIGHTS, strict=True):
            total += weight / sum(WEIGHTS) * part.numpy().astype(np.float64)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), total.astype(np.float32), rtol=2e-7, atol=1e-30)


def test_theta_and_phi_both_take_effect() -> None:
    updates, before = [update(seed) for seed in (1, 2, 3)], model(SPEC_BN)
    after = mean_of(updates).result(before)
    assert not torch.equal(after.global_proxies, before.global_proxies)
    weights = [name for name, value in before.backbone.items() if value.ndim == 4]
    assert weights
    assert all(not torch.equal(after.backbone[name], before.backbone[name]) for name in weights)


def test_phi_stays_where_equation_4_is_switched_off() -> None:
    updates, before = [update(seed) for seed in (1, 2, 3)], model(SPEC_BN)
    after = mean_of(updates, average_global_proxies=False).result(before)
    assert torch.equal(after.global_proxies, before.global_proxies)
    averaged = mean_of(updates).result(before)
    assert all(torch.equal(value, averaged.backbone[name]) for name, value in after.backbone.items())


def test_one_client_alone_gives_its_own_model_back_bit_for_bit() -> None:
    mean = WeightedMean()
    mean.add(update(1), 60)
    after = mean.result(model(SPEC_BN))
    assert all(torch.equal(after.backbone[name], value) for name, value in update(1).backbone.items())
    assert torch.equal(after.global_proxies, update(1).global_proxies)


def test_the_round_goes_up_and_the_rest_stays() -> None:
    before = model(SPEC_BN)
    before.round = 4
    after = mean_of([update(seed) for seed in (1, 2, 3)]).result(before)
    assert (after.round, after.spec, after.metadata) == (5, before.spec, before.metadata)
    assert before.round == 4
    assert list(after.backbone) == list(before.backbone)


def test_updates_are_not_changed_and_not_shared() -> None:
    one, two = update(1), update(2)
    kept = copy.deepcopy((one, two))
    mean = WeightedMean()
    mean.add(one, 1)
    mean.add(two, 2)
    after = mean.result(model(SPEC_BN))
    next(iter(after.backbone.values())).zero_()
    for was, now in zip(kept, (one, two), strict=True):
        assert all(torch.equal(value, now.backbone[name]) for name, value in was.backbone.items())


def test_large_weights_lose_no_precision() -> None:
    """In float32, 2^24 + 1 is 2^24: a thousand small clients beside a large one would vanish."""
    mean = WeightedMean()
    state = {"w": torch.ones(1)}
    mean.add(ClientUpdate({"w": torch.zeros(1)}, torch.zeros(1, 1), 1), 2.0**24)
    for _ in range(1000):
        mean.add(ClientUpdate(state, torch.ones(1, 1), 1), 1.0)
    before = model()
    before.backbone, before.global_proxies = {"w": torch.zeros(1)}, torch.zeros(1, 1)
    found = mean.result(before)
    assert found.backbone["w"].item() == pytest.approx(1000 / (2**24 + 1000), rel=1e-6)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["backbone", "global_proxies"])
def test_a_value_that_is_not_finite_is_refused_and_changes_nothing(part: str, poison: float) -> None:
    good, bad = update(1), update(2)
    target = bad.global_proxies if part == "global_proxies" else next(iter(bad.backbone.values()))
    target.view(-1)[-1] = poison
    mean = WeightedMean()
    mean.add(good, 3)
    with pytest.raises(NonFiniteError, match=part):
        mean.add(bad, 3)
    assert mean.weight == 3
    assert torch.equal(mean.result(model(SPEC_BN)).global_proxies, good.global_proxies)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_not_positive_is_refused(weight: float) -> None:
    with pytest.raises(TrainingError, match="weight"):
        WeightedMean().add(update(1), weight)


def test_other_shapes_names_and_dtypes_are_refused() -> None:
    mean = WeightedMean()
    mean.add(update(1), 1)
    smaller, fewer, doubles = update(2), update(2), update(2)
    smaller.global_proxies = smaller.global_proxies[:3]
    fewer.backbone.popitem()
    doubles.global_proxies = doubles.global_proxies.double()
    for bad in (smaller, fewer, doubles):
        with pytest.raises(TrainingError):
            mean.add(bad, 1)
    with pytest.raises(TrainingError):
        mean.result(model())  # another backbone
    assert mean.weight == 1


def test_an_average_of_nobody_is_refused() -> None:
    with pytest.raises(TrainingError, match="at least one client"):
        WeightedMean().result(model())
