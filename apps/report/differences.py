"""Paired differences between the models of a page, at its headline rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation.outcome import PersonalisedResult, Reading
from fedfr_edge.evaluation.report import Contrast
from fedfr_edge.evaluation.report.summary import headline_measures

from .names import distinct, labels_of_runs, named
from .read import Personalised


def differences_of(
    evaluations: Sequence[Personalised], shown: Sequence[PersonalisedResult], left_out: list[str]
) -> list[Contrast]:
    """Within each evaluation every model against every other; of several, each one's last to the first's.

    Args:
        evaluations: all of the same people.
        shown: their results as the page names them, of one reading.
        left_out: gets a line about what is not shown.
    """
    if not shown:
        return []
    reading, measures = shown[0].reading, headline_measures(shown)
    labels = labels_of_runs(evaluations)
    found: list[Contrast] = []
    rest = 0
    for one, label in zip(evaluations, labels, strict=True):
        names = {result.name for result in distinct(one)}
        for comparison in one.record.get("comparisons", ()):
            if comparison["reading"] != reading or not {comparison["first"], comparison["second"]} <= names:
                continue
            sides = named(label, comparison["first"]), named(label, comparison["second"])
            means = [each for each in comparison["differences"] if each["client"] is None]
            found += [_contrast(*sides, each, one) for each in means if each["measure"] in measures]
            rest += sum(each["measure"] not in measures for each in means)
    for other, label in list(zip(evaluations, labels, strict=True))[1:]:
        found += _between((evaluations[0], labels[0]), (other, label), reading, measures, left_out)
    if rest:
        left_out.append(f"{rest} differences at other rates: personalised.json of each folder has them.")
    return found


def _between(
    one: tuple[Personalised, str],
    other: tuple[Personalised, str],
    reading: Reading,
    measures: Sequence[str],
    left_out: list[str],
) -> list[Contrast]:
    """The last model of one evaluation against that of another."""
    bare = [str(side.folder) for side, _ in (one, other) if not side.record.get("intervals")]
    if bare:
        left_out.append(
            f"The difference between {one[1]} and {other[1]}: {bare[0]} was written without intervals."
        )
        return []
    from fedfr_edge.evaluation.compare import compare_files

    names = [[result.name for result in distinct(side)][-1] for side, _ in (one, other)]
    try:
        comparison = compare_files(one[0].folder, other[0].folder, names[0], names[1], reading=reading)
    except DataError as error:
        left_out.append(f"The differences between {one[1]} and {other[1]}: {error}.")
        return []
    sides = named(one[1], names[0]), named(other[1], names[1])
    return [
        _contrast(*sides, difference.to_dict(), one[0])
        for difference in comparison.differences
        if difference.client is None and difference.measure in measures
    ]


def _contrast(first: str, second: str, difference: Mapping[str, Any], evaluation: Personalised) -> Contrast:
    interval = difference["interval"]
    return Contrast(
        first=first,
        second=second,
        measure=difference["measure"],
        value=math.nan if difference["value"] is None else difference["value"],
        interval=(interval["low"], interval["high"]) if interval else (-math.inf, math.inf),
        basis=f"{evaluation.record['intervals']['replicates']:,} resamples of the people within every client",
    )
