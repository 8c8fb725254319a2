"""Pieces of the page: tables, figures, text with the paper's symbols."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from fedfr_edge.evaluation.report.canvas import Drawing
from fedfr_edge.evaluation.report.content import GroupedTable
from fedfr_edge.evaluation.tables import Table

INTERVAL = "95 %"
"""Heading of a column that holds the intervals of the one before."""


def table(
    content: Table, *, groups: Sequence[tuple[str, int]] = (), best: bool = False, caption: bool = False
) -> str:
    """A table that scrolls by itself on a narrow screen, its notes below.

    Args:
        content: the table.
        groups: headings above the columns from the second on.
        best: whether the highest value of each column is set bold.
        caption: whether its title stands above it; otherwise only a screen reader says it.
    """
    content = _joined(content)
    marks = _best_cells(content) if best and len(content.rows) > 1 else set()
    head = ""
    if groups:
        above = "".join(f'<th scope="colgroup" colspan="{n}">{symbols(text)}</th>' for text, n in groups)
        head = f'<tr class="groups"><td></td>{above}</tr>'
    head += (
        "<tr>"
        + "".join(f'<th scope="col">{_two_lines(symbols(cell))}</th>' for cell in content.header)
        + "</tr>"
    )
    rows = []
    for r, row in enumerate(content.rows):
        cells = [f'<th scope="row">{symbols(row[0])}</th>']
        for c, cell in enumerate(row[1:], 1):
            kind = "best" if (r, c) in marks else "weak" if "†" in cell else ""
            cells.append(f'<td class="{kind}">{_cell(cell)}</td>' if kind else f"<td>{_cell(cell)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<caption>{symbols(content.title)}</caption>" if caption else ""
    label = escape(content.title, quote=True)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>{title}'
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
        + "".join(f'<p class="note">{symbols(note)}</p>' for note in content.notes)
    )


def grouped(content: GroupedTable) -> str:
    """A table as the paper's, title above."""
    if content.folded:
        inner = table(content.table, groups=content.groups, best=True)
        return f"<details><summary>{symbols(content.table.title)}</summary>{inner}</details>"
    return table(content.table, groups=content.groups, best=True, caption=True)


def folded(content: Table) -> str:
    """A table behind a line to open it."""
    return f"<details><summary>{symbols(content.title)}</summary>{table(content)}</details>"


def figure(drawing: Drawing) -> str:
    """A figure in its own size at most, its caption also the text for those who do not see it."""
    label = escape(drawing.caption, quote=True)
    svg = drawing.inline().replace("<svg ", f'<svg aria-label="{label}" ', 1)
    # On a phone a figure keeps a readable size and scrolls instead.
    return (
        f'<figure style="--w:{drawing.width}px"><div class="scroll" role="region" tabindex="0" '
        f'aria-label="figure {drawing.name}">{svg}</div>'
        f"<figcaption>{symbols(drawing.caption)}</figcaption></figure>"
    )


def symbols(text: str) -> str:
    """Escaped text with the paper's subscripts: ``Θ_g`` as Θ with a small g; no line ends before a ``%``."""
    return re.sub(r"([ΘΠΦ])_(\w)", r"\1<sub>\2</sub>", escape(text)).replace(" %", "\u00a0%")


def _joined(content: Table) -> Table:
    """Columns of intervals become a second line of the column before them."""
    spans = [place for place, text in enumerate(content.header) if text == INTERVAL]
    if not spans:
        return content

    def row(cells: Sequence[str]) -> tuple[str, ...]:
        joined = [
            f"{cell} [{cells[place + 1]}]" if place + 1 in spans and cells[place + 1] != "–" else cell
            for place, cell in enumerate(cells)
        ]
        return tuple(cell for place, cell in enumerate(joined) if place not in spans)

    header = tuple(text for place, text in enumerate(content.header) if place not in spans)
    return Table(content.title, header, tuple(map(row, content.rows)), content.notes)


def _two_lines(header: str) -> str:
    return header.replace(" ", "<br>") if "@" in header else header


def _cell(cell: str) -> str:
    text = re.sub(
        r"†(\d+)", r'<abbr title="the threshold rests on only \1 false accepts">†\1</abbr>', symbols(cell)
    )
    # An interval or a range stands below its value.
    return re.sub(r"^(?=[^\[(])(.*?) ([\[(].*[\])])", r"\1<br><small>\2</small>", text)


def _best_cells(content: Table) -> set[tuple[int, int]]:
    """The highest value of each column of rates; none where a value rests on too little."""
    found = set()
    for column in range(1, len(content.header)):
        if not re.search(r"@|rank 1|1e-|accuracy", content.header[column]):
            continue
        cells = [row[column] for row in content.rows]
        numbers = [re.match(r"\d+\.?\d*", cell) for cell in cells if "†" not in cell]
        values = [float(number[0]) for number in numbers if number]
        if values:
            best = f"{max(values):.2f}"
            found |= {
                (r, column) for r, cell in enumerate(cells) if cell.startswith(best) and "†" not in cell
            }
    return found
