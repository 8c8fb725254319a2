"""``fedfr train``: FedFR rounds over the clients of a split, through Flower, in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError
from fedfr_edge.extras import require
from fedfr_edge.federation.traffic import WAYS
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.privacy_loss import privacy_text
from fedfr_edge.types import Progress, no_progress

from .. import console
from ..runs.means import LOSSES, megabytes, round_means
from ..runs.tensorboard import require_tensorboard

if TYPE_CHECKING:
    from fedfr_edge.federation.data import Faces
    from fedfr_edge.federation.report import Report
    from fedfr_edge.federation.run_folder import RunFolder
    from fedfr_edge.train.checkpoint import GlobalModel

    from ..runs.scores import Scorer
    from ..runs.watch import Watch

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
    repeats: int = option(
        2, help="how often a round that too few clients answered is tried again, where that can help", low=0
    )
    processes: int = option(
        0,
        help="clients that train at a time, each in a process of its own; 0: as many as fit the cores on a "
        "CPU, one on a GPU. Changes no result",
        low=0,
    )
    share_proxies: bool = option(
        False, help="agree that W, a stand-in for the clients' faces, leaves them; method fedface needs it"
    )


@dataclass(frozen=True, kw_only=True)
class _Watching:
    score_every: int = option(
        0,
        help="measure Θ_g and the personal models on the split's test images after every so many rounds, "
        "before the first and after the last; 0: never",
        low=0,
    )
    plot: bool = option(True, help="draw OUT/run.svg and .png after each round, if matplotlib is installed")
    tensorboard: bool = option(False, help="also write OUT/tensorboard (needs the extra 'tensorboard')")


@dataclass(frozen=True)
class TrainRun(TrainConfig, _Watching, _Places):
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
    on_scores: Callable[[dict[str, Any]], None] = lambda line: None,
    remark: Callable[[str], None] = lambda text: None,
) -> Path:
    """Run what the command runs, without printing.

    Args:
        config: settings.
        progress: told about rounds, clients, and each client's mining, epochs and steps.
        on_open: called with the run's folder and the model to go on from, before the first round.
        on_round: called with the report of each round, once it is on disk.
        on_scores: called with each new line of ``scores.jsonl``.
        remark: called with what the user should know, such as a plot that could not be drawn.

    Returns:
        the newest checkpoint.

    Raises:
        FedFRError: bad input, changed settings, too few answers; see ``fedfr_edge.federation``.
    """
    require("torch", "safetensors", "flwr")
    if config.tensorboard:
        require_tensorboard()
    # Before anything imports Flower, which reads the switches then.
    from fedfr_edge.federation.telemetry import switch_off_telemetry

    switch_off_telemetry()
    from fedfr_edge.federation.data import Faces
    from fedfr_edge.federation.engine import run_here
    from fedfr_edge.federation.processes import choose_processes, seconds_of_work
    from fedfr_edge.federation.run_folder import RunFolder
    from fedfr_edge.federation.server_app import Job
    from fedfr_edge.federation.sites import LocalSites
    from fedfr_edge.federation.terms import Terms
    from fedfr_edge.train.checkpoint import load_global
    from fedfr_edge.train.seeds import drawn
    from fedfr_edge.train.threads import set_threads

    from ..runs.watch import Watch

    config = cast(TrainRun, config.resolved())
    if config.shares_proxies and not config.share_proxies:
        raise ConfigError(
            f"method {config.method} sends W (local_proxies) to the server: for each person of a client a "
            "vector that stands for that person's face. No other method does; say --share-proxies if it may"
        )
    faces = Faces.open(config.store, config.split, config.public_store)
    clients = faces.clients(config)
    start = load_global(config.pretrained)
    if config.uses_public:
        # A model of other public identities is better refused here than by every client in its turn.
        faces.public_faces(start)
    set_threads(config.threads)
    _require_device(config.device)
    # Looked at only where the choice is ours and open: it takes two forward passes.
    ours = config.processes == 0 and config.device == "cpu"
    choice = choose_processes(
        config.processes,
        threads=config.threads,
        clients=drawn(len(clients), config.participation),
        device=config.device,
        seconds=seconds_of_work(faces, start, config) if ours else 0.0,
    )
    scorer = _scorer(config, faces) if config.score_every else None
    last = config.last_round
    watch: Watch | None = None

    def opened(run: RunFolder, model: GlobalModel) -> None:
        nonlocal watch
        save_config(config, SECTION, config.out / "train.toml")
        on_open(run, model)
        if model.round < last:
            remark(choice.text)
            progress("rounds", model.round, last)
        watch = Watch(
            run,
            title=f"{config.method} · {model.spec} · {len(clients)} clients · seed {config.seed}",
            last=last,
            plot=config.plot,
            tensorboard=config.tensorboard,
            scorer=scorer,
            progress=progress,
            on_scores=on_scores,
            remark=remark,
        )
        watch.opened(model.round)

    def finished(report: Report) -> None:
        on_round(report)
        assert watch is not None
        watch.after(report.to_dict())

    sites = LocalSites(
        store=config.store,
        split=config.split,
        public_stores=config.public_store,
        private=config.out / "clients",
        share_proxies=config.share_proxies,
    )
    further = [store.digest for store in faces.further]
    job = Job(
        out=config.out,
        pretrained=config.pretrained,
        settings=config.hyper_parameters(),
        seed=config.seed,
        terms=Terms(
            len(clients),
            config.quorum,
            deadline=config.deadline,
            patience=5.0,
            repeats=config.repeats,
            pause=1.0,
        ),
        sources={
            "store": faces.store.digest,
            "split": hashlib.sha256(config.split.read_bytes()).hexdigest(),
            "public_store": hashlib.sha256(" ".join(further).encode()).hexdigest(),
        },
        progress=progress,
        on_open=opened,
        on_round=finished,
    )
    try:
        run_here(job, clients, sites, processes=choice.processes, threads=config.threads, faces=faces)
    finally:
        if watch is not None:
            watch.close()
    run = RunFolder(config.out)
    return run.checkpoint(run.rounds()[-1])


def _scorer(config: TrainRun, faces: Faces) -> Scorer:
    from ..models_for_evaluation import Backend
    from ..runs.scores import Scorer

    assert faces.split is not None
    return Scorer(
        config.out,
        faces.store,
        faces.split,
        every=config.score_every,
        personal=config.method
        != "central",  # one client that holds everybody's images has no test of its own
        backend=Backend(config.device, config.threads),
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
        if model.round < config.last_round:
            console.out.print(_header(config))

    def scored(line: dict[str, Any]) -> None:
        console.out.print(_scores_row(line))
        for text in line.get("remarks", ()):
            console.log.print(f"remark: {text}")

    with console.progress_bars() as progress:
        newest = train(
            config,
            progress=progress,
            on_open=opened,
            on_round=lambda report: console.out.print(_row(config, report)),
            on_scores=scored,
            remark=lambda text: console.log.print(f"remark: {text}"),
        )
    console.out.print(f"global model:    {newest}")
    console.out.print(f"private folders: {config.out / 'clients'} (personal models; they stay there)")
    console.out.print(f"metrics:         {config.out / 'metrics.jsonl'}")
    for what, name in (("scores", "scores.jsonl"), ("plot", "run.svg"), ("TensorBoard", "tensorboard")):
        if (config.out / name).exists():
            console.out.print(f"{what + ':':<16} {config.out / name}")


def _terms(config: TrainRun) -> list[str]:
    """The loss terms that the table shows: Eq. 7's always, the others with the methods that have them."""
    settings = config.resolved()
    more = {"loss_branch": settings.branch == "cosface", "loss_kd": settings.second_stage == "kd"}
    return [term for term in LOSSES if more.get(term, True)]


