"""A page to look at: one self-contained HTML file, and each of its figures as SVG and PNG.

Fill a :class:`ReportData` with what there is and call :func:`write_report`. matplotlib (the extra
``report``) is imported only then.
"""

from fedfr_edge.evaluation.report.content import Decision, ReportData
from fedfr_edge.evaluation.report.write import write_report

__all__ = ["Decision", "ReportData", "write_report"]
