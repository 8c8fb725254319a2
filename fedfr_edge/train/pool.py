"""The images of a local round, D_l ∪ D_HN, and what the frozen models say about them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedfr_edge.train import batches
from fedfr_edge.train.backbones.backbone import Backbone
from fedfr_edge.train.embed import embed


@dataclass
class Pool:
    """What a client trains on in a round, on the device.

    Attributes:
        images: uint8 (n, 112, 112, 3), local ones first.
        labels: int64 (n,): local identities from 0, then Kl + row of Φ.
        anchors: None, or unit embeddings under Θ_g and under the client's previous Θ_l, each
            float32 (2, n, d): view 0 as the image is, view 1 mirrored.
    """

    images: Tensor
    labels: Tensor
    anchors: tuple[Tensor, Tensor] | None = None

    def anchors_of(self, batch: batches.Batch) -> tuple[Tensor, Tensor] | None:
        """f_glob and f_prev of a batch, each float32 (b, d), in the views that the batch sees."""
        if self.anchors is None:
            return None
        view = batch.flipped.long()
        return self.anchors[0][view, batch.rows], self.anchors[1][view, batch.rows]


def embed_views(net: Backbone, images: Tensor, *, batch: int, unflipped: Tensor | None = None) -> Tensor:
    """Unit embeddings of both views of all images, float32 (2, n, d).

    An image is only ever seen as it is or mirrored, so a frozen network need see each image twice a
    round, however many epochs follow.

    Args:
        net: frozen, in eval mode.
        images: uint8 (n, 112, 112, 3).
        batch: images at a time.
        unflipped: view 0, float32 (n, d), where it is known already.
    """
    device = images.device
    if unflipped is None:
        unflipped = embed(net, images, batch=batch, device=device)
    return torch.stack([unflipped, embed(net, images, batch=batch, device=device, flip=True)])
