"""Reading what ``fedfr evaluate``, ``fedfr train`` and ``fedfr study`` leave in their folders."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from fedfr_edge.errors import ConfigError, DataError
from fedfr_edge.evaluation.outcome import PersonalisedResult
from fedfr_edge.evaluation.pairs import PairsResult
from fedfr_edge.train.config import METHODS

from ..study.plan import PRETRAINED
from .stored import stored_interval, stored_rate, stored_result

PERSONALISED, PAIRS, IJBC = "personalised.json", "pairs.json", "ijbc.json"
STUDY, RUN, REPRODUCTION = "study.json", "federation.json", "reproduce-*.json"


@dataclass(frozen=True)
class Personalised:
    """A result folder of ``fedfr evaluate personalised``.

    Attributes:
        folder: where it lies.
        record: the content of ``personalised.json``.
        results: its results, whole.
        run: folder of the training run behind it, where that can be found.
        training: that run's settings; empty where it cannot be found.
    """

    folder: Path
    record: dict[str, Any]
    results: list[PersonalisedResult]
    run: Path | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    def same_people(self, other: Personalised) -> bool:
        """Whether both were measured on the same people, images and trials, so that they may be compared."""
        # Earlier versions wrote the split's seed alone.
        key = "sha256" if all("sha256" in one.record["split"] for one in (self, other)) else "seed"
        return bool(
            self.record["store"]["digest"] == other.record["store"]["digest"]
            and self.record["split"][key] == other.record["split"][key]
            and self._trials == other._trials
        )

    @property
    def _trials(self) -> set[tuple[str, int, int]]:
        return {
            (client.client, client.verification[0].trials, client.gallery)
            for result in self.results
            for client in result.clients
        }


@dataclass(frozen=True)
class Pairs:
    """A result folder of ``fedfr evaluate pairs``."""

    folder: Path
    record: dict[str, Any]
    results: list[PairsResult]


@dataclass(frozen=True)
class Ijbc:
    """A result folder of ``fedfr evaluate ijbc``."""

    folder: Path
    record: dict[str, Any]


@dataclass(frozen=True)
class Reproduction:
    """What ``fedfr reproduce`` wrote of one target."""

    file: Path
    record: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A folder of ``fedfr study``, or of ``fedfr reproduce``, which holds a study and what became of it."""

    folder: Path
    record: dict[str, Any]
    reproductions: tuple[Reproduction, ...] = ()


@dataclass
class Inputs:
    """Everything that was read, in the order in which it was named."""

    personalised: list[Personalised] = field(default_factory=list)
    pairs: list[Pairs] = field(default_factory=list)
    ijbc: list[Ijbc] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)

    @property
    def results(self) -> list[tuple[Path, dict[str, Any]]]:
        """Folder and record of everything but studies."""
        found = [(one.folder, one.record) for one in self.personalised]
        found += [(one.folder, one.record) for one in self.pairs]
        return found + [(one.folder, one.record) for one in self.ijbc]

    def to_list(self) -> list[dict[str, Any]]:
        """What was read, JSON-able: the figures of a page must lead back to their files."""
        found = [
            {"kind": kind, "folder": str(one.folder), **{key: one.record.get(key) for key in keys}}
            for kind, several, keys in (
                ("personalised", self.personalised, ("version", "store", "split", "models", "device")),
                ("pairs", self.pairs, ("version", "store", "pairs", "device")),
                ("ijbc", self.ijbc, ("version", "store", "models", "templates", "results")),
                (
                    "study",
                    self.studies,
                    ("version", "settings", "seeds", "rows", "means", "orderings", "failures"),
                ),
            )
            for one in several
        ]
        found += [
            {"kind": "reproduction", "file": str(one.file), **one.record}
            for study in self.studies
            for one in study.reproductions
        ]
        return found


def read_inputs(folders: tuple[Path, ...]) -> Inputs:
    """Read every folder.

    Raises:
        ConfigError: a folder is given twice, is not there, or holds no results.
        DataError: a file in it is damaged.
    """
    places = [folder.resolve() for folder in folders]
    twice = next(
        (folder for folder, place in zip(folders, places, strict=True) if places.count(place) > 1), None
    )
    if twice is not None:
        raise ConfigError(f"{twice} is given twice; name each folder once")
    inputs = Inputs()
    for folder in folders:
        _read_folder(folder, inputs)
    return inputs


