"""The page's numbers for programs, and its tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedfr_edge.evaluation.report.content import FacePair, ReportData
from fedfr_edge.evaluation.report.differences import differences_table
from fedfr_edge.evaluation.report.summary import summary_table
from fedfr_edge.evaluation.tables import Table, client_table, comparison_table, pairs_table


def to_json(data: ReportData) -> dict[str, Any]:
    """JSON-able: rates are shares, not per cent, and stand as the evaluation wrote them."""
    return {
        "title": data.title,
        "facts": dict(data.facts),
        "results": [result.to_dict() for result in data.results],
        "differences": [one.to_dict() for one in data.differences],
        "pairs": [result.to_dict() for result in data.pairs],
        "tables": [_table(one) for one in (*(group.flat() for group in data.paper), *data.tables)],
        "sweeps": [
            {
                "name": sweep.name,
                "setting": sweep.setting,
                "panels": [
                    {
                        "measure": title,
                        "lines": [
                            {
                                "method": line.name,
                                "points": [
                                    {"x": x, "value": value, "interval": None if low != low else [low, high]}
                                    for x, value, low, high in line.points
                                ],
                            }
                            for line in lines
                        ],
                    }
                    for title, lines in sweep.panels
                ],
            }
            for sweep in data.sweeps
        ],
        "hardest_pairs": [] if data.faces is None else [_pair(pair) for pair in data.faces.pairs],
        "left_out": list(data.left_out),
    }


def to_markdown(data: ReportData) -> str:
    """The page without its figures."""
    lines = [f"# {data.title}", ""]
    lines += [data.intro, ""] if data.intro else []
    lines += [f"- {what}: {value}" for what, value in data.facts]
    text = "\n".join(lines) + "\n\n" + "\n".join(table.to_markdown() for table in _tables(data))
    if data.left_out:
        text += "\n### What is left out\n\n" + "".join(f"- {one}\n" for one in data.left_out)
    return text


def _tables(data: ReportData) -> Iterator[Table]:
    shown = data.shown()
    if shown:
        yield summary_table(shown)
        yield comparison_table(shown)
    yield from (group.flat() for group in data.paper)
    if data.differences:
        yield differences_table(data.differences)
    if data.pairs:
        yield pairs_table(data.pairs)
    yield from data.tables
    for reading in data.readings()[1:]:
        yield comparison_table(data.of_reading(reading))
    yield from map(client_table, shown)


def _table(one: Table) -> dict[str, Any]:
    return {"title": one.title, "header": list(one.header), "rows": [list(row) for row in one.rows]}


def _pair(pair: FacePair) -> dict[str, Any]:
    return {
        "names": list(pair.names),
        "kind": pair.verdict,
        "score": pair.score,
        "threshold": pair.threshold,
        "model": pair.model,
        "client": pair.client,
    }
