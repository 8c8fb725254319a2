"""Cosines of many pairs on a GPU, for :mod:`fedfr_edge.evaluation`, which itself knows no torch."""

from __future__ import annotations

import torch

from fedfr_edge.evaluation.products import Found
from fedfr_edge.types import Embeddings

_TILE = 8192  # 268 MB of scores: large enough that a GPU is busy, small beside its memory


class TorchProducts:
    """:class:`~fedfr_edge.evaluation.products.Products` by torch, in float32.

    Scores stay on the device; what exceeds the floor comes back. One block at a time, in one buffer.

    Args:
        device: torch's name of it.
        tile: embeddings on each side of a block.
    """

    def __init__(self, device: str, tile: int = _TILE) -> None:
        self.tile, self.workers = tile, 1
        self._device = torch.device(device)
        self._scores = torch.empty(tile * tile, device=self._device)

    def put(self, embeddings: Embeddings) -> torch.Tensor:
        """A copy on the device."""
        return torch.tensor(embeddings, dtype=torch.float32, device=self._device)

    def above(self, left: torch.Tensor, right: torch.Tensor, floor: float, every: int, first: int) -> Found:
        """See :class:`~fedfr_edge.evaluation.products.Products`."""
        scores = self._scores[: len(left) * len(right)]
        torch.mm(left, right.T, out=scores.view(len(left), len(right)))
        index = torch.nonzero(scores > floor).reshape(-1)
        sample = scores[first::every] if every else scores[:0]
        return Found(
            scores.numel(),
            scores[index].cpu().numpy(),
            index.cpu().numpy(),
            sample.cpu().numpy().copy(),
        )
