"""Results as rows of text, for the console, Markdown and the report alike.

Rates are per cent; a dash stands for what cannot be told. A dagger marks a rate whose threshold rests on
fewer than ten false accepts (of some client), with that number behind it: ``61.25 †4``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedfr_edge.evaluation.metrics import Interval, Rate
from fedfr_edge.evaluation.outcome import MeanRate, PersonalisedResult, headline
from fedfr_edge.evaluation.pairs import PairsResult

DASH = "–"

FEW_PEOPLE = 10
"""Fewer people than that are too few for the bootstrap: its intervals come out too narrow."""

NOT_CARRIED = "–: the trials do not allow a single false accept at this rate, so nothing can be said of it."

FOOTNOTE = (
    "†k: the threshold rests on only k false accepts, fewer than ten, so the false-accept rate behind it is "
    "hardly known (over clients: k is that of the client with the fewest)."
)


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: what it shows.
        header: one text per column.
        rows: one tuple per row, as long as the header.
        notes: lines below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def transposed(self) -> Table:
        """The same with rows and columns changed over."""
        header, *rows = zip(self.header, *self.rows, strict=True)
        return Table(self.title, header, tuple(rows), self.notes)

    def to_markdown(self) -> str:
        """A Markdown table with a heading."""
        lines = [f"### {self.title}", "", _markdown_row(self.header)]
        lines.append("|" + "|".join([" --- ", *[" ---: "] * (len(self.header) - 1)]) + "|")
        lines += [_markdown_row(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"


def comparison_table(results: Sequence[PersonalisedResult]) -> Table:
    """The paper's Table 3: one row per model, all of one reading, means over the clients ± spread."""
    first = results[0]
    known = [result for result in results if result.replicates is not None]
    titles = [f"TAR@FAR {rate_text(rate.far_target)}" for rate in first.verification]
    titles += [f"TPIR@FPIR {rate_text(rate.far_target)}" for rate in first.identification]
    header = ["model"]
    for title in [*titles, "rank 1"]:
        header += [title, "95 %"] if known else [title]
    rows = []
    for result in results:
        cells = [(_mean_cell(rate), rate.interval) for rate in (*result.verification, *result.identification)]
        cells.append((percent(result.rank_one), result.rank_one_interval))
        row = [result.name]
        for value, interval in cells:
            row += [value, DASH if value == DASH else interval_text(interval)] if known else [value]
        rows.append(tuple(row))
    clients = len(first.clients)
    notes = [
        f"Per cent, mean ± standard deviation over {clients} client{'s' if clients > 1 else ''}.",
        "Trials per client. " + trials_text(first),
        worst_text(results, headline(results)),
    ]
    if known:
        notes.append(
            f"95 %: of the mean over these clients, from {_draws(known[0]):,} draws of the "
            f"{known[0].people:,} people within their clients (not of pairs or images), "
            "thresholds sought anew; by the rule of three (3 in so many people) where no error was seen."
        )
    rates = [rate for result in results for rate in (*result.verification, *result.identification)]
    if any(rate.carried and not rate.supported for rate in rates):
        notes.append(FOOTNOTE)
    if any(not rate.carried for rate in rates):
        notes.append(NOT_CARRIED)
    return Table(f"Personalised protocol, {first.reading} reading", tuple(header), tuple(rows), tuple(notes))


def client_table(result: PersonalisedResult) -> Table:
    """Every client of one model: rates with trials, false accepts and thresholds."""
    header = ["client", "rate", "%", "95 %"]
    header += ["mated trials", "non-mated", "false accepts", "threshold", "FAR 95 %"]
    rows = []
    for client in result.clients:
        for kind, rates in (("TAR@FAR", client.verification), ("TPIR@FPIR", client.identification)):
            for rate in rates:
                value, *rest = rate_cells(rate)
                interval = interval_text(rate.interval) if rate.carried else DASH
                far = DASH if rate.far_interval is None else _far_text(rate.far_interval)
                name = f"{kind} {rate_text(rate.far_target)}"
                rows.append((client.client, name, value, interval, *rest, far))
    worst = [
        f"{kind} {rate_text(mean.far_target)}: {mean.worst_client} {percent(mean.worst)}"
        for kind, means in (("TAR@FAR", result.verification), ("TPIR@FPIR", result.identification))
        for mean in means
        if mean.carried
    ]
    notes = ["Worst client. " + "; ".join(worst) + "."] if worst else []
    rates_of_all = [(*client.verification, *client.identification) for client in result.clients]
    if any(rate.carried and not rate.supported for found in rates_of_all for rate in found):
        notes.append(FOOTNOTE)
    if any(not rate.carried for found in rates_of_all for rate in found):
        notes.append(NOT_CARRIED)
    if result.replicates is not None:
        few = [client.client for client in result.clients if client.people < FEW_PEOPLE]
        if few:
            notes.append(
                f"{len(few)} of {len(result.clients)} clients have fewer than {FEW_PEOPLE} people: their own "
                "intervals are too narrow; that of the mean rests on all clients' people."
            )
    title = f"{result.name}, {result.reading} reading, by client"
    return Table(title, tuple(header), tuple(rows), tuple(notes))


