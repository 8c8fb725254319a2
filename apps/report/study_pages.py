"""What a page shows of a study: its methods over all seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedfr_edge.errors import ConfigError, DataError
from fedfr_edge.evaluation.outcome import ClientResult, PersonalisedResult
from fedfr_edge.evaluation.report import Contrast, ReportData
from fedfr_edge.evaluation.report.content import MOST

from ..models_for_evaluation import GENERIC, SPACES
from ..study.orderings import Ordering, Outcome, compare, personal
from ..study.plan import PRETRAINED
from ..study.scores import PAIRS_ACCURACY, UNSEEN, Scores
from .gather import common_rates, pairs_results, too_many, unsupported
from .ijbc import ijbc_tables
from .names import labels_of
from .paper import CLIENTS, PEOPLE, PERSONAL, paper_tables, rate_of, supported, sweeps
from .read import PERSONALISED, Inputs, Study, read_personalised
from .reproduction import reproduced

if TYPE_CHECKING:
    from fedfr_edge.data.store import FaceStore

FIRST = (PRETRAINED, "fedavg", "hard-negatives", "contrastive", "fedfr", "central")
"""Methods that figures of a line each show, where a study has more than fit."""

CONTRAST = ("fedavg", "fedfr")
"""The two methods of the sentence at the top, where both are there."""


def gather_study(inputs: Inputs, title: str | None, store: FaceStore | None = None) -> ReportData:
    """The page of a study, or of several that differ in their number of clients, or of people of a client.

    Raises:
        ConfigError: single results beside a study, or studies that cannot stand side by side.
        DataError: a study's file lacks what it should hold.
    """
    if inputs.personalised:
        raise ConfigError(
            f"{inputs.studies[0].folder} is a study and {inputs.personalised[0].folder} a single result: "
            "they were measured on other people; report them apart"
        )
    if store is not None:
        raise ConfigError("--faces shows the pairs of single results, not of a study; report one of its runs")
    first = inputs.studies[0]
    found = [_scores(study) for study in inputs.studies]
    left_out: list[str] = []
    sizes, unit = _sizes(inputs.studies)
    if len(found) > 1:
        left_out.append(f"{len(found) - 1} further studies, but for the figure over {unit}.")
    scores = found[0]
    results = _results(first, scores, left_out)
    failures = first.record.get("failures") or []
    left_out += [f"{one['row']}, seed {one['seed']} failed: {one['error']}" for one in failures]
    if first.reproductions:
        paper, swept, differences, more = reproduced(first.reproductions)
        differences = [*_headline_differences(scores), *differences]
    else:
        paper = paper_tables(scores)
        swept, more = sweeps(scores, list(zip(sizes, found, strict=True)), unit)
        differences, lost = _differences(scores, compare(scores))
        more += lost
    left_out += more
    return ReportData(
        title=title or f"{'Reproduction' if first.reproductions else 'Study'} {first.folder.resolve().name}",
        intro=(
            "Every method with the same seeds, each seed with its own start. Personal: [Θ_l, Π_l] where "
            "a method has a branch, else Θ_l, else Θ_g. The clients of all seeds are counted as clients."
        ),
        facts=_facts(first, _size(first)[0]),
        results=results,
        curves=_curves(results, left_out),
        headline_pair=CONTRAST,
        differences=differences,
        paper=paper,
        sweeps=swept,
        pairs=pairs_results(inputs.pairs, left_out),
        tables=ijbc_tables(inputs.ijbc, labels_of([one.folder for one in inputs.ijbc]), left_out),
        files=[("study", str(study.folder)) for study in inputs.studies],
        left_out=[*left_out, *unsupported(results)],
    )


def _scores(study: Study) -> Scores:
    try:
        records = {(one["row"], one["seed"]): one for one in study.record["runs"]}
        return Scores.of(study.record["rows"], study.record["seeds"], records)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"cannot read {study.folder / 'study.json'} ({error!r}); run fedfr study again, it keeps what is "
            "done"
        ) from error


def _sizes(studies: Sequence[Study]) -> tuple[list[int], str]:
    """What tells the studies apart: their number of clients, or of people of a client.

    Raises:
        ConfigError: neither does.
    """
    sizes = [_size(study) for study in studies]
    for place, unit in enumerate((CLIENTS, PEOPLE)):
        counts = [size[place] for size in sizes]
        if len(set(counts)) == len(counts):
            return counts, unit
    raise ConfigError(
        f"{studies[0].folder} and {studies[1].folder} are studies of as many clients and people each; "
        "several studies share a page only as points over one of these numbers: report them apart"
    )


def _size(study: Study) -> tuple[int, int]:
    """Number of clients, and of the people of the first one."""
    for one in study.record["runs"]:
        for result in one["personalised"]:
            return len(result["clients"]), int(result["clients"][0]["gallery"])
    raise DataError(f"{study.folder} has no finished part; run fedfr study again, it goes on")


def _results(study: Study, scores: Scores, left_out: list[str]) -> list[PersonalisedResult]:
    """One result per row: its personal model, the clients of all seeds together."""
    parts = []
    lost = []
    for row in scores.rows:
        folders = {seed: study.folder / str(seed) / row / "evaluation" for seed in scores.seeds}
        if all(
            (row, seed) in scores.values and (folder / PERSONALISED).is_file()
            for seed, folder in folders.items()
        ):
            parts += [(row, seed, _personal_result(folder)) for seed, folder in folders.items()]
        else:
            lost.append(row)
    if lost:
        left_out.append(
            f"{len(lost)} of {len(scores.rows)} rows in the figures, for want of a seed's evaluation folder: "
            f"{', '.join(lost)}."
        )
    trimmed = common_rates([result for _, _, result in parts], left_out)
    clients: dict[str, list[ClientResult]] = {}
    for (row, seed, _), result in zip(parts, trimmed, strict=True):
        of_seed = f", seed {seed}" if len(scores.seeds) > 1 else ""
        for client in result.clients:
            # Seeds share people: resampled apart, intervals would be too narrow. Tables have them over seeds.
            kept = None if of_seed else client.replicates
            renamed = dataclasses.replace(client, client=client.client + of_seed, replicates=kept)
            clients.setdefault(row, []).append(renamed)
    return [PersonalisedResult(row, "standard", tuple(found)) for row, found in clients.items()]


def _personal_result(folder: Path) -> PersonalisedResult:
    evaluation = read_personalised(folder)
    by_name = {result.name: result for result in evaluation.results if result.reading == "standard"}
    if evaluation.training.get("branch") == "none":
        by_name.pop(SPACES[1], None)
    for name in (*reversed(SPACES), GENERIC):
        if name in by_name:
            return by_name[name]
    raise DataError(f"{folder} has no result in the standard reading; evaluate again with --reading standard")


def _differences(scores: Scores, outcomes: Sequence[Outcome]) -> tuple[list[Contrast], list[str]]:
    """The paper's orderings at the strictest rates that all rows support; the rest is counted."""
    if len(scores.seeds) < 2:
        return [], [f"{len(outcomes)} differences between methods: one seed gives them no interval."]
    measures = {
        *sorted(supported(scores, scores.rows, PERSONAL, "TAR@FAR"), key=rate_of)[:1],
        *sorted(supported(scores, scores.rows, PERSONAL, "TPIR@FPIR"), key=rate_of)[:1],
        *sorted(supported(scores, scores.rows, UNSEEN, "TAR@FAR"), key=rate_of)[:1],
        PAIRS_ACCURACY,
    }
    shown = [one for one in outcomes if one.measure in measures]
    rest = sum(one.measure not in measures for one in outcomes)
    more = [f"{rest} differences in other measures; study.md and report.json have them."] if rest else []
    differences = [_difference(one) for one in shown if len(one.differences) > 1]
    return [*_headline_differences(scores), *differences], more


