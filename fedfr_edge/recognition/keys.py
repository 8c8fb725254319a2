"""Where a gallery's key comes from: a file or a passphrase (the desktop's keyring: ``os_keyring.py``).

That key wraps the keys of the people. A provider also keeps the gallery's counter, away from the gallery:
an older copy of the gallery that is put back has a lower number inside.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fedfr_edge import atomic
from fedfr_edge.atomic import sync_folder, write_errors
from fedfr_edge.errors import GalleryError, IntegrityError, WriteError

KEY_BYTES = 32
"""AES-256."""

_TITLE = "fedfr-edge key of gallery "
_LARGEST_FILE = 4096

# OWASP and RFC 9106 territory, about 0.1 to 0.4 s on the machines this is meant for.
_ARGON2 = {"memory_kib": 64 * 1024, "iterations": 3, "lanes": 1}
# What a header may ask for at most: it is read before anything is authenticated.
_ARGON2_LIMITS = {"memory_kib": 1024 * 1024, "iterations": 20, "lanes": 16}


@dataclass(frozen=True)
class WrappingKey:
    """A key that wraps others.

    Attributes:
        id: random, hexadecimal; the gallery says by it which key it needs.
        key: 32 bytes.
        parameters: what :meth:`KeyProvider.find` needs beside the id; public.
    """

    id: str
    key: bytes = field(repr=False)
    parameters: dict[str, Any]


class KeyProvider(Protocol):
    """Anything that keeps a gallery's key and its counter. Called under the gallery's lock.

    Attributes:
        kind: its name in the gallery.
        place: what it keeps, and where; two providers of one place share it.
        destroys: whether :meth:`keep_only` makes the other keys unrecoverable from what the provider keeps,
            so that copies of the gallery from before stay closed.
    """

    @property
    def kind(self) -> str:
        """Its name."""
        ...

    @property
    def place(self) -> str:
        """See above."""
        ...

    @property
    def destroys(self) -> bool:
        """See above."""
        ...

    def make(self, gallery_id: str) -> WrappingKey:
        """A new key, kept beside those that the gallery has until :meth:`keep_only`."""
        ...

    def find(self, gallery_id: str, key_id: str, parameters: dict[str, Any]) -> bytes:
        """A key again, 32 bytes; :class:`GalleryError` if it is not there."""
        ...

    def keep_only(self, gallery_id: str, key_id: str | None) -> None:
        """Destroy all other keys of the gallery; with None all, and the counter."""
        ...

    def counter(self, gallery_id: str) -> int | None:
        """The number that was kept last; None if there is none."""
        ...

    def count(self, gallery_id: str, number: int) -> None:
        """Keep a number in the place of the one before."""
        ...


class KeyFile:
    """Keys of one gallery in a file that only its owner may read (mode 0600), one a line; counter beside it.

    It protects a gallery that is copied or backed up without the key file; who can read both can
    read the gallery, so keep them on different media where that matters.
    """

    kind = "file"
    destroys = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = f"file {path.resolve()}"
        self._counter = CounterFile(path.with_name(path.name + ".count"))

    def make(self, gallery_id: str) -> WrappingKey:
        """Make the file, or add a key to it.

        Raises:
            GalleryError: the file is no key file, is another gallery's, or others may read it.
            WriteError: it cannot be written.
        """
        new = WrappingKey(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), {})
        keys = self._read(gallery_id) if self.path.exists() else {}
        text = _key_text(gallery_id, {**keys, new.id: new.key})
        if keys:
            atomic.write_text(self.path, text, mode=0o600)
        else:
            self._begin(text, gallery_id)
        return new

    def find(self, gallery_id: str, key_id: str, parameters: dict[str, Any]) -> bytes:
        """Read the file.

        Raises:
            GalleryError: it cannot be read, is no key file, or others may read it.
            IntegrityError: it has no such key, or is another gallery's.
        """
        keys = self._read(gallery_id)
        if key_id not in keys:
            raise IntegrityError(
                f"key file {self.path} does not hold the key that the gallery was written with: one of the "
                "two was rolled back to an older copy; put the newest key file and the newest gallery back, "
                "or enrol again into a new gallery"
            )
        return keys[key_id]

    def keep_only(self, gallery_id: str, key_id: str | None) -> None:
        """Write the file anew without the other keys, and overwrite the old file's bytes.

        Raises:
            GalleryError, WriteError: as :meth:`make`.
        """
        keys = self._read(gallery_id)
        self._sweep()
        if key_id is not None and set(keys) == {key_id}:
            return
        with write_errors(self.path), self.path.open("r+b") as old:
            if key_id is None:
                self.path.unlink()
                self._counter.remove()
            else:
                atomic.write_text(self.path, _key_text(gallery_id, {key_id: keys[key_id]}), mode=0o600)
            overwrite(old.fileno())

    def counter(self, gallery_id: str) -> int | None:
        """The number in the file beside the key file."""
        return self._counter.read(gallery_id)

    def count(self, gallery_id: str, number: int) -> None:
        """Write the number."""
        self._counter.write(gallery_id, number)

    def _read(self, gallery_id: str) -> dict[str, bytes]:
        try:
            if os.name == "posix" and stat.S_IMODE(self.path.stat().st_mode) & 0o077:
                raise GalleryError(
                    f"key file {self.path} can be read by others; run 'chmod 600 {self.path}', and 'fedfr "
                    "gallery rekey' if others had access"
                )
            with self.path.open("rb") as file:
                lines = file.read(_LARGEST_FILE).decode("ascii", errors="replace").splitlines()
        except OSError as error:
            raise GalleryError(
                f"cannot read key file {self.path}: {error.strerror}; give its place with --key-file. "
                "Without the key the gallery stays closed: then enrol again into a new one"
            ) from error
        try:
            if not lines[0].startswith(_TITLE):
                raise ValueError
            keys = {key_id: bytes.fromhex(text) for key_id, text in map(str.split, lines[1:])}
            if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
                raise ValueError
        except (ValueError, IndexError):
            raise GalleryError(
                f"{self.path} is no key file of fedfr-edge, or a damaged one; give the file that was made "
                "with the gallery, or another name for a new one"
            ) from None
        if lines[0] != _TITLE + gallery_id:
            raise IntegrityError(
                f"key file {self.path} belongs to another gallery ({lines[0].removeprefix(_TITLE)}, this is "
                f"{gallery_id}): a file was swapped or misnamed; give each gallery a key file of its own "
                "with --key-file"
            )
        return keys

    def _sweep(self) -> None:
        """Overwrite and remove what a kill left half-written: there are keys in it."""
        for name in os.listdir(self.path.parent):
            if name.startswith(f".{self.path.name}.") and name.endswith(".tmp"):
                path = self.path.with_name(name)
                with write_errors(path), path.open("r+b") as file:
                    overwrite(file.fileno())
                    path.unlink()

    def _begin(self, text: str, gallery_id: str) -> None:
        """Make the file without ever replacing one that another process makes meanwhile."""
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            atomic.write_text(temporary, text, mode=0o600)
            with write_errors(self.path):
                try:
                    os.link(temporary, self.path)
                except FileExistsError:
                    self._read(gallery_id)  # says that it is another's
                    raise
                except OSError:  # a medium without hard links
                    os.replace(temporary, self.path)
                sync_folder(self.path.parent)
        finally:
            temporary.unlink(missing_ok=True)


class Passphrase:
    """A key derived from a passphrase with Argon2id (RFC 9106); only a salt is kept, in the gallery.

    The counter lies in this user's state folder. An older copy of a gallery opens with the passphrase that
    it had: deleting somebody does not reach such copies.
    """

    kind = "passphrase"
    destroys = False

    def __init__(self, text: str, *, counters: Path | None = None) -> None:
        """Derive from ``text``; ``counters`` is the folder of counters, default :func:`state_folder`."""
        if not text:
            raise GalleryError("the passphrase is empty; give a long one, for example five random words")
        self._text = text
        self._counters = state_folder() if counters is None else counters
        self.place = f"passphrase {self._counters.resolve()}"
        self._known: dict[tuple[str, str], bytes] = {}

    def make(self, gallery_id: str) -> WrappingKey:
        """Derive a key with a new random salt."""
        parameters = new_derivation()
        key_id = secrets.token_hex(8)
        return WrappingKey(key_id, self.find(gallery_id, key_id, parameters), parameters)

    def find(self, gallery_id: str, key_id: str, parameters: dict[str, Any]) -> bytes:
        """Derive the key again; a wrong passphrase gives another key.

        Raises:
            GalleryError: parameters that are damaged or beyond reason.
        """
        wanted = (gallery_id, repr(sorted(parameters.items())))
        if wanted not in self._known:  # a command opens its gallery more than once
            self._known[wanted] = derive(self._text, parameters)
        return self._known[wanted]

    def keep_only(self, gallery_id: str, key_id: str | None) -> None:
        """Nothing is kept but the counter, which goes with the last key."""
        if key_id is None:
            self._file(gallery_id).remove()

    def counter(self, gallery_id: str) -> int | None:
        """The number in the state folder."""
        return self._file(gallery_id).read(gallery_id)

    def count(self, gallery_id: str, number: int) -> None:
        """Write the number."""
        self._file(gallery_id).write(gallery_id, number)

    def _file(self, gallery_id: str) -> CounterFile:
        return CounterFile(self._counters / f"{gallery_id}.count")


class CounterFile:
    """A gallery's counter in a small file: the gallery's id and the number."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, gallery_id: str) -> int | None:
        """The number; None if there is no file.

        Raises:
            IntegrityError: the file is something else, or another gallery's.
        """
        try:
            with self.path.open("rb") as file:
                words = file.read(_LARGEST_FILE).split()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GalleryError(
                f"cannot read the counter {self.path}: {error.strerror}; make it readable"
            ) from error
        if len(words) != 2 or words[0] != gallery_id.encode() or not words[1].isdigit():
            raise IntegrityError(
                f"the counter {self.path} was altered or swapped, expected gallery {gallery_id} and a "
                "number; if nobody tampered with the gallery, run 'fedfr gallery rekey --accept-restored'"
            )
        return int(words[1])

    def write(self, gallery_id: str, number: int) -> None:
        """Replace the number, mode 0600.

        Raises:
            WriteError: the disk refused.
        """
        if not self.path.parent.is_dir():
            with write_errors(self.path):
                self.path.parent.mkdir(parents=True, mode=0o700)
        atomic.write_text(self.path, f"{gallery_id} {number}\n", mode=0o600)

    def remove(self) -> None:
        """Remove the file, if there is one."""
        with write_errors(self.path):
            self.path.unlink(missing_ok=True)


