"""A gallery on disk: one encrypted, authenticated file.

Layout: a magic line, the header's length (4 bytes, big-endian), the header (JSON), then
AES-256-GCM of the people (JSON). Everything before the ciphertext is its additional
authenticated data: format, vault id, model digest, key parameters and nonce cannot be changed, and
a ciphertext cannot be moved under another header. Names and templates are inside the ciphertext.

What this cannot notice is an older copy of the same file put back in place.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import struct
from pathlib import Path
from typing import Any

import numpy as np

from fedfr_edge import atomic
from fedfr_edge.errors import GalleryError
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.keys import KeyProvider
from fedfr_edge.recognition.template import Template, require_model

FORMAT = 1
"""The vault format that this version reads and writes."""

_MAGIC = b"fedfr-edge vault\n"
_NONCE_BYTES = 12
_LONGEST_HEADER = 64 * 1024


class Vault:
    """An open vault: the gallery, its key, and the file it came from.

    Attributes:
        path: the file.
        id: random, hexadecimal; names the vault in a keyring and in an audit log.
        gallery: change it, then :meth:`save`.
    """

    def __init__(
        self,
        path: Path,
        vault_id: str,
        gallery: Gallery,
        key: bytes,
        key_header: dict[str, Any],
        nonce: str | None,
    ) -> None:
        self.path = path
        self.id = vault_id
        self.gallery = gallery
        self._key = key
        self._key_header = key_header
        self._nonce = nonce

    @classmethod
    def create(cls, path: Path, gallery: Gallery, keys: KeyProvider) -> Vault:
        """Make a new vault with a new key; the file appears with the first :meth:`save`.

        Raises:
            GalleryError: there is a file at ``path`` already, or the key cannot be made.
        """
        if path.exists():
            raise GalleryError(f"{path} exists already; open it, or choose another file")
        vault_id = secrets.token_hex(8)
        key, parameters = keys.create(vault_id)
        return cls(path, vault_id, gallery, key, {**parameters, "kind": keys.kind}, None)

    @classmethod
    def open(cls, path: Path, keys: KeyProvider, *, model_digest: str | None = None) -> Vault:
        """Read and decrypt a vault.

        Args:
            path: the file.
            keys: where its key is.
            model_digest: the model about to be used; checked before the key is asked for.

        Raises:
            GalleryError: no such file, not ours, cut short, altered, or the wrong key.
            ModelMismatchError: its templates were made by another model.
        """
        header_bytes, header, ciphertext = _split(path)
        if model_digest is not None:
            require_model(header["model"], model_digest)
        if header["key"].get("kind") != keys.kind:
            raise GalleryError(
                f"the key of gallery {path} is kept as {header['key'].get('kind')!r}, not as {keys.kind!r}; "
                f"open it with --key {header['key'].get('kind')}"
            )
        key = keys.find(header["vault"], header["key"])
        expected = _key_check(key, header["vault"])
        if not hmac.compare_digest(expected.encode(), header["key_check"].encode()):
            raise GalleryError(
                f"the key ({keys.kind}) does not fit gallery {path}; give the key or passphrase that it was "
                "made with"
            )
        gallery = Gallery(header["model"], header["dim"])
        _fill(gallery, _decrypt(key, header["nonce"], ciphertext, header_bytes, path), path)
        return cls(path, header["vault"], gallery, key, header["key"], header["nonce"])

    def save(self) -> None:
        """Encrypt and replace the file (mode 0600), atomically.

        Raises:
            GalleryError: another process changed the file since it was opened.
            WriteError: the disk refused; the old file is untouched.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        on_disk = _split(self.path)[1]["nonce"] if self.path.exists() else None
        if on_disk != self._nonce:
            raise GalleryError(
                f"gallery {self.path} was changed by another program meanwhile; nothing was written, run the "
                "command again"
            )
        nonce = secrets.token_bytes(_NONCE_BYTES)
        header = _pack_header(
            {
                "format": FORMAT,
                "cipher": "AES-256-GCM",
                "vault": self.id,
                "model": self.gallery.model_digest,
                "dim": self.gallery.dim,
                "key": self._key_header,
                "key_check": _key_check(self._key, self.id),
                "nonce": nonce.hex(),
            }
        )
        ciphertext = AESGCM(self._key).encrypt(nonce, _people_json(self.gallery), header)
        atomic.write_bytes(self.path, header + ciphertext, mode=0o600)
        self._nonce = nonce.hex()


