"""Writing the report: draw what there is, then the page, its numbers and its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfr_edge import atomic
from fedfr_edge.evaluation.report.canvas import Drawing, styled
from fedfr_edge.evaluation.report.content import ReportData


def write_report(out_dir: Path, data: ReportData) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` and ``.png`` into ``out_dir``.

    Returns:
        The path of the page.

    Raises:
        MissingPartError: matplotlib is not installed (the extra ``report``).
        WriteError: the disk refused; what was there before is untouched.
    """
    with styled():  # fails here, before anything is written, if matplotlib is missing
        from fedfr_edge.evaluation.report.page import build_page

        drawings = draw_all(data)
        page = build_page(data, drawings)
    for drawing in drawings:
        atomic.write_bytes(out_dir / "figures" / f"{drawing.name}.svg", drawing.svg)
        atomic.write_bytes(out_dir / "figures" / f"{drawing.name}.png", drawing.png)
    atomic.write_text(out_dir / "report.html", page)
    return out_dir / "report.html"


def write_numbers(out_dir: Path, data: ReportData, more: Mapping[str, Any]) -> None:
    """Write the page's numbers as ``report.json`` and its tables as ``report.md``.

    Args:
        out_dir: the folder of the page.
        data: what the page shows.
        more: further entries of the JSON file: what was read, versions.

    Raises:
        WriteError: the disk refused.
    """
    from fedfr_edge.evaluation.report.numbers import to_json, to_markdown

    text = json.dumps({**more, **to_json(data)}, ensure_ascii=False, allow_nan=False, indent=1)
    atomic.write_text(out_dir / "report.json", text + "\n")
    atomic.write_text(out_dir / "report.md", to_markdown(data))


def draw_all(data: ReportData) -> list[Drawing]:
    """Every figure that ``data`` has something for."""
    from fedfr_edge.evaluation.report.clients import clients_figure
    from fedfr_edge.evaluation.report.curves import det_figure, roc_figure, search_figure
    from fedfr_edge.evaluation.report.decisions import decisions_figure
    from fedfr_edge.evaluation.report.differences import differences_figure
    from fedfr_edge.evaluation.report.losses import losses_figure
    from fedfr_edge.evaluation.report.scores import scores_figure
    from fedfr_edge.evaluation.report.sweep import sweep_figure

    drawings: list[Drawing | None] = []
    drawn = data.drawn()
    if drawn:
        drawings += [roc_figure(drawn), det_figure(drawn), search_figure(drawn)]
        drawings += [clients_figure(data.shown(), [result.name for result in drawn]), scores_figure(drawn)]
    drawings += map(sweep_figure, data.sweeps)
    drawings += [differences_figure(data.differences), losses_figure(data.rounds)]
    if data.decisions:
        drawings.append(decisions_figure(data.decisions))
    return [drawing for drawing in drawings if drawing is not None]
