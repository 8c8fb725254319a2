"""The CPU's own batch normalisation against torch's and float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from fedfr_edge.train.backbones import batch_norm
from fedfr_edge.train.backbones.batch_norm import BatchNorm2d


def layer(channels: int, dtype: torch.dtype = torch.float32) -> BatchNorm2d:
    generator = torch.Generator().manual_seed(1)
    made = BatchNorm2d(channels, dtype=dtype)
    with torch.no_grad():
        made.weight.copy_(torch.rand(channels, generator=generator) + 0.5)
        made.bias.copy_(torch.randn(channels, generator=generator))
        made.running_mean.copy_(torch.randn(channels, generator=generator))
    return made


def images(shape: tuple[int, ...], mean: float, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x, grad = (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))
    return (x + mean).to(memory_format=torch.channels_last), grad.to(memory_format=torch.channels_last)


def everything(norm: nn.BatchNorm2d, x: Tensor, grad: Tensor) -> list[Tensor]:
    """[output, ∂/∂x, ∂/∂weight, ∂/∂bias, running mean, running variance]."""
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    out = norm(leaf)
    out.backward(grad)
    assert leaf.grad is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return [out.detach(), leaf.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]


def apart(found: list[Tensor], exact: list[Tensor]) -> float:
    return max(
        float((a.double() - b.double()).abs().max() / b.double().abs().max())
        for a, b in zip(found, exact, strict=True)
    )


@pytest.mark.parametrize("piece", [1, 64, 1 << 17])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (5, 3, 4, 6), (3, 40, 2, 2)])
def test_it_is_torchs_layer_in_every_value(
    shape: tuple[int, ...], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_norm, "_PIECE", piece)
    ours = layer(shape[1], torch.float64)
    theirs = nn.BatchNorm2d(shape[1], dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    x, grad = images(shape, 0.5, torch.float64)
    found, expected = everything(ours, x, grad), everything(theirs, x, grad)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 1


def test_finite_differences_agree() -> None:
    norm = layer(3, torch.float64)
    x, _ = images((3, 3, 2, 2), 1.0, torch.float64)
    # gradcheck's numerical half goes without gradients only through an input that needs none: keep the mode.
    assert torch.autograd.gradcheck(
        lambda x, w, b: batch_norm._CpuBatchNorm.apply(x, w, b, 1e-5)[0],  # type: ignore[no-untyped-call]
        (x.requires_grad_(), norm.weight, norm.bias),
        check_batched_grad=False,
    )


@pytest.mark.parametrize("mean", [0.0, 3.0, 30.0])
def test_it_keeps_float32s_precision_where_torch_loses_a_digit(mean: float) -> None:
    x, grad = images((16, 8, 56, 56), mean)
    ours = layer(8)
    theirs, exact = nn.BatchNorm2d(8), nn.BatchNorm2d(8, dtype=torch.float64)
    for other in (theirs, exact):
        other.load_state_dict(ours.state_dict())
    truth = everything(exact, x.double(), grad.double())
    assert apart(everything(ours, x, grad), truth) < 2e-6 * (1 + mean)
    # If this stops failing, torch has mended its sums and this file may go.
    assert apart(everything(theirs, x, grad), truth) > 3e-6


def test_evaluation_and_contiguous_images_are_torchs_bit_for_bit() -> None:
    ours = layer(3)
    theirs = nn.BatchNorm2d(3)
    theirs.load_state_dict(ours.state_dict())
    x, _ = images((4, 3, 5, 5), 0.0)
    assert torch.equal(copy.deepcopy(ours).eval()(x), copy.deepcopy(theirs).eval()(x))
    assert torch.equal(ours(x.contiguous()), theirs(x.contiguous()))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert torch.equal(ours.running_var, theirs.running_var)
