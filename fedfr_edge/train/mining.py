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
"""Local embeddings compared at a time; with a public block of 256 that is 4 MB of cosines."""


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


def best_cosines(public: Tensor, local: Tensor) -> Tensor:
    """The largest cosine of each public embedding with any local one: float32 (p,).

    Args:
        public: unit rows (p, d).
        local: unit rows (n, d), n ≥ 1.
    """
    best = torch.full((len(public),), -torch.inf, device=public.device)
    for block in torch.split(local, _LOCAL_BLOCK):
        best = torch.maximum(best, (public @ block.T).amax(dim=1))
    return best


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
    for block in public_blocks if threshold < 1 else ():
        best = best_cosines(block, local)
        hit = torch.nonzero(best > threshold).flatten()
        rows.append(hit + done)
        cosines.append(best[hit])
        embeddings.append(block[hit])
        done += len(block)
        progress(what, done, total)
    if not rows:
        nothing = local.new_zeros(0)
        return HardNegatives(np.zeros(0, dtype=np.int64), nothing, local.new_zeros((0, local.shape[1])))
    return HardNegatives(torch.cat(rows).cpu().numpy(), torch.cat(cosines), torch.cat(embeddings))


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
