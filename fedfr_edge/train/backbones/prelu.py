"""PReLU with a faster backward pass on the CPU.

PyTorch's own takes 5 to 6 ns an element there, a quarter of MobileFaceNet's training step: it branches
for every element. The same arithmetic in four operations that the CPU does many elements at a time,
on pieces small enough for its cache, takes about 1 ns.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_PIECE = 1 << 18
"""Elements worked on at a time: 1 MB in float32."""


class PReLU(nn.PReLU):
    """``max(0, x) + w·min(0, x)`` with one w a channel: torch's layer, name for name and bit for bit.

    In training on the CPU the gradient by ``x`` is torch's bit for bit, the one by ``w`` to rounding.
    Everywhere else (evaluation, a GPU, ``torch.compile``, ONNX export) this is torch's own operation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Floating (n, channels, …) to the same shape and memory format."""
        if (
            self.training
            and x.device.type == "cpu"
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and not torch._C._get_tracing_state()
        ):
            out: Tensor = _CpuPReLU.apply(x, self.weight)  # type: ignore[no-untyped-call]
            return out
        return F.prelu(x, self.weight)


class _CpuPReLU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.prelu(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return prelu_backward(grad, *ctx.saved_tensors)


def prelu_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of PReLU by ``x`` and by ``weight``.

    ``∂/∂x = g`` where x > 0, ``w·g`` elsewhere; ``∂/∂w = Σ g·x`` over a channel's x ≤ 0.

    Args:
        grad: g, shape of ``x``.
        x: (n, channels, …).
        weight: w, (channels,), or (1,) for all channels.

    Returns:
        Shaped as ``x`` and as ``weight``.
    """
    slopes = weight.view(-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else weight
    others = [axis for axis in range(x.ndim) if axis != 1 or len(weight) == 1]
    by_x, by_weight = torch.empty_like(x), torch.zeros_like(weight)
    images = max(1, _PIECE // max(1, x[:1].numel()))
    below = torch.empty_like(x[:images])  # g where x ≤ 0, and 0 elsewhere
    parts = zip(torch.split(grad, images), torch.split(x, images), torch.split(by_x, images), strict=True)
    for some_grad, some_x, result in parts:
        low = below[: len(some_x)]
        torch.ops.aten.threshold_backward.grad_input(some_grad, some_x, 0, grad_input=result)
        torch.sub(some_grad, result, out=low)
        result.addcmul_(low, slopes)
        by_weight += low.mul_(some_x).sum(others)
    return by_x, by_weight
