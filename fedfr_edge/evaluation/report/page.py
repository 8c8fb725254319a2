"""The HTML page: one file that fetches nothing, readable in light and dark, on a phone and printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from fedfr_edge.evaluation.outcome import PersonalisedResult, headline
from fedfr_edge.evaluation.report.canvas import Drawing
from fedfr_edge.evaluation.report.content import MOST, ReportData
from fedfr_edge.evaluation.report.decisions import decisions_strip
from fedfr_edge.evaluation.report.differences import differences_table
from fedfr_edge.evaluation.report.faces import faces_strip
from fedfr_edge.evaluation.report.markup import figure, folded, grouped, symbols, table
from fedfr_edge.evaluation.report.style import style_sheet
from fedfr_edge.evaluation.report.summary import sentence, summary_table
from fedfr_edge.evaluation.tables import client_table, comparison_table, pairs_table, percent, rate_text

# Nothing may be fetched, and no script run, whatever a name in the data contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


_READINGS = {
    "paper": (
        "As the paper reads it",
        "The same embeddings, counted as in the paper's text: 1:1 impostors are other clients’ images only, "
        "so that two people of one client are never taken for one another. 1:N is as in the standard one.",
    ),
    "reference": (
        "As the published code reads it",
        "The same embeddings, counted as in the code published with the paper: 1:1 rates are read off a "
        "histogram of 2,001 bins; 1:N templates are unscaled means, the threshold comes from all non-genuine "
        "scores, and the mate need not rank first. Only for comparison with figures of that code.",
    ),
}
"""Reading -> heading, and how it differs from the standard one."""

_NOTHING_CARRIED = (
    "There are too few trials: no false-accept rate leaves every client ten false accepts. The figures below "
    "say what was counted, and little about the models."
)

_LONG = 12
"""Rows from which on a table below a figure with the same numbers is folded."""

_MANY = 8
"""Models from which on the tables by client would be longer than the rest of the page."""


def build_page(data: ReportData, drawings: Sequence[Drawing]) -> str:
    """The whole page as text."""
    figures = {drawing.name: drawing for drawing in drawings}
    sections = {title: text for title, text in _sections(data, figures).items() if text}
    names = {title: f"part-{number}" for number, title in enumerate(sections, 1)}
    body = [f"<h1>{escape(data.title)}</h1>"]
    if data.intro:
        body.append(f'<p class="intro">{symbols(data.intro)}</p>')
    body.append(_facts(data.facts))
    if len(sections) > 3:
        links = " ".join(f'<a href="#{names[title]}">{escape(title)}</a>' for title in sections)
        body.append(f'<nav aria-label="Parts of this page">{links}</nav>')
    for title, text in sections.items():
        body.append(
            f'<section aria-labelledby="{names[title]}"><h2 id="{names[title]}">{escape(title)}</h2>\n'
            f"{text}</section>"
        )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(data.title)}</title>\n<style>{style_sheet()}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _sections(data: ReportData, figures: Mapping[str, Drawing]) -> dict[str, str]:
    """Title -> content in the order of the page; empty where there is nothing to show."""
    shown = data.shown()

    def drawn(*names: str) -> str:
        found = [figure(figures[name]) for name in names if name in figures]
        return f'<div class="two">{"".join(found)}</div>' if len(names) > 1 and found else "".join(found)

    return {
        "Personalised protocol": _personalised(data) if shown else "",
        "Methods side by side": "\n".join(
            [*map(grouped, data.paper), *(drawn(sweep.name) for sweep in data.sweeps)]
        ),
        "Differences": "\n".join([drawn("differences"), _differences(data)]) if data.differences else "",
        "Verification, 1:1": drawn("roc", "det"),
        "Identification, 1:N": drawn("search"),
        "By client": "\n".join(
            [drawn("clients"), *(folded(client_table(one)) for one in shown if len(shown) <= _MANY)]
        )
        if shown
        else "",
        "Scores": drawn("scores"),
        "Hardest pairs": faces_strip(data.faces) if data.faces is not None else "",
        "Example decisions": decisions_strip(data.decisions) if data.decisions else "",
        "Training": drawn("losses"),
        "Pairs lists": table(pairs_table(data.pairs)) if data.pairs else "",
        **{one.title: table(one) for one in data.tables},
        **{
            _READINGS[reading][0]: f"<p>{_READINGS[reading][1]}</p>"
            + table(comparison_table(data.of_reading(reading)), best=True)
            for reading in data.readings()[1:]
        },
        "What is left out": _left_out(data),
        "Notes": "".join(f"<p>{symbols(note)}</p>" for note in data.notes),
        "Files": _files(data.files),
    }


def _personalised(data: ReportData) -> str:
    shown = data.shown()
    place = headline(shown)
    parts = []
    if not all(result.verification[place].supported for result in shown):
        # Nothing in large print that the trials do not carry.
        parts.append(f"<p>{_NOTHING_CARRIED}</p>")
    else:
        if len(shown) > 1:
            parts.append(f"<p>{symbols(sentence(shown, data.differences, data.headline_pair))}</p>")
        parts.append(_tiles(shown if len(shown) <= MOST else data.drawn(), place, shown))
    parts += [table(summary_table(shown), best=True, caption=True)]
    everything = table(comparison_table(shown), best=True)
    if len(shown) <= MOST:
        parts.append(f"<h3>At every rate</h3>{everything}")
    else:
        parts.append(f"<details><summary>At every rate</summary>{everything}</details>")
    return "\n".join(parts)


def _tiles(results: Sequence[PersonalisedResult], place: int, every: Sequence[PersonalisedResult]) -> str:
    tiles = []
    for number, result in enumerate(results):
        mean = result.verification[place]
        known = mean.interval
        span = (
            ""
            if known is None
            else f"<span>95 % interval {100 * known.low:.1f} to {100 * known.high:.1f}</span>"
        )
        tiles.append(
            f'<div class="tile" style="--c:var(--series-{number % MOST})">'
            f'<span class="who">{symbols(result.name)}</span>'
            f"<b>{percent(mean.value)}<small> %</small></b>"
            f"<span>TAR at FAR {rate_text(mean.far_target)}</span>{span}"
            f"<span>worst {percent(mean.worst)}&nbsp;% ({escape(mean.worst_client)})</span></div>"
        )
    more = len(every) - len(results)
    note = f'<p class="note">{more} more models in the table.</p>' if more else ""
    return f'<div class="tiles">{"".join(tiles)}</div>{note}'


def _differences(data: ReportData) -> str:
    content = differences_table(data.differences)
    return table(content) if len(content.rows) <= _LONG else folded(content)


def _left_out(data: ReportData) -> str:
    if not data.left_out:
        return ""
    return "<ul>" + "".join(f"<li>{symbols(text)}</li>" for text in data.left_out) + "</ul>"


def _files(files: Sequence[tuple[str, str]]) -> str:
    if not files:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(what)}</th><td><code>{escape(path)}</code></td></tr>'
        for what, path in files
    )
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="files">'
        f'<table class="files">{rows}</table></div>'
    )


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    if not facts:
        return ""
    cells = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in facts)
    return f'<dl class="facts">{cells}</dl>'
