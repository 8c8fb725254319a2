"""A gallery's key in the operating system's keyring; back ends that keep plain text are refused."""

from __future__ import annotations

import importlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedfr_edge.errors import GalleryError, IntegrityError, MissingPartError
from fedfr_edge.recognition.keys import KEY_BYTES, WrappingKey

_SERVICE = "fedfr-edge"

# Back ends that keep secrets in the operating system's own store. keyrings.alt keeps plain text.
_SAFE_KEYRINGS = (
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)


class KeyringKey:
    """Keys in the desktop's keyring (Secret Service, KWallet, macOS keychain, Windows), and the counter.

    Two entries of the service ``fedfr-edge`` for each gallery: its keys, and its counter.
    """

    kind = "keyring"
    place = "keyring"
    destroys = True

    def make(self, gallery_id: str) -> WrappingKey:
        """Put a new random key into the keyring.

        Raises:
            MissingPartError: no keyring package, or no back end that keeps secrets safely.
            GalleryError: the keyring refused.
        """
        new = WrappingKey(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), {})
        keys = self._read(gallery_id)
        _set(gallery_id, json.dumps({**keys, new.id: new.key.hex()}))
        return new

    def find(self, gallery_id: str, key_id: str, parameters: dict[str, Any]) -> bytes:
        """Fetch a key.

        Raises:
            GalleryError: the keyring has none for this gallery.
            IntegrityError: it has another one.
            MissingPartError: as :meth:`make`.
        """
        keys = self._read(gallery_id)
        if not keys:
            raise GalleryError(
                f"the keyring has no key for gallery {gallery_id}; log in as the user who enrolled, or enrol "
                "again into a new gallery"
            )
        if key_id not in keys:
            raise IntegrityError(
                f"the keyring no longer has the key that this copy of gallery {gallery_id} was written with: "
                "it was rolled back to an older copy; put the newest back, or enrol again into a new gallery"
            )
        return bytes.fromhex(keys[key_id])

    def keep_only(self, gallery_id: str, key_id: str | None) -> None:
        """Take the other keys out of the keyring.

        Raises:
            GalleryError, MissingPartError: as :meth:`make`.
        """
        keys = self._read(gallery_id)
        if key_id is None:
            for user in (gallery_id, _counter_name(gallery_id)):
                if _get(user) is not None:
                    ring = safe_keyring()
                    with _keyring_errors():
                        ring.delete_password(_SERVICE, user)
        elif set(keys) != {key_id}:
            _set(gallery_id, json.dumps({key_id: keys[key_id]}))

    def counter(self, gallery_id: str) -> int | None:
        """The number in the keyring."""
        text = _get(_counter_name(gallery_id))
        return int(text) if text is not None and text.isdigit() else None

    def count(self, gallery_id: str, number: int) -> None:
        """Put the number into the keyring."""
        _set(_counter_name(gallery_id), str(number))

    def _read(self, gallery_id: str) -> dict[str, str]:
        text = _get(gallery_id)
        try:
            keys = {} if text is None else json.loads(text)
            if not isinstance(keys, dict) or any(
                len(bytes.fromhex(key)) != KEY_BYTES for key in keys.values()
            ):
                raise ValueError
        except (ValueError, TypeError, RecursionError):
            raise GalleryError(
                f"the keyring's entry for gallery {gallery_id} is no key of ours; restore it, or enrol again "
                "into a new gallery"
            ) from None
        return keys


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


def _counter_name(gallery_id: str) -> str:
    return f"{gallery_id} counter"


def _get(user: str) -> str | None:
    ring = safe_keyring()
    with _keyring_errors():
        text: str | None = ring.get_password(_SERVICE, user)
    return text


def _set(user: str, text: str) -> None:
    ring = safe_keyring()
    with _keyring_errors():
        ring.set_password(_SERVICE, user, text)


@contextmanager
def _keyring_errors() -> Iterator[None]:
    from keyring.errors import KeyringError

    try:
        yield
    except KeyringError as error:
        raise GalleryError(
            f"the keyring refused ({error}); unlock it and run the command again, or keep the key in a file"
        ) from error
