"""What Flower and our layer on it cost in a round, against the plain loop, with clients that do not train.

A client answers with what it was sent, so that nothing but carrying, checking and averaging is left. The
private folder's snapshot is a few bytes, and there is no checkpoint: both are the disk's matter.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.types import Progress

from .isolated import Allocated

if TYPE_CHECKING:
    from flwr.app import Context

    from fedfr_edge.federation.client_app import ClientSite
    from fedfr_edge.train.checkpoint import GlobalModel

PAPER_IMAGES = 6000
"""Training images of a client in the paper: 100 people with 60 each."""

PAPER_EPOCHS = 4
_CLASSES = 64  # rows of Φ: an array like the others, and small beside Θ


@dataclass(frozen=True)
class EchoSites:
    """Clients that answer with what they were sent.

    Attributes:
        private: folder of their private folders.
        dim: length of an embedding.
    """

    private: Path
    dim: int

    def open(self, *, progress: Progress) -> Callable[[str], ClientSite]:
        """Client id -> its site; this process trains nothing from now on."""
        import numpy as np

        from fedfr_edge.federation.client_app import ClientSite
        from fedfr_edge.train import client as training
        from fedfr_edge.train.client import ClientData

        training.client_round = _echo  # type: ignore[assignment]
        one, label = np.zeros((1, 112, 112, 3), np.uint8), np.zeros(1, np.int64)

        def site(name: str) -> ClientSite:
            data = ClientData(name, one, label, one, label)
            return ClientSite(name, self.private / name, lambda model: data)

        return site


def measure(
    backbone: str, *, dim: int, clients: int, rounds: int, processes: int, seed: int
) -> dict[str, Any]:
    """Seconds of a round by each engine, in turns; call it in its own process.

    Args:
        backbone: whose parameters travel.
        dim: length of an embedding.
        clients: clients in a round.
        rounds: rounds of each engine; the first of each warms up and does not count.
        processes: client processes of the process grid.
        seed: of the weights.
    """
    from fedfr_edge.federation.telemetry import switch_off_telemetry

    switch_off_telemetry()
    import torch

    from fedfr_edge.train.backbones.backbone import build_backbone
    from fedfr_edge.train.backbones.spec import BackboneSpec
    from fedfr_edge.train.checkpoint import GlobalModel, cpu_state

    spec = BackboneSpec(backbone, dim)
    net = build_backbone(spec, seed=seed)
    model = GlobalModel(spec, cpu_state(net), torch.ones(_CLASSES, dim))
    parameters = sum(tensor.numel() for tensor in model.backbone.values())
    del net
    names = [f"client-{number:02d}" for number in range(clients)]
    seconds: dict[str, list[float]] = {"plain": [], "in-process": [], "processes": []}
    with Allocated() as memory, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        sites = EchoSites(Path(folder), dim)
        engines = {
            "plain": _plain(names),
            "in-process": stack.enter_context(_in_process(names, sites)),
            "processes": stack.enter_context(_in_processes(names, sites, processes)),
        }
        for number in range(1, rounds + 2):
            for name, engine in engines.items():
                started = time.perf_counter()
                result = engine(replace(model, round=number - 1))
                if number > 1:
                    seconds[name].append(time.perf_counter() - started)
                assert all(torch.equal(result.backbone[key], model.backbone[key]) for key in model.backbone)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "backbone": backbone,
        "parameters": parameters,
        "clients": clients,
        "seconds": seconds,
        "median_seconds": medians,
        "overhead_per_client": {
            name: (value - medians["plain"]) / clients for name, value in medians.items() if name != "plain"
        },
        "peak_bytes_beyond_the_model": memory.extra,
    }


def training_speed(backbone: str, *, dim: int, batch: int, steps: int, seed: int) -> float:
    """Images per second of bare training steps (forward, backward, SGD) on this machine's CPU, one thread."""
    import torch

    from fedfr_edge.train.backbones.backbone import build_backbone
    from fedfr_edge.train.backbones.spec import BackboneSpec

    torch.set_num_threads(1)
    net = build_backbone(BackboneSpec(backbone, dim), seed=seed).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-6)
    images = torch.rand((batch, 3, 112, 112), generator=torch.Generator().manual_seed(seed))
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        optimiser.zero_grad()
        net(images).square().mean().backward()
        optimiser.step()
        times.append(time.perf_counter() - started)
    return batch / statistics.median(times[1:])


def paper_round(images_per_second: float) -> float:
    """Seconds of training of one client in a round of the paper's size, at least.

    Own images times epochs; mining, hard negatives and the contrastive loss's frozen passes come on top.
    """
    return PAPER_IMAGES * PAPER_EPOCHS / images_per_second


Engine = Any


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


def _one_round(grid: Any, names: list[str]) -> Engine:
    from fedfr_edge.federation.payload import Instruction
    from fedfr_edge.federation.roster import Roster
    from fedfr_edge.federation.rounds import Terms, one_round
    from fedfr_edge.train.config import TrainConfig

    terms = Terms(len(names), poll=0.01)
    roster = Roster(grid, patience=terms.patience, poll=terms.poll)
    settings = TrainConfig(rounds=10**6).resolved()

    def run(model: GlobalModel) -> GlobalModel:
        nodes = roster.online(len(names), len(names))
        instruction = Instruction(model.round + 1, "bench", 0, settings, model)
        return one_round(grid, instruction, nodes, terms)[0]

    return run


@contextlib.contextmanager
def _in_process(names: list[str], sites: EchoSites) -> Iterator[Engine]:
    from fedfr_edge.federation.client_app import make_client_app
    from fedfr_edge.federation.flower_private import task_identity
    from fedfr_edge.federation.grid import RUN_ID, InProcessGrid
    from fedfr_edge.types import no_progress

    find = sites.open(progress=no_progress)
    app = make_client_app(lambda context: find(str(context.node_config["client-id"])))
    with task_identity(RUN_ID):
        yield _one_round(InProcessGrid(app, _contexts(names)), names)


@contextlib.contextmanager
def _in_processes(names: list[str], sites: EchoSites, processes: int) -> Iterator[Engine]:
    from fedfr_edge.federation.client_app import make_client_app
    from fedfr_edge.federation.process_grid import ProcessGrid
    from fedfr_edge.types import no_progress

    find = replace(sites, private=sites.private / "processes").open(progress=no_progress)
    app = make_client_app(lambda context: find(str(context.node_config["client-id"])))
    own = replace(sites, private=sites.private / "processes")
    with contextlib.closing(ProcessGrid(app, _contexts(names), own, processes=processes)) as grid:
        yield _one_round(grid, names)


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


def _echo(before: Any, model: GlobalModel, data: Any, config: Any, seed: Any, progress: Any = None) -> Any:
    import torch

    from fedfr_edge.train.client import ClientUpdate
    from fedfr_edge.train.private import PrivateState

    row = torch.zeros(1, 1)
    kept = PrivateState(row, row, row[0], row, row[0], {"nothing": row}, seed.round)
    update = ClientUpdate(
        {name: tensor.clone() for name, tensor in model.backbone.items()},
        model.global_proxies.clone(),
        images=1,
    )
    return kept, update, {"images": 1, "hard_negatives": 0, "steps": 1}
