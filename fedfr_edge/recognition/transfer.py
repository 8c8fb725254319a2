"""A gallery as one file under a passphrase, for moving to another device.

A magic line, a length (4 bytes), a header (JSON: model, parameters of Argon2id), and JSON of the people,
sealed under the key that Argon2id makes of the passphrase and bound to all before it. Log, attempts,
calibration, ids and keys stay behind: on the new device everybody gets a new id and a new key.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.errors import GalleryError, IntegrityError
from fedfr_edge.recognition.gallery import Gallery, clean_name
from fedfr_edge.recognition.keys import derive, new_derivation
from fedfr_edge.recognition.sealing import CIPHER, BrokenSealError, seal, unseal
from fedfr_edge.recognition.template import Template, pack_template, unpack_template

FORMAT = 2
"""Written; format 1, which had the mean alone of everybody, is read too."""

_MAGIC = b"fedfr-edge gallery export\n"
_LONGEST_HEADER = 64 * 1024


@dataclass(frozen=True)
class Export:
    """What an export holds.

    Attributes:
        model: sha256 of the model that made the templates.
        dim: their length.
        gallery: id of the gallery that it was made of.
        people: (name, template).
    """

    model: str
    dim: int
    gallery: str
    people: tuple[tuple[str, Template], ...]


def write_export(path: Path, gallery: Gallery, gallery_id: str, passphrase: str) -> None:
    """Write everybody in ``gallery`` to ``path`` (mode 0600).

    Raises:
        GalleryError: there is a file at ``path``, or the passphrase is empty.
        WriteError: the disk refused.
    """
    if path.exists():
        raise GalleryError(f"{path} exists already; choose another name for the export")
    if not passphrase:
        raise GalleryError("the passphrase is empty; give a long one, for example five random words")
    derivation = new_derivation()
    header = json.dumps(
        {
            "format": FORMAT,
            "cipher": CIPHER,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "gallery": gallery_id,
            "model": gallery.model_digest,
            "dim": gallery.dim,
            "key": derivation,
        },
        sort_keys=True,
    ).encode()
    people = []
    for person in gallery.people:
        numbers, vectors = pack_template(gallery.template_of(person))
        people.append({"name": person.name, **numbers, "vector": base64.b64encode(vectors).decode()})
    begin = _MAGIC + struct.pack(">I", len(header)) + header
    sealed = seal(derive(passphrase, derivation), json.dumps(people).encode(), begin)
    atomic.write_bytes(path, begin + sealed, mode=0o600)


def read_export(path: Path, passphrase: str) -> Export:
    """Decrypt an export.

    Raises:
        GalleryError: it cannot be read, is no export, or of another version.
        IntegrityError: wrong passphrase, altered or cut short.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GalleryError(f"cannot read export {path}: {error.strerror}; check the path") from error
    start = len(_MAGIC) + 4
    end = start + int.from_bytes(data[len(_MAGIC) : start], "big")
    try:
        if not data.startswith(_MAGIC) or end - start > _LONGEST_HEADER:
            raise ValueError
        header: Any = json.loads(data[start:end])
        derivation, model = header["key"], header["model"]
        dim, gallery = int(header["dim"]), str(header["gallery"])
        known = header["format"] in (1, FORMAT) and header["cipher"] == CIPHER
        if not known or not isinstance(derivation, dict):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise GalleryError(
            f"{path} is no export of a gallery that this version reads, or a damaged one; give the file that "
            "'fedfr gallery export' wrote"
        ) from None
    try:
        plain = unseal(derive(passphrase, derivation), data[end:], data[:end])
    except BrokenSealError as error:
        raise IntegrityError(
            f"export {path} does not open: the passphrase is another, or the file was altered or cut short; "
            "nothing was read from it"
        ) from error
    people = []
    try:
        for entry in json.loads(plain):
            template = unpack_template(entry, base64.b64decode(entry["vector"]), model)
            if template.vector.shape != (dim,):
                raise ValueError(f"a template of {len(template.vector)} numbers, expected {dim}")
            people.append((clean_name(entry["name"]), template))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GalleryError(
            f"export {path} holds something unexpected ({error}); write it again with 'fedfr gallery export'"
        ) from error
    return Export(model, dim, gallery, tuple(people))
