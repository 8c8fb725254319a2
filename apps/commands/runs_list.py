"""``fedfr runs list``: the training runs below a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from .. import console


@dataclass(frozen=True)
class ListConfig:
    """Settings of ``fedfr runs list``."""

    folder: tuple[Path, ...] = option(
        (), help="where to look, with all that lies below; the current folder if not given", argument=True
    )
    json: bool = option(False, help="print JSON instead of a table")


def run(config: ListConfig) -> None:
    """Print what there is; runs that cannot be read are named at the end."""
    from ..runs.record import read_all
    from ..runs.summary import summary
    from ..runs.tables import list_table, text_lines

    records, faults = read_all(config.folder or (Path("."),))
    if config.json:
        rows = [summary(record) for record in records]
        rows += [{"path": str(path), "error": fault} for path, fault in faults.items()]
        console.out.print(json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1))
        return
    if records:
        for line in text_lines(list_table(records, {record.path: str(record.path) for record in records})):
            console.out.print(line)
    for path, fault in faults.items():
        console.out.print(f"{path}: damaged: {fault}")


COMMAND = Command(
    section="runs.list",
    config=ListConfig,
    run=run,
    help="""List the training runs below a folder: how far they are, and how good.

    \b
    In:  folders.
    Out: a table, one row for each run; a run that cannot be read is named below it with the reason.
    """,
)
