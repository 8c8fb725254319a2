"""The folder of a gallery: which files it has, its header, its lock, its mode.

::

    GALLERY/                 mode 0700, all files 0600
      header.json            written once: gallery id, model, algorithm, time of making; not secret
      people-NNNNNNNN        see people_file.py
      state                  see state_file.py
      audit.jsonl            see audit.py
      lock                   empty; held by whoever reads or writes

``header.json``, to the byte, is bound into every seal. ``state`` is what makes a change happen: a people
file that it does not name means nothing.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.atomic import write_errors
from fedfr_edge.errors import GalleryError, IntegrityError
from fedfr_edge.file_lock import FileLock
from fedfr_edge.recognition.keys import overwrite
from fedfr_edge.recognition.sealing import CIPHER

FORMAT = 2
"""The gallery format that this version makes. Format 1, whose people have their mean alone, it reads too, and
changes as any other."""

HEADER, STATE, LOG, LOCK = "header.json", "state", "audit.jsonl", "lock"

_LONGEST_JSON = 64 * 1024
_PATIENCE = 60.0


@dataclass(frozen=True)
class Header:
    """What a gallery is; fixed when it is made.

    Attributes:
        gallery: random id, hexadecimal.
        model: sha256 of the model whose templates it holds.
        dim: length d of its templates.
        created: time of making, UTC, ISO 8601.
        cipher: the algorithm of all seals.
        format: of the files.
    """

    gallery: str
    model: str
    dim: int
    created: str
    cipher: str = CIPHER
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return (json.dumps(asdict(self), sort_keys=True) + "\n").encode()


def read_header(folder: Path) -> tuple[Header, bytes]:
    """The header and the bytes of its file, which every seal binds.

    Raises:
        GalleryError: no gallery there, or one of another version.
        IntegrityError: the file is damaged.
    """
    path = folder / HEADER
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_JSON)
    except OSError as error:
        if folder.exists() and not path.exists():
            raise GalleryError(
                f"{folder} is no gallery of fedfr-edge (it has no {HEADER}); give the folder that 'fedfr "
                "enrol' made"
            ) from error
        raise GalleryError(
            f"cannot read gallery {folder}: {error.strerror}; enrol somebody first ('fedfr enrol'), or give "
            "its place with --gallery"
        ) from error
    values = parse_json(data, path)
    if values.get("format") not in (1, FORMAT) or values.get("cipher") != CIPHER:
        raise GalleryError(
            f"gallery {folder} has format {values.get('format')!r} and cipher {values.get('cipher')!r}, this "
            f"version reads 1 to {FORMAT} and {CIPHER}; open it with the version of fedfr-edge that made it"
        )
    kinds = {"gallery": str, "model": str, "dim": int, "created": str, "format": int}
    if any(type(values.get(name)) is not kind for name, kind in kinds.items()):
        raise IntegrityError(f"{path} was altered or is damaged; restore the gallery's newest copy")
    return Header(**{name: values[name] for name in kinds}), data


# --- state -------------------------------------------------------------------------------------


def parse_json(data: bytes, path: Path) -> dict[str, Any]:
    """A JSON object of at most 64 KiB.

    Raises:
        IntegrityError: it is none.
    """
    try:
        values = json.loads(data) if len(data) < _LONGEST_JSON else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise IntegrityError(f"{path} was altered or is damaged: no JSON object; restore the newest copy")
    return values


def take_lock(path: Path) -> FileLock:
    """The gallery's lock.

    Raises:
        GalleryError: another program has it for a minute.
    """
    lock = FileLock(path / LOCK)
    if not lock.take(_PATIENCE):
        raise GalleryError(
            f"gallery {path} has been in use by another program for {_PATIENCE:.0f} s; wait for it, or end it"
        )
    return lock


def require_place(path: Path) -> None:
    """See that ``path`` is a gallery, or that one can be made there.

    Raises:
        GalleryError: something else is there.
    """
    if path.exists() and not (path.is_dir() and ((path / HEADER).exists() or not _foreign(path))):
        raise GalleryError(f"{path} is no gallery of fedfr-edge but something else; choose another place")


def make_folder(path: Path) -> None:
    """A folder for a gallery, mode 0700; fine if a gallery is there.

    Raises:
        GalleryError: something else is there.
        WriteError: it cannot be made.
    """
    require_place(path)
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if not (path / HEADER).exists():
            path.chmod(0o700)


def _foreign(folder: Path) -> bool:
    """Whether a folder without a header holds more than what making a gallery leaves there first."""
    return any(name != LOCK and not name.startswith(f".{HEADER}.") for name in os.listdir(folder))


def check_private(path: Path) -> None:
    """See that only the owner may enter a gallery.

    Raises:
        GalleryError: others may.
    """
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise GalleryError(f"gallery {path} can be entered by others; run 'chmod 700 {path}'")


def unused(folder: Path) -> bool:
    """Whether a gallery without a state never had one: no line in its log, the first people file at most."""
    log = folder / LOG
    people = [name for name in os.listdir(folder) if name.startswith("people-")]
    return not (log.exists() and log.stat().st_size) and people in ([], ["people-00000001"])


def sweep(folder: Path, people: str) -> None:
    """Overwrite and remove people files but for ``people``, and files that a kill left half-written.

    Raises:
        WriteError: one of them cannot be removed.
    """
    for name in os.listdir(folder):
        half = name.startswith(".") and name.endswith(".tmp")
        if half or (name.startswith("people-") and name != people):
            path = folder / name
            with write_errors(path), path.open("r+b") as file:
                overwrite(file.fileno())
                path.unlink()
