"""``fedfr evaluate gates``: what a second gate and several frames are worth."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError, DataError

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.gates import Device, Outcome, Probes, Way
    from fedfr_edge.evaluation.tables import Table
    from fedfr_edge.recognition.encoder import OnnxEncoder
    from fedfr_edge.types import AlignedFaces, Embeddings, Labels, Scores

SECTION = "evaluate.gates"

HELP = """Measure what a second gate and several frames are worth at a login.

In: a store and its split, one client's personal model or several (exported), a generic model, and a store of
strangers. On each client's device its people are enrolled, as means of --enrol training images; their test
images are genuine logins. Strangers are the other clients' people (test images) and everybody in the
strangers' store with enough images. Ways to decide: the personal space alone; with the backbone's space or a
generic model as a second gate, whose threshold lets the stated share of the split's public images through;
k of n frames, for which different images of a person stand in. Frames of a camera resemble each other more:
what several frames bring here is the most that they can bring.

Out: at equal shares of genuine accepts, the share of strangers' logins that is accepted as anybody (1:N),
and the difference to the personal space alone with one frame, with 95 % intervals from drawing people anew;
in --out gates.json, gates.md and the resolved settings as gates.toml."""


@dataclass(frozen=True)
class EvaluateGatesConfig:
    """Settings of ``fedfr evaluate gates``."""

    store: Path = option(help="aligned-face store of the split")
    split: Path = option(help="who is public, who belongs to which client")
    model: tuple[Path, ...] = option(help="exported personal model; once for each client")
    strangers: Path = option(help="store of people who are in no client")
    out: Path = option(help="folder for the results", short="o")
    generic: Path | None = option(None, help="exported generic model, to be a second gate, too")
    enrol: int = option(5, help="training images of a template", low=1)
    second: tuple[float, ...] = option(
        (0.1, 0.03, 0.01),
        help="share of public images that the second gate lets through; the first also "
        "goes with several frames",
        low=0,
        high=1,
    )
    frames: tuple[str, ...] = option(("2/2", "2/3", "3/5"), help="k of n frames, written k/n")
    genuine: tuple[float, ...] = option(
        (0.5, 0.7, 0.8), help="share of genuine logins accepted", low=0, high=1
    )
    draws: int = option(10, help="how often a person's images are shuffled into frames", low=1)
    seed: int = option(0, help="of that", low=0)
    intervals: int = option(200, help="draws of people behind the intervals", low=1)
    intervals_seed: int = option(0, help="seed of those draws", low=0)
    threads: int = option(1, help="CPU threads of a model", low=1)


def run(config: EvaluateGatesConfig) -> None:
    """Measure, write, and print the table."""
    from fedfr_edge import atomic
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.bootstrap import Resampling
    from fedfr_edge.evaluation.gates import compare_ways

    from .. import device
    from ..file_digest import sha256_of
    from ..result_tables import print_table

    store, strangers = FaceStore.open(config.store), FaceStore.open(config.strangers)
    split = Split.load(config.split)
    frames = [_frames(text) for text in config.frames]
    generic = None if config.generic is None else device.open_encoder(config.generic, "cpu", config.threads)
    devices: list[Device] = []
    ways: list[dict[str, Way]] = []
    least = max([n for _, n in frames], default=1)
    for path in config.model:
        encoder = device.open_encoder(path, "cpu", config.threads)
        one, own_ways = _device(config, encoder, generic, store, split, strangers, frames, least)
        devices.append(one)
        for place, way in enumerate(own_ways):
            if place == len(ways):
                ways.append({})
            ways[place][one.client] = way
        console.log.print(f"{one.client}: embedded")
    outcomes = compare_ways(
        devices,
        ways,
        config.genuine,
        draws=config.draws,
        seed=config.seed,
        resampling=Resampling(config.intervals, config.intervals_seed),
    )
    tables = [_table(share, row) for share, row in zip(config.genuine, outcomes, strict=True)]
    record = {
        "version": fedfr_edge.__version__,
        "store": store.digest,
        "strangers": strangers.digest,
        "models": [{"path": str(path), "sha256": sha256_of(path)} for path in config.model],
        "generic": None if config.generic is None else sha256_of(config.generic),
        "counts": [_counts(each) for each in devices],
        "results": [
            {"genuine": share, "ways": [_to_dict(outcome, ways[i]) for i, outcome in enumerate(row)]}
            for share, row in zip(config.genuine, outcomes, strict=True)
        ],
    }
    atomic.write_text(config.out / "gates.json", json.dumps(record, ensure_ascii=False, indent=1))
    atomic.write_text(config.out / "gates.md", "\n".join(table.to_markdown() for table in tables))
    save_config(config, SECTION, config.out / "gates.toml")
    for table in tables:
        print_table(table, turned=False)
    console.out.print(f"written to {config.out}")


def _frames(text: str) -> tuple[int, int]:
    try:
        k, n = map(int, text.split("/"))
    except ValueError:
        k = n = 0
    if not 1 <= k <= n:
        raise ConfigError(f"frames {text!r}, expected k/n with 1 ≤ k ≤ n, for example 2/3")
    return k, n


def _device(
    config: EvaluateGatesConfig,
    encoder: OnnxEncoder,
    generic: OnnxEncoder | None,
    store: FaceStore,
    split: Split,
    strangers: FaceStore,
    frames: list[tuple[int, int]],
    least: int,
) -> tuple[Device, list[Way]]:
    from fedfr_edge.evaluation.gates import Device, Way
    from fedfr_edge.evaluation.identification import mean_templates

    client = encoder.manifest.client
    if client is None or client not in split.clients:
        raise ConfigError(
            f"{encoder.path} is the model of {client or 'nobody'}, expected that of a client of the split "
            f"({', '.join(split.clients)}); give exported personal models"
        )

    def spaces(faces: AlignedFaces) -> dict[str, Embeddings]:
        backbone, own = encoder.embed_both(np.asarray(faces))
        found = {"own": own, "backbone": backbone}
        if generic is not None:
            found["generic"] = generic.embed(np.asarray(faces))
        return found

    rows = split.client_rows(store, client, "train")
    labels = store.labels[rows]
    people = np.unique(labels)
    chosen = np.concatenate([rows[labels == label][: config.enrol] for label in people])
    templates = {
        space: mean_templates(embedded, store.labels[chosen], renormalise=True)[0]
        for space, embedded in spaces(store.images[chosen]).items()
    }

    def probes(faces: AlignedFaces, whose: Labels) -> Probes:
        return _search(spaces(faces), templates, whose, people)

    test = split.client_rows(store, client, "test")
    others = np.concatenate(
        [split.client_rows(store, name, "test") for name in split.clients if name != client]
    )
    counts = np.bincount(strangers.labels)
    outside = np.flatnonzero(counts[strangers.labels] >= least)
    if not len(outside):
        raise DataError(
            f"nobody in {strangers.path} has {least} images; give another store, or fewer --frames"
        )
    public = split.public_rows(store)
    calibration = probes(store.images[public], -1 - store.labels[public])
    ways = [Way("one gate")]
    for space in [name for name in ("backbone", "generic") if name in templates]:
        for rate in config.second:
            limit = float(np.quantile(calibration.second[space], 1 - rate))
            ways.append(Way(f"{space} lets {100 * rate:g} % pass", space=space, limit=limit))
    # Frames with one gate, and with each second one at the first of its rates.
    gates = [ways[0], *ways[1 :: len(config.second)]]
    ways += [
        Way(f"{k} of {n} frames" + ("" if way.space is None else f", {way.name}"), k, n, way.space, way.limit)
        for k, n in frames
        for way in gates
    ]
    groups = {
        "strangers": probes(strangers.images[outside], -1 - strangers.labels[outside]),
        "other clients' people": probes(store.images[others], -1 - store.labels[others]),
    }
    return Device(client, probes(store.images[test], store.labels[test]), groups), ways


def _search(
    embedded: dict[str, Embeddings], templates: dict[str, Embeddings], whose: Labels, people: Labels
) -> Probes:
    """``whose``: labels of the store; negative for strangers, by their own number."""
    from fedfr_edge.evaluation.gates import Probes

    scores: dict[str, Scores] = {space: faces @ templates[space].T for space, faces in embedded.items()}
    own = scores.pop("own")
    found = np.argmax(own, axis=1)
    rows = np.arange(len(own))
    _, person = np.unique(whose, return_inverse=True)
    mate = np.where(whose >= 0, np.searchsorted(people, whose), -1)
    return Probes(
        own[rows, found],
        found.astype(np.int64),
        {space: values[rows, found] for space, values in scores.items()},
        person.astype(np.int64),
        mate.astype(np.int64),
    )


def _counts(device: Device) -> dict[str, Any]:
    groups = {"genuine": device.genuine, **device.strangers}
    return {
        "client": device.client,
        **{
            name: {"people": int(each.person.max()) + 1, "faces": len(each.score)}
            for name, each in groups.items()
        },
    }


def _to_dict(outcome: Outcome, way: dict[str, Way]) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {
        "way": outcome.way.name,
        "k": outcome.way.k,
        "n": outcome.way.n,
        "space": outcome.way.space,
        "limits": {client: None if each.space is None else each.limit for client, each in way.items()},
        "genuine": number(outcome.genuine),
        "accepted": {group: number(value) for group, value in outcome.accepted.items()},
        "intervals": {
            group: None if each is None else [each.low, each.high]
            for group, each in outcome.intervals.items()
        },
        "differences": {group: [number(v) for v in each] for group, each in outcome.differences.items()},
    }


def _table(share: float, outcomes: list[Outcome]) -> Table:
    from fedfr_edge.evaluation.tables import DASH, Table, interval_text

    groups = list(outcomes[0].accepted)
    header = ["way to decide"]
    for group in groups:
        header += [group, "95 %", "difference"]
    rows = []
    for place, outcome in enumerate(outcomes):
        row = [outcome.way.name]
        for group in groups:
            value = outcome.accepted[group]
            if math.isnan(value):
                row += [DASH, DASH, DASH]
                continue
            row += [f"{100 * value:.2f}", interval_text(outcome.intervals[group])]
            gap, low, high = (100 * v for v in outcome.differences[group])
            mark = " ✓" if high < 0 else " ✗" if low > 0 else ""
            row.append("" if place == 0 else f"{gap:+.2f} [{low:+.2f} … {high:+.2f}]{mark}")
        rows.append(tuple(row))
    notes = (
        "Per cent of logins accepted as anybody, means over the clients; ✓ fewer, ✗ more than the first.",
        f"{DASH}: the way cannot accept so many genuine logins.",
    )
    return Table(
        f"False accepts where {100 * share:g} % of genuine logins are accepted",
        tuple(header),
        tuple(rows),
        notes,
    )


COMMAND = Command(section=SECTION, config=EvaluateGatesConfig, run=run, help=HELP)
