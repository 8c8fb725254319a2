"""Where chance comes from: every random stream is named by (seed, round, client, purpose).

No global generator is used anywhere in training, so a round gives the same numbers whether its
clients run in one process, in many, or after a kill and a resume.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RoundSeed:
    """The root of the random streams of one client in one round.

    Attributes:
        seed: the run's seed.
        round: number of the round, from 1.
        client: the client's own id, for example ``"client-00"``.
    """

    seed: int
    round: int
    client: str

    def digest(self, stream: str) -> bytes:
        """32 bytes that depend on all of (seed, round, client, stream) and on nothing else."""
        # The lengths keep ("a", "bc") apart from ("ab", "c").
        text = f"{self.seed}|{self.round}|{len(self.client)}:{self.client}|{len(stream)}:{stream}"
        return hashlib.sha256(text.encode()).digest()

    def integer(self, stream: str) -> int:
        """A seed below 2**63 for code that wants a plain number."""
        return int.from_bytes(self.digest(stream)[:8], "little") >> 1

    def generator(self, stream: str) -> torch.Generator:
        """A CPU :class:`torch.Generator` for ``stream``, at its start."""
        import torch

        return torch.Generator().manual_seed(self.integer(stream))

    def numpy(self, stream: str) -> np.random.Generator:
        """A numpy generator for ``stream``, at its start."""
        words = np.frombuffer(self.digest(stream), dtype="<u4")
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(word) for word in words])))


def drawn(clients: int, share: float) -> int:
    """How many of so many clients take part in a round: ``share`` of them, rounded, at least one."""
    return min(clients, max(1, math.floor(share * clients + 0.5)))


def participants(clients: Iterable[str], share: float, seed: int, round: int) -> list[str]:
    """Who takes part in a round: ``share`` of the clients, at least one, sorted.

    The draw depends on (seed, round) and on the set of clients, so a resumed run draws the same ones.
    """
    names = sorted(clients)
    count = drawn(len(names), share)
    if count == len(names):
        return names
    chosen = RoundSeed(seed, round, "server").numpy("participants").choice(len(names), count, replace=False)
    return [names[index] for index in sorted(chosen)]
