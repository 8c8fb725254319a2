"""MobileFaceNet (Chen et al., CCBR 2018) in the wide form of arcface_torch's ``get_mbf``.

Names and shapes of all parameters are those of the public arcface_torch weights, which load strictly.
The doubled names (``layers.2.layers.0.layers.1``) come from there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedfr_edge.train.backbones.batch_norm import BatchNorm2d
from fedfr_edge.train.backbones.prelu import PReLU
from fedfr_edge.train.backbones.spec import BackboneSpec


class _Chain(nn.Module):
    """Modules one after another, under the name ``layers``."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class _Residual(_Chain):
    """The same with a shortcut: ``x + layers(x)``."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


def _linear(
    before: int, after: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1
) -> _Chain:
    """Convolution and BatchNorm."""
    conv = nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False)
    return _Chain(conv, BatchNorm2d(after))


def _block(
    before: int, after: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1
) -> _Chain:
    """Convolution, BatchNorm and PReLU."""
    conv = nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False)
    return _Chain(conv, BatchNorm2d(after), PReLU(after))


def _bottleneck(before: int, inner: int, after: int, stride: int) -> tuple[_Chain, _Chain, _Chain]:
    """1×1 up to ``inner`` channels, 3×3 depthwise with the stride, 1×1 down to ``after``."""
    return (
        _block(before, inner),
        _block(inner, inner, kernel=3, stride=stride, padding=1, groups=inner),
        _linear(inner, after),
    )


def _repeat(channels: int, inner: int, count: int) -> _Chain:
    return _Chain(*(_Residual(*_bottleneck(channels, inner, channels, 1)) for _ in range(count)))


class MobileFaceNet(nn.Module):
    """float32 (n, 3, s, s) with s = ``spec.input_size`` to float32 (n, dim), not normalised.

    The published network at ``width`` 64 has 128 channels in its first stage (its ``scale`` is 2). The last
    depthwise convolution covers the whole feature map: 7×7 at 112 pixels, 4×4 at 56, 2×2 at 28.
    """

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        narrow, wide, last = 2 * spec.width, 4 * spec.width, 8 * spec.width
        self.layers = nn.ModuleList(
            [
                _block(3, narrow, kernel=3, stride=2, padding=1),
                # Two channels per group, not one: so is the published wide network.
                _block(narrow, narrow, kernel=3, padding=1, groups=spec.width),
                _Chain(*_bottleneck(narrow, narrow, narrow, 2)),
                _repeat(narrow, narrow, 4),
                _Chain(*_bottleneck(narrow, wide, wide, 2)),
                _repeat(wide, wide, 6),
                _Chain(*_bottleneck(wide, last, wide, 2)),
                _repeat(wide, wide, 2),
            ]
        )
        self.conv_sep = _block(wide, last)
        self.features = _Chain(
            _linear(last, last, kernel=spec.final_side, groups=last),
            nn.Flatten(),
            nn.Linear(last, spec.dim, bias=False),
            nn.BatchNorm1d(spec.dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch."""
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.features(self.conv_sep(x))
        return out


def initialise(net: MobileFaceNet, generator: torch.Generator) -> None:
    """Convolutions Kaiming-normal (fan out), linear layer Xavier-uniform, PReLU 0.25, BatchNorm 1 and 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
