"""The CPU's own PReLU gradient against torch's, float64 and finite differences."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fedfr_edge.train.backbones import prelu
from fedfr_edge.train.backbones.prelu import PReLU

SHAPES = [(5, 3, 6, 4), (1, 3, 5, 5), (7, 3), (4, 3, 9)]


def both(shape: tuple[int, ...], dtype: torch.dtype, layout: torch.memory_format) -> list[list[torch.Tensor]]:
    """[output, gradient by x, gradient by w] of torch's layer and of ours."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(shape, generator=generator, dtype=dtype)
    x.view(-1)[::4] = 0  # where the two sides meet
    grad = torch.randn(shape, generator=generator, dtype=dtype)
    if len(shape) == 4:
        x = x.to(memory_format=layout)
    results = []
    for layer in (nn.PReLU(3, dtype=dtype), PReLU(3, dtype=dtype)):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([0.25, -0.1, 1.5]))
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        out.backward(grad)
        assert leaf.grad is not None
        assert layer.weight.grad is not None
        results.append([out.detach(), leaf.grad, layer.weight.grad])
    return results


@pytest.mark.parametrize("piece", [1, 100, 1 << 18])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_torch(
    piece: int, shape: tuple[int, ...], layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelu, "_PIECE", piece)
    theirs, ours = both(shape, torch.float32, layout)
    assert torch.equal(theirs[0], ours[0])
    assert torch.equal(theirs[1], ours[1])
    torch.testing.assert_close(theirs[2], ours[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_finite_differences(channels: int) -> None:
    layer = PReLU(channels, dtype=torch.float64)
    x = torch.randn((4, 3, 5, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.where(x.abs() < 1e-3, torch.ones_like(x), x).requires_grad_()
    assert torch.autograd.gradcheck(prelu._CpuPReLU.apply, (x, layer.weight))


def test_a_state_dict_is_torchs_own() -> None:
    layer, torchs = PReLU(3), nn.PReLU(3)
    torchs.load_state_dict(layer.state_dict())
    assert list(layer.state_dict()) == ["weight"]


def test_outside_training_it_is_torchs_operation() -> None:
    layer = PReLU(3)
    x = torch.randn(2, 3, 4, 4).requires_grad_()
    assert "CpuPReLU" in type(layer(x).grad_fn).__name__
    assert "CpuPReLU" not in type(copy.deepcopy(layer).eval()(x).grad_fn).__name__
    exported = torch.export.export(nn.Sequential(layer).eval(), (x.detach(),))
    assert "prelu" in str(exported.graph)
