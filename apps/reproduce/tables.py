"""A reproduction as tables: ours beside the paper's, and the paper's orderings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedfr_edge.evaluation.tables import FOOTNOTE, Table, percent

from ..study.orderings import Outcome
from ..study.tables import DASH
from .outcome import Cell, Part, Reproduction
from .published import ABSENT, Figure

VERDICTS = {"holds": "holds", "reversed": "reversed", "not shown": "no difference shown"}


def tables(found: Reproduction, title: str) -> list[Table]:
    """The figures of a target."""
    result = [main_table(found, title)]
    if found.hard_negatives:
        result.append(hard_table(found))
    return result


def main_table(found: Reproduction, title: str) -> Table:
    """Ours, mean ± spread and interval over the seeds, and the paper's columns."""
    every = dict.fromkeys(column.heading for part in found.parts for column in part.columns)
    known = {heading for part in found.parts for _, heading in part.cells}
    headings = [name for name in every if name in known]
    theirs = list(dict.fromkeys(figure.measure for figure in found.published))
    header = ("", *headings, *(f"paper: {name}" for name in theirs or [DASH]))
    rows: list[tuple[str, ...]] = []
    for part in found.parts:
        for line in part.lines:
            name = part.shown_name(line)
            if line.common and any(row[0] == name for row in rows):
                continue
            own = [part.cells.get((line.name, heading)) for heading in headings]
            paper = [_paper(found.published, name, measure) for measure in theirs] or [DASH]
            rows.append((name, *(cell_text(cell, found.seeds) for cell in own), *paper))
    count = len(found.seeds)
    notes = [
        f"Per cent, mean ± standard deviation over {count} seed{'s' if count > 1 else ''}"
        + (" [95 % interval of the mean, Student's t]." if count > 1 else ".")
    ]
    if any(heading.startswith("generic") for heading in headings):
        notes.append("Generic: on people whom nobody trained on.")
    if any(heading.startswith("personal") for heading in headings):
        notes.append(
            "Personal: the clients' people, standard reading, with [Θ_l, Π_l] where there is a branch, else "
            "Θ_l; the pre-trained and the central model have neither and stand there themselves."
        )
    if any(text.endswith(")") for row in rows for text in row[1:]):
        notes.append("(k): only k seeds have a figure.")
    if any("†" in text for row in rows for text in row):
        notes.append(FOOTNOTE)
    sources = dict.fromkeys(figure.source for figure in found.published)
    notes.append(f"Paper: {'; '.join(sources)}." if sources else ABSENT)
    return Table(title, header, tuple(rows), tuple(notes))


def cell_text(cell: Cell | None, seeds: Sequence[int]) -> str:
    """``61.25 ± 0.61 [59.73, 62.77]``; a dash where there is none."""
    if cell is None:
        return DASH
    low, high = cell.interval
    # A bound outside what a share can be says no more than the end of the scale.
    span = "" if math.isinf(low) else f" [{percent(max(low, 0.0))}, {percent(min(high, 1.0))}]"
    missing = "" if len(cell.values) == len(seeds) else f" ({len(cell.values)})"
    return cell.mean.text() + span + missing


def hard_table(found: Reproduction) -> Table:
    """Figure 3: how many hard negatives each threshold finds."""
    rows = tuple(
        (f"{threshold:g}", " ".join(f"{count:.0f}" for count in counts) or DASH)
        for threshold, counts in sorted(found.hard_negatives.items())
    )
    note = "Mean over rounds and clients, one figure per seed."
    return Table("Hard negatives of a client", ("t_HN", "images"), rows, (note,))


ORDERING_NOTES = (
    "Right side minus left side with the same seed, in points: mean ± standard deviation, 95 % interval "
    "of the mean (Student's t over the seeds), in how many seeds the order is the paper's.",
    "holds, reversed: the interval lies wholly above or below 0; otherwise no difference is shown.",
)


def for_terminal(table: Table, width: int) -> list[Table]:
    """A wide table in pieces that fit ``width`` characters, intervals below their means, notes once."""
    stacked = [table.header[0], *(text.replace(" ", "\n") for text in table.header[1:])]
    rows = [(row[0], *(text.replace(" [", "\n[", 1) for text in row[1:])) for row in table.rows]
    widths = [
        3 + max(len(line) for row in (stacked, *rows) for line in row[place].split("\n"))
        for place in range(len(stacked))
    ]
    pieces: list[list[int]] = [[]]
    for place in range(1, len(stacked)):
        taken = widths[0] + sum(widths[other] for other in pieces[-1]) + 2
        if pieces[-1] and taken + widths[place] > width:
            pieces.append([])
        pieces[-1].append(place)
    if len(pieces) > 1 and all(row[place] == DASH for row in rows for place in pieces[-1]):
        pieces.pop()  # a table of dashes; the note says it
    return [
        Table(
            table.title if piece[0] == 1 else "",
            (stacked[0], *(stacked[place] for place in piece)),
            tuple((row[0], *(row[place] for place in piece)) for row in rows),
            table.notes if piece is pieces[-1] else (),
        )
        for piece in pieces
    ]


def ordering_lines(part: Part) -> list[str]:
    """The same as :func:`ordering_table` for a terminal, one ordering after another."""
    lines = []
    last = ""
    for one in part.differences:
        if one.ordering.text != last:
            lines.append(one.ordering.text)
        last = one.ordering.text
        difference, span, held = _difference(one)
        verdict = VERDICTS[one.verdict]
        lines.append(f"    {one.measure:18} {difference:>14}  {span:18} {held}  {verdict}")
    return lines


def ordering_table(part: Part) -> Table:
    """The paper's orderings: the paired difference of each in each measure, its interval, and the verdict."""
    rows = tuple(
        (one.ordering.text, one.measure, *_difference(one), VERDICTS[one.verdict]) for one in part.differences
    )
    header = ("ordering", "measure", "difference", "interval", "seeds", "outcome")
    return Table(f"Orderings of the paper – {part.title}", header, rows, ORDERING_NOTES)


def to_markdown(found: Reproduction, title: str, about: str, facts: Sequence[str]) -> str:
    """The whole target as Markdown."""
    lines = [f"# {title}", "", about, "", *(f"- {fact}" for fact in (*facts, *found.remarks)), ""]
    if found.failures:
        lines += ["## Failed", ""]
        lines += [f"- {row}, seed {seed}: {why}" for (row, seed), why in found.failures.items()]
        lines.append("")
    shown = [*tables(found, title), *(ordering_table(part) for part in found.parts if part.differences)]
    return "\n".join(lines) + "\n" + "\n".join(table.to_markdown() for table in shown)


def _difference(one: Outcome) -> tuple[str, str, str]:
    low, high = one.interval
    spread = "" if math.isnan(one.spread) else f" ± {percent(one.spread)}"
    span = DASH if math.isinf(low) else f"[{100 * low:+.2f}, {100 * high:+.2f}]"
    return f"{100 * one.mean:+.2f}{spread}", span, f"{one.holds_in}/{len(one.differences)}"


def _paper(figures: Sequence[Figure], row: str, measure: str) -> str:
    values = [figure.value for figure in figures if (figure.row, figure.measure) == (row, measure)]
    return f"{values[-1]:.2f}" if values else DASH
