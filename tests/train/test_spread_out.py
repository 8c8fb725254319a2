"""FedFace's regulariser against loops, finite differences, and a case worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from fedfr_edge.errors import TrainingError
from fedfr_edge.train.spread_out import spread_gradient, spread_loss, spread_out


def rows(count: int, dim: int, seed: int = 1) -> torch.Tensor:
    """Rows of different lengths that lie close together, so that the margin is exceeded by many."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(dim, generator=generator, dtype=torch.float64)
    found = direction + 0.8 * torch.randn((count, dim), generator=generator, dtype=torch.float64)
    return found * torch.linspace(0.5, 3, count, dtype=torch.float64)[:, None]


def loss_by_loops(values: torch.Tensor, margin: float) -> float:
    total = 0.0
    for i, one in enumerate(values.tolist()):
        for j, other in enumerate(values.tolist()):
            if i != j:
                dot = sum(a * b for a, b in zip(one, other, strict=True))
                total += max(0.0, dot / math.hypot(*one) / math.hypot(*other) - margin) ** 2
    return total


@pytest.mark.parametrize("margin", [-0.2, 0.3, 0.7])
def test_the_loss_is_the_written_sum(margin: float) -> None:
    values = rows(6, 5)
    assert spread_loss(values, margin).item() == pytest.approx(loss_by_loops(values, margin), rel=1e-12)
    assert loss_by_loops(values, margin) > 0


@pytest.mark.parametrize("margin", [-0.2, 0.3, 0.7])
def test_the_gradient_agrees_with_finite_differences(margin: float) -> None:
    values, step = rows(5, 4), 1e-6
    expected = torch.zeros_like(values)
    for index in np.ndindex(*values.shape):
        for sign in (1, -1):
            moved = values.clone()
            moved[index] += sign * step
            expected[index] += sign * loss_by_loops(moved, margin) / (2 * step)
    found = spread_gradient(values, margin)
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert found.abs().max() > 0.1


def test_two_proxies_by_hand() -> None:
    """Unit vectors 60° apart, ν = 0: R = 2·(1/2)², ∂R/∂w_1 = 4·(1/2)·(w_2 − w_1/2)."""
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.5, math.sqrt(3) / 2])
    moved = spread_out({"a": one[None], "b": other[None]}, margin=0.0, rate=0.1, steps=1)
    assert torch.allclose(moved["a"][0], one - 0.1 * 2 * (other - one / 2), atol=1e-7)
    assert torch.allclose(moved["b"][0], other - 0.1 * 2 * (one - other / 2), atol=1e-7)


def test_every_step_spreads_and_steps_add_up() -> None:
    start = {"b": rows(3, 8, 2).float(), "a": rows(2, 8, 3).float()}
    losses = []
    for steps in range(6):
        moved = spread_out(start, margin=0.2, rate=0.05, steps=steps)
        losses.append(spread_loss(torch.cat(list(moved.values())).double(), 0.2).item())
    assert all(after < before for before, after in pairwise(losses))
    assert losses[-1] < 0.7 * losses[0]


def test_rows_far_enough_apart_stay_as_they_are() -> None:
    start = {"a": torch.eye(4)[:2] * 3, "b": torch.eye(4)[2:]}
    moved = spread_out(start, margin=0.1, rate=0.5, steps=3)
    assert all(torch.equal(moved[name], start[name]) for name in start)


def test_people_of_one_client_are_spread_too_and_shapes_stay() -> None:
    start = {"a": torch.tensor([[1.0, 0.1], [1.0, -0.1]]), "b": torch.tensor([[-1.0, 0.0]])}
    moved = spread_out(start, margin=0.5, rate=0.1, steps=2)
    assert {name: value.shape for name, value in moved.items()} == {
        name: value.shape for name, value in start.items()
    }
    cosine = torch.nn.functional.cosine_similarity(*moved["a"], dim=0)
    assert cosine < torch.nn.functional.cosine_similarity(*start["a"], dim=0)
    assert torch.equal(moved["b"], start["b"])


def test_the_order_of_clients_and_their_inputs_do_not_matter() -> None:
    start = {name: rows(2, 6, seed).float() for seed, name in enumerate("abc")}
    kept = {name: value.clone() for name, value in start.items()}
    one = spread_out(start, margin=0.0, rate=0.1, steps=3)
    other = spread_out(dict(reversed(start.items())), margin=0.0, rate=0.1, steps=3)
    for name, value in kept.items():
        assert torch.equal(start[name], value)
        assert torch.equal(one[name], other[name])
        assert one[name].dtype == torch.float32


def test_a_row_of_zeros_harms_nobody() -> None:
    start = {"a": torch.zeros(1, 3), "b": torch.tensor([[1.0, 0, 0], [1.0, 0.1, 0]])}
    moved = spread_out(start, margin=0.5, rate=0.1, steps=2)
    assert torch.equal(moved["a"], start["a"])
    assert torch.isfinite(moved["b"]).all()
    assert not torch.equal(moved["b"], start["b"])


def test_what_does_not_fit_is_an_error() -> None:
    assert spread_out({}, margin=0.5, rate=0.1, steps=1) == {}
    for odd in (torch.zeros(2, 4), torch.zeros(3), torch.zeros(1, 1, 3)):
        with pytest.raises(TrainingError, match="shapes"):
            spread_out({"a": torch.ones(2, 3), "b": odd}, margin=0.5, rate=0.1, steps=1)
