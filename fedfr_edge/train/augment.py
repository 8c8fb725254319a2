"""Training images as a camera might have seen them: vectorised, seeded, uint8 in and out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How strong each change may be; 0 switches it off, with its work.

    Attributes:
        shift: largest shift to each side, as a share of the image's side.
        scale: largest change of size, 0.1 for 90 % to 110 %.
        rotate: largest rotation in degrees.
        light: largest change of brightness and of contrast, 0.2 for ±20 %.
        colour: largest change of saturation, and half as much of each channel's gain.
        downscale: share of images that lose detail: shrunk to 1/2 or 1/4 and enlarged again.
        erase: share of images with a grey rectangle of up to half the side over them.
    """

    shift: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0
    light: float = 0.0
    colour: float = 0.0
    downscale: float = 0.0
    erase: float = 0.0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change each image by chance.

        Args:
            images: uint8 (n, 112, 112, 3), RGB; not changed.
            generator: CPU generator; the draws do not depend on the device.

        Returns:
            uint8 (n, 112, 112, 3) on the device of ``images``.
        """
        if self == Augmentation():
            return images
        n, device = len(images), images.device

        def uniform(*shape: int) -> Tensor:
            """Between −1 and 1."""
            return (torch.rand((n, *shape), generator=generator) * 2 - 1).to(device)

        def chance(share: float) -> Tensor:
            return (torch.rand(n, generator=generator) < share).to(device)

        x = images.permute(0, 3, 1, 2).float()
        if self.shift or self.scale or self.rotate:
            turn = uniform(1) * self.rotate * (torch.pi / 180)
            x = _warp(x, uniform(2) * self.shift, 1 + uniform(1) * self.scale, turn)
        if self.downscale:
            x = _downscale(x, chance(self.downscale), chance(0.5))
        if self.light:
            x = _contrast(x, 1 + uniform(1) * self.light) * (1 + uniform(1, 1, 1) * self.light)
        if self.colour:
            x = _saturate(x, 1 + uniform(1) * self.colour) * (1 + uniform(3, 1, 1) * self.colour / 2)
        if self.erase:
            x = _erase(x, chance(self.erase), uniform(2), uniform(2), uniform(1))
        return x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _warp(x: Tensor, shift: Tensor, scale: Tensor, turn: Tensor) -> Tensor:
    """Move (n, 2), enlarge (n, 1) and turn (n, 1, radians) about the centre; the border is continued."""
    cos, sin = (turn.cos() / scale)[:, 0], (turn.sin() / scale)[:, 0]
    # grid_sample asks where each output pixel comes from, in units of half the side.
    rows = torch.stack([cos, sin, -2 * shift[:, 0], -sin, cos, -2 * shift[:, 1]], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(rows, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _downscale(x: Tensor, chosen: Tensor, strongly: Tensor) -> Tensor:
    """Lose detail in the ``chosen`` images: by 4 where also ``strongly``, else by 2."""
    result = x.clone()
    for factor, mask in ((2, chosen & ~strongly), (4, chosen & strongly)):
        if bool(mask.any()):
            small = F.avg_pool2d(x[mask], factor)
            result[mask] = F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)
    return result


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * factor[:, :, None, None]


def _saturate(x: Tensor, factor: Tensor) -> Tensor:
    """Away from or towards each pixel's luma (ITU-R BT.601 weights)."""
    luma = (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    return luma + (x - luma) * factor[:, :, None, None]


def _erase(x: Tensor, chosen: Tensor, centre: Tensor, extent: Tensor, grey: Tensor) -> Tensor:
    """A grey rectangle over the ``chosen`` images; 1/8 to 1/2 of the side in each direction."""
    side = x.shape[2]
    half = (0.3125 + 0.1875 * extent) * side / 2
    middle = (centre + 1) / 2 * side
    pixel = torch.arange(side, device=x.device) + 0.5
    inside = (pixel - middle[:, :, None]).abs() < half[:, :, None]  # (n, 2, side): x, then y
    covered = inside[:, 1, :, None] & inside[:, 0, None, :] & chosen[:, None, None]
    return torch.where(covered[:, None], (127.5 * (grey + 1))[:, :, None, None], x)
