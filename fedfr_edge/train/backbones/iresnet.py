"""IResNet: ArcFace's residual network (Deng et al., CVPR 2019) with 18, 34, 50 or 100 layers.

Names and shapes of all parameters are those of the public arcface_torch weights, which load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedfr_edge.train.backbones.batch_norm import BatchNorm2d
from fedfr_edge.train.backbones.prelu import PReLU
from fedfr_edge.train.backbones.spec import BackboneSpec

BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
}
"""Residual blocks in each of the four stages."""


class IBasicBlock(nn.Module):
    """``shortcut(x) + BN(conv_stride(PReLU(BN(conv(BN x)))))``; the second convolution has the stride."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.prelu = PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn3 = BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or before != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, channels, 1, stride=stride, bias=False), BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """float32 (n, before, h, w) to float32 (n, channels, ⌈h/stride⌉, ⌈w/stride⌉)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return out + shortcut


class IResNet(nn.Module):
    """float32 (n, 3, s, s) with s = ``spec.input_size`` to float32 (n, dim), not normalised."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        width = spec.width
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.prelu = PReLU(width)
        before = width
        for number, blocks in enumerate(BLOCKS[spec.name], start=1):
            channels = width * 2 ** (number - 1)
            stage = [
                IBasicBlock(before if i == 0 else channels, channels, 2 if i == 0 else 1)
                for i in range(blocks)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            before = channels
        self.bn2 = BatchNorm2d(before)
        self.fc = nn.Linear(before * spec.final_side**2, spec.dim)
        self.features = nn.BatchNorm1d(spec.dim)
        # The published network fixes this scale at 1: only the direction of an embedding matters.
        self.features.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch."""
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        out: Tensor = self.features(self.fc(torch.flatten(self.bn2(x), 1)))
        return out


def initialise(net: IResNet, generator: torch.Generator) -> None:
    """Convolutions N(0, 0.1²), the linear layer Xavier-uniform with bias 0, PReLU 0.25, BatchNorm 1 and 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1, generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
