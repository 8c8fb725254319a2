"""``fedfr runs compare``: training runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.cli import Command
from fedfr_edge.config import option
from fedfr_edge.errors import ConfigError

from .. import console

if TYPE_CHECKING:
    from ..runs.record import RunRecord


@dataclass(frozen=True)
class CompareConfig:
    """Settings of ``fedfr runs compare``."""

    run: tuple[Path, ...] = option(help="folders of training runs, two or more", argument=True)
    out: Path | None = option(
        None, help="also draw the curves: a file name, of which .svg and .png are written", short="o"
    )
    json: bool = option(False, help="print JSON instead of tables")


def run(config: CompareConfig) -> None:
    """Print the comparison, and draw it if that is asked for."""
    from ..runs.record import read_run
    from ..runs.summary import short_names
    from ..runs.tables import best_table, curve_tables, remarks, settings_table, text_lines

    if len({path.resolve() for path in config.run}) < max(2, len(config.run)):
        raise ConfigError(f"{len(config.run)} runs are given, expected two or more different ones")
    records = [read_run(path) for path in config.run]
    names = short_names([record.path for record in records])
    drawn = _draw(config.out, records, names) if config.out is not None else []
    if config.json:
        console.out.print(json.dumps(_as_json(records, names), ensure_ascii=False, allow_nan=False, indent=1))
        return
    for text in remarks(records):
        console.out.print(f"remark: {text}")
    tables = [settings_table(records, names), *curve_tables(records, names), best_table(records, names)]
    for table in tables:
        console.out.print()
        for line in text_lines(table) if table.rows else [table.title]:
            console.out.print(line)
    for file in drawn:
        console.out.print(f"drawn: {file}")


def _draw(out: Path, records: Sequence[RunRecord], names: dict[Path, str]) -> list[Path]:
    from ..runs.plot import comparison_figure, write_drawing

    stem = out.with_suffix("") if out.suffix in (".svg", ".png") else out
    figure = comparison_figure([(names[r.path], r.rounds, r.scores) for r in records])
    if figure is None:
        raise ConfigError("none of these runs has finished a round, so there is nothing to draw")
    write_drawing(figure, stem.parent, stem.name)
    return [stem.parent / f"{stem.name}{suffix}" for suffix in (".svg", ".png")]


def _as_json(records: Sequence[RunRecord], names: dict[Path, str]) -> dict[str, Any]:
    from ..runs.best import loss_curve, model_names, score_curve
    from ..runs.means import LOSSES
    from ..runs.summary import summary
    from ..runs.tables import common_far, remarks

    far = common_far(records)
    settings = [record.settings() | {"digests": record.digests} for record in records]
    keys = dict.fromkeys(key for one in settings for key in one)
    different = {
        key: [one.get(key) for one in settings]
        for key in keys
        if any(one.get(key) != settings[0].get(key) for one in settings)
    }
    return {
        "runs": [summary(record) | {"name": names[record.path]} for record in records],
        "remarks": remarks(records),
        "different": different,
        "far": far,
        "curves": {
            names[record.path]: {
                **{term: curve for term in LOSSES if (curve := loss_curve(record.rounds, term))},
                **{
                    f"{model} {'rank 1' if rate is None else 'TAR'}": score_curve(record.scores, model, rate)
                    for model in model_names(record.scores)
                    for rate in ((far, None) if far is not None else (None,))
                },
            }
            for record in records
        },
    }


COMMAND = Command(
    section="runs.compare",
    config=CompareConfig,
    run=run,
    help="""Compare training runs: settings that differ, curves side by side, best rounds.

    \b
    In:  the folders of two runs or more.
    Out: tables; with --out also the curves as .svg and .png. Where data, splits or starts differ, a remark
         says that the figures are not comparable.
    """,
)
