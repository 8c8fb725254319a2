"""Running a study: for every seed a split and a pre-training, then every row; finished parts are kept."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge import atomic
from fedfr_edge.config import as_dict
from fedfr_edge.errors import ConfigError

from .. import console
from ..file_digest import sha256_of
from . import measure
from .plan import FEDFACE, PRETRAINED, Places, Recipe, Row, rows_of

if TYPE_CHECKING:
    from fedfr_edge.data.store import FaceStore
    from fedfr_edge.evaluation.pairs import Pair

    from ..commands.study import StudyConfig
    from ..commands.train import TrainRun

SCORES = "scores.json"
FAULT = "error.txt"
FREE = ("device", "threads", "embed_batch")
"""Settings that do not change what is computed: with others a finished part is still the same part."""


@dataclass
class Study:
    """What was asked for and what became of it.

    Attributes:
        config: the settings.
        rows: the table's rows.
        records: (row's name, seed) -> the content of its ``scores.json``.
        failures: (row's name, seed) -> why there is none.
    """

    config: StudyConfig
    rows: list[Row]
    records: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    failures: dict[tuple[str, int], str] = field(default_factory=dict)


def run_study(
    config: StudyConfig,
    rows: Sequence[Row] | None = None,
    *,
    unseen_by: Callable[[int], Path] | None = None,
) -> Study:
    """Run what is not finished yet; an error of one part is noted and the others go on.

    Args:
        config: the settings.
        rows: the table's rows, where they are not those of ``config.method`` and ``config.vary``.
        unseen_by: seed -> the split that says whom nobody trained on, where it is not the seed's own.

    Raises:
        ConfigError: settings that contradict each other.
        DataError: the store, a split or the list of pairs cannot be read.
    """
    job = _Job(config, unseen_by)
    if rows is None:
        rows = rows_of(config.method, config.vary, share_proxies=config.share_proxies)
        if not config.share_proxies and not config.method:
            console.log.print(f"remark: {FEDFACE} is left out, since it sends W; --share-proxies lets it")
    study = Study(config, list(rows))
    total, number = len(config.all_seeds) * len(study.rows), 0
    for seed in config.all_seeds:
        places = Places(config.out, seed)
        with _noting(places.folder / FAULT) as whole_seed:
            job.prepare(seed)
        for row in study.rows:
            number += 1
            console.log.print(f"[{number}/{total}] seed {seed}, {row.name}")
            fault = whole_seed
            if not fault:
                with _noting(places.of(row) / FAULT) as fault:
                    study.records[row.name, seed] = job.part(seed, row)
            if fault:
                study.failures[row.name, seed] = fault[0]
                console.log.print(f"seed {seed}, {row.name} failed: {fault[0]}")
    return study


@contextmanager
def _noting(file: Path) -> Iterator[list[str]]:
    """Keep an error from going further: its line is put into the list, its traceback into ``file``."""
    lines: list[str] = []
    try:
        yield lines
    except Exception as error:  # whatever it is, hours of other parts must not be lost with it
        lines.append(f"{type(error).__name__}: {' '.join(str(error).split())} (more in {file})")
        atomic.write_text(file, traceback.format_exc())
    else:
        file.unlink(missing_ok=True)


class _Job:
    """The parts of a study, one at a time."""

    def __init__(self, config: StudyConfig, unseen_by: Callable[[int], Path] | None) -> None:
        self.config, self._unseen_by = config, unseen_by
        self.recipe = Recipe(config.recipe)
        seeds = config.all_seeds
        for name, files in (("split", config.split), ("pretrained", config.pretrained)):
            if len(files) not in (0, 1, len(seeds)):
                raise ConfigError(
                    f"{len(files)} --{name} are given for {len(seeds)} seeds; give none, one, or one per seed"
                )
        if bool(config.split) == config.split_per_seed:
            raise ConfigError("give either --split FILE or --split-per-seed, which draws one for each seed")
        if (config.pairs is None) != (config.pairs_store is None):
            raise ConfigError("--pairs and --pairs-store belong together; give both or neither")
        # What cannot be read is better found now than after hours.
        _ = self.store, self.pairs

    @cached_property
    def store(self) -> FaceStore:
        from fedfr_edge.data.store import FaceStore

        return FaceStore.open(self.config.store)

    @cached_property
    def pairs(self) -> tuple[FaceStore, list[Pair]] | None:
        from fedfr_edge.data.store import FaceStore
        from fedfr_edge.evaluation.pairs import read_pairs

        if self.config.pairs is None or self.config.pairs_store is None:
            return None
        return FaceStore.open(self.config.pairs_store), read_pairs(self.config.pairs)

    def prepare(self, seed: int) -> None:
        """See to the seed's split and to the model that its rounds start from.

        Raises:
            FedFRError: see the commands; or what lies there was made with other settings.
        """
        if not self.config.split:
            self._draw_split(seed)
        if not self.config.pretrained:
            self._pretrain(seed)

    def split(self, seed: int) -> Path:
        """The seed's split."""
        files = self.config.split
        return self._of_seed(files, seed) if files else Places(self.config.out, seed).split

    def start(self, seed: int) -> Path:
        """The model that the seed's rounds start from."""
        files = self.config.pretrained
        return self._of_seed(files, seed) if files else Places(self.config.out, seed).pretrained

    def _draw_split(self, seed: int) -> None:
        from fedfr_edge.data.split import Split

        from ..commands.data_split import draw, write

        path = self.split(seed)
        settings = self.recipe.split(store=self.config.store, out=path, seed=seed)
        split = draw(settings)
        if not path.exists():
            write(settings, split)
        elif Split.load(path) != split:
            raise ConfigError(
                f"{path} was drawn from another store or with another [data.split] than now; go on with the "
                "same, or choose another --out"
            )

    def _pretrain(self, seed: int) -> None:
        from ..commands.pretrain import pretrain

        settings = self.recipe.pretrain(
            store=(self.config.store, *self.config.public_store),
            split=self.split(seed),
            out=self.start(seed).parent,
            seed=seed,
        )
        with console.progress_bars() as progress:
            pretrain(settings, progress=progress)

    def _of_seed(self, files: tuple[Path, ...], seed: int) -> Path:
        return files[0] if len(files) == 1 else files[self.config.all_seeds.index(seed)]

    def part(self, seed: int, row: Row) -> dict[str, Any]:
        """One row with one seed: its record, from its file where the same part is finished already."""
        split, start = self.split(seed), self.start(seed)
        folder = Places(self.config.out, seed).of(row)
        settings = None if row.method == PRETRAINED else self._settings(seed, row, split, start, folder)
        inputs = self._inputs(settings, split, self._unseen(seed), start)
        found = _finished(folder / SCORES, inputs)
        if found is not None:
            return found
        if settings is None:
            run, model, spent = None, start, _seconds(start.parent / "metrics.jsonl")
        else:
            run, model = folder, self._train(settings)
            spent = _seconds(folder / "metrics.jsonl")
        started = time.monotonic()
        record = {
            "row": row.name,
            "method": row.method,
            "seed": seed,
            "inputs": inputs,
            **self._measure(row, split, self._unseen(seed), run, model, folder),
            "training_seconds": spent,
            "evaluation_seconds": round(time.monotonic() - started, 1),
        }
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
        atomic.write_text(folder / SCORES, text + "\n")
        return record

    def _settings(self, seed: int, row: Row, split: Path, start: Path, folder: Path) -> TrainRun:
        return self.recipe.train(
            row,
            pretrained=start,
            store=self.config.store,
            split=split,
            public_store=self.config.public_store,
            share_proxies=self.config.share_proxies,
            out=folder,
            seed=seed,
        )

    def _train(self, settings: TrainRun) -> Path:
        from ..commands.train import train

        with console.progress_bars() as progress:
            return train(settings, progress=progress, remark=console.log.print)

    def _unseen(self, seed: int) -> Path:
        return self.split(seed) if self._unseen_by is None else self._unseen_by(seed)

    def _measure(
        self, row: Row, split: Path, unseen: Path, run: Path | None, model: Path, folder: Path
    ) -> dict[str, Any]:
        from fedfr_edge.data.split import Split

        from ..models_for_evaluation import Backend

        backend = Backend(self.config.device, self.config.threads)
        # Central training knows no clients, so it has no personal models.
        alone = run is None or row.method == "central"
        personalised = measure.measure_personalised(
            self.config.store,
            split,
            folder / "evaluation",
            backend,
            run=None if alone else run,
            generic=model if alone else None,
        )
        strangers = measure.measure_strangers(
            model, self.store, Split.load(unseen), backend, self.config.unseen
        )
        pairs = None if self.pairs is None else measure.measure_pairs(model, *self.pairs, backend)
        record = {"personalised": personalised, "strangers": strangers, "pairs": pairs}
        if self.config.ijbc is not None:
            record["ijbc"] = measure.measure_ijbc(model, self.config.ijbc, folder / "ijbc", backend)
        return record

    def _inputs(self, settings: TrainRun | None, split: Path, unseen: Path, start: Path) -> dict[str, Any]:
        """Everything that a row's figures depend on, JSON-able."""
        training: dict[str, Any] | None = None
        if settings is not None:
            resolved = as_dict(settings.hyper_parameters().resolved())
            training = {name: value for name, value in resolved.items() if name not in FREE}
        pairs_store = None if self.pairs is None else self.pairs[0].digest
        # Named only where they are not the default, so that parts of older studies stay what they are.
        more: dict[str, Any] = {} if self.config.unseen is None else {"unseen": self.config.unseen}
        if self.config.ijbc is not None:
            more["ijbc"] = True
        if unseen != split:
            more["unseen_by"] = sha256_of(unseen)
        return {
            "train": training,
            "pretrained": sha256_of(start),
            "store": self.store.digest,
            "split": sha256_of(split),
            "pairs_store": pairs_store,
            "pairs": None if self.config.pairs is None else sha256_of(self.config.pairs),
            **more,
        }


def _finished(file: Path, inputs: dict[str, Any]) -> dict[str, Any] | None:
    """The record in ``file`` if it is there, whole, and of these inputs."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return dict(record) if isinstance(record, dict) and record.get("inputs") == inputs else None


def _seconds(metrics: Path) -> float | None:
    """What all rounds (or epochs) took, also those before an interruption; None where nobody wrote it."""
    try:
        records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        return round(sum(float(record["seconds"]) for record in records), 1)
    except (OSError, ValueError, KeyError, TypeError):
        return None
