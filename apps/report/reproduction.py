"""What ``fedfr reproduce`` wrote: the paper's tables and figures, ours beside the paper's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.metrics import LEAST_FALSE_ACCEPTS
from fedfr_edge.evaluation.report import Contrast, GroupedTable, Sweep, SweepLine
from fedfr_edge.evaluation.tables import FOOTNOTE, Table, percent

from ..reproduce.target import TARGETS
from ..study.tables import DASH
from .read import Reproduction

SETTINGS = {"figure3": "t_HN", "figure4": "people of a client"}
"""Target -> what stands on its x axis."""


def reproduced(
    found: Sequence[Reproduction],
) -> tuple[list[GroupedTable], list[Sweep], list[Contrast], list[str]]:
    """Tables, figures over what was swept, differences, and what could not be shown.

    Raises:
        DataError: a file lacks what it should hold.
    """
    tables: list[GroupedTable] = []
    sweeps: list[Sweep] = []
    differences: list[Contrast] = []
    left_out: list[str] = []
    # Tables before figures, as the paper counts them.
    for one in sorted(found, key=lambda one: "-table" not in one.file.name):
        record = one.record
        try:
            table = _table(record)
            tables += [] if table is None else [table]
            sweep = _sweep(record)
            sweeps += [] if sweep is None else [sweep]
            differences += [
                _difference(record, part, ordering)
                for part in record["parts"]
                for ordering in part["orderings"]
            ]
            left_out += [
                f"{fault['row']}, seed {fault['seed']} failed: {fault['error']}"
                for fault in record["failures"]
            ]
            left_out += list(record["remarks"])
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"cannot read {one.file} ({error!r}); run fedfr reproduce again, it keeps what is done"
            ) from error
    if not any(one.record["published"] for one in found):
        left_out.append("The paper's own figures: fedfr reproduce was given none (--published).")
    unknown = sum(not math.isfinite(one.interval[0]) for one in differences)
    if unknown:
        left_out.append(f"{unknown} differences between methods: one seed gives them no interval.")
    return (
        tables,
        sweeps,
        [one for one in differences if math.isfinite(one.interval[0])],
        list(dict.fromkeys(left_out)),
    )


def _table(record: Mapping[str, Any]) -> GroupedTable | None:
    """All parts of a target in one table; None where nothing could be measured."""
    setting = SETTINGS.get(record["target"], record["target"])
    cells: dict[tuple[str, str], Mapping[str, Any]] = {}
    lines: dict[str, str] = {}
    for part in record["parts"]:
        for cell in part["cells"]:
            line = cell["line"] if part["x"] is None else f"{cell['line']}, {setting} {part['x']:g}"
            cells[line, cell["column"]] = cell
            lines[line] = cell["line"]
    if not cells:
        return None
    headings = list(dict.fromkeys(heading for _, heading in cells))
    theirs = list(dict.fromkeys(figure["measure"] for figure in record["published"]))
    paper = {(figure["row"], figure["measure"]): figure["value"] for figure in record["published"]}
    seeds = len(record["seeds"])
    body = tuple(
        (
            line,
            *(_text(cells.get((line, heading)), seeds) for heading in headings),
            *(f"{paper[row, name]:.2f}" if (row, name) in paper else DASH for name in theirs),
        )
        for line, row in lines.items()
    )
    notes = [
        f"Per cent, mean over {seeds} seed{'s' if seeds > 1 else ''}"
        + (
            ", and its 95 % interval (Student's t over the seeds)."
            if seeds > 1
            else ": no interval over seeds."
        )
    ]
    sources = dict.fromkeys(figure["source"] for figure in record["published"])
    notes += [f"Paper: {'; '.join(sources)}."] if sources else []
    if any("†" in text for row in body for text in row):
        notes.append(FOOTNOTE)
    kinds = [_kind(heading) for heading in headings] + [("paper", name) for name in theirs]
    groups: list[tuple[str, int]] = []
    for kind, _ in kinds:
        if groups and groups[-1][0] == kind:
            groups[-1] = (kind, groups[-1][1] + 1)
        else:
            groups.append((kind, 1))
    header = ("", *(name for _, name in kinds))
    swept = len({part["x"] for part in record["parts"]}) > 1
    return GroupedTable(
        Table(f"{_title(record)} (scale {record['scale']})", header, body, tuple(notes)),
        tuple(groups),
        folded=swept,
    )


def _title(record: Mapping[str, Any]) -> str:
    target = record["target"]
    return TARGETS[target].title if target in TARGETS else str(target)


def _kind(heading: str) -> tuple[str, str]:
    """``generic TAR@FAR 1e-2`` as whose model it is, and the measure."""
    first, _, rest = heading.partition(" ")
    return (first, rest) if first in ("generic", "personal") else ("", heading)


def _text(cell: Mapping[str, Any] | None, seeds: int) -> str:
    if cell is None:
        return DASH
    text = percent(cell["mean"])
    count = cell["least_false_accepts"]
    if count is not None and count < LEAST_FALSE_ACCEPTS:
        text += f" †{count}"
    if len(cell["values"]) < seeds:
        text += f" ({len(cell['values'])} of {seeds} seeds)"
    elif cell["interval"] is not None:
        low, high = cell["interval"]
        text += f" [{100 * max(low, 0.0):.1f}, {100 * min(high, 1.0):.1f}]"
    return text


def _sweep(record: Mapping[str, Any]) -> Sweep | None:
    parts = [part for part in record["parts"] if part["x"] is not None and part["cells"]]
    if len(parts) < 2:
        return None
    points: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    weak = 0
    for part in parts:
        for cell in part["cells"]:
            count = cell["least_false_accepts"]
            if count is not None and count < LEAST_FALSE_ACCEPTS:
                weak += 1
                continue
            low, high = cell["interval"] or (math.nan, math.nan)
            lines = points.setdefault(cell["column"], {})
            lines.setdefault(cell["line"], []).append(
                (float(part["x"]), cell["mean"], max(low, 0.0), min(high, 1.0))
            )
    panels = [
        (column, [SweepLine(name, tuple(sorted(found))) for name, found in lines.items()])
        for column, lines in points.items()
    ]
    setting = SETTINGS.get(record["target"], record["target"])
    caption = (
        f"{_title(record).partition(':')[0]}, scale {record['scale']}; bars: 95 % intervals over the seeds."
    )
    if weak:
        caption += f" {weak} points with fewer than ten false accepts are not drawn."
    return Sweep(f"sweep-{record['target']}", setting, panels, caption)


def _difference(record: Mapping[str, Any], part: Mapping[str, Any], ordering: Mapping[str, Any]) -> Contrast:
    first, _, second = ordering["ordering"].partition(" < ")
    place = "" if part["x"] is None else f", {part['title']}"
    interval = ordering["interval"]
    return Contrast(
        first=first,
        second=second,
        measure=ordering["measure"] + place,
        value=ordering["mean"],
        interval=(-math.inf, math.inf) if interval is None else (interval[0], interval[1]),
        basis=f"Student's t over {len(ordering['differences'])} seeds",
    )
