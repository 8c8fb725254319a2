"""Running a target: what the tables share is trained once, in one folder."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfr_edge.errors import ConfigError

from .. import console
from ..study.plan import FEDFACE, PRETRAINED, Places, Recipe, Row
from ..study.run import Study, run_study
from ..study.scores import Scores
from .outcome import Line, Part, Reproduction
from .published import published
from .scale import Settings
from .target import TABLE3_LINES, TARGETS, Column, Target

if TYPE_CHECKING:
    from fedfr_edge.data.split import Split

    from ..commands.reproduce import ReproduceConfig
    from ..commands.study import StudyConfig

GRID = "figure4"
"""Folder of the grid's splits and runs within OUT."""


def reproduce(config: ReproduceConfig, settings: Settings) -> Reproduction:
    """Run what is not there yet, and gather the figures.

    Raises:
        ConfigError: no store, or a folder that was begun otherwise.
        FedFRError: the store, the pairs or the recipe cannot be read.
    """
    target, shown = TARGETS[config.target], settings.shown
    figures = published(target.name, config.published)
    store = _store(config, settings)
    study = _study_config(config, settings, store)
    default = Recipe(settings.file).train(Row("fedfr"), pretrained=store, store=store, split=store, out=store)
    rows = target.rows(shown, default.mining_threshold, share_proxies=config.share_proxies)
    result = Reproduction([], {}, study.all_seeds, figures)
    columns = target.columns(shown, pairs=config.pairs is not None, ijbc=config.ijbc is not None)
    if target.name == "figure4":
        if not config.share_proxies:
            result.remarks.append(
                f"{FEDFACE} is left out: its clients send W, which stands for their people's faces; "
                "--share-proxies lets them"
            )
        _grid(config, settings, study, target, rows, columns, result)
        return result
    done = run_study(study, rows)
    result.failures = done.failures
    scores = _scores(done)
    if target.name == "figure3":
        for row in (row for row in rows if row.method == "fedfr"):
            value = default.mining_threshold if row.varied is None else row.varied[1]
            lines = [Line(PRETRAINED, PRETRAINED, common=True), Line("fedfr", row.name)]
            label = f"t_HN {value:g}"
            result.parts.append(Part.of(label, scores, lines, columns, x=value, label=label))
            result.hard_negatives[value] = [
                found
                for seed in study.all_seeds
                if (found := _hard_negatives(Places(study.out, seed).of(row))) is not None
            ]
        result.parts.sort(key=lambda part: part.x or 0)
        return result
    lines = [Line(row.name, row.name) for row in rows]
    if target.name == "table3":
        lines = [Line(name, "fedfr", name) for name in TABLE3_LINES]
    result.parts = [Part.of(target.title, scores, lines, columns, target.orderings)]
    return result


def _store(config: ReproduceConfig, settings: Settings) -> Path:
    """The store: the user's, or one rendered now; the recipe is written once it is known to be one."""
    if config.store is not None:
        settings.write()
        return config.store
    given = settings.section("data.synth")
    if not given:
        raise ConfigError(
            f"--scale {config.scale} needs faces: give an aligned-face store with --store (fedfr data import "
            "makes one), or see what it would cost with --plan"
        )
    from fedfr_edge.config import resolve
    from fedfr_edge.data.synth.generate import synthesize_store

    from ..commands.data_synth import SynthConfig

    settings.write()
    path = settings.file.parent / "store"
    if (path / "manifest.json").exists():  # written last
        return path
    people = resolve(SynthConfig, "data.synth", None, given)
    with console.progress_bars() as progress:
        synthesize_store(
            path,
            identities=people.identities,
            images=people.images,
            seed=people.seed,
            jobs=people.jobs or os.cpu_count() or 1,
            progress=progress,
        )
    return path


def _study_config(config: ReproduceConfig, settings: Settings, store: Path) -> StudyConfig:
    from ..commands.study import StudyConfig

    return StudyConfig(
        store=store,
        out=settings.file.parent,
        recipe=settings.file,
        share_proxies=False,
        seed=config.seed or tuple(range(config.seeds or settings.shown.seeds)),
        split_per_seed=True,
        pairs=config.pairs,
        pairs_store=config.pairs_store,
        unseen=settings.shown.unseen,
        ijbc=config.ijbc,
        device=config.device or settings.section("train").get("device", "cpu"),
        threads=config.threads,
    )


def _scores(study: Study) -> Scores:
    return Scores.of([row.name for row in study.rows], study.config.all_seeds, study.records)


def _grid(
    config: ReproduceConfig,
    settings: Settings,
    study: StudyConfig,
    target: Target,
    rows: list[Row],
    columns: list[Column],
    result: Reproduction,
) -> None:
    """Figure 4: the people of the tables' clients, dealt out anew; the same start and unseen people."""
    from fedfr_edge.data.split import Split

    shown, out = settings.shown, settings.file.parent
    start = run_study(study, [Row(PRETRAINED)])
    result.failures |= start.failures
    seeds = tuple(seed for seed in study.all_seeds if (PRETRAINED, seed) in start.records)
    if not seeds:
        return
    for people in shown.grid_people:
        files = []
        for seed in seeds:
            file = out / GRID / "splits" / f"seed-{seed}-people-{people}.json"
            dealt(Split.load(Places(out, seed).split), shown.grid_clients, people).save(file)
            files.append(file)
        cell = dataclasses.replace(
            study,
            out=out / GRID / f"people-{people}",
            seed=seeds,
            split=tuple(files),
            split_per_seed=False,
            pretrained=tuple(Places(out, seed).pretrained for seed in seeds),
            share_proxies=config.share_proxies,
        )
        console.log.print(f"{shown.grid_clients} clients with {people} people each")
        done = run_study(cell, rows, unseen_by=lambda seed: Places(out, seed).split)
        result.failures |= {
            (f"{row}, {people} people", seed): why for (row, seed), why in done.failures.items()
        }
        many = "person" if people == 1 else "people"
        title = f"{shown.grid_clients} clients with {people} {many} each"
        lines = [Line(row.name, row.name) for row in rows]
        part = Part.of(
            title, _scores(done), lines, columns, target.orderings, x=people, label=f"{people} each"
        )
        result.parts.append(part)


def dealt(split: Split, clients: int, people: int) -> Split:
    """The clients' people of a split, dealt out to other clients; images and public people stay.

    Smaller hands are part of greater ones: client 3's only person is the first of its forty.

    Raises:
        ConfigError: there are too few people.
    """
    names = [name for hand in split.clients.values() for name in hand]
    if clients * people > len(names):
        raise ConfigError(
            f"{clients} clients with {people} people each are wanted, the split has {len(names)} people; "
            "lower grid_clients or grid_people in [reproduce]"
        )
    width = max(2, len(str(clients - 1)))
    hands = {
        f"client-{number:0{width}d}": tuple(names[number::clients][:people]) for number in range(clients)
    }
    chosen = {name for hand in hands.values() for name in hand}
    return dataclasses.replace(
        split,
        clients=hands,
        train={name: images for name, images in split.train.items() if name in chosen},
        test={name: images for name, images in split.test.items() if name in chosen},
    )


def _hard_negatives(run: Path) -> float | None:
    """A client's hard negatives, mean over rounds and clients; None where the run is not there."""
    try:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        counts: list[Any] = [
            client["hard_negatives"] for line in lines for client in line["clients"].values()
        ]
    except (OSError, ValueError, KeyError):
        return None
    return float(np.mean(counts)) if counts else None
