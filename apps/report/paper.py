"""Methods side by side in the layout of the paper's Tables 1, 2 and 3 and Figures 3 and 4."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS
from fedfr_edge.evaluation.report import GroupedTable, Sweep, SweepLine
from fedfr_edge.evaluation.tables import Table, percent

from ..models_for_evaluation import GENERIC, SPACES
from ..study.orderings import student_quantile
from ..study.plan import PRETRAINED
from ..study.scores import PAIRS_ACCURACY, RANK_ONE, UNSEEN, Mean, Scores
from ..study.tables import DASH, ON_PAIRS

TABLE_1 = (PRETRAINED, "fedavg", "shared", "hard-negatives", "contrastive", "fedfr", "central")
TABLE_2 = ("fine-tune", "kd", "branch-cosface", "fedfr")
NAMES = {
    PRETRAINED: "pre-trained, before any round",
    "fedavg": "FedAvg",
    "shared": "FedAvg + all public data",
    "hard-negatives": "FedAvg + hard negatives",
    "contrastive": "+ contrastive",
    "fedfr": "+ DFC (FedFR)",
    "central": "central training",
    "fine-tune": "fine-tuning",
    "kd": "knowledge distillation",
    "branch-cosface": "branch, CosFace",
}
"""What the paper's tables call the methods."""

CLIENTS, PEOPLE = "clients", "people of a client"
"""What studies may differ in to become points of one figure."""

PERSONAL = "personal"
"""A column that is [Θ_l, Π_l] where a method has a branch, else Θ_l, else Θ_g."""


def paper_tables(scores: Scores) -> list[GroupedTable]:
    """Those of the three tables of which two methods or more (for Table 3: FedFR itself) are there."""
    tables: list[GroupedTable] = []
    rows = [row for row in TABLE_1 if row in scores.rows]
    if len(rows) > 1:
        columns = [
            ("generic model, unseen people", _columns(scores, rows, UNSEEN, ("TAR@FAR", PAIRS_ACCURACY))),
            (
                "personal model, the clients' people",
                _columns(scores, rows, PERSONAL, ("TAR@FAR", "TPIR@FPIR")),
            ),
        ]
        title = "Methods, step by step (layout of the paper's Table 1)"
        tables.append(_table(scores, title, [(NAMES[row], row) for row in rows], columns))
    rows = [row for row in TABLE_2 if row in scores.rows]
    if len(rows) > 1:
        columns = [
            ("1:1", _columns(scores, rows, PERSONAL, ("TAR@FAR",))),
            ("1:N", _columns(scores, rows, PERSONAL, ("TPIR@FPIR", RANK_ONE))),
        ]
        names = [("branch, BCE (FedFR)" if row == "fedfr" else NAMES[row], row) for row in rows]
        title = "Ways to a personal model (layout of the paper's Table 2)"
        tables.append(_table(scores, title, names, columns))
    spaces = [space for space in (GENERIC, *SPACES) if _known(scores, ["fedfr"], space)]
    if len(spaces) > 1:
        tables.append(_embeddings(scores, spaces))
    # Without a measure that all rows support there is nothing to put side by side.
    return [table for table in tables if table.groups and len(table.table.header) > 1]


def sweeps(
    scores: Scores, sizes: Sequence[tuple[int, Scores]] = (), unit: str = ""
) -> tuple[list[Sweep], list[str]]:
    """Figures over what was swept, and what cannot be drawn.

    Args:
        scores: of a study; its rows are named ``method,setting=value`` where something was swept.
        sizes: (size, figures) of several studies.
        unit: what the sizes count: :data:`CLIENTS` or :data:`PEOPLE`.
    """
    found, left_out = [], []
    varied: dict[str, dict[str, list[tuple[float, Scores, str]]]] = {}
    for row in scores.rows:
        method, comma, rest = row.partition(",")
        if not comma:
            continue
        setting, _, text = rest.partition("=")
        try:
            value = float(text)
        except ValueError:
            left_out.append(f"{row}: no number, so it stands in the tables only and in no figure.")
            continue
        varied.setdefault(setting, {}).setdefault(method, []).append((value, scores, row))
    for setting, methods in varied.items():
        layout = " (layout of the paper's Figure 3)" if setting == "mining_threshold" else ""
        name = "t_HN (mining_threshold)" if setting == "mining_threshold" else setting
        found.append(_sweep(f"sweep-{setting}", name, methods, layout))
    if len(sizes) > 1:
        methods = {}
        for count, one in sorted(sizes, key=lambda entry: entry[0]):
            for row in one.rows:
                methods.setdefault(row, []).append((float(count), one, row))
        methods = {row: points for row, points in methods.items() if len(points) > 1}
        # The paper sets FedFR against the others; more lines than colours cannot be told apart.
        first = [
            row
            for row in ("fedavg", "fedface", "fedfr", PRETRAINED, "contrastive", "central")
            if row in methods
        ]
        chosen = (first + [row for row in methods if row not in first])[:6]
        if len(methods) > len(chosen):
            left_out.append(
                f"{len(methods) - len(chosen)} methods that the figure over {unit} has no room for."
            )
        if chosen:
            layout = " (layout of the paper's Figure 4)" if unit == PEOPLE else ""
            name = f"sweep-{unit.replace(' ', '-')}"
            found.append(_sweep(name, unit, {row: methods[row] for row in chosen}, layout))
    return [one for one in found if one.panels], left_out


