"""Intervals of a list of pairs: against a list that is literally drawn, and against a known truth."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from lookup_encoder import LookupEncoder, numbered_faces, unit

from fedfr_edge.evaluation import metrics
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.compare import compare_lists
from fedfr_edge.evaluation.pairs import Pair, PairsResult, evaluate_pairs
from fedfr_edge.evaluation.pairs_intervals import DRAWN
from fedfr_edge.evaluation.tables import pairs_table

PEOPLE, IMAGES, FOLDS = 12, 3, 4


def some_pairs(generator: np.random.Generator, each: int) -> list[Pair]:
    """``each`` mated and as many non-mated pairs in every fold, of numbered images."""
    pairs = []
    for fold in range(FOLDS):
        for _ in range(each):
            person = int(generator.integers(PEOPLE))
            one, two = (person * IMAGES + generator.choice(IMAGES, 2, replace=False)).tolist()
            pairs.append(Pair(str(one), str(two), True, fold))
        for _ in range(each):
            left, right = generator.choice(PEOPLE, 2, replace=False).tolist()
            one, two = (IMAGES * who + int(generator.integers(IMAGES)) for who in (left, right))
            pairs.append(Pair(str(one), str(two), False, fold))
    return pairs


def evaluated(
    seed: int, *, each: int = 15, noise: float = 1.2, resampling: Resampling | None, name: str = "model"
) -> tuple[PairsResult, list[Pair], np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(PEOPLE), IMAGES)
    centres = generator.normal(size=(PEOPLE, 16))
    table = unit(centres[labels] + noise * generator.normal(size=(len(labels), 16)))
    pairs = some_pairs(generator, each)
    encoder = LookupEncoder(table, name)
    result = evaluate_pairs(
        encoder,
        numbered_faces(len(labels)),
        lambda image: int(image),
        pairs,
        fars=(0.1, 0.02),
        labels=labels,
        resampling=resampling,
    )
    return result, pairs, table


def test_replicates_are_those_of_literally_drawn_lists() -> None:
    result, pairs, table = evaluated(1, resampling=Resampling(7, 3))
    found = result.replicates
    assert found is not None
    present = sorted({int(name) // IMAGES for pair in pairs for name in (pair.first, pair.second)})
    assert found.people == len(present)
    ends = [
        table[[int(name) for name in names]]
        for names in zip(*((p.first, p.second) for p in pairs), strict=True)
    ]
    scores = np.einsum("ij,ij->i", *ends)  # the same last bits, on which a threshold may rest
    for replicate, weights in enumerate(Resampling(7, 3).weights(DRAWN, len(present))):
        times = {person: int(weight) for person, weight in zip(present, weights, strict=True)}
        drawn: list[tuple[float, bool, int]] = []
        for pair, score in zip(pairs, scores, strict=True):
            one, two = int(pair.first), int(pair.second)
            often = times[one // IMAGES] * (1 if pair.mated else times[two // IMAGES])
            drawn += [(float(score), pair.mated, pair.fold)] * often
        mated = np.array([score for score, same, _ in drawn if same])
        non_mated = np.array([score for score, same, _ in drawn if not same])
        for place, far in enumerate((0.1, 0.02)):
            wanted = metrics.tar_at_far(mated, non_mated, far).value
            assert found.rates[replicate, place] == pytest.approx(wanted, abs=1e-12)
            passing = np.mean([score >= result.rates[place].threshold for score in non_mated])
            assert found.far[replicate, place] == pytest.approx(passing, abs=1e-12)
        right = []
        for fold in range(FOLDS):
            others = [(score, same) for score, same, its in drawn if its != fold]
            own = [(score, same) for score, same, its in drawn if its == fold]
            cuts = sorted({score for score, _ in others})
            middles = [-2.0, *((a + b) / 2 for a, b in itertools.pairwise(cuts)), 2.0]
            _, cut = max(
                ((sum((score >= cut) == same for score, same in others), -cut) for cut in middles),
                key=lambda pair: pair,
            )
            right.append(np.mean([(score >= -cut) == same for score, same in own]))
        assert found.accuracy[replicate] == pytest.approx(np.mean(right), abs=1e-12)


def test_intervals_hold_the_figure_and_shrink_with_people_not_with_pairs() -> None:
    few, _, _ = evaluated(2, each=15, resampling=Resampling(100))
    many, _, _ = evaluated(2, each=150, resampling=Resampling(100))
    for result in (few, many):
        for value, interval in (
            (result.accuracy, result.accuracy_interval),
            (result.eer, result.eer_interval),
            *((rate.value, rate.interval) for rate in result.rates),
        ):
            assert interval is not None
            assert interval.low <= value <= interval.high
    assert many.accuracy_interval is not None
    width = many.accuracy_interval.high - many.accuracy_interval.low
    by_pair = 2 * 1.96 * math.sqrt(many.accuracy * (1 - many.accuracy) / (2 * FOLDS * 150))
    assert width > 1.3 * by_pair  # ten times the pairs of the same twelve people are not ten times the people


def test_without_labels_or_draws_there_are_none() -> None:
    result, _, _ = evaluated(3, resampling=None)
    assert result.replicates is None
    assert result.accuracy_interval is None
    assert result.to_dict()["eer_interval"] is None
    assert "95 %" not in pairs_table([result]).header


def test_two_models_are_compared_on_the_same_draws() -> None:
    good, _, _ = evaluated(4, noise=0.4, each=60, resampling=Resampling(100), name="good")
    bad, _, _ = evaluated(4, noise=3.0, each=60, resampling=Resampling(100), name="bad")
    (comparison,) = compare_lists([bad, good])
    verdicts = {one.measure: one.verdict for one in comparison.differences}
    assert verdicts["accuracy"] == "higher"
    assert verdicts["EER"] == "lower"
    (same,) = compare_lists([good, good])
    assert {one.verdict for one in same.differences} == {"no difference shown"}
    assert {one.value for one in same.differences} == {0.0}


def test_a_record_is_plain_json(tmp_path: Path) -> None:
    result, _, _ = evaluated(5, resampling=Resampling(20))
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert record["accuracy_interval"]["method"] in ("bootstrap", "rule of three")
    assert record["people"] == PEOPLE
    assert pairs_table([result]).header.count("95 %") == 1 + len(result.rates) + 1
