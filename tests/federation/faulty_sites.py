"""Sites of worker processes in which chosen clients fail in a chosen way: what a real client may do wrong."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import Array, RecordDict

from fedfr_edge.federation import payload
from fedfr_edge.federation.client_app import ClientSite
from fedfr_edge.federation.sites import LocalSites
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import ClientData
from fedfr_edge.types import Progress

_STEP, _GUARD, _FORMAT = torch.optim.SGD.step, payload.guard, payload.FORMAT


@dataclasses.dataclass(frozen=True)
class FaultySites:
    """``LocalSites`` with faults.

    Attributes:
        inner: the sites.
        faults: client id -> what goes wrong with it, one of :data:`FAULTS`.
        marks: a folder; a fault whose client has a file here does not happen (again).
        once: each fault happens in the first round that the client trains, and then no more.
    """

    inner: LocalSites
    faults: Mapping[str, str]
    marks: Path
    once: bool = False

    def open(self, *, progress: Progress) -> Callable[[str], ClientSite]:
        """Client id -> its site; a fault begins as its client's faces are opened to train."""
        find = self.inner.open(progress=progress)

        def site(client: str) -> ClientSite:
            mend()
            found, fault = find(client), self.faults.get(client)
            if fault is None or (self.marks / client).exists():
                return found
            if fault == "older version":
                payload.FORMAT = _FORMAT - 1
                return found

            def faces(model: GlobalModel) -> ClientData:
                # The check before training has no Θ.
                if model.backbone:
                    if self.once:
                        (self.marks / client).touch()
                    FAULTS[fault]()
                return found.faces(model)

            return dataclasses.replace(found, faces=faces)

        return site


def mend() -> None:
    """Undo what a fault of another client has left in this process."""
    torch.optim.SGD.step = _STEP  # type: ignore[method-assign]
    payload.guard, payload.FORMAT = _GUARD, _FORMAT
    _limit_files(None)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow beyond a few bytes: writes fail as on a full disk."""
    _limit_files(4000)
    try:
        yield
    finally:
        _limit_files(None)


def _limit_files(size: int | None) -> None:
    # Python ignores SIGXFSZ, so that a write beyond the limit is an OSError.
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def _late() -> None:
    time.sleep(120)


def _in_the_middle(what: Callable[[], None]) -> Callable[[], None]:
    """Do ``what`` before the second step of the epoch."""

    def begin() -> None:
        steps = 0

        def step(self: torch.optim.SGD, *args: Any, **more: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == 2:
                what()
            return _STEP(self, *args, **more)

        torch.optim.SGD.step = step  # type: ignore[method-assign]

    return begin


def _no_memory() -> None:
    torch.empty(2**50)  # more than any machine's: torch's own error


def _python_memory() -> None:
    np.empty(2**58, np.float64)


def _reply(change: Callable[[RecordDict], None]) -> Callable[[], None]:
    """A client that is none of ours: what it answers has not passed our guard."""

    def begin() -> None:
        def guard(content: RecordDict, layout: Any) -> dict[str, Any]:
            change(content)
            return {}

        payload.guard = guard

    return begin


def _nan(content: RecordDict) -> None:
    array = content["arrays"]["theta/flat"].numpy().copy()
    array[3] = np.nan
    content["arrays"]["theta/flat"] = Array(array)


def _wrong_shape(content: RecordDict) -> None:
    content["arrays"]["phi"] = Array(content["arrays"]["phi"].numpy()[1:].copy())


FAULTS: dict[str, Callable[[], None]] = {
    "late": _late,
    "killed": _in_the_middle(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "out of memory": _in_the_middle(_python_memory),
    "torch out of memory": _in_the_middle(_no_memory),
    "NaN": _reply(_nan),
    "wrong shape": _reply(_wrong_shape),
    "full disk": lambda: _limit_files(4000),
}
"""Name -> what begins it in the client's process; ``older version`` is beside these."""
