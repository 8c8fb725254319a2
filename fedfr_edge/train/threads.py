"""How many threads torch uses on the CPU."""

from __future__ import annotations

import torch


def set_threads(count: int) -> None:
    """Use ``count`` CPU threads in this process; for commands, never called by the library.

    More threads than free cores slow training down badly, and another count can change the last
    bits of a result.
    """
    torch.set_num_threads(count)
