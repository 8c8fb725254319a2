"""Processes of one user that share a GPU take turns, so that one client's round at a time fills its memory.

Several SuperNodes on one machine know nothing of each other; a GPU that two rounds share runs out of
memory at a moment that nobody chose. Here the limit is ours: a round waits until the one before is over.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedfr_edge import atomic
from fedfr_edge.errors import TrainingError
from fedfr_edge.file_lock import FileLock


@contextmanager
def device_turn(device: str) -> Iterator[None]:
    """Hold ``device`` for the time of one client's round; on the CPU nothing is held.

    Waits as long as it takes (the round's deadline bounds it). Within one process too: do not nest. On
    leaving, memory that torch keeps for later is handed back, for the process whose turn is next.

    Args:
        device: a torch device, for example ``"cuda:1"``.

    Raises:
        TrainingError: the folder of the locks belongs to somebody else.
        WriteError: the lock cannot be made.
    """
    if not device.startswith("cuda"):
        yield
        return
    import torch

    with turn(_name_of(device)):
        try:
            yield
        finally:
            torch.cuda.empty_cache()


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Hold what is called ``name``, alone among the processes of this user on this machine.

    Raises:
        TrainingError: the folder of the locks belongs to somebody else.
        WriteError: the lock cannot be made.
    """
    lock = FileLock(_folder() / f"device-{name}.lock")
    lock.take(None)
    try:
        yield
    finally:
        lock.release()


def _name_of(device: str) -> str:
    """What the GPU is called everywhere: ``cuda:0`` is another one under another CUDA_VISIBLE_DEVICES."""
    import torch

    properties = torch.cuda.get_device_properties(torch.device(device))
    return str(getattr(properties, "uuid", None) or device.replace(":", "-"))


def _folder() -> Path:
    """Where this user's locks lie: the same folder for every process, whatever its environment says."""
    user = os.getuid()
    runtime = Path(f"/run/user/{user}")
    if os.access(runtime, os.W_OK) and runtime.stat().st_uid == user:
        return runtime
    folder = Path(tempfile.gettempdir()) / f"fedfr-edge-{user}"
    with atomic.write_errors(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    # The temporary folder is everybody's: a folder or link that another user put there is not used.
    if found.st_uid != user or not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o022:
        raise TrainingError(
            f"{folder} is not a folder that only this user can write to; remove it, or set TMPDIR to "
            "another place for all clients of this machine"
        )
    return folder
