"""The images of a local round, D_l ∪ D_HN, and what the frozen models say about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedfr_edge.train import batches
from fedfr_edge.train.backbones.backbone import Backbone
from fedfr_edge.train.embed import as_tensor, embed
from fedfr_edge.train.images import ImageSource, Rows
from fedfr_edge.types import FACE_SIZE

_IMAGE_BYTES = FACE_SIZE * FACE_SIZE * 3


class PoolImages:
    """Images that stay on the device where they fit a budget, and are read batch by batch where not.

    Args:
        source: uint8 (n, 112, 112, 3).
        device: where training runs.
        budget: bytes that may be held on the device.
    """

    def __init__(self, source: ImageSource, device: torch.device, budget: float) -> None:
        self.device, self._source = device, source
        fits = len(source) * _IMAGE_BYTES <= budget
        self._held = as_tensor(source, slice(None), device) if fits else None

    @property
    def held(self) -> bool:
        """Whether all of them are on the device."""
        return self._held is not None

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Tensor:
        """Images uint8 (b, 112, 112, 3) on the device."""
        if self._held is not None:
            return self._held[torch.from_numpy(rows).to(self.device)]
        return as_tensor(self._source, rows, self.device)


@dataclass
class _Chosen:
    """Some rows of them, for :func:`embed`."""

    images: PoolImages
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Rows, /) -> Tensor:
        return self.images[self.rows[rows]]


@dataclass
class Pool:
    """What a client trains on in a round.

    Attributes:
        images: local ones first.
        labels: int64 (n,) on the device: local identities from 0, then Kl + row of Φ.
        anchors: unit embeddings under Θ_g and, after it, under the client's previous Θ_l, as far as a
            loss needs them, each float32 (2, n, d): view 0 as the image is, view 1 mirrored. Views that
            no batch will show are NaN.
    """

    images: PoolImages
    labels: Tensor
    anchors: tuple[Tensor, ...] = field(default=())

    def anchors_of(self, batch: batches.Batch) -> tuple[Tensor, ...]:
        """The anchors of a batch, each float32 (b, d), in the views that the batch sees."""
        device = self.labels.device
        view, rows = batch.flipped.to(device).long(), batch.rows.to(device)
        return tuple(anchor[view, rows] for anchor in self.anchors)


def views_of(epochs: Sequence[Sequence[batches.Batch]], size: int) -> Tensor:
    """Which views the batches will show: bool (2, size), row 0 as the image is, row 1 mirrored."""
    shown = torch.zeros((2, size), dtype=torch.bool)
    for batch in (batch for epoch in epochs for batch in epoch):
        shown[batch.flipped.long(), batch.rows] = True
    return shown


def embed_views(
    net: Backbone,
    images: PoolImages,
    shown: Tensor,
    *,
    batch: int,
    known: Tensor | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Unit embeddings of the views that are shown, float32 (2, n, d); NaN for the others.

    An image is only ever seen as it is or mirrored, so a frozen network need see each image at most
    twice a round, however many epochs follow.

    Args:
        net: frozen, in eval mode.
        images: the pool's.
        shown: bool (2, n), see :func:`views_of`.
        batch: images at a time.
        known: view 0, float32 (n, d), where it is known already.
        told: called with how many views are embedded, of how many, after each block.
    """
    device = images.device
    result = torch.full((2, len(images), net.spec.dim), torch.nan, device=device)
    if known is not None:
        result[0] = known
        shown = torch.stack([torch.zeros_like(shown[0]), shown[1]])
    before, total = 0, int(shown.sum())

    def report(_: str, done: int, of: int) -> None:
        told(before + done, total)

    for view in (0, 1):
        rows = np.flatnonzero(shown[view].numpy())
        if len(rows):
            result[view, torch.from_numpy(rows).to(device)] = embed(
                net, _Chosen(images, rows), batch=batch, device=device, flip=bool(view), progress=report
            )
        before += len(rows)
    return result
