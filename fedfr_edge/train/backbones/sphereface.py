"""SphereFace's plain residual CNN (Liu et al., CVPR 2017, table 2) with 10, 20 or 64 layers.

Four stages; each begins with a stride-2 3×3 convolution with bias and PReLU, then come residual blocks
``x + PReLU(conv(PReLU(conv x)))`` without bias and without BatchNorm. One linear layer gives the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedfr_edge.train.backbones.prelu import PReLU
from fedfr_edge.train.backbones.spec import BackboneSpec

BLOCKS = {
    "sphereface10": (0, 1, 2, 0),
    "sphereface20": (1, 2, 4, 1),
    "sphereface64": (3, 7, 16, 3),
}
"""Residual blocks in each of the four stages."""


class ResidualBlock(nn.Module):
    """``x + PReLU(conv2(PReLU(conv1 x)))``, float32 (n, channels, h, w) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.prelu1 = PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.prelu2 = PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        out: Tensor = x + self.prelu2(self.conv2(self.prelu1(self.conv1(x))))
        return out


class SphereFace(nn.Module):
    """float32 (n, 3, s, s) with s = ``spec.input_size`` to float32 (n, dim), not normalised."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        widths = [spec.width * factor for factor in (1, 2, 4, 8)]
        before = 3
        for number, (channels, blocks) in enumerate(zip(widths, BLOCKS[spec.name], strict=True), start=1):
            stage = nn.Sequential(
                nn.Conv2d(before, channels, 3, stride=2, padding=1),
                PReLU(channels),
                *(ResidualBlock(channels) for _ in range(blocks)),
            )
            self.add_module(f"layer{number}", stage)
            before = channels
        self.fc = nn.Linear(before * spec.final_side**2, spec.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch."""
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        out: Tensor = self.fc(torch.flatten(x, 1))
        return out


def initialise(net: SphereFace, generator: torch.Generator) -> None:
    """Convolutions of residual blocks N(0, 0.01²), other weights Xavier-uniform, biases 0, PReLU 0.25."""
    for module in net.modules():
        if isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
        elif isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.normal_(module.weight, std=0.01, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
