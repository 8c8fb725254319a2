"""The paper's own figures, as far as they were read in a source; see ``published.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from fedfr_edge.config import option, resolve
from fedfr_edge.errors import ConfigError

ABSENT = (
    "Paper: –. No figure of the paper is shipped for this target: none could be read in a source that may be "
    "named. Who has the paper gives them with --published FILE.toml (apps/reproduce/published.toml says how)."
)


@dataclass(frozen=True)
class Figure:
    """One figure of the paper.

    Attributes:
        target: of which table or figure.
        row: line of our table.
        measure: heading of its column, the paper's own; ours need not have it.
        value: per cent.
        source: where it was read.
    """

    target: str = option(help="table1, table2, table3, figure3 or figure4")
    row: str = option(help="line")
    measure: str = option(help="column")
    value: float = option(help="per cent", low=0, high=100)
    source: str = option(help="where it was read")


def published(target: str, file: Path | None = None) -> list[Figure]:
    """The figures of a target: those shipped, and those of a user's file after them.

    Raises:
        ConfigError: the file cannot be read, or an entry is not whole.
    """
    shipped = files("fedfr_edge.apps.reproduce").joinpath("published.toml").read_text(encoding="utf-8")
    found = list(_figures(tomllib.loads(shipped), "published.toml"))
    if file is not None:
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {file}: {error}; expected a TOML file with [[figure]]") from error
        found += _figures(table, str(file))
    return [figure for figure in found if figure.target == target]


def _figures(table: dict[str, Any], name: str) -> Iterable[Figure]:
    for number, entry in enumerate(table.get("figure", ()), 1):
        odd = entry.keys() - Figure.__dataclass_fields__.keys()
        if odd:
            raise ConfigError(f"entry {number} of {name} has {sorted(odd)[0]!r}, which no figure has")
        yield resolve(Figure, f"figure {number} of {name}", None, entry)
