"""What the page is told of a run, as JSON-able values; every number is one of the run's own files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedfr_edge.evaluation.tables import Table, rate_text
from fedfr_edge.federation.traffic import BYTES_DOWN, BYTES_UP, WAYS
from fedfr_edge.train.privacy_loss import privacy_text

from ..runs.best import headline_far, model_names
from ..runs.means import round_means
from ..runs.panels import TITLES, Line, Panel, run_panels, score_panels
from ..runs.record import SOURCES, RunRecord
from ..runs.summary import client_history, summary
from ..runs.tables import rounds_table, scores_table, setting_text, setting_texts, traits
from .readings import Reading

MOST_CURVES = 100
"""Clients from which on only their range is drawn, not a curve for each."""

_RECENT = 3
"""Rounds whose mean time foretells the others'."""

_TRAFFIC = "traffic a round, MB"
_WORDS = {BYTES_UP: "up, to the server", BYTES_DOWN: "down, to the clients"}


def in_short(reading: Reading) -> dict[str, Any]:
    """One row of the list of runs."""
    row: dict[str, Any] = {
        "id": reading.id,
        "tag": reading.tag,
        "name": reading.name,
        "path": str(reading.path),
        "state": reading.state,
        "text": reading.text,
    }
    record = reading.record
    if record is None:
        return row
    traffic = _traffic(record)
    return row | {
        **{name: value for name, value in summary(record).items() if name not in {"path", "state"}},
        "method": record.method,
        "traffic": traffic,
        "failures": len(_failures(record)),
        "left": _seconds_left(record) if reading.state in {"running", "retrying"} else None,
    }


def in_full(reading: Reading) -> dict[str, Any]:
    """Everything that the page shows of a run."""
    whole = in_short(reading)
    record = reading.record
    if record is None:
        return whole
    far = whole["far"]
    return whole | {
        "far_text": None if far is None else rate_text(far),
        "panels": [_panel(panel, _tell_most(record)) for panel in _panels(record)],
        "each": _each(record) if len(record.clients) <= MOST_CURVES else {},
        "history": _clients(record),
        "failed": _failures(record),
        "tables": [_table(table) for table in (rounds_table(record), scores_table(record)) if table.rows],
        "privacy": privacy_text(record.rounds[-1]) if record.rounds else "",
        "departures": [
            [name, setting_text(value), setting_text(default)]
            for name, (value, default) in record.departures().items()
        ],
        "settings": setting_texts(record),
        "traits": traits(record),
        "data": [
            [name, record.digests[name][:12], setting_text(record.places.get(name))]
            for name in SOURCES
            if name in record.digests
        ],
        "remarks": [
            f"round {line['round']}: {text}" for line in record.scores for text in line.get("remarks", ())
        ],
    }


def as_json(value: Any) -> str:
    """JSON text; what is no finite number becomes null, which is the only way JSON has to say so."""
    return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _panels(record: RunRecord) -> list[Panel]:
    measured = [(int(line["round"]), round_means(line)) for line in record.rounds]
    ways = [
        Line(_WORDS[way], [(number, found[way] / 1e6) for number, found in measured if way in found], place)
        for place, way in enumerate(WAYS)
    ]
    traffic = [Panel(_TRAFFIC, ways)] if any(line.points for line in ways) else []
    return score_panels(record.scores, every=True) + run_panels(record.rounds) + traffic


def _tell_most(record: RunRecord) -> set[tuple[str, str]]:
    """``(panel title, line name)`` of what is shown first where runs are set side by side."""
    models = model_names(record.scores)
    far = headline_far(record.scores)
    title = "rank 1, %" if far is None else f"TAR at FAR {rate_text(far)}, %"
    found = {(title, models[place]) for place in (0, -1) if models}
    return found | {(TITLES["loss"], ""), (TITLES["seconds"], ""), (_TRAFFIC, _WORDS[BYTES_UP])}


def _panel(panel: Panel, most: set[tuple[str, str]]) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for line in panel.lines:
        points = [[number, value] for number, value in line.points]
        lines.append(
            {
                "name": line.name,
                "place": line.place,
                "points": points,
                "band": [list(part) for part in line.band],
                "main": (panel.title, line.name) in most,
                "weak": sorted(line.hollow),
                # [Θ_l, Π_l] where nothing trained Π: the same line again.
                "again": any(other["points"] == points for other in lines if points),
            }
        )
    return {"title": _plain(panel.title), "lines": lines}


