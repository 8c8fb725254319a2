"""``fedfr runs list``: the training runs below a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from .. import console

if TYPE_CHECKING:
    from ..runs.record import RunRecord


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


def summary(record: RunRecord) -> dict[str, Any]:
    """A run in JSON: what the list shows."""
    from ..runs.best import best_of, headline_far, loss_curve, model_names, score_curve
    from ..runs.means import round_means

    far = headline_far(record.scores)
    lowest = best_of(loss_curve(record.rounds), lowest=True)
    scores = {}
    for model in model_names(record.scores):
        curve = score_curve(record.scores, model, far)
        best = best_of(curve)
        if best is not None:
            scores[model] = {
                "last": {"round": max(curve), "value": curve[max(curve)]},
                "best": best.to_dict(),
            }
    return {
        "path": str(record.path),
        "method": record.config.method,
        "profile": record.config.profile,
        "backbone": record.backbone,
        "clients": record.clients,
        "seed": record.seed,
        "done": record.done,
        "rounds": record.last,
        "state": record.state,
        "changed": record.changed,
        "last": round_means(record.rounds[-1]) if record.rounds else None,
        "lowest_loss": None if lowest is None else lowest.to_dict(),
        "far": far,
        "scores": scores,
    }


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
