"""The aligned-face store on disk: which files there are and what their bytes mean.

A store is a folder::

    images.npy       NumPy array uint8 (n, 112, 112, 3), RGB, C order; its header is always 128 bytes
    index.tsv        one line for each row: name <TAB> identity <TAB> sha256 of the row's 37,632 bytes
    manifest.json    written last: format, counts, source, licence, sha256 of both files, digest
    unfinished.json  only while the store is being made: what it was begun with

The digest of a store is the sha256 of ``index.tsv``. As that file names every image, its identity
and the hash of its pixels, in row order, equal digests mean equal arrays; paths and times are not
part of it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fedfr_edge.errors import StoreError
from fedfr_edge.types import FACE_SIZE

FORMAT = "fedfr-faces"
VERSION = 1
IMAGES, INDEX = "images.npy", "index.tsv"
MANIFEST, UNFINISHED = "manifest.json", "unfinished.json"

FACE_SHAPE = (FACE_SIZE, FACE_SIZE, 3)
FACE_BYTES = FACE_SIZE * FACE_SIZE * 3
HEADER_BYTES = 128

# Control characters, lone surrogates (file names that are no UTF-8), line and paragraph separators.
_NOT_STORABLE = {"Cc", "Cs", "Zl", "Zp"}


class Row(NamedTuple):
    """One line of ``index.tsv``."""

    name: str
    identity: str
    sha256: str


def npy_header(count: int) -> bytes:
    """The 128 bytes before the pixels, for ``count`` faces.

    NumPy's format 1.0. They are made here rather than by NumPy so that their length, and with it
    the place of every face, never depends on its version.
    """
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(count, *FACE_SHAPE)}, }}"
    body = text.encode("ascii").ljust(HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def face_hash(pixels: bytes | memoryview) -> str:
    """Sha256 of one face's 37,632 bytes, in hexadecimal."""
    return hashlib.sha256(pixels).hexdigest()


def row_line(row: Row) -> bytes:
    """The line of ``index.tsv`` for ``row``, with its newline."""
    return ("\t".join(row) + "\n").encode()


def parse_rows(lines: Iterable[bytes]) -> Iterator[Row]:
    """The rows of ``index.tsv``, up to the first line that is cut short or malformed."""
    for line in lines:
        try:
            name, identity, digest = line.decode().removesuffix("\n").split("\t")
            whole = len(bytes.fromhex(digest)) == 32 and line.endswith(b"\n")
        except ValueError:  # also UnicodeDecodeError
            return
        if not whole or not name or not identity:
            return
        yield Row(name, identity, digest)


def storable(text: str) -> bool:
    """Whether ``text`` may be a name or an identity: not empty, valid Unicode, no tab, no line break."""
    return bool(text) and not any(unicodedata.category(char) in _NOT_STORABLE for char in text)


def check_storable(text: str, what: str) -> None:
    """Raise :class:`StoreError` unless :func:`storable`."""
    if not storable(text):
        raise StoreError(
            f"{what} {text!r} cannot be stored: expected text without tabs or line breaks; rename it"
        )


def manifest_fault(manifest: Any) -> str | None:
    """What is wrong with the parsed ``manifest.json`` (None if nothing), as half a sentence."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return f"its manifest is not of format {FORMAT!r}"
    if manifest.get("version") != VERSION:
        return f"it has format version {manifest.get('version')!r}, this program reads version {VERSION}"
    counts, parts = manifest.get("counts"), manifest.get("parts")
    sound = (
        isinstance(counts, dict)
        and all(type(counts.get(key)) is int and counts[key] > 0 for key in ("images", "identities"))
        and isinstance(parts, dict)
        and all(
            isinstance(parts.get(part), dict) and isinstance(parts[part].get("sha256"), str)
            for part in (IMAGES, INDEX)
        )
        and all(isinstance(manifest.get(key), str) for key in ("source", "licence", "digest"))
    )
    return None if sound else "its manifest lacks counts, hashes, source or licence"
