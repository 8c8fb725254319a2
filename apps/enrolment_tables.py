"""Measured enrolments as tables: for each kind of model, the ways to enrol side by side."""

from __future__ import annotations

from collections.abc import Sequence

from fedfr_edge.evaluation.compare import Difference, difference_of
from fedfr_edge.evaluation.enrolment import MeanShare
from fedfr_edge.evaluation.tables import DASH, FOOTNOTE, Table, interval_text, percent, rate_text

from .enrolment_outcome import BACKBONE, PERSONAL, Outcome, Result, Way
from .enrolment_trials import NEW, TRAINED, UNSEEN
from .models_for_evaluation import GENERIC


def tables(outcome: Outcome) -> list[Table]:
    """For each kind of model, without and with wrong images, the ways side by side."""
    found = []
    kinds = dict.fromkeys((result.model, result.way.wrong) for result in outcome.results)
    for kind, wrong in kinds:
        chosen = [result for result in outcome.results if (result.model, result.way.wrong) == (kind, wrong)]
        found.append(_table(kind, wrong, outcome.images, chosen))
    return found


def differences(outcome: Outcome) -> list[tuple[str, str, Difference]]:
    """What a choice changes, on the same draws of people: (group, change, difference of the shares).

    The space with the mean template; the template and leaving out in the personal space, without wrong images
    and with them.
    """
    by_key = {(each.model, each.way, each.group): each for each in outcome.results}
    wrong = sorted({each.way.wrong for each in outcome.results})
    plain = Way("mean", False, 0)
    changes = [(f"{PERSONAL} − {model}", (model, plain), (PERSONAL, plain)) for model in (BACKBONE, GENERIC)]
    for count in wrong:
        mean = Way("mean", False, count)
        among = f", {count} wrong" if count else ""
        for text, way in (
            ("robust − mean", Way("robust", False, count)),
            ("all − mean", Way("all", False, count)),
            ("left out − kept", Way("mean", True, count)),
        ):
            changes.append((text + among, (PERSONAL, mean), (PERSONAL, way)))
    found = []
    for group in (TRAINED, NEW, UNSEEN):
        for text, first, second in changes:
            one, other = (by_key.get((*side, group)) for side in (first, second))
            if one is None or other is None:
                continue
            for far, share in one.rates.tar_at.items():
                against = other.rates.tar_at[far]
                difference = difference_of(
                    f"TAR@FAR {rate_text(far)}",
                    (share.value, share.replicates),
                    (against.value, against.replicates),
                )
                found.append((group, text, difference))
    return found


def difference_rows(found: Sequence[tuple[str, str, Difference]]) -> Table:
    """The same as a table, in points."""
    rows = []
    for group, text, difference in found:
        interval = difference.interval
        span = DASH if interval is None else f"{100 * interval.low:+.2f} … {100 * interval.high:+.2f}"
        rows.append(
            (group, text, difference.measure, f"{100 * difference.value:+.2f}", span, difference.verdict)
        )
    header = ("people", "change", "measure", "difference", "95 %", "that is")
    return Table("Differences", header, tuple(rows), ("In points, the same people drawn on both sides.",))


def _table(kind: str, wrong: int, images: int, results: Sequence[Result]) -> Table:
    fars = list(results[0].rates.tar_at)
    header = ["people", "template", "outliers"]
    header += [f"TAR@FAR {rate_text(far)}" for far in fars] + ["TAR at threshold", "FMR there"]
    header += ["right images left out"] + (["wrong ones left out", "their person accepted"] if wrong else [])
    rows = []
    for result in sorted(results, key=lambda each: (TRAINED, NEW, UNSEEN).index(each.group)):
        rates, counted = result.rates, result.counted
        cells = [result.group, result.way.combine, "left out" if result.way.drop_outliers else "kept"]
        cells += [_cell(share) for share in [*rates.tar_at.values(), rates.tar, rates.fmr]]
        cells.append(percent(counted.right_dropped / counted.right))
        if wrong:
            cells += [percent(counted.wrong_dropped / counted.wrong), _cell(rates.planted)]
        rows.append(tuple(cells))
    trials_of = {result.group: result.trials for result in results}
    title = f"{kind}: {images} images each" + (f", and {wrong} of somebody else" if wrong else "")
    first = results[0].rates
    notes = [
        f"Means over {len(results[0].people)} models, per cent with 95 % interval. "
        + "; ".join(
            f"{group}: {trials[0]:,} mated, {trials[1]:,} non-mated trials"
            for group, trials in trials_of.items()
        )
        + "."
    ]
    if any((share.least_false_accepts or 0) < 10 for share in first.tar_at.values()):
        notes.append(FOOTNOTE)
    return Table(title, tuple(header), tuple(rows), tuple(notes))


def _cell(share: MeanShare) -> str:
    if not share.carried or not share.trials:
        return DASH
    few = share.least_false_accepts
    mark = f" †{few}" if few is not None and few < 10 else ""
    return f"{percent(share.value)} [{interval_text(share.interval)}]{mark}"
