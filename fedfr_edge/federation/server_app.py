"""The ServerApp: FedFR's rounds behind Flower's ``main(grid, context)``.

``app`` is what ``flwr run`` starts; its settings stand in ``[tool.flwr.app.config]`` of ``apps/flower`` and
can be overridden with ``flwr run … -c 'key=value …'``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedfr_edge.config import resolve
from fedfr_edge.errors import ConfigError
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.types import Progress, no_progress

if TYPE_CHECKING:
    from fedfr_edge.federation.report import Report
    from fedfr_edge.federation.run_folder import RunFolder
    from fedfr_edge.federation.terms import Terms
    from fedfr_edge.train.checkpoint import GlobalModel

SECTION = "train"
"""Section of a TOML file that holds the hyper-parameters."""


@dataclass(frozen=True)
class Job:
    """A training run, as the server sees it.

    Attributes:
        out: the run's folder.
        pretrained: the global model to start from.
        settings: hyper-parameters.
        seed: the run's seed.
        terms: when a round counts.
        sources: name of a setting -> digest of what it names; a resumed run must find them equal.
        progress: told about rounds and clients.
        on_open: called with the run's folder, opened, and the model to go on from, before the first round.
        on_round: called after each round.
    """

    out: Path
    pretrained: Path
    settings: TrainConfig
    seed: int
    terms: Terms
    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    progress: Progress = no_progress
    on_open: Callable[[RunFolder, GlobalModel], None] = lambda run, model: None
    on_round: Callable[[Report], None] = lambda report: None


def make_server_app(find_job: Callable[[Context], Job]) -> ServerApp:
    """A ServerApp that runs the job that ``find_job`` describes."""
    app = ServerApp()

    def main(grid: Grid, context: Context) -> None:
        run_job(grid, find_job(context))

    app.main()(main)
    return app


def run_job(grid: Grid, job: Job) -> None:
    """Begin or go on with ``job``.

    Raises:
        FedFRError: see :meth:`.run_folder.RunFolder.open` and :func:`.rounds.run_rounds`.
    """
    from fedfr_edge.federation.rounds import run_rounds
    from fedfr_edge.federation.run_folder import RunFolder
    from fedfr_edge.train.checkpoint import load_global

    settings = job.settings.resolved()
    job.terms.check(settings)
    run = RunFolder(job.out)
    start = load_global(job.pretrained)
    with run.alone():
        model = run.open(start, settings, job.seed, job.sources)
        job.on_open(run, model)
        run_rounds(
            grid, run, model, settings, job.seed, job.terms, progress=job.progress, on_round=job.on_round
        )


def job_from_run_config(context: Context) -> Job:
    """The job that ``[tool.flwr.app.config]`` describes.

    Raises:
        ConfigError: a key is missing or of the wrong type, or the TOML file has a fault.
    """
    from fedfr_edge.federation.terms import Terms

    values = dict(context.run_config)
    types = {
        "out": str,
        "pretrained": str,
        "config": str,
        "rounds": int,
        "seed": int,
        "clients": int,
        "quorum": int,
        "deadline": float,
        "patience": float,
        "repeats": int,
        "pause": float,
    }
    found = {name: type(values.get(name)) for name in types}
    if found != types:
        wrong = next(name for name in types if found[name] is not types[name])
        raise ConfigError(
            f"run config has {wrong} = {values.get(wrong)!r}, expected {types[wrong].__name__}; set it with "
            f"flwr run … -c '{wrong}=…'"
        )
    for name in ("out", "pretrained"):
        if not values[name]:
            raise ConfigError(f"run config does not set {name}; give flwr run … -c '{name}=\"/…\"'")
    file = Path(values["config"]) if values["config"] else None
    settings = resolve(TrainConfig, SECTION, file, {"rounds": values["rounds"]} if values["rounds"] else {})
    terms = Terms(
        clients=values["clients"],
        quorum=values["quorum"],
        deadline=values["deadline"],
        patience=values["patience"],
        repeats=values["repeats"],
        pause=values["pause"],
    )
    return Job(
        out=Path(values["out"]),
        pretrained=Path(values["pretrained"]),
        settings=settings,
        seed=values["seed"],
        terms=terms,
        on_round=_print_round,
    )


def _print_round(report: Report) -> None:
    failed = f", failed: {', '.join(report.failed)}" if report.failed else ""
    failed += f", attempt {len(report.attempts) + 1}" if report.attempts else ""
    from fedfr_edge.federation.traffic import WAYS, traffic_by_client
    from fedfr_edge.train.privacy_loss import privacy_text

    bytes_of = traffic_by_client(report.to_dict()).values()
    up, down = (sum(told.get(way, 0) for told in bytes_of) for way in WAYS)
    traffic = f", {up / 1e6:.2f} MB up and {down / 1e6:.2f} MB down"
    told = f"; {privacy_text(report.privacy)}" if report.privacy else ""
    print(
        f"round {report.round}: {len(report.clients)} clients in {report.seconds:.1f} s"
        f"{traffic}{failed}{told}",
        flush=True,
    )


app = make_server_app(job_from_run_config)