def _headline_differences(scores: Scores) -> list[Contrast]:
    """Of the two methods in the sentence at the top."""
    own = Ordering(" < ".join(CONTRAST), personal(CONTRAST[0]), personal(CONTRAST[1]), source="Table 1")
    sound = {
        measure
        for kind in ("TAR@FAR", "TPIR@FPIR")
        for measure in sorted(supported(scores, scores.rows, PERSONAL, kind), key=rate_of)[:1]
    }
    found = [one for one in compare(scores, (own,)) if one.measure in sound and len(one.differences) > 1]
    return [_difference(one) for one in found]


def _difference(outcome: Outcome) -> Contrast:
    """``FedAvg < pre-trained`` becomes ``FedAvg → pre-trained``: the right side against the left."""
    first, _, second = outcome.ordering.text.partition(" < ")
    return Contrast(
        first=first,
        second=second,
        measure=outcome.measure,
        value=outcome.mean,
        interval=outcome.interval,
        basis=f"Student's t over {len(outcome.differences)} seeds",
    )


def _curves(results: Sequence[PersonalisedResult], left_out: list[str]) -> list[str]:
    if len(results) <= MOST:
        return []
    names = [result.name for result in results]
    chosen = [*(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)][
        :MOST
    ]
    left_out.append(too_many(len(names), chosen))
    return chosen


def _facts(study: Study, clients: int) -> list[tuple[str, str]]:
    settings = study.record.get("settings", {})
    seeds = ", ".join(map(str, study.record["seeds"]))
    return [
        ("store", Path(str(settings.get("store") or "rendered people")).name),
        ("clients", str(clients)),
        ("seeds", seeds),
        ("splits", "one for each seed" if settings.get("split_per_seed") else "as given"),
        ("measured with", f"fedfr-edge {study.record.get('version', '?')}"),
    ]
