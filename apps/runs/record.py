"""A training run read back from its folder: settings, data, rounds, scores; without torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.config import as_dict, resolve
from fedfr_edge.errors import ConfigError, FederationError, FedFRError
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.config import TrainConfig

from .scores import read_scores

RECORD = "federation.json"
"""The file that makes a folder a run."""

SOURCES = ("pretrained", "store", "split", "public_store")
"""What a run's record keeps digests of."""

_NAME = re.compile(r"round_(\d{4,})\.safetensors")
_NOTHING = hashlib.sha256(b"").hexdigest()  # the digest of no public store at all
_HEADER = "fedfr-edge"


@dataclass(frozen=True)
class RunRecord:
    """What a run's folder says.

    Attributes:
        path: the folder.
        config: hyper-parameters, resolved.
        seed: the run's seed.
        others: settings that this version does not know, by name.
        digests: name (see :data:`SOURCES`) -> sha256 of what was read; absent where nothing was.
        places: name -> path as it was given, relative to where the command ran.
        backbone: the network, in words.
        done: rounds that have a checkpoint.
        last: number of the last round; None where the folder does not say.
        rounds: the lines of ``metrics.jsonl`` up to ``done``.
        attempts: at the round after ``done``, each with too few answers to count; see
            :class:`fedfr_edge.federation.attempts.ShortRound`.
        scores: the lines of ``scores.jsonl`` up to ``done``.
        changed: when the last round was written, seconds since 1970.
    """

    path: Path
    config: TrainConfig
    seed: int | None
    others: dict[str, Any]
    digests: dict[str, str]
    places: dict[str, Any]
    backbone: str
    done: int
    last: int | None
    rounds: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    scores: list[dict[str, Any]]
    changed: float

    @property
    def state(self) -> str:
        """``finished``, ``unfinished``, or ``?`` where nobody wrote down how far it was to go."""
        if self.last is None:
            return "?"
        return "finished" if self.done >= self.last else "unfinished"

    @property
    def clients(self) -> list[str]:
        """All clients that ever answered, sorted."""
        return sorted({client for record in self.rounds for client in record["clients"]})

    @property
    def method(self) -> str:
        """The method, and the profile where it is not the paper's."""
        profile = self.config.profile
        return self.config.method + ("" if profile == "paper" else f" ({profile})")

    def settings(self) -> dict[str, Any]:
        """Every hyper-parameter, the seed, the backbone and what this version does not know."""
        return {**as_dict(self.config), "seed": self.seed, "backbone": self.backbone, **self.others}

    def departures(self) -> dict[str, tuple[Any, Any]]:
        """Settings that differ from the defaults of their method and profile: name -> (value, default)."""
        plain = TrainConfig(method=self.config.method, profile=self.config.profile).resolved()
        defaults = as_dict(plain) | {name: as_dict(TrainConfig())[name] for name in ("method", "profile")}
        mine = as_dict(self.config)
        changed = {name: (mine[name], defaults[name]) for name in mine if mine[name] != defaults[name]}
        return changed | {name: (value, None) for name, value in self.others.items()}


