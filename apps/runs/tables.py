"""The tables of ``fedfr runs``: every number is one of the run's own files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from fedfr_edge.evaluation.tables import Table, percent, rate_text
from fedfr_edge.federation.traffic import WAYS
from fedfr_edge.train.privacy_loss import privacy_text

from .best import best_of, headline_far, loss_curve, model_names, score_curve
from .means import LOSSES, megabytes, round_means
from .record import SOURCES, RunRecord

NONE = "–"

_MISMATCH = {
    "store": "the stores differ: other faces are trained and tested on",
    "split": "the splits differ: other people are trained on and compared",
    "public_store": "the further public stores differ",
    "pretrained": "the starts differ: what pre-training gave one run is no merit of its rounds",
}


def text_lines(table: Table) -> list[str]:
    """A table as lines of text: first column to the left, the others to the right."""
    rows = [table.header, *table.rows]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(table.header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            _pad(cell, width, left=place == 0)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    head = [table.title] if table.title else []
    return [
        *head,
        line(table.header),
        "─" * (sum(widths) + 2 * (len(widths) - 1)),
        *map(line, table.rows),
        *table.notes,
    ]


def list_table(records: Sequence[RunRecord], names: Mapping[Path, str]) -> Table:
    """One row for each run."""
    rows = []
    for record in records:
        far = headline_far(record.scores)
        curve = loss_curve(record.rounds)
        rows.append(
            (
                names[record.path],
                record.method,
                record.backbone,
                str(len(record.clients) or NONE),
                NONE if record.seed is None else str(record.seed),
                f"{record.done}/{'?' if record.last is None else record.last}",
                record.state,
                f"{curve[max(curve)]:.4f}" if curve else NONE,
                NONE if far is None else rate_text(far),
                *(_last_and_best(record.scores, model, far) for model in _two_models(record.scores)),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(record.changed)),
            )
        )
    header = (
        "run", "method", "backbone", "clients", "seed", "rounds", "state", "loss",
        "FAR", "Θ_g: last, best", "personal: last, best", "last round",
    )  # fmt: skip
    notes = ("Scores: TAR at FAR in per cent, after the last scored round, and the best one @ its round.",)
    return Table("", header, tuple(rows), notes if any(record.scores for record in records) else ())


def rounds_table(record: RunRecord) -> Table:
    """One row for each round of a run: its losses, hard negatives and time."""
    means = {int(line["round"]): round_means(line) for line in record.rounds}
    terms = [term for term in LOSSES if any(term in found for found in means.values())]
    # Under differential privacy clients do not tell their counts.
    hidden = {int(line["round"]) for line in record.rounds if "epsilon" in line}
    rows = tuple(
        (
            str(number),
            f"{found['clients']:.0f}",
            NONE if number in hidden else f"{found['images']:.0f}",
            *(f"{found[term]:.4f}" if term in found else NONE for term in terms),
            NONE if number in hidden else f"{found['hard_negatives']:.0f}",
            f"{found['seconds']:.1f}",
            *(megabytes(found, way) for way in WAYS),
        )
        for number, found in sorted(means.items())
    )
    header = ("round", "clients", "images", *terms, "hard_neg", "seconds", "MB_up", "MB_down")
    up, down = (sum(found.get(way, 0.0) for found in means.values()) for way in WAYS)
    measured = [found for found in means.values() if WAYS[0] in found]
    notes = (f"Traffic of {len(measured)} rounds: {up / 1e6:.2f} MB up, {down / 1e6:.2f} MB down",)
    title = "Rounds: means over the clients, weighted by images"
    told = privacy_text(record.rounds[-1]) if record.rounds else ""
    return Table(title, header, rows, (notes if measured else ()) + ((told,) if told else ()))


def scores_table(record: RunRecord) -> Table:
    """One row for each scored round, the start included; the headline rate and rank 1 of each model."""
    far = headline_far(record.scores)
    curves = [
        (f"{model} {title}", score_curve(record.scores, model, rate))
        for title, rate in (("TAR", far), ("rank 1", None))
        for model in model_names(record.scores)
        if title != "TAR" or far is not None
    ]
    rows = tuple(
        (str(number), *(percent(curve[number]) if number in curve else NONE for _, curve in curves))
        for number in sorted(int(line["round"]) for line in record.scores)
    )
    title = f"Scores, per cent: TAR at FAR {rate_text(far)}, and rank 1, means over the clients"
    return Table(title, ("round", *(name for name, _ in curves)), rows)


def settings_table(records: Sequence[RunRecord], names: Mapping[Path, str]) -> Table:
    """The settings and the data that differ between runs; one column for each run."""
    everything = [setting_texts(record) for record in records]
    keys = list(dict.fromkeys(key for settings in everything for key in settings))
    rows = []
    for key in keys:
        values = [settings.get(key, NONE) for settings in everything]
        if any(value != values[0] for value in values):
            rows.append((key, *values))
    title = "Settings that differ" if rows else "All settings and all data are the same"
    return Table(title, ("", *(names[record.path] for record in records)), tuple(rows))


def curve_tables(records: Sequence[RunRecord], names: Mapping[Path, str]) -> list[Table]:
    """One table for each measure that some run has: a row for each round, a column for each run."""
    far = common_far(records)
    measures: list[tuple[str, list[dict[int, float]], Any]] = []
    for term in ("loss", "loss_cos"):
        measures.append((term, [loss_curve(record.rounds, term) for record in records], "{:.4f}".format))
    models = dict.fromkeys(name for record in records for name in model_names(record.scores))
    for model in models:
        for title, rate in ((f"TAR@FAR {rate_text(far)}, %", far), ("rank 1, %", None)):
            if far is not None or rate is None:
                curves = [score_curve(record.scores, model, rate) for record in records]
                measures.append((f"{model}: {title}", curves, percent))
    tables = []
    for title, curves, text in measures:
        numbers = sorted({number for curve in curves for number in curve})
        rows = tuple(
            (str(number), *(text(curve[number]) if number in curve else NONE for curve in curves))
            for number in numbers
        )
        if rows:
            tables.append(Table(title, ("round", *(names[record.path] for record in records)), rows))
    return tables


def best_table(records: Sequence[RunRecord], names: Mapping[Path, str]) -> Table:
    """Each run's best rounds: by its loss, and by each model's TAR."""
    far = common_far(records)
    models = list(dict.fromkeys(name for record in records for name in model_names(record.scores)))
    rows = []
    for record in records:
        lowest = best_of(loss_curve(record.rounds), lowest=True)
        cells = [NONE if lowest is None else f"{lowest.value:.4f} @ {lowest.round}"]
        for model in models:
            best = best_of(score_curve(record.scores, model, far)) if far is not None else None
            cells.append(NONE if best is None else f"{percent(best.value)} @ {best.round}")
        rows.append((names[record.path], *cells))
    header = ("run", "lowest loss", *(f"{model} TAR@FAR {rate_text(far)}" for model in models))
    return Table("Best rounds (value @ round)", header, tuple(rows))


def remarks(records: Sequence[RunRecord]) -> list[str]:
    """Why the runs' figures cannot simply be set side by side; empty if they can."""
    each = [traits(record) for record in records]
    found = [text for text in each[0] if len({one[text] for one in each}) > 1] if each else []
    if all(record.scores for record in records) and common_far(records) is None:
        found.append("the runs' scores have no false-accept rate in common")
    return found


