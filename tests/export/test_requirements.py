"""NIST's three bars: error rates against loops over pairs, intervals against people literally drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.metrics import Interval
from fedfr_edge.export.requirements import (
    REPLICATES,
    ErrorRate,
    ErrorRates,
    measure_errors,
    requirements_table,
    strict_enough,
)
from fedfr_edge.recognition.manifest import Threshold

PEOPLE = 7


def threshold_at(far: float, threshold: float = 0.3) -> Threshold:
    return Threshold(far=far, threshold=threshold, non_mated=1000, false_accepts=10, source="somebody")


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = np.sort(np.concatenate([np.arange(PEOPLE), rng.integers(0, PEOPLE, 40)])) * 3 + 5
    centres = rng.normal(size=(labels.max() + 1, 12))
    embeddings = centres[labels] + 1.3 * rng.normal(size=(len(labels), 12))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), labels


def counted(
    embeddings: np.ndarray, labels: np.ndarray, rows: list[tuple[int, int]]
) -> tuple[int, int, int, int]:
    """(false matches, non-mated, false non-matches, mated) among pairs of (copy of a person, row)."""
    wrong = apart = refused = mated = 0
    for (one, i), (other, j) in itertools.combinations(rows, 2):
        match = float(np.dot(embeddings[i].astype(np.float64), embeddings[j].astype(np.float64))) >= 0.3
        if labels[i] != labels[j]:
            wrong, apart = wrong + match, apart + 1
        elif one == other:  # the same draw of that person: two draws are not compared with one another
            refused, mated = refused + (not match), mated + 1
    return wrong, apart, refused, mated


def test_rates_are_those_of_a_loop_over_all_pairs(faces: tuple[np.ndarray, np.ndarray]) -> None:
    embeddings, labels = faces
    rates = measure_errors(embeddings, labels, threshold_at(1e-4))
    wrong, apart, refused, mated = counted(embeddings, labels, [(0, i) for i in range(len(labels))])
    assert 0 < wrong < apart
    assert 0 < refused < mated
    assert (rates.false_match.errors, rates.false_match.trials) == (wrong, apart)
    assert (rates.false_non_match.errors, rates.false_non_match.trials) == (refused, mated)


def test_intervals_are_those_of_people_drawn_with_replacement(faces: tuple[np.ndarray, np.ndarray]) -> None:
    embeddings, labels = faces
    rates = measure_errors(embeddings, labels, threshold_at(1e-4))
    weights = Resampling(REPLICATES).weights("calibration", PEOPLE).astype(int)
    people = np.unique(labels)
    matching, missing = [], []
    for drawn in weights[:60]:
        rows = [
            (copy, int(i))
            for person, times in zip(people, drawn, strict=True)
            for copy in range(times)
            for i in np.flatnonzero(labels == person)
        ]
        wrong, apart, refused, mated = counted(embeddings, labels, rows)
        matching.append(wrong / apart)
        missing.append(refused / mated)
    few = Resampling(60).weights("calibration", PEOPLE)
    assert np.array_equal(few, weights[:60])  # the loop's replicates are the first of the real ones
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedfr_edge.export.requirements.REPLICATES", 60)
        short = measure_errors(embeddings, labels, threshold_at(1e-4))
    for rate, loop in ((short.false_match, matching), (short.false_non_match, missing)):
        assert rate.interval is not None
        low, high = np.quantile(loop, [0.025, 0.975])
        assert rate.interval.low == pytest.approx(min(low, rate.value))
        assert rate.interval.high == pytest.approx(max(high, rate.value))
    assert rates.false_match.value == short.false_match.value


def test_the_mildest_strict_threshold_is_judged() -> None:
    records = [threshold_at(far) for far in (1e-2, 1e-3, 1e-4, 1e-5)]
    chosen = strict_enough(records)
    assert chosen is not None
    assert chosen.far == 1e-4
    assert strict_enough(records[:2]) is None


@pytest.mark.parametrize(
    ("low", "high", "answer"), [(0.01, 0.04, "met"), (0.04, 0.06, "not shown"), (0.06, 0.2, "missed")]
)
def test_only_a_whole_interval_answers(low: float, high: float, answer: str) -> None:
    unseen = ErrorRate(5, 1000, Interval(1e-6, 9e-5, "bootstrap"))
    rates = ErrorRates(threshold_at(1e-4), unseen, ErrorRate(5, 100, Interval(low, high, "bootstrap")))
    match, non_match, attacks = requirements_table(rates, "somebody").rows
    assert match[-1] == "met"
    assert match[3] == "0.0001 … 0.0090"
    assert non_match[-1] == answer
    assert attacks[-1] == "not measured"


def test_without_a_strict_threshold_nothing_is_claimed() -> None:
    table = requirements_table(None, "somebody")
    assert [row[-1] for row in table.rows] == ["not shown", "not shown", "not measured"]
    assert "too few comparisons" in table.notes[0]
