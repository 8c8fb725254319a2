"""A page to look at: one self-contained HTML file, and each of its figures as SVG and PNG.

Fill a :class:`ReportData` with what there is and call :func:`write_report`, and :func:`write_numbers` for
the same as JSON and Markdown. matplotlib (the extra ``report``) is imported only then.
"""

from fedfr_edge.evaluation.report.content import (
    Contrast,
    Decision,
    FacePair,
    Faces,
    GroupedTable,
    ReportData,
    Sweep,
    SweepLine,
)
from fedfr_edge.evaluation.report.write import write_numbers, write_report

__all__ = [
    "Contrast",
    "Decision",
    "FacePair",
    "Faces",
    "GroupedTable",
    "ReportData",
    "Sweep",
    "SweepLine",
    "write_numbers",
    "write_report",
]
