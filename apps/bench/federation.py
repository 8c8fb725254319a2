"""What Flower and our layer on it cost in a round, against the plain loop, with clients that do not train.

A client answers with what it was sent, so that nothing but carrying, checking and averaging is left. The
private folder's snapshot is a few bytes, and there is no checkpoint: both are the disk's matter.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.types import no_progress

from .federation_echo import (
    ENGINES,
    EchoSites,
    Engine,
    client_names,
    make_model,
    one_round_engine,
    read_spec,
    timed_round,
)
from .federation_superlink import superlink_rounds
from .isolated import Allocated

if TYPE_CHECKING:
    from flwr.app import Context

    from fedfr_edge.train.checkpoint import GlobalModel

PAPER_IMAGES = 6000
"""Training images of a client in the paper: 100 people with 60 each."""

PAPER_EPOCHS = 4


def measure(
    backbone: str,
    *,
    dim: int,
    engines: Sequence[str],
    clients: int,
    rounds: int,
    processes: int,
    seed: int,
) -> dict[str, Any]:
    """Seconds of a round by each engine; call it in its own process.

    The engines of this program take turns; the SuperLink's rounds come after them, in one run of Flower's.

    Args:
        backbone: whose parameters travel, ``NAME`` or ``NAME:WIDTH``.
        dim: length of an embedding.
        engines: of :data:`.federation_echo.ENGINES`; the plain loop is always measured.
        clients: clients in a round.
        rounds: rounds of each engine; the first of each warms up and does not count.
        processes: client processes of the process grid.
        seed: of the weights.
    """
    from fedfr_edge.federation.telemetry import switch_off_telemetry

    switch_off_telemetry()
    model = make_model(read_spec(backbone, dim), seed)
    names = client_names(clients)
    figures: dict[str, Any] = {
        "backbone": backbone,
        "parameters": sum(tensor.numel() for tensor in model.backbone.values()),
        "clients": clients,
    }
    wanted = ("plain", *(name for name in ENGINES if name in engines))
    seconds: dict[str, list[float]] = {name: [] for name in wanted}
    with Allocated() as memory, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        here = {"plain": _plain(names)}
        sites = EchoSites(Path(folder))
        if "in-process" in engines:
            here["in-process"] = stack.enter_context(_in_process(names, sites))
        if "processes" in engines:
            apart = EchoSites(Path(folder) / "processes")
            here["processes"] = stack.enter_context(_in_processes(names, apart, processes))
        for number in range(1, rounds + 2):
            for name, engine in here.items():
                taken = timed_round(engine, model, number)
                if number > 1:
                    seconds[name].append(taken)
    figures["peak_bytes_beyond_the_model"] = memory.extra
    if "superlink" in engines:
        found = superlink_rounds(backbone, dim=dim, clients=clients, rounds=rounds, seed=seed)
        seconds["superlink"] = found["seconds"]
        figures |= {"superlink_parts": found["parts"], "superlink_cpu": found["cpu"]}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    # In one process clients train one after another; on a machine of their own all at once.
    turns = {"in-process": clients, "processes": math.ceil(clients / processes), "superlink": 1}
    return figures | {
        "seconds": seconds,
        "median_seconds": medians,
        "overhead_per_turn": {
            name: (value - medians["plain"]) / turns[name]
            for name, value in medians.items()
            if name != "plain"
        },
    }


def training_speed(backbone: str, *, dim: int, batch: int, steps: int, seed: int) -> float:
    """Images per second of bare training steps (forward, backward, SGD) on this machine's CPU, one thread.

    Seconds of CPU time: other work on the machine must not make training look slow, and overheads small.
    """
    import torch

    from fedfr_edge.train.backbones.backbone import build_backbone

    torch.set_num_threads(1)
    net = build_backbone(read_spec(backbone, dim), seed=seed).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-6)
    images = torch.rand((batch, 3, 112, 112), generator=torch.Generator().manual_seed(seed))
    times = []
    for _ in range(steps + 1):
        started = time.process_time()
        optimiser.zero_grad()
        net(images).square().mean().backward()
        optimiser.step()
        times.append(time.process_time() - started)
    return batch / statistics.median(times[1:])


def paper_round(images_per_second: float) -> float:
    """Seconds of training of one client in a round of the paper's size, at least.

    Own images times epochs; mining, hard negatives and the contrastive loss's frozen passes come on top.
    """
    return PAPER_IMAGES * PAPER_EPOCHS / images_per_second


def _plain(names: list[str]) -> Engine:
    from fedfr_edge.train.aggregate import WeightedMean
    from fedfr_edge.train.client import ClientUpdate

    def run(model: GlobalModel) -> GlobalModel:
        mean = WeightedMean()
        for _ in names:
            copy = {name: tensor.clone() for name, tensor in model.backbone.items()}
            mean.add(ClientUpdate(copy, model.global_proxies.clone(), images=1), 1.0)
        return mean.result(model)

    return run


@contextlib.contextmanager
def _in_process(names: list[str], sites: EchoSites) -> Iterator[Engine]:
    from fedfr_edge.federation.client_app import make_client_app
    from fedfr_edge.federation.flower_private import task_identity
    from fedfr_edge.federation.grid import RUN_ID, InProcessGrid

    find = sites.open(progress=no_progress)
    app = make_client_app(lambda context: find(str(context.node_config["client-id"])))
    with task_identity(RUN_ID):
        yield one_round_engine(InProcessGrid(app, _contexts(names)), names)


@contextlib.contextmanager
def _in_processes(names: list[str], sites: EchoSites, processes: int) -> Iterator[Engine]:
    from fedfr_edge.federation.client_app import make_client_app
    from fedfr_edge.federation.process_grid import ProcessGrid

    find = sites.open(progress=no_progress)
    app = make_client_app(lambda context: find(str(context.node_config["client-id"])))
    with contextlib.closing(ProcessGrid(app, _contexts(names), sites, processes=processes)) as grid:
        yield one_round_engine(grid, names)


def _contexts(names: list[str]) -> dict[int, Context]:
    from flwr.app import Context, RecordDict

    from fedfr_edge.federation.grid import RUN_ID

    return {
        10 + number: Context(
            run_id=RUN_ID,
            node_id=10 + number,
            node_config={"client-id": name},
            state=RecordDict(),
            run_config={},
        )
        for number, name in enumerate(names)
    }
