"""Writing files so that a crash or a full disk never damages what was there before."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fedfr_edge.errors import WriteError


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write ``data`` to ``path``: temporary file beside it, fsync, rename.

    Raises:
        WriteError: the disk is full or the folder cannot be written; ``path`` is as it was.
    """
    write_with(path, lambda file: file.write(data), mode=mode)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write ``text`` to ``path`` as UTF-8; see :func:`write_bytes`."""
    write_bytes(path, text.encode(), mode=mode)


def write_with(path: Path, fill: Callable[[BinaryIO], object], *, mode: int = 0o644) -> None:
    """Let ``fill`` write an open binary file that becomes ``path`` only if all went well.

    Raises:
        WriteError: as :func:`write_bytes`. Errors of ``fill`` itself pass through.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with open(descriptor, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut (a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` while writing ``path`` into a :class:`WriteError` that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(
            f"cannot write {path}: {reason}; earlier files are untouched, free some space or "
            "choose another place and run the same command again"
        ) from error
