"""The sealed state of a gallery: a small file that is replaced with every change.

A magic line, a length (4 bytes), JSON that says which key to use, and JSON sealed under the sub-key "state"
of the gallery's key, bound to ``header.json`` and to all before it.
"""

from __future__ import annotations

import hmac
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedfr_edge.errors import GalleryError, IntegrityError
from fedfr_edge.recognition.audit import Head
from fedfr_edge.recognition.keys import KeyProvider, WrappingKey
from fedfr_edge.recognition.lockout import Attempts
from fedfr_edge.recognition.people_file import Listing
from fedfr_edge.recognition.sealing import OVERHEAD, BrokenSealError, seal, subkey, unseal
from fedfr_edge.recognition.vault_files import HEADER, STATE, parse_json

_MAGIC = b"fedfr-edge gallery state\n"


@dataclass(frozen=True)
class State:
    """What is sealed.

    Attributes:
        generation: number of changes, logins included.
        people: the people file.
        log: where the log stands.
        attempts: failures in a row.
        calibration: of this device, as ``Calibration.to_dict`` gives it; None if it never was.
    """

    generation: int
    people: Listing
    log: Head
    attempts: Attempts
    calibration: dict[str, Any] | None = None


def pack_state(state: State, gallery: str, header: bytes, kind: str, key: WrappingKey) -> bytes:
    """The file.

    Args:
        state: what to seal.
        gallery: the gallery's id.
        header: the bytes of its ``header.json``.
        kind: of the key's provider.
        key: the gallery's key.
    """
    public = {
        "gallery": gallery,
        "key": {"kind": kind, "id": key.id, "parameters": key.parameters},
        "check": _key_check(key.key),
    }
    text = json.dumps(public, sort_keys=True).encode()
    begin = _MAGIC + struct.pack(">I", len(text)) + text
    return begin + seal(subkey(key.key, "state"), json.dumps(asdict(state)).encode(), header + begin)


def read_state(folder: Path, gallery: str, header: bytes, keys: KeyProvider) -> tuple[State, WrappingKey]:
    """Find the key, and open the state with it.

    Raises:
        GalleryError: the key is kept elsewhere, or does not fit.
        IntegrityError: the file is missing, cut short, swapped or altered.
    """
    public, begin, sealed = _split(folder / STATE)
    if public.get("gallery") != gallery:
        raise IntegrityError(
            f"{folder / STATE} or {HEADER} was swapped or altered: it belongs to gallery "
            f"{public.get('gallery')!r}, this is {gallery}; restore the gallery's newest copy"
        )
    key = _find_key(folder, public, gallery, keys)
    try:
        values = json.loads(unseal(subkey(key.key, "state"), sealed, header + begin))
    except BrokenSealError as error:
        raise IntegrityError(
            f"gallery {folder} fails its integrity check: {STATE} or {HEADER} was altered, cut short or "
            "swapped; nothing was read from it, restore the gallery's newest copy"
        ) from error
    people, log, attempts = Listing(**values["people"]), Head(**values["log"]), Attempts(**values["attempts"])
    return State(values["generation"], people, log, attempts, values.get("calibration")), key


def _find_key(folder: Path, public: dict[str, Any], gallery: str, keys: KeyProvider) -> WrappingKey:
    known = public.get("key")
    if not isinstance(known, dict) or not all(
        type(known.get(name)) is kind for name, kind in (("kind", str), ("id", str), ("parameters", dict))
    ):
        raise IntegrityError(f"{folder / STATE} was altered: it names no key; restore the newest copy")
    if known["kind"] != keys.kind:
        raise GalleryError(
            f"the key of gallery {folder} is kept as {known['kind']!r}, not as {keys.kind!r}; open it with "
            f"--key {known['kind']}"
        )
    key = keys.find(gallery, known["id"], known["parameters"])
    if not hmac.compare_digest(_key_check(key).encode(), str(public.get("check")).encode()):
        raise GalleryError(
            f"the key ({keys.kind}) does not fit gallery {folder}; give the key or passphrase that it was "
            "made with"
        )
    return WrappingKey(known["id"], key, known["parameters"])


def _split(path: Path) -> tuple[dict[str, Any], bytes, bytes]:
    """``(public part, its bytes in the file, sealed part)``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(
            f"{path} is missing; restore the gallery's newest copy, or enrol again into a new gallery"
        ) from error
    except OSError as error:
        raise GalleryError(f"cannot read {path}: {error.strerror}; make it readable") from error
    if not data.startswith(_MAGIC[: len(data)]):
        raise IntegrityError(f"{path} was altered: it is no state of a gallery; restore the newest copy")
    start = len(_MAGIC) + 4
    length = int.from_bytes(data[len(_MAGIC) : start], "big")
    if len(data) < start + length + OVERHEAD:
        raise IntegrityError(f"{path} was cut short or altered ({len(data)} bytes); restore the newest copy")
    return parse_json(data[start : start + length], path), data[: start + length], data[start + length :]


def _key_check(key: bytes) -> str:
    """Tells a wrong key from an altered file; gives away nothing that the tags do not."""
    return subkey(key, "check")[:8].hex()
