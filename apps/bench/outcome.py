"""How a benchmark tells its result: lines on the terminal, every figure in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.config import save_config

from .. import console


def tell(
    result: dict[str, Any], lines: Iterable[str], config: object, section: str, file: Path | None
) -> None:
    """Print ``lines``; with ``file`` write ``result`` there as JSON and the settings beside it as TOML.

    Raises:
        WriteError: the disk refused.
    """
    for line in lines:
        console.out.print(line)
    if file is not None:
        atomic.write_text(file, json.dumps(result, indent=2) + "\n")
        save_config(config, section, file.with_suffix(".toml"))
        console.out.print(f"every figure: {file}")


def aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of what was measured and its figure, figures below one another."""
    width = max(len(what) for what, _ in rows)
    return [f"{what:<{width}}  {figure}" for what, figure in rows]
