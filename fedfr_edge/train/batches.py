"""One shuffled pass over a pool of images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """What one step trains on.

    Attributes:
        rows: of the pool, int64 (b,).
        flipped: which of them are seen mirrored, bool (b,).
    """

    rows: Tensor
    flipped: Tensor


def epoch(
    size: int, batch: int, generator: torch.Generator, *, drop_last: bool = False, flip: bool = True
) -> list[Batch]:
    """Shuffle ``size`` images and cut them into batches.

    Batch normalisation needs two images, so a last batch of one joins the batch before it, and a
    pool of one image is trained as that image beside its mirror image. ``drop_last`` leaves out a
    last batch that is not full, but never the only batch: a client with fewer images than ``batch``
    trains too.

    Args:
        size: images in the pool, at least 1.
        batch: images in a step, at least 2.
        generator: source of the order and of the flips; the same number of draws for every ``flip``.
        drop_last: see above.
        flip: mirror each image with probability 1/2.
    """
    order = torch.randperm(size, generator=generator)
    flipped = torch.rand(size, generator=generator) < 0.5
    if not flip:
        flipped[:] = False
    if size == 1:
        return [Batch(torch.zeros(2, dtype=torch.int64), torch.tensor([False, True]))]
    parts = list(torch.split(order, batch))
    if len(parts) > 1 and len(parts[-1]) < batch and drop_last:
        parts.pop()
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
    return [Batch(part, flipped[part]) for part in parts]


def mirrored(images: Tensor, flipped: Tensor) -> Tensor:
    """Images uint8 (n, 112, 112, 3) with the ``flipped`` ones (bool (n,)) mirrored left to right."""
    return torch.where(flipped[:, None, None, None], images.flip(2), images)