def _plain(title: str) -> str:
    """Without matplotlib's marks of mathematics."""
    return title.replace("$", "")


def _each(record: RunRecord) -> dict[str, dict[str, dict[str, list[list[float]]]]]:
    """Panel title -> line name -> client -> points of that client alone."""
    found: dict[str, dict[str, dict[str, list[list[float]]]]] = {}
    for client in record.clients:
        own = [{**line, "clients": _only(line["clients"], client)} for line in record.rounds]
        panels = run_panels([line for line in own if line["clients"]])
        for panel in panels:
            if any(line.band for line in panel.lines):  # what is the round's own has no clients
                found.setdefault(_plain(panel.title), {}).setdefault("", {})[client] = [
                    [number, value] for number, value in panel.lines[0].points
                ]
    for line in record.scores:
        for model in line["models"]:
            titles = [f"TAR at FAR {rate_text(rate['far_target'])}, %" for rate in model["verification"]]
            for client, scores in model.get("clients", {}).items():
                for title, value in zip(
                    [*titles, "rank 1, %"], [*scores["tar"], scores["rank_one"]], strict=True
                ):
                    if value is not None:
                        curves = found.setdefault(title, {}).setdefault(model["name"], {})
                        curves.setdefault(client, []).append([int(line["round"]), 100 * float(value)])
    return found


def _only(clients: Mapping[str, Any], client: str) -> dict[str, Any]:
    return {client: clients[client]} if client in clients else {}


def _clients(record: RunRecord) -> list[dict[str, Any]]:
    """One row for each client: its history, its last metrics, and its last scores."""
    rows = []
    for client, seen in client_history(record.rounds).items():
        last: dict[str, Any] = next(
            (line["clients"][client] for line in reversed(record.rounds) if client in line["clients"]), {}
        )
        scores = [
            {"model": model["name"], "round": line["round"], **model["clients"][client]}
            for line in record.scores[-1:]
            for model in line["models"]
            if client in model.get("clients", {})
        ]
        hidden = any("epsilon" in line for line in record.rounds)  # then the counts stand for nothing
        rows.append(
            {
                "client": client,
                "images": None if hidden else last.get("images"),
                "loss": last.get("loss"),
                **seen,
                "scores": scores,
            }
        )
    return rows


def _failures(record: RunRecord) -> list[dict[str, Any]]:
    """Every time a client did not count, and every attempt at a round that did not, the newest last."""
    found: list[dict[str, Any]] = []

    def attempts(number: int, tried: Sequence[Mapping[str, Any]]) -> None:
        for place, attempt in enumerate(tried, 1):
            whole = f"attempt {place} did not count: {attempt['answered']} of at least "
            whole += f"{attempt['expected']} clients"
            whole += f" ({attempt['reason']})" if "reason" in attempt else ""
            found.append({"round": number, "client": "", "why": whole})
            for client, why in attempt.get("failed", {}).items():
                found.append({"round": number, "client": client, "why": f"attempt {place}: {why}"})

    for line in record.rounds:
        attempts(line["round"], line.get("attempts", ()))
        for client, why in line.get("failed", {}).items():
            found.append({"round": line["round"], "client": client, "why": why})
    attempts(record.done + 1, record.attempts)
    return found


def _traffic(record: RunRecord) -> dict[str, float] | None:
    """Bytes of all rounds each way; None where nobody measured them."""
    means = [round_means(line) for line in record.rounds]
    known = {way: sum(found.get(way, 0.0) for found in means) for way in WAYS}
    return known if any(way in found for found in means for way in WAYS) else None


def _seconds_left(record: RunRecord) -> float | None:
    recent = [float(line["seconds"]) for line in record.rounds[-_RECENT:]]
    if record.last is None or not recent:
        return None
    return sum(recent) / len(recent) * (record.last - record.done)


def _table(table: Table) -> dict[str, Any]:
    return {"title": table.title, "header": table.header, "rows": table.rows, "notes": table.notes}
