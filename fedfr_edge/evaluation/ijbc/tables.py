"""IJB-C results as rows of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedfr_edge.evaluation.bootstrap import Curve
from fedfr_edge.evaluation.ijbc.result import RANKS, Identification, IjbcResult
from fedfr_edge.evaluation.metrics import Interval, Rate
from fedfr_edge.evaluation.tables import (
    DASH,
    FOOTNOTE,
    NOT_CARRIED,
    Table,
    interval_text,
    percent,
    rate_cells,
    rate_text,
)

Cell = tuple[str, Interval | None]


def verification_table(results: Sequence[IjbcResult]) -> Table | None:
    """1:1, one row per model; None if it was not evaluated."""
    found = [(result.name, result.verification) for result in results if result.verification is not None]
    if not found:
        return None
    first = found[0][1]
    titles = [f"TAR@FAR {rate_text(rate.far_target)}" for rate in first.rates]
    rows = [(name, [(rate_cells(rate)[0], rate.interval) for rate in one.rates]) for name, one in found]
    mated = int(np.count_nonzero(first.pairs.mated))
    notes = [f"Per cent. {mated:,} mated and {len(first.pairs) - mated:,} non-mated template pairs."]
    if first.left_out:
        notes.append(
            f"{first.left_out:,} pairs are left out, as all images of one of their templates are missing: "
            "not comparable with published figures."
        )
    if first.contradictions:
        notes.append(
            f"{first.contradictions:,} pairs have a label that contradicts the subjects of the 1:N lists; "
            "the label counts."
        )
    notes += _notes(first.replicates, [rate for _, one in found for rate in one.rates])
    return _table("IJB-C 1:1 verification", titles, rows, notes, intervals=first.replicates is not None)


def identification_table(results: Sequence[IjbcResult], place: int) -> Table:
    """1:N in the reading at ``place``, one row per model: means over the galleries."""
    found = [(result.name, result.identification[place]) for result in results]
    first = found[0][1]
    titles = [f"TPIR@FPIR {rate_text(rate.far_target)}" for rate in first.galleries[0].rates]
    titles += [f"rank {rank}" for rank in RANKS]
    rows = [
        (name, [*_rate_cells(one), *((percent(share.value), share.interval) for share in one.retrieval)])
        for name, one in found
    ]
    sizes = "; ".join(
        f"{gallery.gallery}: {gallery.people:,} people, {len(gallery.mated_subjects):,} mated and "
        f"{len(gallery.non_mated_subjects):,} non-mated probes"
        + (f", {gallery.left_out:,} left out (images missing)" if gallery.left_out else "")
        for gallery in first.galleries
    )
    if first.reading == "standard":
        how = "Per cent, mean of the two galleries, each searched on its own (open set; rank 1 asked for)."
    else:
        how = (
            "Per cent. Galleries joined, as the published code has it: a closed set. Its FPIR is no share of "
            "non-mated probes; compare with published figures of that code only."
        )
    notes = [how, sizes + "."]
    notes += _notes(
        first.replicates, [rate for _, one in found for gallery in one.galleries for rate in gallery.rates]
    )
    title = f"IJB-C 1:N identification, mixed probes, {first.reading} reading"
    return _table(title, titles, rows, notes, intervals=first.replicates is not None)


def detail_table(result: IjbcResult) -> Table:
    """Every rate of one model with its trials, false accepts and threshold."""
    header = ("set", "rate", "%", "95 %", "mated trials", "non-mated", "false accepts", "threshold")
    groups: list[tuple[str, str, Sequence[Rate]]] = []
    if result.verification is not None:
        groups.append(("1:1", "TAR@FAR", result.verification.rates))
    for reading in result.identification:
        for gallery in reading.galleries:
            groups.append((f"1:N {gallery.gallery}, {reading.reading}", "TPIR@FPIR", gallery.rates))
    rows = []
    for what, kind, rates in groups:
        for rate in rates:
            value, *rest = rate_cells(rate)
            interval = interval_text(rate.interval) if rate.carried else DASH
            rows.append((what, f"{kind} {rate_text(rate.far_target)}", value, interval, *rest))
    notes = _notes(None, [rate for *_, rates in groups for rate in rates])
    return Table(f"IJB-C, {result.name}", header, tuple(rows), tuple(notes))


def _table(
    title: str,
    titles: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    notes: Sequence[str],
    *,
    intervals: bool,
) -> Table:
    """Rates with their intervals beside them, where there are any."""
    header = ["model"]
    for one in titles:
        header += [one, "95 %"] if intervals else [one]
    lines = []
    for name, cells in rows:
        line = [name]
        for value, interval in cells:
            shown = DASH if value == DASH else interval_text(interval)
            line += [value, shown] if intervals else [value]
        lines.append(tuple(line))
    return Table(title, tuple(header), tuple(lines), tuple(notes))


def _rate_cells(one: Identification) -> list[Cell]:
    """Mean TPIR; marked with the gallery's count whose threshold rests on the fewest false accepts."""
    cells: list[Cell] = []
    for place, share in enumerate(one.rates):
        behind = [gallery.rates[place] for gallery in one.galleries]
        fewest = min(rate.false_accepts for rate in behind)
        mark = "" if all(rate.supported for rate in behind) else f" †{fewest}"
        carried = all(rate.carried for rate in behind)
        cells.append((percent(share.value) + mark if carried else DASH, share.interval))
    return cells


def _notes(replicates: Curve | None, rates: Sequence[Rate]) -> list[str]:
    notes = []
    if replicates is not None:
        notes.append(f"95 %: interval by the bootstrap, subjects drawn anew {len(replicates):,} times.")
    if not all(rate.supported or not rate.carried for rate in rates):
        notes.append(FOOTNOTE)
    if not all(rate.carried for rate in rates):
        notes.append(NOT_CARRIED)
    return notes
