"""``fedfr runs show``: one training run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.cli import Command
from fedfr_edge.config import option

from .. import console

if TYPE_CHECKING:
    from ..runs.record import RunRecord


@dataclass(frozen=True)
class ShowConfig:
    """Settings of ``fedfr runs show``."""

    path: Path = option(help="folder of a training run", argument=True)
    json: bool = option(False, help="print JSON instead of tables")


def run(config: ShowConfig) -> None:
    """Print the run."""
    from ..runs.record import read_run
    from ..runs.tables import rounds_table, scores_table, text_lines

    record = read_run(config.path)
    if config.json:
        console.out.print(json.dumps(_as_json(record), ensure_ascii=False, allow_nan=False, indent=1))
        return
    lines = [*_head(record), "", *_settings(record), "", *_data(record), ""]
    for table in (rounds_table(record), scores_table(record)):
        if table.rows:
            lines += [*text_lines(table), ""]
    failures = [
        f"  round {line['round']}: {client} left out: {why}"
        for line in record.rounds
        for client, why in line.get("failed", {}).items()
    ]
    lines += [
        "failures" if failures else "no client failed in any round",
        *failures,
        "",
        "files",
        *_files(record),
    ]
    for line in lines:
        console.out.print(line)


def _head(record: RunRecord) -> list[str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.changed))
    clients = f"{len(record.clients)} clients" if record.clients else "no client has answered yet"
    return [
        str(record.path),
        f"  {record.method}, {record.backbone}, {clients}, seed {record.seed}",
        f"  {record.state}: {record.done} of {record.last or '?'} rounds, the last one written {when}",
    ]


def _settings(record: RunRecord) -> list[str]:
    from ..runs.tables import setting_text

    changed = record.departures()
    if not changed:
        return [f"all settings are the defaults of {record.method}"]
    width = max(map(len, changed))
    return [
        f"settings that differ from the defaults of {record.method}",
        *(
            f"  {name:<{width}}  {setting_text(value)}  (default {setting_text(default)})"
            for name, (value, default) in changed.items()
        ),
    ]


def _data(record: RunRecord) -> list[str]:
    from ..runs.record import SOURCES
    from ..runs.tables import setting_text

    lines = ["data (first digits of the sha256 of its content)"]
    for name in SOURCES:
        if name in record.digests:
            place = setting_text(record.places[name]) if name in record.places else "place unknown"
            lines.append(f"  {name:<12}  {record.digests[name][:12]}  {place}")
    return lines


def _files(record: RunRecord) -> list[str]:
    names = {
        "checkpoints": f"global models after rounds 0 to {record.done}",
        "clients": "private folders of the clients (personal models; they stay there)",
        "metrics.jsonl": "each round's numbers",
        "scores.jsonl": "scores of rounds",
        "train.toml": "the settings",
        "run.svg": "plot",
        "tensorboard": "event files",
    }
    width = len(str(record.path)) + 1 + max(map(len, names))
    return [
        f"  {record.path / name!s:<{width}}  {text}"
        for name, text in names.items()
        if (record.path / name).exists()
    ]


def _as_json(record: RunRecord) -> dict[str, Any]:
    from ..runs.summary import summary

    return {
        **summary(record),
        "settings": record.settings(),
        "departures": {name: {"value": v, "default": d} for name, (v, d) in record.departures().items()},
        "digests": record.digests,
        "places": record.places,
        "rounds_done": record.rounds,
        "scored": record.scores,
    }


COMMAND = Command(
    section="runs.show",
    config=ShowConfig,
    run=run,
    help="""Show one training run: settings, data, rounds, failures, files.

    \b
    In:  the folder of a run.
    Out: settings that differ from the defaults, digests of its data, a table of its rounds.
    """,
)
