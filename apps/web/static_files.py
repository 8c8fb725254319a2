"""The files of the page, kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "wasm": "application/wasm",
    "onnx": "application/octet-stream",
}
"""Media types by the end of a name; files with other ends are not served."""


@dataclass(frozen=True)
class Served:
    """A file as it is served.

    Attributes:
        content: its bytes.
        kind: its media type.
        tag: names the content, so that a browser asks for it once.
    """

    content: bytes = field(repr=False)
    kind: str
    tag: str


def served(name: str, content: bytes) -> Served:
    """A file of this name."""
    tag = hashlib.sha256(content).hexdigest()[:32]
    return Served(content, KINDS[name.rpartition(".")[2]], f'"{tag}"')


def page_files() -> dict[str, Served]:
    """Address → file, of all that belongs to the page; ``/`` is ``index.html``."""
    files = {}
    for name, file in _walk(resources.files(__package__).joinpath("static")):
        files[f"/{name}"] = served(name, file.read_bytes())
    if "/index.html" in files:
        files["/"] = files["/index.html"]
    return files


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name.startswith((".", "_")):
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in KINDS:
            yield prefix + entry.name, entry