def _sweep(
    name: str, setting: str, methods: dict[str, list[tuple[float, Scores, str]]], layout: str
) -> Sweep:
    panels = []
    everything = [point for points in methods.values() for point in points]
    for title, column in (
        ("generic model, unseen people", UNSEEN),
        ("personal model, clients' people", PERSONAL),
    ):
        measures = [set(supported(one, [row], column, "TAR@FAR")) for _, one, row in everything]
        common = set.intersection(*measures)
        if not common:
            continue
        measure = min(common, key=rate_of)
        lines = [
            SweepLine(method, tuple(sorted(_point(*point, column, measure) for point in points)))
            for method, points in methods.items()
        ]
        panels.append((f"{title}: {measure}", lines))
    seeds = len(everything[0][1].seeds)
    bars = (
        f"; bars: 95 % intervals (Student's t over {seeds} seeds)"
        if seeds > 1
        else ", one seed: no intervals"
    )
    return Sweep(
        name, setting, panels, f"Over {setting}{layout}; mean over {seeds} seed{'s' * (seeds > 1)}{bars}."
    )


def _point(
    x: float, scores: Scores, row: str, column: str, measure: str
) -> tuple[float, float, float, float]:
    mean = _mean(scores, row, column, measure)
    if mean is None:  # cannot be: the measure was chosen because all have it
        return (x, math.nan, math.nan, math.nan)
    low, high = seed_interval(mean) or (math.nan, math.nan)
    return (x, mean.value, low, high)


def _embeddings(scores: Scores, spaces: Sequence[str]) -> GroupedTable:
    searches: list[str] = []
    rates: list[str] = []
    for kind, into in (("TAR@FAR", rates), ("TPIR@FPIR", searches), (RANK_ONE, searches)):
        shared = [set(supported(scores, ["fedfr"], space, kind)) for space in spaces]
        into += sorted(set.intersection(*shared), key=rate_of, reverse=True)
    body = tuple(
        (space, *(_text(_mean(scores, "fedfr", space, measure), scores) for measure in (*rates, *searches)))
        for space in spaces
    )
    table = Table(
        "FedFR's embeddings on the clients' people (layout of the paper's Table 3)",
        ("embedding", *rates, *searches),
        body,
        _notes(scores),
    )
    groups = (("1:1", len(rates)), ("1:N", len(searches)))
    return GroupedTable(table, tuple(group for group in groups if group[1]))


def _columns(scores: Scores, rows: Sequence[str], column: str, kinds: Iterable[str]) -> list[tuple[str, str]]:
    """``(column, measure)``: of each kind the two strictest measures that every row supports."""
    found = []
    for kind in kinds:
        strictest = sorted(supported(scores, rows, column, kind), key=rate_of)[:2]
        found += [(column, measure) for measure in reversed(strictest)]
    return found


def supported(scores: Scores, rows: Sequence[str], column: str, kind: str) -> list[str]:
    """Measures of a kind whose every threshold rests on ten false accepts or more, in all the rows."""
    found = []
    for measure in scores.measures():
        if not measure.startswith(kind) or (measure.endswith(ON_PAIRS) and kind != PAIRS_ACCURACY):
            continue
        means = [mean for row in rows if (mean := _mean(scores, row, column, measure)) is not None]
        counts = [mean.false_accepts for mean in means if mean.false_accepts is not None]
        if means and all(count >= LEAST_FALSE_ACCEPTS for count in counts):
            found.append(measure)
    return found


def rate_of(measure: str) -> float:
    """The rate in a measure's name, for sorting; 1 where it has none."""
    last = measure.split(" ")[-1]
    return float(last) if "@" in measure else 1.0


def _known(scores: Scores, rows: Sequence[str], column: str) -> bool:
    return any(_mean(scores, row, column, measure) for row in rows for measure in scores.measures())


def _mean(scores: Scores, row: str, column: str, measure: str) -> Mean | None:
    if column != PERSONAL:
        return scores.mean(row, column, measure) if row in scores.rows else None
    for space in (SPACES[1], SPACES[0], GENERIC):
        if (mean := scores.mean(row, space, measure)) is not None:
            return mean
    return None


def _table(
    scores: Scores,
    title: str,
    rows: Sequence[tuple[str, str]],
    groups: Sequence[tuple[str, list[tuple[str, str]]]],
) -> GroupedTable:
    cells = [cell for _, columns in groups for cell in columns]
    body = tuple(
        (name, *(_text(_mean(scores, row, column, measure), scores) for column, measure in cells))
        for name, row in rows
    )
    notes = list(_notes(scores))
    if any(column == PERSONAL for column, _ in cells):
        notes.append(
            "Personal model: [Θ_l, Π_l] where a method has a branch, else Θ_l; Θ_g where there is none."
        )
    header = ("method", *(measure for _, measure in cells))
    table = Table(title, header, body, tuple(notes))
    return GroupedTable(table, tuple((name, len(columns)) for name, columns in groups if columns))


def seed_interval(mean: Mean) -> tuple[float, float] | None:
    """95 % interval of a mean over seeds (Student's t), within 0 and 1; None for one seed."""
    if mean.seeds < 2 or math.isnan(mean.spread):
        return None
    half = student_quantile(mean.seeds - 1) * mean.spread / math.sqrt(mean.seeds)
    return max(mean.value - half, 0.0), min(mean.value + half, 1.0)


def _text(mean: Mean | None, scores: Scores) -> str:
    if mean is None:
        return DASH
    interval = seed_interval(mean)
    text = percent(mean.value)
    if mean.seeds < len(scores.seeds):
        text += f" ({mean.seeds} of {len(scores.seeds)} seeds)"
    elif interval is not None:
        text += f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return text


def _notes(scores: Scores) -> tuple[str, ...]:
    seeds = len(scores.seeds)
    if seeds > 1:
        text = f"Per cent, mean over {seeds} seeds, and its 95 % interval (Student's t over the seeds)."
    else:
        text = "Per cent, one seed: no interval over seeds."
    return (text + " Only rates whose every threshold rests on ten false accepts or more.",)
