"""Writing the report: draw what there is, then the page."""

from __future__ import annotations

from pathlib import Path

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


def draw_all(data: ReportData) -> list[Drawing]:
    """Every figure that ``data`` has something for."""
    from fedfr_edge.evaluation.report.clients import clients_figure
    from fedfr_edge.evaluation.report.curves import det_figure, roc_figure
    from fedfr_edge.evaluation.report.decisions import decisions_figure
    from fedfr_edge.evaluation.report.losses import losses_figure
    from fedfr_edge.evaluation.report.scores import scores_figure

    drawings: list[Drawing] = []
    shown = data.shown()
    if shown:
        drawings += [roc_figure(shown), det_figure(shown), clients_figure(shown), scores_figure(shown)]
    losses = losses_figure(data.rounds)
    if losses is not None:
        drawings.append(losses)
    if data.decisions:
        drawings.append(decisions_figure(data.decisions))
    return drawings
