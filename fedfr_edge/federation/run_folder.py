"""The folder of a training run: checkpoints, metrics, and what a resumed run must not change.

::

    RUN/federation.json                       the federation's id, the settings, digests of what was read
    RUN/checkpoints/round_0000.safetensors    the global model after each round; 0000 is the start
    RUN/metrics.jsonl                         one JSON object for each round
    RUN/.lock                                 held by the process that runs the rounds
    RUN/proxies/                              FedFace only, see :mod:`.proxy_store`
    RUN/privacy.jsonl                         with differential privacy, see :mod:`.privacy_account`
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.config import as_dict
from fedfr_edge.errors import CheckpointError, ConfigError, FederationError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.train.checkpoint import GlobalModel, load_global, save_global, tensors_sha256
from fedfr_edge.train.config import TrainConfig

_FORMAT = 1
_NAME = re.compile(r"round_(\d{4,})\.safetensors")
FREE = ("rounds", "device", "compile", "threads", "embed_batch", "image_budget")
"""Settings that a resumed run may change: how far to go, and on what."""


class RunFolder:
    """A run's folder, opened to begin a run or to go on with one.

    Args:
        path: the folder; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.federation = ""

    @contextmanager
    def alone(self, patience: float = 5.0) -> Iterator[None]:
        """Keep other processes out of the folder, and clear away what a killed one left half written.

        Two servers on one folder would take each other's clients back and forth between rounds.

        Args:
            patience: how many seconds to wait for a process that has the folder: after a kill the one
                before may be dying still.

        Raises:
            FederationError: another process is at work on the folder.
            WriteError: the folder cannot be made.
        """
        with atomic.write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        if not lock.take(patience):
            raise FederationError(
                f"another process is at work on {self.path}; wait for it to end, or choose another folder"
            )
        try:
            for folder in (self.path, self.path / "checkpoints", self.path / "proxies"):
                for left in folder.glob(".*.tmp"):
                    left.unlink()
            yield
        finally:
            lock.release()

    def rounds(self) -> list[int]:
        """The rounds that have a checkpoint, in rising order."""
        folder = self.path / "checkpoints"
        names = (_NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
        return sorted(int(match[1]) for match in names if match)

    def checkpoint(self, round: int) -> Path:
        """Where the global model after ``round`` lies."""
        return self.path / "checkpoints" / f"round_{round:04d}.safetensors"

    def open(
        self, start: GlobalModel, settings: TrainConfig, seed: int, sources: Mapping[str, str]
    ) -> GlobalModel:
        """Begin a run with ``start``, or find where an earlier one stopped.

        Args:
            start: the pre-trained model; its round becomes 0.
            settings: resolved hyper-parameters.
            seed: the run's seed.
            sources: name of a setting -> digest of what it names (a split, a store).

        Returns:
            the global model to go on from: ``start``, or the newest checkpoint.

        Raises:
            ConfigError: the folder holds a run with other settings, another start or other data, or one
                whose second stage is done, which no further round can follow.
            FederationError: the folder's record is damaged.
            CheckpointError: the newest checkpoint is damaged.
            WriteError: the disk refused.
        """
        fixed = {name: value for name, value in as_dict(settings).items() if name not in FREE}
        digest = tensors_sha256(start.backbone | {"phi": start.global_proxies})
        record = {"seed": seed, **fixed, **sources, "pretrained": digest}
        path = self.path / "federation.json"
        if not path.exists():
            if self.rounds():
                raise FederationError(
                    f"{self.path} holds checkpoints but no federation.json, expected both or neither; "
                    "restore the file, or choose another folder"
                )
            self.federation = uuid.uuid4().hex
            text = json.dumps(
                {"format": _FORMAT, "federation": self.federation, "settings": record}, indent=1
            )
            atomic.write_text(path, text + "\n")
        else:
            self._compare(path, record)
        if not self.rounds():
            begun = GlobalModel(start.spec, start.backbone, start.global_proxies, 0, dict(start.metadata))
            save_global(begun, self.checkpoint(0))
        newest = self.rounds()[-1]
        model = load_global(self.checkpoint(newest))
        if model.round != newest:
            raise CheckpointError(
                f"{self.checkpoint(newest)} says that it is of round {model.round}; delete or rename it"
            )
        self._check_not_ended(newest, settings)
        self._check_metrics(newest)
        return model

    def save(self, model: GlobalModel, report: Mapping[str, Any]) -> None:
        """Record a finished round: its metrics, then its checkpoint.

        In this order a kill in between loses nothing: metrics without a checkpoint are written anew.

        Raises:
            WriteError: the disk refused; earlier rounds are untouched.
        """
        self._write_metrics(report)
        save_global(model, self.checkpoint(model.round))

    def note_attempt(self, round: int, record: Mapping[str, Any]) -> None:
        """Record an attempt at a round that did not count: a last line, which the round's own replaces.

        Raises:
            WriteError: the disk refused; earlier rounds are untouched.
        """
        attempts = [*self.attempts(round), {**record}]
        self._write_metrics({"round": round, "unfinished": True, "clients": {}, "attempts": attempts})

    def attempts(self, round: int) -> list[dict[str, Any]]:
        """The records of earlier attempts at a round that is not finished, also of those before a kill.

        Raises:
            FederationError: the file is damaged.
        """
        found = [line for line in self._lines() if line["round"] == round and "unfinished" in line]
        return [dict(record) for line in found for record in line["attempts"]]

    def metrics(self) -> list[dict[str, Any]]:
        """The recorded rounds.

        Raises:
            FederationError: the file is damaged.
        """
        return [line for line in self._lines() if "unfinished" not in line]

    def _write_metrics(self, last: Mapping[str, Any]) -> None:
        lines = [*(line for line in self.metrics() if line["round"] < last["round"]), {**last}]
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        atomic.write_text(self.path / "metrics.jsonl", text)

    def _lines(self) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            return [dict(json.loads(line)) for line in path.read_text().splitlines()]
        except (OSError, ValueError, TypeError) as error:
            raise FederationError(f"cannot read {path}: {error}; restore it or move it away") from error

    def settings(self) -> dict[str, Any]:
        """The settings that the run was begun with, as far as it may not change them; {} if none began.

        Raises:
            FederationError: the folder's record is damaged.
        """
        path = self.path / "federation.json"
        return _read_record(path)[1] if path.exists() else {}

    def _check_not_ended(self, newest: int, settings: TrainConfig) -> None:
        stage = next((line.get("stage") for line in self.metrics() if line["round"] == newest), None)
        if stage is not None and settings.last_round > newest:
            raise ConfigError(
                f"rounds is {settings.rounds}, but the run in {self.path} has ended: round {newest} was its "
                f"second stage ({stage}), made from the model of round {newest - 1}; choose another folder"
            )

    def _check_metrics(self, newest: int) -> None:
        """Metrics are written before the checkpoint: a file that ends before it has been cut."""
        path = self.path / "metrics.jsonl"
        recorded = [line.get("round") for line in self.metrics()]
        if path.exists() and newest > 0 and newest not in recorded:
            raise FederationError(
                f"{path} ends at round {recorded[-1] if recorded else 0}, but there is a checkpoint of round "
                f"{newest}; restore it, or move it away to go on without the earlier rounds' metrics"
            )

    def _compare(self, path: Path, record: dict[str, Any]) -> None:
        self.federation, settings = _read_record(path)
        # JSON has no tuples; what was written is compared with what would be written.
        wanted = json.loads(json.dumps(record))
        for name in sorted(settings.keys() | wanted.keys()):
            if settings.get(name) != wanted.get(name):
                raise ConfigError(
                    f"{name} is {_short(wanted.get(name))}, but the run in {self.path} was begun with "
                    f"{_short(settings.get(name))}; go on with the same {name}, or choose another folder"
                )


def _read_record(path: Path) -> tuple[str, dict[str, Any]]:
    """The federation's id and the settings that may not change."""
    try:
        found = json.loads(path.read_text())
        return str(found["federation"]), dict(found["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FederationError(
            f"cannot read {path}: {error!r}; restore it, or choose another folder"
        ) from error


def _short(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:  # a digest stands for a file's content
        return f"content {value[:12]}…"
    return "not set" if value is None else repr(value)