def _header(config: TrainRun) -> str:
    losses = " ".join(f"{term:>9}" for term in _terms(config))
    return f"round  clients   images {losses}  hard_neg   seconds     MB_up   MB_down"


def _row(config: TrainRun, report: Report) -> str:
    """One round as a line of the table; see :func:`..runs.means.round_means`."""
    means = round_means(report.to_dict())
    hidden = bool(report.privacy)  # then the counts stand for nothing, and no loss is told
    cells = [f"{report.round:5d}", f"{means['clients']:8.0f}"]
    cells.append(f"{'hidden' if hidden else round(means['images'])!s:>8}")
    for term in _terms(config):
        width = max(9, len(term))
        missing = "hidden" if hidden else "off"
        cells.append(f"{means[term]:{width}.4f}" if term in means else f"{missing:>{width}}")
    cells.append(f"{'hidden' if hidden else round(means['hard_negatives'])!s:>9}")
    line = " ".join([*cells, f"{report.seconds:9.1f}"])
    line += "".join(f" {megabytes(means, way):>9}" for way in WAYS)
    line += f"\n       {privacy_text(report.privacy)}" if report.privacy else ""
    return line + "".join(f"\n       {client} left out: {why}" for client, why in report.failed.items())


def _scores_row(line: dict[str, Any]) -> str:
    from ..runs.best import score_text

    return f"       scores after round {line['round']}: " + "; ".join(map(score_text, line["models"]))


COMMAND = Command(
    section=SECTION,
    config=TrainRun,
    run=run,
    help="""Run FedFR rounds over the clients of a split, through Flower, in this process.

    Run the same command again to go on after an interruption; give a higher --rounds to go further.

    \b
    In:  a pre-trained model, the store, the split, and (but for fedavg and fedface, which use no public
         faces) the public stores that pre-training used.
    Out: OUT/checkpoints/round_NNNN.safetensors (global model after each round), OUT/clients/<client>/
         (private: personal models), OUT/metrics.jsonl, OUT/train.toml; OUT/run.svg and .png (losses and
         scores over the rounds), with --score-every OUT/scores.jsonl, with --tensorboard OUT/tensorboard.
    """,
)
