"""How a process that trains uses its CPU."""

from __future__ import annotations

import torch

from fedfr_edge.train.memory import keep_freed_memory


def set_threads(count: int) -> None:
    """Use ``count`` CPU threads in this process; for commands, never called by the library.

    More threads than free cores slow training down badly, and another count can change the last
    bits of a result. With them goes :func:`fedfr_edge.train.memory.keep_freed_memory`: nothing that
    trains on a CPU wants one without the other.
    """
    torch.set_num_threads(count)
    keep_freed_memory()
