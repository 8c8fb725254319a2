"""An update that travels as a change in half precision arrives within the bound that is stated."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fedfr_edge.errors import NonFiniteError
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientUpdate
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.half_precision import as_it_arrives, from_change, to_change

Doubles = npt.NDArray[np.float64]


def start() -> GlobalModel:
    rng = np.random.default_rng(0)
    backbone = {
        "weight": torch.from_numpy(rng.normal(scale=0.05, size=(40, 50)).astype(np.float32)),
        "running_var": torch.from_numpy(rng.uniform(1, 900, 50).astype(np.float32)),
        "counter": torch.tensor(2**40 + 1),
    }
    return GlobalModel(
        BackboneSpec(), backbone, torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    )


def trained(model: GlobalModel) -> ClientUpdate:
    """Changes of every size: from what float16 cannot tell to what it can just hold."""
    rng = np.random.default_rng(2)

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        size = 10.0 ** rng.uniform(-10, 4.5, tensor.shape) * rng.choice([-1, 0, 1], tensor.shape)
        return tensor + torch.from_numpy(size.astype(np.float32))

    backbone = {
        name: moved(tensor) if tensor.is_floating_point() else tensor + 3
        for name, tensor in model.backbone.items()
    }
    return ClientUpdate(backbone, moved(model.global_proxies), 5, torch.full((2, 5), 1 / 3))


def double(tensor: torch.Tensor) -> Doubles:
    return tensor.numpy().astype(np.float64)


def test_every_number_arrives_within_the_bound() -> None:
    model = start()
    update = trained(model)
    change = to_change(update, model)
    assert {tensor.dtype for tensor in change.backbone.values()} == {torch.float16, torch.int64}
    assert change.global_proxies.dtype == torch.float16
    got = from_change(change, model)
    triples = [
        (model.backbone[name], update.backbone[name], got.backbone[name])
        for name in ("weight", "running_var")
    ]
    triples.append((model.global_proxies, update.global_proxies, got.global_proxies))
    worst = 0.0
    for before, after, arrived in triples:
        assert arrived.dtype == torch.float32
        delta = double(after) - double(before)
        error = np.abs(double(arrived) - double(after))
        rounding = 2.0**-24 * (np.abs(delta) * (1 + 2.0**-10) + np.abs(double(arrived)))
        bound = 2.0**-11 * np.abs(delta) + 2.0**-25 + rounding
        assert (error <= bound).all()
        worst = max(worst, float((error / bound).max()))
    assert worst > 0.8  # the bound is no looser than it has to be
    assert torch.equal(got.backbone["counter"], update.backbone["counter"])
    assert got.local_proxies is update.local_proxies
    assert got.images == 5


def test_an_unchanged_model_arrives_bit_for_bit() -> None:
    model = start()
    same = ClientUpdate(dict(model.backbone), model.global_proxies, 5)
    got = from_change(to_change(same, model), model)
    for name, tensor in model.backbone.items():
        assert torch.equal(got.backbone[name], tensor)
    assert torch.equal(got.global_proxies, model.global_proxies)


@pytest.mark.parametrize("change", [65520.0, -7e4, float("inf"), float("nan")])
def test_a_change_beyond_float16_is_refused(change: float) -> None:
    model = start()
    update = ClientUpdate(dict(model.backbone), model.global_proxies.clone(), 5)
    update.global_proxies[1, 2] += change
    with pytest.raises(NonFiniteError, match=r"Φ changed by more than 65504 .* set float32"):
        to_change(update, model)


def test_float32_is_the_default_and_changes_nothing() -> None:
    model = start()
    update = trained(model)
    assert as_it_arrives(update, model, TrainConfig()) is update
    half = dataclasses.replace(TrainConfig(), update_dtype="float16")
    assert not torch.equal(as_it_arrives(update, model, half).global_proxies, update.global_proxies)
