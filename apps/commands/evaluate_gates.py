"""``fedfr evaluate gates``: what a second gate and several frames are worth."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fedfr_edge
from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config

from .. import console

if TYPE_CHECKING:
    from fedfr_edge.evaluation.gates import Device, Outcome, Way
    from fedfr_edge.evaluation.tables import Table

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
    from fedfr_edge.recognition.policy import LoginPolicy

    from .. import device
    from ..file_digest import sha256_of
    from ..gate_devices import Stage, play_device
    from ..result_tables import print_table

    generic = None if config.generic is None else device.open_encoder(config.generic, "cpu", config.threads)
    stage = Stage(
        store=FaceStore.open(config.store),
        split=Split.load(config.split),
        strangers=FaceStore.open(config.strangers),
        generic=generic,
        enrol=config.enrol,
        second=config.second,
        frames=[LoginPolicy(frames=device.k_of_n(text)).frames for text in config.frames],
    )
    devices: list[Device] = []
    ways: list[dict[str, Way]] = []
    with console.progress_bars() as progress:
        for number, path in enumerate(config.model, 1):
            one, own = play_device(stage, device.open_encoder(path, "cpu", config.threads))
            devices.append(one)
            ways = ways or [{} for _ in own]
            for known, way in zip(ways, own, strict=True):
                known[one.client] = way
            progress("devices", number, len(config.model))
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
        "store": stage.store.digest,
        "strangers": stage.strangers.digest,
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


def _counts(device: Device) -> dict[str, Any]:
    groups = {"genuine": device.genuine, **device.strangers}
    return {
        "client": device.client,
        **{name: {"people": each.people, "faces": len(each.score)} for name, each in groups.items()},
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