def _read_folder(folder: Path, inputs: Inputs) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name one with results of fedfr evaluate, train or study")
    if (folder / STUDY).is_file():
        inputs.studies.append(Study(folder, _json(folder / STUDY, "rows", "seeds", "runs")))
        return
    targets = sorted(folder.glob(REPRODUCTION))
    if targets:
        reproductions = tuple(Reproduction(file, _json(file, "target", "parts", "seeds")) for file in targets)
        inputs.studies.append(Study(folder, _collected(folder, reproductions), reproductions))
        return
    if (folder / RUN).is_file() and not (folder / PERSONALISED).is_file():
        if not (folder / "evaluation" / PERSONALISED).is_file():
            raise ConfigError(
                f"{folder} is a training run without an evaluation; make one with fedfr evaluate "
                f"personalised --run {folder} --out {folder / 'evaluation'}"
            )
        folder = folder / "evaluation"
    found = False
    if (folder / PERSONALISED).is_file():
        inputs.personalised.append(read_personalised(folder))
        found = True
    if (folder / PAIRS).is_file():
        inputs.pairs.append(_read_pairs(folder))
        found = True
    if (folder / IJBC).is_file():
        inputs.ijbc.append(Ijbc(folder, _json(folder / IJBC, "results", "faces")))
        found = True
    if not found:
        raise ConfigError(
            f"{folder} holds no results; expected one of {PERSONALISED}, {PAIRS}, {IJBC}, {STUDY}, "
            f"{REPRODUCTION}, or a training run with an evaluation folder"
        )


def _collected(folder: Path, found: Sequence[Reproduction]) -> dict[str, Any]:
    """The study that a reproduction ran, put together from its parts."""
    seeds = sorted({seed for one in found for seed in one.record["seeds"]})
    runs = [
        _json(file, "row", "seed", "personalised", "inputs")
        for seed in seeds
        for file in sorted((folder / str(seed)).glob("*/scores.json"))
    ]
    order = (PRETRAINED, *METHODS)
    rows = sorted(
        {str(one["row"]) for one in runs},
        key=lambda row: (order.index(method) if (method := row.split(",")[0]) in order else len(order), row),
    )
    settings = dict(found[0].record.get("settings", {}))
    # Splits and unseen people are drawn for each seed; see fedfr reproduce.
    settings["split_per_seed"] = True
    return {
        "version": found[0].record.get("version"),
        "settings": settings,
        "seeds": seeds,
        "rows": rows,
        "runs": runs,
    }


def read_personalised(folder: Path) -> Personalised:
    """One result folder.

    Raises:
        DataError: ``personalised.json`` or ``curves.npz`` is missing or damaged.
    """
    record = _json(folder / PERSONALISED, "store", "split", "results")
    file = folder / "curves.npz"
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        results = [stored_result(result, arrays) for result in record["results"]]
        if not results or not all(result.clients for result in results):
            raise ValueError("no results in it")
    except (OSError, ValueError, KeyError, TypeError, IndexError, BadZipFile, EOFError) as error:
        raise DataError(
            f"the results in {folder} cannot be read ({file.name}: {error}); restore the folder or evaluate "
            "again"
        ) from error
    run = _run_behind(folder)
    return Personalised(folder, record, results, run, _settings(run) if run is not None else {})


def _read_pairs(folder: Path) -> Pairs:
    record = _json(folder / PAIRS, "store", "pairs", "results")
    try:
        results = [
            PairsResult(
                name=result["name"],
                folds=tuple(result["folds"]),
                thresholds=tuple(result["thresholds"]),
                best_accuracy=result["best_accuracy"],
                best_threshold=result["best_threshold"],
                rates=tuple(map(stored_rate, result["rates"])),
                auc=result["auc"],
                eer=result["eer"],
                # The file keeps the number of the scores, not the scores.
                mated=np.full(result["mated_pairs"], np.nan, np.float32),
                non_mated=np.full(result["non_mated_pairs"], np.nan, np.float32),
                missing=tuple(result["missing_images"]),
                left_out=result["left_out_pairs"],
                people=result.get("people") or 0,
                accuracy_interval=stored_interval(result.get("accuracy_interval")),
                eer_interval=stored_interval(result.get("eer_interval")),
            )
            for result in record["results"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the results in {folder / PAIRS} cannot be read ({error!r}); restore the file or evaluate again"
        ) from error
    return Pairs(folder, record, results)


def _run_behind(folder: Path) -> Path | None:
    """The training run that was measured: around the folder, or where the settings say."""
    if (folder.parent / RUN).is_file():
        return folder.parent
    if (folder / RUN).is_file():
        return folder
    try:
        section = tomllib.loads((folder / "personalised.toml").read_text(encoding="utf-8"))
        run = Path(section["evaluate"]["personalised"]["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run if run.is_dir() else None


def _settings(run: Path) -> dict[str, Any]:
    # A run is known by its record, but its rounds may be told without one.
    return dict(_json(run / RUN, "settings")["settings"]) if (run / RUN).is_file() else {}


def _json(path: Path, *needed: str) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise TypeError("it is no object")
        missing = [key for key in needed if key not in record]
        if missing:
            raise KeyError(missing[0])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {path} ({error!r}); restore the file or evaluate again") from error
    return record
