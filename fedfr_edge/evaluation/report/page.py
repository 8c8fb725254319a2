"""The HTML page: one file that fetches nothing, readable in light and dark, on a phone and printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

import numpy as np

from fedfr_edge.evaluation.outcome import PersonalisedResult, headline
from fedfr_edge.evaluation.report.canvas import Drawing
from fedfr_edge.evaluation.report.content import Decision, ReportData
from fedfr_edge.evaluation.report.decisions import decisions_caption, thumbnail, verdict
from fedfr_edge.evaluation.report.style import style_sheet
from fedfr_edge.evaluation.tables import (
    Table,
    client_table,
    comparison_table,
    pairs_table,
    percent,
    rate_text,
)

# Nothing may be fetched, and no script run, whatever a name in the data contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


_PAPER_READING = (
    "The same embeddings, counted as in the paper and its published evaluation: 1:1 impostors are other "
    "clients’ images only; 1:N templates are unscaled means, the threshold comes from all non-genuine "
    "scores, and the mate need not rank first."
)


def build_page(data: ReportData, drawings: Sequence[Drawing]) -> str:
    """The whole page as text."""
    figures = {drawing.name: drawing for drawing in drawings}
    body = [f"<h1>{escape(data.title)}</h1>"]
    if data.intro:
        body.append(f'<p class="intro">{_model(data.intro)}</p>')
    body.append(_facts(data.facts))
    if data.shown():
        body.append(_personalised(data, figures))
    if "clients" in figures:
        body += ["<h2>By client</h2>", _figure(figures["clients"], 920)]
        body += [_folded(client_table(result)) for result in data.shown()]
    if "scores" in figures:
        body += ["<h2>Scores</h2>", _figure(figures["scores"], 340 * len(data.shown()) + 60)]
    if data.decisions:
        body += ["<h2>Example decisions</h2>", _strip(data.decisions)]
    if "losses" in figures:
        body += ["<h2>Training</h2>", _figure(figures["losses"], 1040)]
    if data.pairs:
        body += ["<h2>Pairs lists</h2>", _table(pairs_table(data.pairs))]
    if data.of_reading("standard") and data.of_reading("paper"):
        body += [
            "<h2>As the paper reads it</h2>",
            f"<p>{_PAPER_READING}</p>",
            _table(comparison_table(data.of_reading("paper"))),
        ]
    body += [f"<p>{escape(note)}</p>" for note in data.notes]
    if data.files:
        rows = "".join(
            f"<tr><td>{escape(what)}</td><td><code>{escape(str(path))}</code></td></tr>"
            for what, path in data.files
        )
        body += ["<h2>Files</h2>", f'<div class="scroll"><table class="files">{rows}</table></div>']
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(data.title)}</title>\n<style>{style_sheet()}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _personalised(data: ReportData, figures: dict[str, Drawing]) -> str:
    shown = data.shown()
    place = headline(shown)
    parts = ["<h2>Personalised protocol</h2>", _tiles(shown, place)]
    parts.append(f"<p>{_comparison(shown, place)}</p>" if len(shown) > 1 else "")
    parts.append(_table(comparison_table(shown), best=True))
    if "roc" in figures and "det" in figures:
        parts.append(f'<div class="two">{_figure(figures["roc"], 560)}{_figure(figures["det"], 560)}</div>')
    return "\n".join(parts)


def _tiles(results: Sequence[PersonalisedResult], place: int) -> str:
    tiles = []
    for number, result in enumerate(results):
        mean = result.verification[place]
        mark = "" if mean.supported else f" (rests on {mean.false_accepts} false accepts)"
        tiles.append(
            f'<div class="tile" style="--c:var(--series-{number % 6})">'
            f'<span class="who">{_model(result.name)}</span>'
            f"<b>{percent(mean.value)}<small> %</small></b>"
            f"<span>TAR at FAR {rate_text(mean.far_target)}{mark}</span>"
            f"<span>worst: {escape(mean.worst_client)}, {percent(mean.worst)} %</span></div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _comparison(results: Sequence[PersonalisedResult], place: int) -> str:
    """Last model against first, in one sentence with its counts."""
    first, last = results[0], results[-1]
    before = np.array([client.verification[place].value for client in first.clients])
    after = np.array([client.verification[place].value for client in last.clients])
    gain = 100 * (last.verification[place].value - first.verification[place].value)
    better = int(np.count_nonzero(after > before))
    word = "above" if gain >= 0 else "below"
    far = rate_text(first.verification[place].far_target)
    return (
        f"At FAR {far}, {_model(last.name)} lies {abs(gain):.2f} points {word} {_model(first.name)}; "
        f"it is better for {better} of {len(before)} clients."
    )


def _table(table: Table, *, best: bool = False) -> str:
    marks = _best_cells(table) if best and len(table.rows) > 1 else set()
    head = "".join(f"<th>{_two_lines(escape(cell))}</th>" for cell in table.header)
    rows = []
    for r, row in enumerate(table.rows):
        cells = []
        for c, cell in enumerate(row):
            text = _model(cell) if c == 0 else _dagger(cell)
            cells.append(f'<td class="best">{text}</td>' if (r, c) in marks else f"<td>{text}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    notes = "".join(f'<p class="note">{_model(note)}</p>' for note in table.notes)
    body = "".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{notes}'
    )


def _two_lines(header: str) -> str:
    return header.replace(" ", "<br>") if "@" in header else header


def _folded(table: Table) -> str:
    return f"<details><summary>{_model(table.title)}</summary>{_table(table)}</details>"


def _best_cells(table: Table) -> set[tuple[int, int]]:
    """The highest value of each column but the first."""
    found = set()
    for column in range(1, len(table.header)):
        numbers = [re.match(r"\d+\.?\d*", row[column]) for row in table.rows]
        values = [float(number[0]) if number else -1.0 for number in numbers]
        if max(values) >= 0:
            found |= {(row, column) for row, value in enumerate(values) if value == max(values)}
    return found


def _figure(drawing: Drawing, width: int) -> str:
    label = escape(drawing.caption, quote=True)
    svg = drawing.inline().replace("<svg ", f'<svg aria-label="{label}" ', 1)
    return f'<figure style="--w:{width}px">{svg}<figcaption>{_model(drawing.caption)}</figcaption></figure>'


def _strip(decisions: Sequence[Decision]) -> str:
    cards = []
    for decision in decisions:
        score = "no score" if decision.score is None else f"score {decision.score:.3f}"
        dot = "" if decision.score is None else f'<em style="left:{_place(decision.score):.1f}%"></em>'
        detail = f"<br>{escape(decision.detail)}" if decision.detail else ""
        sign = "✓" if decision.right else "✗"
        cards.append(
            f'<div class="card" style="--c:var(--{"right" if decision.right else "wrong"})">'
            f'<img src="{thumbnail(decision.image)}" alt="{escape(decision.name, quote=True)}">'
            f'<div><span class="who">{escape(decision.name)}</span>'
            f'<div class="scale"><i></i><u style="left:{_place(decision.threshold):.1f}%"></u>{dot}</div>'
            f"{score}<br>threshold {decision.threshold:.3f}<br>"
            f'<span class="verdict">{sign} {verdict(decision)}</span>{detail}</div></div>'
        )
    return (
        f'<div class="strip">{"".join(cards)}</div><p class="note">{escape(decisions_caption(decisions))} '
        "The scale runs from −0.2 to 1; the bar across it is the threshold.</p>"
    )


def _place(score: float) -> float:
    return float(np.clip((score + 0.2) / 1.2 * 100, 0, 100))


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    if not facts:
        return ""
    cells = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in facts)
    return f'<dl class="facts">{cells}</dl>'


def _model(name: str) -> str:
    """Text with the paper's subscripts: ``Θ_g`` as Θ with a small g."""
    return re.sub(r"([ΘΠΦ])_(\w)", r"\1<sub>\2</sub>", escape(name))


def _dagger(cell: str) -> str:
    return re.sub(
        r"†(\d+)", r'<abbr title="the threshold rests on only \1 false accepts">†\1</abbr>', escape(cell)
    )