def state_folder() -> Path:
    """Where this user's programs keep state: ``$XDG_STATE_HOME/fedfr-edge``, or below the home folder."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "fedfr-edge"


def new_derivation() -> dict[str, Any]:
    """Parameters for :func:`derive`, with a new random salt."""
    return {**_ARGON2, "salt": secrets.token_hex(16)}


def derive(text: str, parameters: dict[str, Any]) -> bytes:
    """Argon2id of a passphrase, 32 bytes.

    Raises:
        GalleryError: parameters that are damaged or beyond reason.
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    for name, limit in _ARGON2_LIMITS.items():
        value = parameters.get(name)
        if type(value) is not int or not 1 <= value <= limit:
            raise GalleryError(f"the gallery's header asks for {name} = {value!r}; it is damaged")
    try:
        return Argon2id(
            salt=bytes.fromhex(str(parameters.get("salt"))),
            length=KEY_BYTES,
            iterations=parameters["iterations"],
            lanes=parameters["lanes"],
            memory_cost=parameters["memory_kib"],
        ).derive(text.encode())
    except ValueError as error:
        raise GalleryError(f"the gallery's key parameters are damaged ({error}); restore a copy") from error


def overwrite(descriptor: int) -> None:
    """Zeros over an open file's bytes; flash and copying file systems may keep the old blocks."""
    try:
        os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
        os.fsync(descriptor)
    except OSError as error:
        raise WriteError(f"the old bytes could not be overwritten: {error.strerror}; run it again") from error


def _key_text(gallery_id: str, keys: dict[str, bytes]) -> str:
    return _TITLE + gallery_id + "\n" + "".join(f"{key_id} {key.hex()}\n" for key_id, key in keys.items())
