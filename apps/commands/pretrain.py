"""``fedfr pretrain``: a backbone that tells public identities apart, where the rounds start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import ConfigError
from fedfr_edge.train.config import PretrainConfig
from fedfr_edge.types import Embeddings, Labels, Progress, no_progress

from .. import console
from ..runs.tensorboard import require_tensorboard

if TYPE_CHECKING:
    from fedfr_edge.train.checkpoint import GlobalModel


@dataclass(frozen=True, kw_only=True)
class _Places:
    store: tuple[Path, ...] = option(
        help="aligned-face store to learn from; identities held out come from the first one", argument=True
    )
    split: Path | None = option(
        None, help="split: of the store that it was made for, learn from the public identities only"
    )
    out: Path = option(help="folder of the result; one with an unfinished run is gone on with", short="o")
    plot: bool = option(
        True, help="draw OUT/pretrain.svg and .png after each epoch, if matplotlib is installed"
    )
    tensorboard: bool = option(False, help="also write OUT/tensorboard (needs the extra 'tensorboard')")


@dataclass(frozen=True)
class PretrainRun(PretrainConfig, _Places):
    """Settings of ``fedfr pretrain``: where things are, and the hyper-parameters."""


def pretrain(
    config: PretrainRun,
    *,
    progress: Progress = no_progress,
    on_epoch: Callable[[dict[str, Any]], None] = lambda record: None,
    remark: Callable[[str], None] = lambda text: None,
) -> GlobalModel:
    """Run what the command runs, without printing; the model is in ``config.out`` too.

    Args:
        config: settings.
        progress: told about epochs and steps.
        on_epoch: given each epoch's record, also those of before a kill.
        remark: called with what the user should know, such as a plot that could not be drawn.

    Raises:
        FedFRError: bad input, changed settings, a loss that is not finite; see
            :func:`fedfr_edge.train.pretrain.pretrain`.
    """
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.train.pretrain import pretrain as run_recipe
    from fedfr_edge.train.public import PublicSet
    from fedfr_edge.train.threads import set_threads

    from ..runs.watch import PretrainWatch

    if not config.store:
        raise ConfigError("no store is given; give at least one folder with --store")
    if config.tensorboard:
        require_tensorboard()
    split = None if config.split is None else Split.load(config.split)
    public = PublicSet.gather([FaceStore.open(path) for path in config.store], split)
    set_threads(config.threads)
    watch = PretrainWatch(
        config.out,
        title=f"pre-training · {config.backbone} · {len(public.identities)} people · seed {config.seed}",
        plot=config.plot,
        tensorboard=config.tensorboard,
        remark=remark,
    )

    def finished(record: dict[str, Any]) -> None:
        on_epoch(record)
        progress("epochs", record["epoch"], config.epochs)
        watch.after(record)

    try:
        return run_recipe(
            public,
            config,
            config.out,
            validate=_measure(config.validation_far),
            progress=progress,
            on_epoch=finished,
        )
    finally:
        watch.close()


def _measure(far: float) -> Callable[[Embeddings, Labels], Mapping[str, Any]]:
    from fedfr_edge.evaluation.verification import compare_all

    def validate(embeddings: Embeddings, labels: Labels) -> Mapping[str, Any]:
        return compare_all(embeddings, labels, (far,)).rate(far).to_dict()

    return validate


def run(config: PretrainRun) -> None:
    """Run the command."""
    records: list[dict[str, Any]] = []

    def on_epoch(record: dict[str, Any]) -> None:
        if not records:
            console.out.print("epoch      loss  accuracy      rate   seconds  TAR on people held out")
        records.append(record)
        console.out.print(_row(record))

    with console.progress_bars() as progress:
        model = pretrain(
            config,
            progress=progress,
            on_epoch=on_epoch,
            remark=lambda text: console.log.print(f"remark: {text}"),
        )
    if not records:
        console.out.print(f"{config.out} holds the finished result of these settings already")
    people, images = len(model.global_proxies), records[-1]["images"] if records else None
    console.out.print(
        f"{model.spec}, {people} public identities" + (f", {images} images an epoch" if images else "")
    )
    console.out.print(f"global model: {config.out / 'model.safetensors'}")
    console.out.print(f"metrics:      {config.out / 'metrics.jsonl'}")
    if (config.out / "pretrain.svg").exists():
        console.out.print(f"plot:         {config.out / 'pretrain.svg'}")


def _row(record: dict[str, Any]) -> str:
    cells = (
        f"{record['epoch']:5d} {record['loss']:9.4f} {record['accuracy']:9.4f} "
        f"{record['learning_rate']:9.5f} {record['seconds']:9.1f}"
    )
    rate = record.get("validation")
    if rate is None:
        return cells
    few = "" if rate["supported"] else f" (rests on {rate['false_accepts']} false accepts)"
    return (
        f"{cells}  {rate['value']:.4f} @ FAR {rate['far_target']:g}, {rate['trials']} mated and "
        f"{rate['non_mated']} non-mated pairs{few}"
    )


COMMAND = Command(
    section="pretrain",
    config=PretrainRun,
    run=run,
    help="""Train a backbone on public identities (CosFace).

    Run the same command again to go on after an interruption.

    \b
    In:  one or more aligned-face stores, and a split if one of them holds clients' people too.
    Out: OUT/model.safetensors (Θ and Φ, where fedfr train starts from), OUT/metrics.jsonl,
         OUT/pretrain.toml; OUT/pretrain.svg and .png, with --tensorboard OUT/tensorboard.
    """,
)
