"""95 % intervals and differences in words."""

from __future__ import annotations

from fedfr_edge.evaluation.metrics import Interval


def with_interval(value: str, interval: Interval | None) -> str:
    """``56.70`` as ``56.70 [52.1, 60.9]``, all per cent."""
    if interval is None:
        return value
    return f"{value} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with a sign that is no hyphen: ``−1.25``."""
    return f"{100 * difference:+.2f}".replace("-", "−")