def traits(record: RunRecord) -> dict[str, str]:
    """What two runs must have alike to be set side by side: remark -> what says so where it differs."""
    config = record.config
    terms = (config.alpha_cos, config.alpha_con, config.alpha_bce, config.branch)
    return {
        **{
            f"{text}; figures are not comparable": record.digests.get(source, "")
            for source, text in _MISMATCH.items()
        },
        "the runs' losses are sums of different terms; compare their scores, or single terms": str(terms),
        "not every run has scores; fedfr train --score-every N makes them": str(bool(record.scores)),
    }


def common_far(records: Sequence[RunRecord]) -> float | None:
    """The false-accept rate at which runs are compared; see :func:`.best.headline_far`."""
    return headline_far(line for record in records for line in record.scores)


def setting_text(value: Any) -> str:
    """A setting as it is typed on a command line; lists with spaces."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(setting_text, value)) or NONE
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting_texts(record: RunRecord) -> dict[str, str]:
    """Every setting and all data of a run in words, for telling runs apart."""
    return {name: setting_text(value) for name, value in (record.settings() | _data(record)).items()}


def _data(record: RunRecord) -> dict[str, Any]:
    digests = {f"{name} (content)": record.digests.get(name) for name in SOURCES}
    return {
        "clients": len(record.clients) or None,
        **{name: None if digest is None else f"{digest[:12]}…" for name, digest in digests.items()},
    }


def _two_models(scores: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The generic model, and the personal one with all that it has."""
    names = model_names(scores)
    return (names[0] if names else "", names[-1] if len(names) > 1 else "")


def _last_and_best(scores: Sequence[Mapping[str, Any]], model: str, far: float | None) -> str:
    curve = score_curve(scores, model, far) if far is not None else {}
    best = best_of(curve)
    if best is None:
        return NONE
    return f"{percent(curve[max(curve)])}, {percent(best.value)} @ {best.round}"


def _pad(cell: str, width: int, *, left: bool) -> str:
    space = " " * (width - cell_len(cell))
    return cell + space if left else space + cell
