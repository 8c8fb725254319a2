"""Rates of enrolments against plain loops, and drawings of images that keep right and wrong apart."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fedfr_edge.apps.enrolment_trials import NEW, NOBODY, TRAINED, UNSEEN, Images, images_of, run_trials
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.enrolment import TemplateTrials, enrolment_rates
from fedfr_edge.recognition.enrol_policy import EnrolPolicy

MODEL = "a" * 64
FARS = (0.2, 0.05)


def some_trials(seed: int, enrolled: int = 4, strangers: int = 5, threshold: float = 0.5) -> TemplateTrials:
    rng = np.random.default_rng(seed)
    resampling = Resampling(25, seed)
    template, stranger = np.divmod(np.arange(enrolled * strangers).repeat(3), strangers)
    scores = (rng.integers(-8, 9, len(template)) / 8).astype(np.float32)
    mated_person = np.arange(enrolled).repeat(4)
    return TemplateTrials(
        (rng.integers(-2, 13, len(mated_person)) / 8).astype(np.float32),
        mated_person,
        scores,
        template,
        stranger,
        rng.random(len(scores)) < 0.2,
        resampling.weights("own", enrolled),
        resampling.weights("others", strangers),
        threshold,
    )


def plain(trials: TemplateTrials, own: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """All rates with people counted as often as the weights say, trial by trial."""
    mated = [(float(s), int(own[k])) for s, k in zip(trials.mated, trials.mated_person, strict=True)]
    non_mated = [
        (float(s), int(own[i] * theirs[j]), bool(p))
        for s, i, j, p in zip(trials.non_mated, trials.template, trials.stranger, trials.planted, strict=True)
    ]
    total = sum(w for _, w, _ in non_mated)
    found = {}
    for far in FARS:
        thresholds = [-math.inf, *sorted({s for s, _, _ in non_mated}), math.inf]
        # The lowest threshold at or below the rate: just above one of the scores.
        passing = [t for t in thresholds if sum(w for s, w, _ in non_mated if s > t) <= far * total + 1e-9]
        least = min(passing)
        found[f"tar@{far}"] = sum(w for s, w in mated if s > least) / sum(w for _, w in mated)
    found["tar"] = sum(w for s, w in mated if s >= trials.threshold) / sum(w for _, w in mated)
    found["fmr"] = sum(w for s, w, _ in non_mated if s >= trials.threshold) / total
    wrong = [(s, w) for s, w, p in non_mated if p]
    weight = sum(w for _, w in wrong)
    found["planted"] = sum(w for s, w in wrong if s >= trials.threshold) / weight if weight else math.nan
    return found


def test_rates_and_intervals_are_those_of_a_plain_loop() -> None:
    models = [some_trials(seed) for seed in (1, 2)]
    rates = enrolment_rates(models, FARS, 9)
    found = {f"tar@{far}": share for far, share in rates.tar_at.items()}
    found |= {"tar": rates.tar, "fmr": rates.fmr, "planted": rates.planted}
    once = [plain(trials, np.ones(4), np.ones(5)) for trials in models]
    drawn = [
        [plain(trials, own, theirs) for own, theirs in zip(trials.enrolled, trials.strangers, strict=True)]
        for trials in models
    ]
    for name, share in found.items():
        assert share.value == pytest.approx(np.mean([each[name] for each in once])), name
        means = np.array([[each[name] for each in model] for model in drawn]).mean(axis=0)
        means = means[~np.isnan(means)]
        low, high = np.quantile(means, [0.025, 0.975])
        assert share.interval is not None
        assert share.interval.low == pytest.approx(min(low, share.value), abs=1e-9), name
        assert share.interval.high == pytest.approx(max(high, share.value), abs=1e-9), name
    assert rates.tar.trials == 32
    assert rates.fmr.trials == 120
    assert rates.fmr.accepted == sum(int((each.non_mated >= 0.5).sum()) for each in models)


def test_without_a_threshold_there_are_fitted_rates_only() -> None:
    rates = enrolment_rates([some_trials(1, threshold=math.nan)], FARS, 9)
    assert math.isnan(rates.tar.value)
    assert math.isnan(rates.fmr.value)
    assert rates.tar.trials == rates.fmr.trials == rates.planted.trials == 0
    assert not math.isnan(rates.tar_at[0.2].value)
    assert rates.to_dict()["tar"]["value"] is None


def test_rates_that_the_trials_cannot_carry_say_so() -> None:
    rates = enrolment_rates([some_trials(1)], (0.2, 1e-3), 9)  # 60 non-mated trials
    assert rates.tar_at[0.2].carried
    assert not rates.tar_at[1e-3].carried
    assert rates.tar_at[1e-3].least_false_accepts == 0


@pytest.fixture
def images() -> Images:
    """Two clients with 2 and 3 people, and 2 people of nobody, 9 images each."""
    return Images(np.arange(7).repeat(9), ("a", "a", "b", "b", "b", NOBODY, NOBODY))


def test_people_get_numbers_client_by_client() -> None:
    labels = np.array([5, 5, 2, 9, 9, 7])
    images, rows = images_of({"b": np.array([3, 4, 5]), "a": np.array([0, 1, 2])}, labels)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert images.client == ("a", "a", "b", "b")
    assert images.person.tolist() == [1, 1, 0, 3, 3, 2]


def test_drawings_keep_probes_apart_and_wrong_images_strange(images: Images) -> None:
    draws = list(images.draws(5, 4, 2, "b", 0))
    assert len(draws) == 5
    for draw in draws:
        for person in range(7):
            own = set(np.flatnonzero(images.person == person).tolist())
            assert set(draw.enrolled[person].tolist()) | set(draw.probes[person].tolist()) == own
            assert len(draw.enrolled[person]) == 4
            whose = draw.planted_person[person].tolist()
            assert len(set(whose)) == 2
            assert person not in whose
            assert all(images.client[other] != "b" for other in whose)
            for row, other in zip(draw.planted[person], whose, strict=True):
                assert row in draw.enrolled[other]  # so it is no probe
    again = list(images.draws(5, 4, 2, "b", 0))
    assert all(np.array_equal(a.enrolled, b.enrolled) for a, b in zip(draws, again, strict=True))
    assert not np.array_equal(draws[0].enrolled, draws[1].enrolled)


def test_a_person_is_drawn_as_often_whoever_asks(images: Images) -> None:
    resampling = Resampling(20, 3)
    everybody = images.weights(list(range(7)), resampling)
    assert np.array_equal(images.weights([4, 0], resampling), everybody[:, [4, 0]])
    assert np.array_equal(everybody[:, 2:5], resampling.weights("b", 3))


@pytest.mark.parametrize("group", [TRAINED, NEW, UNSEEN])
@pytest.mark.parametrize("combine", ["mean", "all"])
def test_trials_are_all_comparisons_and_no_others(images: Images, group: str, combine: str) -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(63, 16)) + 3 * rng.normal(size=(7, 16)).repeat(9, axis=0)
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    draws = list(images.draws(2, 4, 1, "b", 0))
    trials, counted = run_trials(
        embeddings,
        images,
        draws,
        home="b",
        group=group,
        policy=EnrolPolicy(combine=combine, repeat=1.0),  # type: ignore[arg-type]
        model_digest=MODEL,
        threshold=0.5,
        resampling=Resampling(5, 0),
    )
    strangers = [0, 1, 5, 6]
    enrolled = {TRAINED: [2, 3, 4], NEW: [0, 1], UNSEEN: [5, 6]}[group]
    expected_mated, expected = [], []
    for draw, person in itertools.product(draws, enrolled):
        rows = embeddings[[*draw.enrolled[person], *draw.planted[person]]].astype(np.float64)
        mean = rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0))

        def score(probe: int, rows: np.ndarray = rows, mean: np.ndarray = mean) -> float:
            against = rows if combine == "all" else mean[None]
            return max(float(row @ embeddings[probe]) for row in against)

        expected_mated += [(enrolled.index(person), score(probe)) for probe in draw.probes[person]]
        expected += [
            (
                enrolled.index(person),
                strangers.index(other),
                other in draw.planted_person[person],
                score(probe),
            )
            for other in strangers
            if other != person
            for probe in draw.probes[other]
        ]
    assert trials.mated_person.tolist() == [person for person, _ in expected_mated]
    assert trials.mated == pytest.approx([found for _, found in expected_mated], abs=1e-5)
    found = list(zip(trials.template, trials.stranger, trials.planted, strict=True))
    assert found == [each[:3] for each in expected]
    assert trials.non_mated == pytest.approx([each[3] for each in expected], abs=1e-5)
    assert (counted.right, counted.wrong, counted.right_dropped) == (8 * len(enrolled), 2 * len(enrolled), 0)


def test_what_is_left_out_is_counted_by_right_and_wrong(images: Images) -> None:
    rng = np.random.default_rng(0)
    embeddings = 0.5 * rng.normal(size=(63, 64)) + 3 * rng.normal(size=(7, 64)).repeat(9, axis=0)
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    _, counted = run_trials(
        embeddings,
        images,
        list(images.draws(3, 4, 1, "b", 0)),
        home="b",
        group=TRAINED,
        policy=EnrolPolicy(outlier=0.5, repeat=1.0),
        model_digest=MODEL,
        threshold=0.5,
        resampling=Resampling(5, 0),
    )
    assert (counted.right, counted.right_dropped) == (36, 0)
    assert (counted.wrong, counted.wrong_dropped) == (9, 9)
