"""Embeddings of many images under one frozen network, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedfr_edge.train.backbones.backbone import Backbone, normalise
from fedfr_edge.train.images import ImageSource, Rows
from fedfr_edge.types import Progress, no_progress


class DeviceImages(Protocol):
    """Images that come as tensors already: uint8 (n, 112, 112, 3) by row."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> Tensor: ...


Images: TypeAlias = "ImageSource | DeviceImages | Tensor"
"""uint8 (n, 112, 112, 3) RGB, wherever they lie."""

_CPU_PIECE = 16
"""Images that go through a network at a time on the CPU, so that what lies between two layers stays in
its cache: against 128 at a time MobileFaceNet takes two thirds of the time, and a fraction of the memory."""


def as_tensor(images: Images, rows: Rows, device: torch.device) -> Tensor:
    """Rows of ``images`` as a uint8 tensor (n, 112, 112, 3) on ``device``."""
    if isinstance(images, Tensor):
        return images[torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows].to(device)
    block = images[rows]
    if isinstance(block, Tensor):
        return block.to(device)
    # A copy: a memory map is read-only, which torch would warn about.
    return torch.from_numpy(np.array(block, dtype=np.uint8)).to(device)


def embed_blocks(
    net: Backbone,
    images: Images,
    *,
    batch: int,
    device: torch.device,
    flip: bool = False,
) -> Iterator[Tensor]:
    """Unit embeddings, float32 (≤ batch, d) on ``device``, block after block in the images' order.

    Args:
        net: a network in eval mode; its parameters are not touched.
        images: uint8 (n, 112, 112, 3), read one block at a time.
        batch: rows of a block.
        device: where the network is.
        flip: embed the images' mirror views instead.
    """
    for start in range(0, len(images), batch):
        block = as_tensor(images, slice(start, start + batch), device)
        if flip:
            block = block.flip(2)
        with torch.no_grad():
            yield F.normalize(_features(net, block))


def _features(net: Backbone, images: Tensor) -> Tensor:
    if images.device.type != "cpu":
        return net(normalise(images))  # type: ignore[no-any-return]
    return torch.cat([net(normalise(piece)) for piece in torch.split(images, _CPU_PIECE)])


def embed(
    net: Backbone,
    images: Images,
    *,
    batch: int,
    device: torch.device,
    flip: bool = False,
    progress: Progress = no_progress,
    what: str = "embedding",
) -> Tensor:
    """All of :func:`embed_blocks` as one tensor: float32 (n, d) on ``device``."""
    result = torch.empty((len(images), net.spec.dim), device=device)
    done = 0
    for block in embed_blocks(net, images, batch=batch, device=device, flip=flip):
        result[done : done + len(block)] = block
        done += len(block)
        progress(what, done, len(images))
    return result
