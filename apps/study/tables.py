"""A study as tables and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedfr_edge.evaluation.tables import FOOTNOTE, Table, percent

from .orderings import Outcome
from .scores import COLUMNS, IJBC, PAIRS_ACCURACY, UNSEEN, Scores

DASH = "–"
ON_PAIRS = " on pairs"
HEADINGS = dict(zip(COLUMNS, ("unseen people", *COLUMNS[1:]), strict=True))


def shown_measures(scores: Scores) -> list[str]:
    """What a terminal has room for: the two mildest TAR@FAR, the mildest TPIR@FPIR, accuracy, IJB-C."""
    names = scores.measures()
    rates = [name for name in names if name.startswith("TAR@FAR") and not name.endswith(ON_PAIRS)]
    searches = [name for name in names if name.startswith("TPIR@FPIR")]
    ijbc = [name for name in names if name.startswith(IJBC)]
    return [*rates[:2], *searches[:1], *(name for name in names if name == PAIRS_ACCURACY), *ijbc]


def score_tables(scores: Scores, measures: Sequence[str]) -> list[Table]:
    """One table per measure: a row per method, a column per embedding."""
    tables = []
    for measure in measures:
        if measure.endswith(ON_PAIRS) or measure.startswith(IJBC):
            continue
        columns = [column for column in COLUMNS if _any(scores, column, measure)]
        tables.append(_table(scores, measure, [(HEADINGS[column], column, measure) for column in columns]))
    pairs = [measure for measure in measures if measure.endswith(ON_PAIRS)]
    if pairs:
        titles = [(name.removesuffix(ON_PAIRS), UNSEEN, name) for name in pairs]
        tables.append(_table(scores, "Pairs, generic model", titles))
    ijbc = [(name.removeprefix(IJBC), UNSEEN, name) for name in measures if name.startswith(IJBC)]
    if ijbc:
        tables.append(_table(scores, "IJB-C, generic model", ijbc))
    return tables


def _any(scores: Scores, column: str, measure: str) -> bool:
    return any(scores.mean(row, column, measure) is not None for row in scores.rows)


def _table(scores: Scores, title: str, cells: Sequence[tuple[str, str, str]]) -> Table:
    rows = []
    few = False
    for row in scores.rows:
        means = [scores.mean(row, column, measure) for _, column, measure in cells]
        few = few or any("†" in mean.text() for mean in means if mean is not None)
        # Where a seed failed the mean is over fewer, and says so.
        texts = [
            DASH
            if mean is None
            else mean.text() + ("" if mean.seeds == len(scores.seeds) else f" ({mean.seeds})")
            for mean in means
        ]
        rows.append((row, *texts))
    count = len(scores.seeds)
    notes = [f"Per cent, mean ± standard deviation over {count} seed{'s' if count > 1 else ''}."]
    if any(column == UNSEEN for _, column, _ in cells):
        notes[0] += " Unseen people: the generic model on people whom nobody trained on."
    if any(text.endswith(")") for row in rows for text in row[1:]):
        notes.append("(k): only k seeds have a figure.")
    if few:
        notes.append(FOOTNOTE)
    return Table(title, ("method", *(heading for heading, _, _ in cells)), tuple(rows), tuple(notes))


def ordering_table(outcomes: Sequence[Outcome], measures: Sequence[str]) -> Table:
    """The paper's orderings: paired differences in points, one column per measure."""
    texts = dict.fromkeys(outcome.ordering.text for outcome in outcomes)
    cells = {(outcome.ordering.text, outcome.measure): _difference(outcome) for outcome in outcomes}
    rows = tuple((text, *(cells.get((text, measure), DASH) for measure in measures)) for text in texts)
    notes = (
        "Right side minus left side with the same seed, in points: mean ± standard deviation over the seeds, "
        "and in how many of them the order is the paper's.",
        "✓ or ✗: the 95 % interval of the mean (Student's t over the seeds) lies wholly above or below 0; "
        "without a mark no difference is shown.",
    )
    return Table("Orderings of the paper", ("ordering", *measures), rows, notes)


def _difference(outcome: Outcome) -> str:
    spread = "" if math.isnan(outcome.spread) else f" ± {percent(outcome.spread)}"
    mark = {"holds": " ✓", "reversed": " ✗", "not shown": ""}[outcome.verdict]
    held = f"{outcome.holds_in}/{len(outcome.differences)}"
    return f"{100 * outcome.mean:+.2f}{spread} ({held}){mark}"


def time_table(
    rows: Sequence[str], seeds: Sequence[int], records: Mapping[tuple[str, int], Mapping[str, Any]]
) -> Table:
    """Seconds of training and of evaluation, each seed by itself."""

    def text(row: str, key: str) -> str:
        spent = [records[row, seed][key] for seed in seeds if (row, seed) in records]
        return " ".join(DASH if seconds is None else f"{seconds:.0f}" for seconds in spent) or DASH

    body = tuple((row, text(row, "training_seconds"), text(row, "evaluation_seconds")) for row in rows)
    note = "Seconds, one figure per seed; the pre-trained model's are those of pre-training."
    return Table("Time", ("method", "training", "evaluation"), body, (note,))


def to_markdown(
    tables: Sequence[Table], facts: Sequence[str], failures: Mapping[tuple[str, int], str]
) -> str:
    """The whole study as Markdown."""
    lines = ["# Study", "", *(f"- {fact}" for fact in facts), ""]
    if failures:
        lines += ["## Failed", ""]
        lines += [f"- {row}, seed {seed}: {why}" for (row, seed), why in sorted(failures.items())]
        lines.append("")
    return "\n".join(lines) + "\n" + "\n".join(table.to_markdown() for table in tables)