def pairs_table(results: Sequence[PairsResult]) -> Table:
    """One row per model on one list of pairs."""
    first = results[0]
    known = any(result.eer_interval is not None for result in results)
    header = ["model"]
    for title in ("accuracy", *(f"TAR@FAR {rate_text(rate.far_target)}" for rate in first.rates), "EER"):
        header += [title, "95 %"] if known else [title]
    header += ["AUC", "mated pairs", "non-mated", "left out"]
    rows = []
    for result in results:
        accuracy = f"{percent(result.accuracy)} ± {percent(result.spread)}"
        if not result.folds:
            accuracy = f"≤ {percent(result.best_accuracy)}"
        cells = [(accuracy, result.accuracy_interval)]
        cells += [(_marked(percent(rate.value), rate), rate.interval) for rate in result.rates]
        cells.append((percent(result.eer), result.eer_interval))
        row = [result.name]
        for value, interval in cells:
            row += [value, interval_text(interval)] if known else [value]
        sizes = (f"{result.mated.size:,}", f"{result.non_mated.size:,}", f"{result.left_out:,}")
        rows.append((*row, percent(result.auc), *sizes))
    notes = [
        f"Per cent. Accuracy: mean ± standard deviation over {len(first.folds)} folds, each at the threshold "
        "that is best on the others."
        if first.folds
        else "Per cent. One fold only: the accuracy is that of the threshold best for these very pairs."
    ]
    if known:
        notes.append(
            f"95 %: the list's {first.people:,} people drawn anew (not pairs), every threshold sought anew."
        )
    if any(not rate.supported for result in results for rate in result.rates):
        notes.append(FOOTNOTE)
    return Table("Pairs", tuple(header), tuple(rows), tuple(notes))


def rate_cells(rate: Rate) -> tuple[str, ...]:
    """Value (marked; a dash where the trials do not carry it), mated and non-mated trials, false accepts,
    threshold."""
    return (
        _marked(percent(rate.value), rate) if rate.carried else DASH,
        f"{rate.trials:,}",
        f"{rate.non_mated:,}",
        f"{rate.false_accepts:,}",
        f"{rate.threshold:.4f}",
    )


def trials_text(result: PersonalisedResult) -> str:
    """How many trials stand behind each client's rates, in one sentence."""
    one, many = result.verification[0], result.identification[0]
    return (
        f"1:1: {_span(one.trials)} mated and {_span(one.non_mated)} non-mated pairs; "
        f"1:N: {_span(many.trials)} mated "
        + (
            f"and {_span(many.non_mated)} non-mated probes"
            if result.reading != "reference"
            else f"probes, {_span(many.non_mated)} in all"
        )
        + f" against {_span(_sizes(result))} people."
    )


def worst_text(results: Sequence[PersonalisedResult], place: int) -> str:
    """Each model's worst client at one 1:1 rate, by place in ``verification``."""
    means = [result.verification[place] for result in results]
    worst = "; ".join(
        f"{result.name}: {mean.worst_client}, {percent(mean.worst)} %"
        for result, mean in zip(results, means, strict=True)
    )
    return f"Worst client at FAR {rate_text(means[0].far_target)}. {worst}."


def percent(value: float) -> str:
    """``0.61254`` as ``61.25``; a dash for NaN."""
    return DASH if math.isnan(value) else f"{100 * value:.2f}"


def interval_text(interval: Interval | None) -> str:
    """``58.20 … 64.10``, per cent; a dash without one."""
    return DASH if interval is None else f"{percent(interval.low)} … {percent(interval.high)}"


def rate_text(rate: float | None) -> str:
    """``0.001`` as ``1e-3``, ``0.025`` as ``2.5e-2``."""
    if rate is None:
        return DASH
    if rate in (0, 1) or not math.isfinite(rate):
        return f"{rate:g}"
    mantissa, exponent = f"{rate:.12e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _far_text(interval: Interval) -> str:
    return f"{interval.low:.1e} … {interval.high:.1e}"


def _draws(result: PersonalisedResult) -> int:
    return 0 if result.replicates is None else len(result.replicates.rank_one)


def _mean_cell(rate: MeanRate) -> str:
    if not rate.carried:
        return DASH
    spread = "" if math.isnan(rate.spread) else f" ± {percent(rate.spread)}"
    return _marked(percent(rate.value) + spread, rate)


def _marked(text: str, rate: Rate | MeanRate) -> str:
    return text if rate.supported else f"{text} †{rate.false_accepts}"


def _span(values: tuple[int, int]) -> str:
    low, high = values
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _sizes(result: PersonalisedResult) -> tuple[int, int]:
    sizes = [client.gallery for client in result.clients]
    return min(sizes), max(sizes)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
