"""Batch normalisation that keeps float32's precision on channels-last images on the CPU.

PyTorch's own adds a channel's values one by one in float32 there: its results are off by 5e-6 to 1e-5 of
their size, fifty times more than for contiguous images, and a deep network's gradient by per cents. Here the
sums are those of ``Tensor.sum``, which adds in a tree. It takes twice as long as PyTorch's channels-last
version and less than its contiguous one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_PIECE = 1 << 17
"""Elements worked on at a time: 512 KB in float32, which a core's cache holds."""


class BatchNorm2d(nn.BatchNorm2d):
    """torch's layer, name for name, with its ``affine`` and ``track_running_stats`` on.

    In training on the CPU, channels-last images take the way of this file. Everywhere else (evaluation,
    contiguous images, a GPU, ``torch.compile``, ONNX export) this is torch's own operation.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Floating (n, channels, h, w) to the same shape and memory format."""
        if not (
            self.training
            and input.device.type == "cpu"
            and torch.is_grad_enabled()
            and input.is_contiguous(memory_format=torch.channels_last)
            and not input.is_contiguous()
            and not torch.compiler.is_compiling()
        ):
            return super().forward(input)
        out, mean, variance = _CpuBatchNorm.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        self._follow(mean, variance, input.numel() // input.shape[1])
        result: Tensor = out
        return result

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Move the running statistics; the variance there is the unbiased one, as torch has it."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (values / max(1, values - 1)), self.momentum)


class _CpuBatchNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = _rows(x)
        mean = rows.sum(0) / len(rows)
        squares, room = torch.zeros_like(mean), _room(rows)
        for (part,) in _pieces(rows):
            apart = torch.sub(part, mean, out=room[: len(part)])
            squares += apart.mul_(apart).sum(0)
        variance = squares / len(rows)
        out = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        """∂/∂bias = Σg, ∂/∂weight = Σg·x̂, ∂/∂x = w/σ · (g − mean(g) − x̂·mean(g·x̂)); channel by channel."""
        x, weight, mean, inverse = ctx.saved_tensors
        by_x = torch.empty_like(x)
        rows, grads, results = (
            _rows(x),
            _rows(grad.contiguous(memory_format=torch.channels_last)),
            _rows(by_x),
        )
        by_weight, by_bias, room = torch.zeros_like(mean), torch.zeros_like(mean), _room(rows)
        for part, some_grad in _pieces(rows, grads):
            by_weight += torch.sub(part, mean, out=room[: len(part)]).mul_(some_grad).sum(0)
            by_bias += some_grad.sum(0)
        by_weight *= inverse
        # The same as a·g + b·x + c with one a, b, c for each channel.
        a = weight * inverse
        b = -a * inverse * by_weight / len(rows)
        c = -a * by_bias / len(rows) - b * mean
        for part, some_grad, result in _pieces(rows, grads, results):
            torch.addcmul(c, part, b, out=result)
            result.addcmul_(some_grad, a)
        return by_x, by_weight, by_bias, None


def _rows(x: Tensor) -> Tensor:
    """A view of channels-last (n, c, h, w) as (n·h·w, c)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _count(rows: Tensor) -> int:
    return max(1, _PIECE // rows.shape[1])


def _room(rows: Tensor) -> Tensor:
    return torch.empty_like(rows[: _count(rows)])


def _pieces(*matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(matrix, _count(matrix)) for matrix in matrices), strict=True)
