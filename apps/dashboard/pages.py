"""The files of the page: the same ones from a server and in a folder; only ``data.js`` differs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.errors import ConfigError
from fedfr_edge.evaluation.report.style import style_sheet

from .readings import Reading
from .view import as_json, in_full, in_short

_ENDS = (".html", ".css", ".js")
_MADE = "fedfr dashboard --static"


def files() -> dict[str, bytes]:
    """Name -> content of all files but ``data.js``; ``base.css`` is the report pages' own style sheet."""
    folder = resources.files(__package__) / "static"
    found = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(_ENDS)}
    return found | {"base.css": style_sheet().encode()}


def data_script(readings: Sequence[Reading] | None) -> bytes:
    """``data.js``: everything about these runs, or with None that a server is to be asked."""
    data: dict[str, Any] = {"live": readings is None, "now": time.time()}
    if readings is not None:
        data |= {
            "by": _MADE,
            "runs": [in_short(reading) for reading in readings],
            "details": {reading.id: in_full(reading) for reading in readings},
        }
    return f"window.fedfr = {as_json(data)};\n".encode()


def write_static(readings: Sequence[Reading], folder: Path) -> Path:
    """Write the page and what it shows into ``folder``; it opens without a server.

    Returns:
        the page.

    Raises:
        ConfigError: the folder holds something else.
        WriteError: the disk refused.
    """
    contents = files() | {"data.js": data_script(readings)}
    if folder.exists():
        others = (
            sorted({file.name for file in folder.iterdir()} - contents.keys()) if folder.is_dir() else [""]
        )
        if others:
            what = f"holds {others[0]}" if others[0] else "is no folder"
            raise ConfigError(f"{folder} {what}, expected an empty or a new folder, or one made before")
    for name, content in contents.items():
        atomic.write_bytes(folder / name, content)
    return folder / "index.html"
