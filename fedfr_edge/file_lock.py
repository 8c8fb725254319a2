"""A lock between processes that the end of its holder gives back, however it ended."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from fedfr_edge import atomic

_LOOK = 0.02


class FileLock:
    """An advisory lock on a file; the file stays behind, empty, and means nothing by itself.

    Two locks on the same file exclude each other also within one process. Programs that are started while
    it is held do not hold it too.

    Args:
        path: the file, made with mode 0600 in a folder that is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self, patience: float | None) -> bool:
        """Take the lock; False if another holder still had it after ``patience`` seconds (None: for ever).

        A process that was killed a moment ago may take a while to be gone, so it pays to wait a little.

        Raises:
            WriteError: the file cannot be made.
        """
        with atomic.write_errors(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            taken = _lock(descriptor, patience)
        except BaseException:
            os.close(descriptor)
            raise
        if taken:
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return taken

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether some process holds the lock on ``path``; False where nobody can tell, as without such a file.

    Nothing is written. For the moment of looking the lock is shared, which a process that takes it with any
    patience at all does not notice.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int, patience: float | None) -> bool:
    if patience is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK)
