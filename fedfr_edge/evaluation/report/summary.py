"""The first lines of a report: the models side by side at the strictest rates that the trials carry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fedfr_edge.evaluation.outcome import MeanRate, PersonalisedResult, headline
from fedfr_edge.evaluation.report.content import Contrast
from fedfr_edge.evaluation.report.intervals import points, with_interval
from fedfr_edge.evaluation.tables import FOOTNOTE, Table, percent, rate_text, trials_text


def headline_search(results: Sequence[PersonalisedResult]) -> int | None:
    """Which FPIR to show first: the strictest that every client of every model supports, else the mildest.

    None where no result has any.
    """
    fpirs = [rate.far_target for rate in results[0].identification]
    order = sorted(range(len(fpirs)), key=lambda place: fpirs[place])
    for place in order:
        if all(result.identification[place].supported for result in results):
            return place
    return order[-1] if order else None


def headline_measures(results: Sequence[PersonalisedResult]) -> list[str]:
    """What differences are shown in: the two headline rates and rank 1."""
    place, search = headline(results), headline_search(results)
    names = [f"TAR@FAR {rate_text(results[0].verification[place].far_target)}"]
    if search is not None:
        names.append(f"TPIR@FPIR {rate_text(results[0].identification[search].far_target)}")
    return [*names, "rank 1"]


def summary_table(results: Sequence[PersonalisedResult]) -> Table:
    """One row per model at the headline rates, with interval, spread, worst client and threshold."""
    place, search = headline(results), headline_search(results)
    first = results[0].verification[place]
    header = [
        "model",
        f"TAR@FAR {rate_text(first.far_target)}",
        "± over clients",
        "worst client",
        "threshold",
    ]
    if search is not None:
        header.append(f"TPIR@FPIR {rate_text(results[0].identification[search].far_target)}")
    header.append("rank 1")
    rows = []
    weak = False
    for result in results:
        rate = result.verification[place]
        cells = [
            rate_cell(rate),
            percent(rate.spread),
            f"{percent(rate.worst)} ({rate.worst_client})",
            _threshold(result, place),
        ]
        weak = weak or not rate.supported
        if search is not None:
            cells.append(rate_cell(result.identification[search]))
            weak = weak or not result.identification[search].supported
        rows.append((result.name, *cells, with_interval(percent(result.rank_one), result.rank_one_interval)))
    clients = len(results[0].clients)
    notes = [
        f"Per cent, {results[0].reading} reading, mean over {clients} client{'s' if clients > 1 else ''}; "
        "in brackets behind the mean threshold: the clients' lowest and highest. "
        f"Per client: {trials_text(results[0])} Thresholds of TAR rest on {first.false_accepts:,} false "
        "accepts of a client or more.",
        interval_note(results),
    ]
    if weak:
        notes.append(FOOTNOTE)
    return Table("At the strictest rates that the trials carry", tuple(header), tuple(rows), tuple(notes))


def rate_cell(rate: MeanRate) -> str:
    """Value, mark and interval; a dash where the trials allow no false accept at all."""
    if not rate.carried:
        return "–"
    mark = "" if rate.supported else f" †{rate.false_accepts}"
    return with_interval(percent(rate.value) + mark, rate.interval)


def interval_note(results: Sequence[PersonalisedResult]) -> str:
    """What the intervals are, or that there are none."""
    if any(rate.interval is not None for result in results for rate in result.verification):
        people = results[0].people
        return (
            f"Below a value: its 95 % interval, the clients' {people:,} people drawn anew within each client "
            "(bootstrap by identity); rule of three where no error was seen."
        )
    return "No intervals by people: these results were written without, or are means over seeds."


def sentence(
    results: Sequence[PersonalisedResult],
    differences: Sequence[Contrast],
    contrast: tuple[str, str] | None = None,
) -> str:
    """One model against another in words (by default the last against the first); is it shown?"""
    place = headline(results)
    by_name = {result.name: result for result in results}
    first, last = results[0], results[-1]
    if contrast is not None and set(contrast) <= by_name.keys():
        first, last = (by_name[name] for name in contrast)
    before = np.array([client.verification[place].value for client in first.clients])
    after = np.array([client.verification[place].value for client in last.clients])
    measure = f"TAR@FAR {rate_text(first.verification[place].far_target)}"
    gain = 100 * (last.verification[place].value - first.verification[place].value)
    if math.isnan(gain):
        return f"{measure} has no value for {first.name} or {last.name}: no mated pairs."
    better = int(np.count_nonzero(after > before))
    text = (
        f"{measure}: {last.name} lies {abs(gain):.2f} points {'above' if gain >= 0 else 'below'} {first.name}"
        f" and is better for {better} of {len(before)} clients"
    )
    for one in differences:
        if (one.first, one.second, one.measure) == (first.name, last.name, measure):
            low, high = one.interval
            if not math.isfinite(low + high):
                return f"{text}; the interval of that difference is unknown."
            shown = "no difference shown" if one.verdict == "no difference shown" else "a difference is shown"
            return f"{text}; 95 % interval of the difference {points(low)} to {points(high)}: {shown}."
    return f"{text}."


def _threshold(result: PersonalisedResult, place: int) -> str:
    found = np.array([client.verification[place].threshold for client in result.clients])
    if not np.isfinite(found).all():
        return "–"
    if len(found) == 1 or np.ptp(found) < 5e-4:
        return f"{found.mean():.3f}"
    return f"{found.mean():.3f} ({found.min():.3f}–{found.max():.3f})"