def read_run(path: Path) -> RunRecord:
    """Read a run's folder.

    Raises:
        ConfigError: it is no run's folder.
        FederationError: a file in it is damaged.
    """
    if not (path / RECORD).is_file():
        what = "holds no federation.json" if path.is_dir() else "is no folder"
        raise ConfigError(f"{path} {what}, expected the folder of a training run (fedfr train --out)")
    kept = _settings_of(path / RECORD)
    written = _train_toml(path / "train.toml")
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    values = {name: value for name, value in (written | kept).items() if name in known}
    try:
        config = resolve(TrainConfig, "train", None, values).resolved()
    except ConfigError as error:
        raise FederationError(f"cannot read the settings of {path}: {error}; restore {RECORD}") from error
    digests = {name: str(kept[name]) for name in SOURCES if name in kept and kept[name] != _NOTHING}
    others = {name: kept[name] for name in kept if name not in {*known, *SOURCES, "seed"}}
    checkpoints = _checkpoints(path)
    done = max(checkpoints, default=0)
    metrics = path / "metrics.jsonl"
    recorded, unfinished = _metrics(metrics)
    rounds = [record for record in recorded if record["round"] <= done]
    lost = sorted(set(range(1, done + 1)) - {record["round"] for record in rounds})
    if lost:
        raise FederationError(
            f"{metrics} lacks round {lost[0]}, though {path} has a checkpoint of round {done}; restore it"
        )
    return RunRecord(
        path=path,
        config=config,
        seed=kept.get("seed"),
        others=others,
        digests=digests,
        places={name: value for name, value in written.items() if name not in known},
        backbone=_backbone(path / "checkpoints" / f"round_{done:04d}.safetensors") if checkpoints else "?",
        done=done,
        last=config.last_round if "rounds" in values else None,
        rounds=rounds,
        attempts=[
            attempt for record in unfinished if record["round"] == done + 1 for attempt in record["attempts"]
        ],
        scores=[line for line in read_scores(path / "scores.jsonl") if line["round"] <= done],
        changed=(metrics if metrics.exists() else path / RECORD).stat().st_mtime,
    )


def find_runs(folder: Path) -> Iterator[Path]:
    """The runs in ``folder`` and below, sorted; links to folders are not followed.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name one that runs lie in, or below")
    for place, folders, files in os.walk(folder):
        if RECORD in files:
            folders.clear()  # a run holds no runs
            yield Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def read_all(folders: Sequence[Path]) -> tuple[list[RunRecord], dict[Path, str]]:
    """Every run below ``folders``, and for each that cannot be read the reason.

    Raises:
        ConfigError: no such folder, or no run in any of them.
    """
    paths = dict.fromkeys(path for folder in folders for path in find_runs(folder))
    if not paths:
        shown = ", ".join(map(str, folders))
        raise ConfigError(f"there is no training run in {shown} or below; fedfr train --out makes one")
    records, faults = [], {}
    for path in paths:
        try:
            records.append(read_run(path))
        except FedFRError as error:
            faults[path] = str(error)
    return records, faults


def _settings_of(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        if not isinstance(settings, dict):
            raise TypeError("settings is no table")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FederationError(f"cannot read {path}: {error!r}; restore the file") from error
    return settings


def _train_toml(path: Path) -> dict[str, Any]:
    """What the command was given; nothing for a run that ``flwr run`` started, which has no such file."""
    if not path.exists():
        return {}
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8"))["train"]
        return dict(section)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FederationError(f"cannot read {path}: {error!r}; restore the file, or delete it") from error


def _metrics(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rounds that are done, and the attempts at one that is not."""
    if not path.exists():
        return [], []
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            int(line["round"])
            if "unfinished" in line:
                for attempt in line["attempts"]:
                    int(attempt["answered"]), int(attempt["expected"])
                continue
            float(line["seconds"])
            for metrics in line["clients"].values():
                float(metrics["images"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FederationError(f"cannot read {path}: {error!r}; restore it or move it away") from error
    done = [line for line in lines if "unfinished" not in line]
    return done, [line for line in lines if "unfinished" in line]


def _checkpoints(path: Path) -> list[int]:
    folder = path / "checkpoints"
    names = (_NAME.fullmatch(file.name) for file in folder.iterdir()) if folder.is_dir() else ()
    return [int(match[1]) for match in names if match]


def _backbone(path: Path) -> str:
    """The network of a checkpoint, from the header alone."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > os.fstat(file.fileno()).st_size:
                raise ValueError("it is cut short")
            header = json.loads(file.read(size))["__metadata__"][_HEADER]
        return str(BackboneSpec.from_dict(json.loads(header)["spec"]))
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise FederationError(f"cannot read checkpoint {path}: {error}; restore or delete it") from error
