"""Getting one file over HTTP: gone on with after a cut, checked, and there only when it is whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

import fedfr_edge
from fedfr_edge import atomic
from fedfr_edge.errors import MissingPartError, WriteError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.types import Progress, no_progress

from .file_digest import sha256_of
from .known_models import KnownModel

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""

_CHUNK = 1 << 16


def fetch(model: KnownModel, folder: Path, progress: Progress = no_progress) -> Path:
    """Download ``model`` into ``folder``.

    What arrived before a cut stays in a hidden file beside the target, and the next call asks the server
    for the rest. The target appears only with the right size and digest, in one step.

    Args:
        model: what to get.
        folder: made if it is not there.
        progress: told of the bytes.

    Returns:
        the file.

    Raises:
        MissingPartError: no answer, a cut connection, other bytes than expected, or another process is
            getting the same file.
        WriteError: no space, or the folder cannot be written.
    """
    target = folder / model.file
    part = folder / f".{model.file}.{model.sha256[:12]}.part"
    with atomic.write_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(part.with_suffix(".lock"))
    if not lock.take(0.5):
        raise MissingPartError(f"another process is getting {target}; wait for it to end")
    try:
        _fill(model, part, progress)
        if sha256_of(part) != model.sha256:
            part.unlink()
            raise MissingPartError(
                f"{model.address} gives other bytes than expected (sha256 {model.sha256[:12]}…); they were "
                "deleted, get the file from elsewhere and give it with --from"
            )
        with atomic.write_errors(target):
            part.replace(target)
        atomic.sync_folder(folder)
    finally:
        lock.path.unlink(missing_ok=True)
        lock.release()
    return target


def copy_in(model: KnownModel, source: Path, folder: Path) -> Path:
    """Put ``source``, got by other means, where :func:`fetch` would put it.

    Raises:
        MissingPartError: it cannot be read, or has other bytes than expected.
        WriteError: the disk refused.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise MissingPartError(f"cannot read {source}: {error.strerror}; check the path") from error
    found = hashlib.sha256(data).hexdigest()
    if found != model.sha256:
        raise MissingPartError(
            f"{source} has sha256 {found[:12]}…, {model.name} has {model.sha256[:12]}…; it is another file, "
            "or damaged"
        )
    target = folder / model.file
    atomic.write_bytes(target, data)
    return target


def _fill(model: KnownModel, part: Path, progress: Progress) -> None:
    """Bring ``part`` to its full size."""
    have = part.stat().st_size if part.exists() else 0
    if have > model.bytes:
        part.unlink()
        have = 0
    if have == model.bytes:
        return
    with atomic.write_errors(part):
        free = shutil.disk_usage(part.parent).free
    if free < model.bytes - have:
        raise WriteError(
            f"{part.parent} has {free:,} bytes left, {model.file} needs {model.bytes - have:,}; free some "
            "space or choose another --folder"
        )
    try:
        with _open(model, have) as answer:
            going_on = answer.status == 206 and have > 0
            with atomic.write_errors(part), part.open("ab" if going_on else "wb") as file:
                _copy(answer, file, model, have if going_on else 0, progress)
    except (http.client.HTTPException, OSError) as error:  # what the network does; the disk's are WriteError
        raise _cut(model, part, str(error) or type(error).__name__) from error
    if part.stat().st_size < model.bytes:
        raise _cut(model, part, "the connection ended early")


def _open(model: KnownModel, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"fedfr-edge/{fedfr_edge.__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(model.address, headers=headers)
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise MissingPartError(
            f"{model.address} answers {error.code} {error.reason}; get the file by other means and give it "
            "with --from"
        ) from error
    except urllib.error.URLError as error:
        raise MissingPartError(
            f"cannot reach {model.address}: {error.reason}; check the network, or get the file by other "
            "means and give it with --from"
        ) from error
    return answer


def _copy(
    answer: http.client.HTTPResponse, file: BinaryIO, model: KnownModel, have: int, progress: Progress
) -> None:
    progress(model.file, have, model.bytes)
    try:
        while chunk := _read(answer):
            have += len(chunk)
            if have > model.bytes:
                file.truncate(0)
                raise MissingPartError(
                    f"{model.address} gives more than the {model.bytes:,} bytes expected, so it is another "
                    "file; get the right one by other means and give it with --from"
                )
            file.write(chunk)
            progress(model.file, have, model.bytes)
    finally:
        file.flush()
        os.fsync(file.fileno())


def _read(answer: http.client.HTTPResponse) -> bytes:
    """The next bytes; an error of the network must not be taken for one of the disk."""
    try:
        return answer.read(_CHUNK)
    except http.client.IncompleteRead as error:
        return error.partial
    except OSError as error:
        raise http.client.HTTPException(str(error) or type(error).__name__) from error


def _cut(model: KnownModel, part: Path, reason: str) -> MissingPartError:
    have = part.stat().st_size if part.exists() else 0
    return MissingPartError(
        f"{model.address}: {reason}, after {have:,} of {model.bytes:,} bytes; run the same command "
        "again to go on"
    )
