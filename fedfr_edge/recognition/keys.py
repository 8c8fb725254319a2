"""Where a vault's key comes from: a file, a passphrase, or the desktop's keyring.

A provider makes a key for a new vault together with public parameters, which the vault keeps in
its header, and finds the key again from these parameters.
"""

from __future__ import annotations

import importlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fedfr_edge.atomic import sync_folder, write_errors
from fedfr_edge.errors import GalleryError, MissingPartError

KEY_BYTES = 32
"""AES-256."""

_SERVICE = "fedfr-edge"
_HEX_DIGITS = 2 * KEY_BYTES

# OWASP and RFC 9106 territory, about 0.1 to 0.4 s on the machines this is meant for.
_ARGON2 = {"memory_kib": 64 * 1024, "iterations": 3, "lanes": 1}
# What a header may ask for at most: it is read before anything is authenticated.
_ARGON2_LIMITS = {"memory_kib": 1024 * 1024, "iterations": 20, "lanes": 16}

# Back ends that keep secrets in the operating system's own store. keyrings.alt keeps plain text.
_SAFE_KEYRINGS = (
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)


class KeyProvider(Protocol):
    """Anything that keeps a vault's key.

    Attributes:
        kind: its name in the vault's header.
    """

    @property
    def kind(self) -> str:
        """Its name."""
        ...

    def create(self, vault_id: str) -> tuple[bytes, dict[str, Any]]:
        """A key of 32 bytes for a new vault, and the parameters that :meth:`find` needs."""
        ...

    def find(self, vault_id: str, parameters: dict[str, Any]) -> bytes:
        """The key of an existing vault; :class:`GalleryError` if there is none."""
        ...


class KeyFile:
    """A key in a file that only its owner may read (mode 0600), 64 hexadecimal digits.

    It protects a gallery that is copied or backed up without the key file; who can read both can
    read the gallery, so keep them on different media where that matters.
    """

    kind = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, vault_id: str) -> tuple[bytes, dict[str, Any]]:
        """Make the file, or use the one that is there (one key may serve several vaults).

        Raises:
            GalleryError: the file is there but is no key, or others may read it.
            WriteError: it cannot be written.
        """
        if not self.path.exists():
            self._write(secrets.token_hex(KEY_BYTES) + "\n")
        return self.find(vault_id, {}), {}

    def find(self, vault_id: str, parameters: dict[str, Any]) -> bytes:
        """Read the file.

        Raises:
            GalleryError: it cannot be read, is no key, or others may read it.
        """
        try:
            if os.name == "posix" and stat.S_IMODE(self.path.stat().st_mode) & 0o077:
                raise GalleryError(
                    f"key file {self.path} can be read by others; run 'chmod 600 {self.path}', and enrol "
                    "anew with a new key if others had access"
                )
            text = self.path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise GalleryError(
                f"cannot read key file {self.path}: {error.strerror}; give its place with --key-file. "
                "Without the key the gallery stays closed: then enrol again into a new one"
            ) from error
        except UnicodeDecodeError:
            text = ""
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise GalleryError(
                f"{self.path} is no key file ({len(text)} characters), expected {_HEX_DIGITS} hexadecimal "
                "digits; give the file that was made with the gallery"
            )
        return key

    def _write(self, text: str) -> None:
        # Not atomic.write_text: that would replace a key that another process makes meanwhile.
        with write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with open(descriptor, "w", encoding="ascii") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                self.path.unlink(missing_ok=True)
                raise
            sync_folder(self.path.parent)


class Passphrase:
    """A key derived from a passphrase with Argon2id (RFC 9106); nothing is kept but a salt."""

    kind = "passphrase"

    def __init__(self, text: str) -> None:
        if not text:
            raise GalleryError("the passphrase is empty; give a long one, for example five random words")
        self._text = text

    def create(self, vault_id: str) -> tuple[bytes, dict[str, Any]]:
        """Derive a key with a new random salt."""
        parameters: dict[str, Any] = {**_ARGON2, "salt": secrets.token_hex(16)}
        return self.find(vault_id, parameters), parameters

    def find(self, vault_id: str, parameters: dict[str, Any]) -> bytes:
        """Derive the key again; a wrong passphrase gives another key.

        Raises:
            GalleryError: parameters that are damaged or beyond reason.
        """
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        for name, limit in _ARGON2_LIMITS.items():
            value = parameters.get(name)
            if type(value) is not int or not 1 <= value <= limit:
                raise GalleryError(f"the gallery's header asks for {name} = {value!r}; it is damaged")
        try:
            salt = bytes.fromhex(str(parameters.get("salt")))
            return Argon2id(
                salt=salt,
                length=KEY_BYTES,
                iterations=parameters["iterations"],
                lanes=parameters["lanes"],
                memory_cost=parameters["memory_kib"],
            ).derive(self._text.encode())
        except ValueError as error:
            raise GalleryError(
                f"the gallery's key parameters are damaged ({error}); restore a copy"
            ) from error


class KeyringKey:
    """A key in the desktop's keyring (Secret Service, KWallet, macOS keychain, Windows)."""

    kind = "keyring"

    def create(self, vault_id: str) -> tuple[bytes, dict[str, Any]]:
        """Put a new random key into the keyring.

        Raises:
            MissingPartError: no keyring package, or no back end that keeps secrets safely.
        """
        ring = safe_keyring()
        key = secrets.token_bytes(KEY_BYTES)
        with _keyring_errors():
            ring.set_password(_SERVICE, vault_id, key.hex())
        return key, {}

    def find(self, vault_id: str, parameters: dict[str, Any]) -> bytes:
        """Fetch the key.

        Raises:
            GalleryError: the keyring does not have it.
            MissingPartError: as :meth:`create`.
        """
        ring = safe_keyring()
        with _keyring_errors():
            text = ring.get_password(_SERVICE, vault_id)
        if text is None:
            raise GalleryError(
                f"the keyring has no key for gallery {vault_id}; log in as the user who enrolled, or enrol "
                "again into a new gallery"
            )
        return bytes.fromhex(text)


@contextmanager
def _keyring_errors() -> Iterator[None]:
    from keyring.errors import KeyringError

    try:
        yield
    except KeyringError as error:
        raise GalleryError(
            f"the keyring refused ({error}); unlock it and run the command again, or keep the key in a file"
        ) from error


def safe_keyring() -> Any:
    """The back end of ``keyring`` that keeps secrets in the operating system's own store.

    Raises:
        MissingPartError: no keyring package, or only back ends that keep plain text or nothing.
    """
    try:
        keyring = importlib.import_module("keyring")
    except ImportError as error:
        raise MissingPartError(
            "the package 'keyring' is not installed; run 'pip install keyring' or keep the key in a file "
            "(--key file) or behind a passphrase (--key passphrase)"
        ) from error
    ring = keyring.get_keyring()
    # The chainer hands everything to the first of its back ends that works.
    candidates = list(getattr(ring, "backends", [])) or [ring]
    for candidate in candidates:
        if type(candidate).__module__ in _SAFE_KEYRINGS:
            return candidate
    found = f"{type(candidates[0]).__module__}.{type(candidates[0]).__name__}"
    raise MissingPartError(
        f"the only keyring here is {found}, which keeps no secrets or keeps them in plain text; use a key "
        "file (--key file) or a passphrase (--key passphrase)"
    )
