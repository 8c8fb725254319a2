"""``fedfr evaluate enrolment``: people enrolled whom a personal model was trained on, and whom it was not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

from .. import console

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fedfr_edge.data.store import FaceStore

SECTION = "evaluate.enrolment"


@dataclass(frozen=True)
class EvaluateEnrolmentConfig:
    """Settings of ``fedfr evaluate enrolment``."""

    store: Path = option(help="aligned-face store that the split was made for")
    split: Path = option(help="split: clients and their test images (.json)")
    exported: Path = option(help="folder with personal-<client>.onnx, and generic.onnx to compare with")
    out: Path = option(help="folder for the results", short="o")
    checkpoint: Path | None = option(
        None, help="a checkpoint of the run: the public people that it held out are enrolled, too"
    )
    images: int = option(5, help="images that a person is enrolled from", low=1)
    wrong: int = option(1, help="images of strangers that slip in, in half of the rows", low=1)
    draws: int = option(10, help="how often images are drawn for each person", low=1)
    seed: int = option(0, help="of the images drawn", low=0)
    fars: tuple[float, ...] = option(
        (1e-2, 1e-3), help="1:1 false-accept rate that thresholds are fitted to", low=0, high=1
    )
    intervals: int = option(
        200, help="replicates of the bootstrap behind 95 % intervals", low=2, high=100_000
    )
    intervals_seed: int = option(0, help="seed of the people drawn", low=0)
    threads: int = option(1, help="CPU threads of a model", low=1)


def run(config: EvaluateEnrolmentConfig) -> None:
    """Enrol, compare, write, and print the tables."""
    from fedfr_edge import atomic
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.bootstrap import Resampling
    from fedfr_edge.recognition.known_rates import rates_file

    from ..enrolment_outcome import measure
    from ..enrolment_tables import difference_rows, differences, tables
    from ..enrolment_trials import NOBODY
    from ..result_tables import print_table

    if config.wrong > config.images - 1:
        raise ConfigError(
            f"{config.wrong} wrong images beside {config.images} right ones are too many for a majority to "
            "be right; give fewer --wrong or more --images"
        )
    store, split = FaceStore.open(config.store), Split.load(config.split)
    clients = {client: split.client_rows(store, client, "test") for client in sorted(split.clients)}
    if len(clients) < 2:
        raise ConfigError(
            f"{config.split} has {len(clients)} client, expected two or more, whose people are new to each "
            "other's models; make a split with more --clients"
        )
    if config.checkpoint is not None:
        clients[NOBODY] = _held_out(config.checkpoint, store)
    with console.progress_bars() as progress:
        outcome = measure(
            store,
            clients,
            config.exported,
            images=config.images,
            wrong=config.wrong,
            draws=config.draws,
            seed=config.seed,
            fars=config.fars,
            resampling=Resampling(config.intervals, config.intervals_seed),
            threads=config.threads,
            progress=progress,
        )
    changes = differences(outcome)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {
        "version": fedfr_edge.__version__,
        "measured": now,
        "store": {"path": str(store.path), "digest": store.digest, "licence": store.manifest.get("licence")},
        "split": {"path": str(config.split), "seed": split.seed},
        "models": outcome.models,
        "images": config.images,
        "draws": config.draws,
        "seed": config.seed,
        "intervals": {"replicates": config.intervals, "seed": config.intervals_seed},
        "results": [result.to_dict() for result in outcome.results],
        "differences": [
            {"group": group, "change": text} | difference.to_dict() for group, text, difference in changes
        ],
    }
    config.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    atomic.write_text(config.out / "enrolment.json", text)
    found = [*tables(outcome), difference_rows(changes)]
    atomic.write_text(config.out / "enrolment.md", "\n".join(table.to_markdown() for table in found))
    for path, known in outcome.known(now):
        atomic.write_text(config.out / rates_file(path).name, known.to_json())
    save_config(config, SECTION, config.out / "enrolment.toml")
    for table in found:
        print_table(table, turned=False)
    console.out.print(f"written to {config.out}")


def _held_out(checkpoint: Path, store: FaceStore) -> npt.NDArray[np.int64]:
    """Rows of the public people that no training saw.

    Raises:
        CheckpointError, ConfigError: there are none, or they are not in ``store``.
    """
    import numpy as np

    from fedfr_edge.train.checkpoint import load_global
    from fedfr_edge.train.public import HELD_OUT_CLASSES

    names = json.loads(load_global(checkpoint).metadata.get(HELD_OUT_CLASSES, "[]"))
    missing = [name for name in names if name not in store.identities]
    if len(names) < 2 or missing:
        found = f"lacks {', '.join(missing)} of them" if missing else "cannot give any"
        raise ConfigError(
            f"{checkpoint} names {len(names)} people held out, and {store.path} {found}; pre-train with "
            "--validation, give that store, or leave --checkpoint away"
        )
    return np.concatenate([store.rows_of(name) for name in sorted(names)])


COMMAND = Command(
    section=SECTION,
    config=EvaluateEnrolmentConfig,
    run=run,
    help="""Measure enrolment: how well a personal model knows people whom it was not trained on.

    Each client's model enrols its own people, the other clients' (from whom the shared backbone has learned)
    and, with --checkpoint, public people whom no training saw, from a few images each; their other images
    log in, and people whom the client did not train on try to be taken for them. Rates at fitted thresholds
    and at the model's own, with 95 % intervals (people drawn anew), for every way to make a template, with
    and without leaving out images unlike the rest, and with wrong images among them.

    In: a store and its split, and a folder of exported models.

    Out: the tables, and in --out enrolment.json, enrolment.md, the resolved settings as enrolment.toml, and
    for each personal model MODEL.enrolment.json. Put that beside the model, and 'fedfr enrol' says what is
    known of people whom it was not trained on.
    """,
)
