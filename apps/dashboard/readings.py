"""The runs of a dashboard, read again and again: how each is now, and what was last known of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from fedfr_edge.errors import ConfigError, FedFRError
from fedfr_edge.file_lock import is_held

from ..commands.federation_server import attempt_text
from ..runs.record import RECORD, RunRecord, find_runs, read_run
from ..runs.summary import short_names

FILES = (RECORD, "train.toml", "metrics.jsonl", "scores.jsonl", "checkpoints")
"""What of a run's folder changes as it goes on; the folder's own time does not tell."""

SHORTEST = 1.0
"""Seconds between two looks at the disk, however many ask."""


@dataclass(frozen=True)
class Reading:
    """One run as it was found.

    Attributes:
        id: stands for the run's path in addresses.
        path: its folder, resolved.
        name: the path without the folders that all runs share.
        state: ``running``, ``retrying``, ``stopped``, ``finished``, ``gone`` or ``unreadable``.
        text: the state in a sentence.
        record: what the folder says, or said when it could last be read; None: never.
        tag: differs whenever anything of this differs.
    """

    id: str
    path: Path
    name: str
    state: str
    text: str
    record: RunRecord | None
    tag: str


@dataclass(frozen=True)
class _Kept:
    stamp: str
    record: RunRecord | None
    fault: str


class Readings:
    """Looks at the runs in some folders and below; several threads may ask at once.

    Args:
        folders: of runs, or that runs lie in or below.
        clock: seconds, from anywhere.

    Raises:
        ConfigError: no such folder, or no run in any of them.
    """

    def __init__(self, folders: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._folders, self._clock, self._lock = tuple(folders), clock, Lock()
        self._kept: dict[Path, _Kept] = {}
        self._found: list[Reading] = []
        self._looked: float | None = None
        if not any(True for folder in folders for _ in find_runs(folder)):
            shown = ", ".join(map(str, folders))
            raise ConfigError(f"there is no training run in {shown} or below; fedfr train --out makes one")

    def look(self) -> list[Reading]:
        """Every run that is there or was there before, in the order of their paths."""
        with self._lock:
            now = self._clock()
            if self._looked is None or now - self._looked >= SHORTEST:
                self._found, self._looked = self._read(), now
            return self._found

    def find(self, id: str) -> Reading | None:
        """The run that ``id`` stands for."""
        return next((reading for reading in self.look() if reading.id == id), None)

    def _read(self) -> list[Reading]:
        here = {path.resolve(): None for path in self._paths()}  # one run, however many ways lead to it
        for path in here:
            stamp = _stamp(path)
            kept = self._kept.get(path)
            if kept is not None and kept.stamp == stamp:
                continue
            try:
                self._kept[path] = _Kept(stamp, read_run(path), "")
            except (FedFRError, OSError) as error:  # OSError: it is being deleted as it is read
                self._kept[path] = _Kept(stamp, kept.record if kept else None, str(error))
        names = short_names(list(self._kept))
        return [
            _reading(path, names[path], kept, there=path in here)
            for path, kept in sorted(self._kept.items(), key=lambda item: item[0])
        ]

    def _paths(self) -> Iterable[Path]:
        for folder in self._folders:
            try:
                yield from find_runs(folder)
            except ConfigError:  # it was there when the dashboard was started
                continue


def _stamp(path: Path) -> str:
    parts = []
    for name in FILES:
        try:
            found = (path / name).stat()
        except OSError:
            continue
        parts.append(f"{name} {found.st_mtime_ns} {found.st_size} {found.st_ino}")
    return "; ".join(parts)


def _reading(path: Path, name: str, kept: _Kept, *, there: bool) -> Reading:
    id = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:12]
    reading = Reading(id, path, name, "gone", "", kept.record, "")
    state, text = _state(path, kept, there)
    tag = hashlib.sha256(f"{name} {state} {text} {kept.stamp}".encode(errors="surrogateescape")).hexdigest()[
        :12
    ]
    return replace(reading, state=state, text=text, tag=tag)


def _state(path: Path, kept: _Kept, there: bool) -> tuple[str, str]:
    record = kept.record
    if not there:
        return "gone", "its folder is not there any more; what is shown is what was last read of it"
    if kept.fault or record is None:
        shown = "; what is shown is what was last read of it" if record is not None else ""
        return "unreadable", kept.fault + shown
    if record.state == "finished":
        return "finished", f"all {record.last} rounds are done"
    held = is_held(path / ".lock")
    number = record.done + 1
    of = "" if record.last is None else f" of {record.last}"
    tries = [attempt_text(number, place, attempt) for place, attempt in enumerate(record.attempts, 1)]
    if held and tries:
        return "retrying", f"round {number}{of} is tried again. " + ". ".join(tries)
    if held:
        return "running", f"round {number}{of} is under way"
    done = f"{record.done}{of} rounds are done; no process on this machine is at work on it, "
    done += "and the command that began it goes on with it"
    return "stopped", ". ".join([done, *tries])