def _key_check(key: bytes, vault_id: str) -> str:
    """Tells a wrong key from an altered file; gives away nothing that the GCM tag does not."""
    return hmac.new(key, b"fedfr-edge vault key check " + vault_id.encode(), hashlib.sha256).hexdigest()[:16]


def _pack_header(header: dict[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True).encode()
    return _MAGIC + struct.pack(">I", len(text)) + text


def _split(path: Path) -> tuple[bytes, dict[str, Any], bytes]:
    """The bytes that are authenticated, the header in them, and the ciphertext."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GalleryError(
            f"cannot read gallery {path}: {error.strerror}; enrol somebody first ('fedfr enrol'), or give "
            "its place with --gallery"
        ) from error
    if not data.startswith(_MAGIC):
        raise GalleryError(
            f"{path} is no gallery of fedfr-edge ({len(data)} bytes of something else); give the file that "
            "'fedfr enrol' wrote"
        )
    start = len(_MAGIC) + 4
    length = int.from_bytes(data[len(_MAGIC) : start], "big")
    if len(data) < start + length or length > _LONGEST_HEADER:
        raise GalleryError(f"gallery {path} is cut short or damaged ({len(data)} bytes); restore a copy")
    try:
        header = json.loads(data[start : start + length])
    except ValueError as error:
        raise GalleryError(f"the header of gallery {path} is damaged; restore a copy") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise GalleryError(
            f"gallery {path} has format {found!r}, this version reads {FORMAT}; open it with the version of "
            "fedfr-edge that made it"
        )
    kinds = {"vault": str, "model": str, "dim": int, "key": dict, "key_check": str, "nonce": str}
    for name, kind in kinds.items():
        if not isinstance(header.get(name), kind):
            raise GalleryError(f"the header of gallery {path} lacks {name!r}; it is damaged, restore a copy")
    return data[: start + length], header, data[start + length :]


def _decrypt(key: bytes, nonce: str, ciphertext: bytes, header_bytes: bytes, path: Path) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(bytes.fromhex(nonce), ciphertext, header_bytes)
    except (InvalidTag, ValueError) as error:
        raise GalleryError(
            f"gallery {path} fails its integrity check: it was altered, cut short or damaged; nothing was "
            "read from it, restore a copy or enrol again into a new file"
        ) from error


def _people_json(gallery: Gallery) -> bytes:
    people = []
    for person in gallery.people:
        vector = gallery.template_of(person).vector.astype("<f4")
        people.append(
            {
                "id": person.id,
                "name": person.name,
                "images": person.images,
                "vector": base64.b64encode(vector.tobytes()).decode(),
            }
        )
    return json.dumps({"people": people}, ensure_ascii=False).encode()


def _fill(gallery: Gallery, plain: bytes, path: Path) -> None:
    # Authenticated, so only a faulty writer could get here with something else.
    try:
        for entry in json.loads(plain)["people"]:
            vector = np.frombuffer(base64.b64decode(entry["vector"]), "<f4").astype(np.float32)
            template = Template(vector, gallery.model_digest, int(entry["images"]))
            gallery.add(entry["name"], template, subject_id=entry["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise GalleryError(
            f"gallery {path} holds something unexpected ({error!r}); it was written by another version of "
            "fedfr-edge, enrol again into a new file"
        ) from error
