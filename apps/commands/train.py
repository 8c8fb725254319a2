"""``fedfr train``: FedFR rounds over the clients of a split, through Flower, in this process."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError, MissingPartError, SplitError
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.types import Progress, no_progress

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.federation.rounds import Report
    from fedfr_edge.federation.run_folder import RunFolder
    from fedfr_edge.train.checkpoint import GlobalModel

SECTION = "train"


@dataclass(frozen=True, kw_only=True)
class _Places:
    pretrained: Path = option(help="global model to start from, made by fedfr pretrain (.safetensors)")
    store: Path = option(help="aligned-face store that the split was made for")
    split: Path = option(help="split: public identities and clients (.json)")
    public_store: tuple[Path, ...] = option(
        (), help="store whose identities are all public too; the same as given to fedfr pretrain"
    )
    out: Path = option(help="folder of the run; one that holds rounds already is gone on with", short="o")
    seed: int = option(0, help="seed of everything random", low=0, high=2**63 - 1)
    quorum: int = option(0, help="clients that must answer in a round; 0: all of them", low=0)
    deadline: float = option(12 * 3600.0, help="seconds that a round may take", low=1)


@dataclass(frozen=True)
class TrainRun(TrainConfig, _Places):
    """Settings of ``fedfr train``: where things are, and the hyper-parameters."""

    def hyper_parameters(self) -> TrainConfig:
        """The part that clients are told."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(TrainConfig)})


def train(
    config: TrainRun,
    *,
    progress: Progress = no_progress,
    on_open: Callable[[RunFolder, GlobalModel], None] = lambda run, model: None,
    on_round: Callable[[Report], None] = lambda report: None,
) -> Path:
    """Run what the command runs, without printing.

    Returns:
        the newest checkpoint.

    Raises:
        FedFRError: bad input, changed settings, too few answers; see ``fedfr_edge.federation``.
    """
    _require_packages()
    # Before anything imports Flower, which reads the switches then.
    from fedfr_edge.federation.telemetry import switch_off_telemetry

    switch_off_telemetry()
    from fedfr_edge.federation.client_app import ClientSite
    from fedfr_edge.federation.data import Faces
    from fedfr_edge.federation.engine import run_in_process
    from fedfr_edge.federation.rounds import Terms
    from fedfr_edge.federation.run_folder import RunFolder
    from fedfr_edge.federation.server_app import Job
    from fedfr_edge.train.checkpoint import load_global
    from fedfr_edge.train.threads import set_threads

    config = cast(TrainRun, config.resolved())
    faces = Faces.open(config.store, config.split, config.public_store)
    assert faces.split is not None
    clients = sorted(faces.split.clients)
    if not clients:
        raise SplitError(f"{config.split} has no clients; make one with fedfr data split --clients N")
    # A model of other public identities is better refused here than by every client in its turn.
    faces.public_faces(load_global(config.pretrained))
    set_threads(config.threads)
    _require_device(config.device)

    def opened(run: RunFolder, model: GlobalModel) -> None:
        save_config(config, SECTION, config.out / "train.toml")
        on_open(run, model)

    def site(client: str) -> ClientSite:
        return ClientSite(
            client=client,
            private=config.out / "clients" / client,
            faces=lambda model: faces.of_client(client, model),
        )

    further = [store.digest for store in faces.further]
    job = Job(
        out=config.out,
        pretrained=config.pretrained,
        settings=config.hyper_parameters(),
        seed=config.seed,
        terms=Terms(len(clients), config.quorum, deadline=config.deadline, patience=5.0),
        sources={
            "store": faces.store.digest,
            "split": hashlib.sha256(config.split.read_bytes()).hexdigest(),
            "public_store": hashlib.sha256(" ".join(further).encode()).hexdigest(),
        },
        progress=progress,
        on_open=opened,
        on_round=on_round,
    )
    run_in_process(job, clients, site)
    run = RunFolder(config.out)
    return run.checkpoint(run.rounds()[-1])


def _require_packages() -> None:
    missing = [name for name in ("torch", "safetensors", "flwr") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPartError(
            f"{', '.join(missing)} not installed; run: pip install 'fedfr-edge[train,federation]'"
        )


def _require_device(name: str) -> None:
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device is {name!r}, which torch cannot use here: {reason}; try cpu") from error


def run(config: TrainRun) -> None:
    """Run the command."""

    def opened(folder: RunFolder, model: GlobalModel) -> None:
        if model.round:
            console.out.print(f"{config.out} holds {model.round} rounds already; going on from there")
        if model.round < (config.resolved().rounds or 0):
            console.out.print(_HEADER)

    with console.progress_bars() as progress:
        newest = train(
            config,
            progress=progress,
            on_open=opened,
            on_round=lambda report: console.out.print(_row(report)),
        )
    console.out.print(f"global model:    {newest}")
    console.out.print(f"private folders: {config.out / 'clients'} (personal models; they stay there)")
    console.out.print(f"metrics:         {config.out / 'metrics.jsonl'}")


_COLUMNS = ("loss", "loss_cos", "loss_con", "loss_bce", "hard_negatives")
_HEADER = "round  clients   images      loss  loss_cos  loss_con  loss_bce  hard_neg   seconds"


def _row(report: Report) -> str:
    """One round as a line of the table: means over clients, weighted by their images."""
    images = sum(metrics["images"] for metrics in report.clients.values())
    cells = [f"{report.round:5d}", f"{len(report.clients):8d}", f"{images:8.0f}"]
    for name in _COLUMNS:
        known = [metrics for metrics in report.clients.values() if name in metrics]
        if name == "hard_negatives":
            cells.append(f"{sum(metrics[name] for metrics in known):9.0f}")
        elif known:
            weight = sum(metrics["images"] for metrics in known)
            cells.append(f"{sum(metrics[name] * metrics['images'] for metrics in known) / weight:9.4f}")
        else:
            cells.append(f"{'off':>9}")
    line = " ".join([*cells, f"{report.seconds:9.1f}"])
    return line + "".join(f"\n       {client} left out: {why}" for client, why in report.failed.items())


COMMAND = Command(
    section=SECTION,
    config=TrainRun,
    run=run,
    help="""Run FedFR rounds over the clients of a split, through Flower, in this process.

    Run the same command again to go on after an interruption; give a higher --rounds to go further.

    \b
    In:  a pre-trained model, the store, the split, and the public stores that pre-training used.
    Out: OUT/checkpoints/round_NNNN.safetensors (global model after each round), OUT/clients/<client>/
         (private: personal models), OUT/metrics.jsonl, OUT/train.toml.
    """,
)
