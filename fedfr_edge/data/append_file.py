"""A file that only grows, whose last record is never left torn by an error."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fedfr_edge.atomic import write_errors
from fedfr_edge.errors import StoreError
from fedfr_edge.types import Progress, no_progress

_CHUNK = 1 << 22


class AppendFile:
    """An unbuffered file open for appending and reading; created if absent.

    Nothing waits in this process's memory: what :meth:`append` returned from survives a kill.

    Raises:
        WriteError: from every method that writes; the file is then as before the call.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with write_errors(path):
            self._file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)  # noqa: SIM115
            self._size = os.fstat(self._file.fileno()).st_size

    def __len__(self) -> int:
        """Its size in bytes."""
        return self._size

    def append(self, data: bytes) -> None:
        """Write ``data`` at the end, all of it or nothing."""
        with write_errors(self.path):
            try:
                self._write_at(self._size, data)
            except BaseException:
                self._file.truncate(self._size)
                raise
        self._size += len(data)

    def overwrite_start(self, data: bytes) -> None:
        """Replace the first bytes; the size stays."""
        with write_errors(self.path):
            self._write_at(0, data)

    def cut(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        with write_errors(self.path):
            self._file.truncate(size)
        self._size = size

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset``; fewer only at the end of the file."""
        self._file.seek(offset)
        parts = []
        while count > 0 and (part := self._file.read(min(count, _CHUNK))):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def sha256(self, progress: Progress = no_progress) -> str:
        """Sha256 of the whole file, in hexadecimal; progress counts mebibytes."""
        digest = hashlib.sha256()
        total = max(1, self._size >> 20)
        for offset in range(0, self._size, _CHUNK):
            digest.update(self.read(offset, _CHUNK))
            progress("hashing", min(offset >> 20, total - 1), total)
        progress("hashing", total, total)
        return digest.hexdigest()

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        with write_errors(self.path):
            os.fsync(self._file.fileno())

    def lock(self) -> None:
        """Claim the file for this process until it is closed (where the system knows such locks).

        Raises:
            StoreError: another process has it.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"another process is writing {self.path.parent}; wait for it, or end it and run this again"
            ) from error

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    def _write_at(self, offset: int, data: bytes) -> None:
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:  # a nearly full disk takes a part first and refuses the next write
            rest = rest[self._file.write(rest) or 0 :]
