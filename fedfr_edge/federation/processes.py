"""How many client processes a machine gets, and why.

Importing this module does not load torch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedfr_edge.cores import usable_cores

if TYPE_CHECKING:
    from fedfr_edge.federation.data import Faces
    from fedfr_edge.train.checkpoint import GlobalModel
    from fedfr_edge.train.config import TrainConfig

START_UP = 6.0
"""Seconds that client processes have to save before they are started: each first imports torch and Flower,
which takes two to three seconds of a free core, and longer where cores are busy."""

_FORWARDS_A_STEP = 4.0
"""What an image costs in an epoch, in forward passes: one, twice that for its gradient, and something for
losses and the optimiser."""

_TRIAL = 4
"""Images of the forward pass that is timed."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        processes: how many clients train at a time; 1 means in the server's own process.
        text: one line for the user: what was chosen and why.
    """

    processes: int
    text: str


def choose_processes(
    asked: int, *, threads: int, clients: int, device: str, seconds: float = float("inf")
) -> Choice:
    """How many clients of a round train at a time on this machine.

    On a CPU one process for every ``threads`` cores: a client's steps are too small for several threads to
    help as much. On a GPU one: clients take turns, so that the memory needed is that of one round.

    Args:
        asked: what the user asked for; 0 leaves it to this function.
        threads: torch threads of each process.
        clients: clients in a round.
        device: torch device that they train on.
        seconds: about how long the run takes in one process; below some seconds more do not pay.
    """
    cores = usable_cores()
    fitting = max(1, min(cores // threads, clients))
    on_cpu = device == "cpu"
    pays = seconds * (1 - 1 / fitting) > START_UP
    count = max(1, min(asked, clients)) if asked else fitting if on_cpu and pays else 1
    if asked:
        why = "as asked" if count == asked else _several(clients, "client") + " in a round"
    elif not on_cpu:
        why = f"clients take turns on {device}"
    elif count < fitting:
        why = f"about {seconds:.0f} s of work; starting {fitting} would take as long as they save"
    else:
        few = f", {_several(clients, 'client')} in a round" if clients < cores // threads else ""
        why = _several(cores, "core") + few
    each = " each" if count > 1 else ""
    what = _several(count, "client process", "client processes")
    return Choice(count, f"{what} of {_several(threads, 'thread')}{each} ({why})")


def seconds_of_work(faces: Faces, model: GlobalModel, settings: TrainConfig) -> float:
    """About how many seconds all rounds take in this process on the CPU, from one timed forward pass.

    An estimate to choose by: pools are counted without hard negatives, and nothing but the network counts.
    """
    import torch

    net = model.build()
    images = torch.zeros((_TRIAL, 3, 112, 112))
    times = []
    with torch.no_grad():
        for _ in range(2):  # the first pays for what torch sets up once
            started = time.perf_counter()
            net(images)
            times.append(time.perf_counter() - started)
    split = faces.split
    own = (
        0
        if split is None
        else sum(len(split.train[name]) for names in split.clients.values() for name in names)
    )
    public = len(faces.public.images) if settings.uses_public else 0
    rounds = range(1, settings.last_round + 1)
    epochs = sum(settings.epochs_of(number) for number in rounds)
    share = min(1.0, settings.participation)
    passes = own * share * _FORWARDS_A_STEP * epochs + public * len(rounds)
    return passes * min(times) / _TRIAL


def _several(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
