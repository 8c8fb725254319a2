"""Hard negatives (D_HN): the public faces that the global model takes for a client's own.

Exact: every public image is compared with every local one. Blockwise: memory does not grow with
the number of public images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedfr_edge.types import Progress, no_progress

_LOCAL_BLOCK = 4096
_PUBLIC_BLOCK = 4096
"""Embeddings compared at a time: 64 MB of cosines, large enough for a matrix product at full speed."""


@dataclass
class HardNegatives:
    """The mined public images.

    Attributes:
        rows: their row numbers, int64 (h,), ascending.
        cosines: the largest cosine of each with a local image, float32 (h,).
        embeddings: their unit embeddings under Θ_g, float32 (h, d).
    """

    rows: npt.NDArray[np.int64]
    cosines: Tensor
    embeddings: Tensor


def best_cosines(public: Tensor, local: Tensor, room: Tensor | None = None) -> Tensor:
    """The largest cosine of each public embedding with any local one: float32 (p,).

    Args:
        public: unit rows (p, d).
        local: unit rows (n, d), n ≥ 1.
        room: from :func:`room_for`, to be used again by the next call.
    """
    best = public.new_full((len(public),), -torch.inf)
    cosines = room_for(local) if room is None else room
    for rows, found in zip(torch.split(public, _PUBLIC_BLOCK), torch.split(best, _PUBLIC_BLOCK), strict=True):
        for block in torch.split(local, _LOCAL_BLOCK):
            # One buffer for all products: a fresh one each time costs as much as looking at it, and an
            # allocator that puts something small into the one before grows by a buffer a block.
            product = cosines.view(-1)[: len(rows) * len(block)].view(len(rows), len(block))
            torch.mm(rows, block.T, out=product)
            torch.maximum(found, product.amax(dim=1), out=found)
    return best


def room_for(local: Tensor) -> Tensor:
    """Room for the cosines of a block of public embeddings with a block of ``local``."""
    return local.new_empty((_PUBLIC_BLOCK, min(len(local), _LOCAL_BLOCK)))


def _regrouped(blocks: Iterable[Tensor], arrived: Callable[[int], None]) -> Iterator[Tensor]:
    """The same rows in blocks of :data:`_PUBLIC_BLOCK` or a little more: a small block's product is slow."""
    waiting: list[Tensor] = []
    done = 0
    for block in blocks:
        waiting.append(block)
        done += len(block)
        arrived(done)
        if sum(map(len, waiting)) >= _PUBLIC_BLOCK:
            joined = waiting[0] if len(waiting) == 1 else torch.cat(waiting)
            waiting.clear()
            yield joined
    if waiting:
        yield torch.cat(waiting)


def _joined(parts: list[Tensor]) -> Tensor:
    """``torch.cat`` that lets go of each part as it is copied, so that many hits are not held twice."""
    result = parts[0].new_empty((sum(map(len, parts)), *parts[0].shape[1:]))
    end = len(result)
    while parts:
        part = parts.pop()
        result[end - len(part) : end] = part
        end -= len(part)
    return result


def mine(
    public_blocks: Iterable[Tensor],
    local: Tensor,
    *,
    threshold: float,
    total: int = 0,
    progress: Progress = no_progress,
    what: str = "mining",
) -> HardNegatives:
    """Every public image whose cosine with at least one local image **exceeds** the threshold.

    Args:
        public_blocks: unit embeddings of the public images under Θ_g, blocks (≤ batch, d) in the
            order of their rows; consumed one at a time.
        local: unit embeddings of D_l under the same network, (n, d).
        threshold: t_HN. No cosine exceeds 1: with 1 or more there are none, and no block is asked for.
        total: public images in all, for ``progress`` only.
        progress: told after each block.
        what: name of this work for ``progress``.
    """
    rows: list[Tensor] = []
    cosines: list[Tensor] = []
    embeddings: list[Tensor] = []
    done = 0

    def arrived(count: int) -> None:
        progress(what, count, total)

    blocks = _regrouped(public_blocks, arrived) if threshold < 1 else ()
    room = room_for(local) if threshold < 1 else None
    for block in blocks:
        best = best_cosines(block, local, room)
        hit = torch.nonzero(best > threshold).flatten()
        rows.append(hit + done)
        cosines.append(best[hit])
        embeddings.append(block[hit])
        done += len(block)
    if not rows:
        nothing = local.new_zeros(0)
        return HardNegatives(np.zeros(0, dtype=np.int64), nothing, local.new_zeros((0, local.shape[1])))
    return HardNegatives(torch.cat(rows).cpu().numpy(), _joined(cosines), _joined(embeddings))


class SharedEmbeddings:
    """Public embeddings that the clients of one process share within a round.

    All clients mine the same public images with the same Θ_g, so in one process the second client
    need not embed them again. Costs 4·Ng·d bytes; changes no result.
    One instance serves one public set.
    """

    def __init__(self) -> None:
        self._key, self._blocks = "", list[Tensor]()

    def blocks(self, key: str, compute: Callable[[], Iterator[Tensor]]) -> list[Tensor]:
        """The blocks for ``key`` (the sha256 of Θ_g), computed at its first use only."""
        if key != self._key:
            self._blocks = []  # Let go of the old ones before the new ones need the memory.
            self._blocks, self._key = list(compute()), key
        return self._blocks
