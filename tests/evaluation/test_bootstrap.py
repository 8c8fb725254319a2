"""The bootstrap by identity against a loop that literally draws people, and its coverage of a known truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedfr_edge.evaluation import bootstrap, metrics, tail
from fedfr_edge.evaluation.bootstrap import (
    People,
    Resampling,
    WeightedTrials,
    accepted_by_person,
    band_of,
    interval_of,
    non_mated_weight,
    weight_within,
    weighted_shares,
)
from fedfr_edge.evaluation.outcome import PLOT_FMRS, PLOT_FPIRS
from fedfr_edge.evaluation.personalised import ClientEmbeddings, evaluate_client

FARS, FPIRS = (0.3, 0.1, 0.02), (0.4, 0.1)


def quarters(draw: np.random.Generator, labels: np.ndarray, d: int = 6) -> np.ndarray:
    """Vectors of small quarters near their person's: exact products, plenty of ties."""
    centres = draw.integers(-2, 3, (labels.max() + 1, d))
    return ((centres[labels] + draw.integers(-1, 2, (len(labels), d))) / 4).astype(np.float32)


def household(seed: int, local: int = 4, strangers: int = 6) -> tuple[ClientEmbeddings, People]:
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(local + strangers), draw.integers(1, 4, local + strangers))
    faces = quarters(draw, labels)
    gallery_labels = np.repeat(np.arange(local), 2)
    gallery = quarters(draw, gallery_labels)
    own = labels < local
    embeddings = ClientEmbeddings(gallery, gallery_labels, faces[own], labels[own], faces[~own], labels[~own])
    resampling = Resampling(30, seed)
    return embeddings, People(resampling.weights("own", local), resampling.weights("theirs", strangers))


def drawn_rates(reading: str, of: ClientEmbeddings, own: np.ndarray, theirs: np.ndarray):  # type: ignore[no-untyped-def]
    """TAR, TPIR and rank one with people drawn: a person drawn twice is there as two, who never meet."""
    # (images, original label, copy) of everybody drawn
    local = [(k, c) for k in range(len(own)) for c in range(int(own[k]))]
    strangers = [(s, c) for s in range(len(theirs)) for c in range(int(theirs[s]))]
    stranger_labels = np.unique(of.others_labels)
    mated, non_mated = [], []
    for k, _ in local:
        faces = of.local[of.local_labels == k]
        mated += [float(a @ b) for a, b in itertools.combinations(faces, 2)]
    if reading != "paper":
        for (k, _), (m, _) in itertools.combinations(local, 2):
            if k != m:
                non_mated += (
                    (of.local[of.local_labels == k] @ of.local[of.local_labels == m].T).ravel().tolist()
                )
    for (k, _), (s, _) in itertools.product(local, strangers):
        faces = of.others[of.others_labels == stranger_labels[s]]
        non_mated += (of.local[of.local_labels == k] @ faces.T).ravel().tolist()
    tar = [metrics.tar_at_far(np.float32(mated), np.float32(non_mated), far).value for far in FARS]

    # 1:N: the whole gallery stays; a stranger's probe counts for each copy of its best template's person.
    sums = np.stack(
        [of.gallery[of.gallery_labels == k].astype(np.float64).mean(axis=0) for k in range(len(own))]
    )
    if reading != "reference":
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    templates = sums.astype(np.float32)
    mates, first = [], []
    alarms = []
    probes = 0
    for k, _ in local:
        for face in of.local[of.local_labels == k]:
            scores = templates @ face
            mates.append(scores[k])
            first.append(scores[k] > np.delete(scores, k).max())
            probes += 1
            for m, _ in local:
                if m != k and reading == "reference":
                    alarms.append(scores[m])
    for s, _ in strangers:
        for face in of.others[of.others_labels == stranger_labels[s]]:
            scores = templates @ face
            probes += 1
            if reading == "reference":
                alarms += [scores[m] for m, _ in local]
            else:
                alarms += [scores.max()] * int(own[scores.argmax()])
    mates_, first_ = np.float32(mates), np.array(first)
    tpir = []
    for fpir in FPIRS:
        ordered = sorted(alarms, reverse=True)
        if reading == "reference":
            k = math.ceil(probes * fpir) - 1
            passing = mates_ > ordered[k] if k < len(ordered) else np.ones(len(mates_), bool)
        else:
            strangers_drawn = sum(int((of.others_labels == stranger_labels[s]).sum()) for s, _ in strangers)
            k = metrics.allowed_false_accepts(strangers_drawn, fpir)
            passing = first_ & (mates_ > ordered[k]) if k < len(ordered) else first_
        tpir.append(np.mean(passing))
    return tar, tpir, np.mean(first_)


@pytest.mark.parametrize("reading", ["standard", "paper", "reference"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("sparse", [True, False])
def test_replicates_are_those_of_literally_drawn_people(
    reading: str, seed: int, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_CELLS_PER_SCORE", 0 if sparse else 10**9)
    embeddings, people = household(seed)
    (result,) = evaluate_client("c", embeddings, readings=(reading,), fars=FARS, fpirs=FPIRS, drawn=people)
    assert result.replicates is not None
    checked = 0
    for r in range(30):
        own, theirs = people.left[r], people.right[r]
        pairs = np.bincount(embeddings.local_labels, minlength=4)
        if not (own * pairs * (pairs - 1)).sum():
            assert np.isnan(result.replicates.tar[r]).all()
            continue
        tar, tpir, first = drawn_rates(reading, embeddings, own, theirs)
        assert result.replicates.tar[r] == pytest.approx(tar)
        assert result.replicates.tpir[r] == pytest.approx(tpir)
        assert result.replicates.rank_one[r] == pytest.approx(first)
        checked += 1
    assert checked > 15
    for rate, column in zip(result.verification, result.replicates.tar.T, strict=True):
        assert rate.interval == interval_of(rate.value, column, result.people)


def test_weights_of_one_give_the_rates_themselves() -> None:
    embeddings, people = household(3)
    ones = People(np.ones_like(people.left), np.ones_like(people.right))
    for reading in ("standard", "paper", "reference"):
        (result,) = evaluate_client("c", embeddings, readings=(reading,), fars=FARS, fpirs=FPIRS, drawn=ones)
        found = result.replicates
        assert found is not None
        if reading != "reference":  # whose own 1:1 rate comes from a histogram
            assert found.tar[0] == pytest.approx([rate.value for rate in result.verification])
        assert found.tpir[0] == pytest.approx([rate.value for rate in result.identification])
        assert found.rank_one[0] == pytest.approx(result.rank_one)
        # Bands take straight lines within a range of ranks; with ranges of one score they are exact.
        known = ~np.isnan(result.tar_curve) & (PLOT_FMRS < 0.05)
        assert found.tar_curve[0][known] == pytest.approx(result.tar_curve[known], abs=0.1)
        known = ~np.isnan(result.tpir_curve) & (PLOT_FPIRS < 0.5)
        assert found.tpir_curve[0][known] == pytest.approx(result.tpir_curve[known], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_weighted_thresholds_against_sorting(seed: int, n: int, k: int, s: int, sparse: bool) -> None:
    draw = np.random.default_rng(seed)
    scores = np.sort(draw.integers(-20, 20, n).astype(np.float32) / 20)[::-1]
    left, right = draw.integers(0, k, n), draw.integers(0, s, n)
    people = People(draw.integers(0, 3, (4, k)).astype(float), draw.integers(0, 3, (4, s)).astype(float))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "_CELLS_PER_SCORE", 0 if sparse else 10**9)
        weighted = WeightedTrials(scores, left, right, people)
        total = (people.left[:, left] * people.right[:, right]).sum(axis=1)
        allowed = bootstrap.allowed_weight(total, (0.0, 0.1, 0.5, 1.0))
        found = weighted.thresholds(allowed)
        at = float(scores[n // 2])
        passing = weighted.accepted(at)
    for r in range(4):
        each = people.left[r, left] * people.right[r, right]
        drawn = np.repeat(scores, each.astype(int))
        assert passing[r] == np.count_nonzero(drawn >= at)
        for place, far in enumerate((0.0, 0.1, 0.5, 1.0)):
            expected = metrics.far_threshold(drawn, far)[0] if drawn.size else -math.inf
            assert found[r, place] == expected


def test_a_sample_stands_for_what_lies_below() -> None:
    """The same thresholds within the sample's error where not all scores are kept."""
    draw = np.random.default_rng(5)
    n, k, s = 400_000, 8, 30
    left, right = draw.integers(0, k, n), draw.integers(0, s, n)
    scores = (draw.normal(0, 0.2, n) + draw.normal(0, 0.1, k)[left] + draw.normal(0, 0.1, s)[right]).astype(
        np.float32
    )
    people = People(Resampling(20, 1).weights("a", k), Resampling(20, 1).weights("b", s))
    total = (people.left[:, left] * people.right[:, right]).sum(axis=1)
    allowed = bootstrap.allowed_weight(total, (0.2, 0.02))
    order = np.argsort(-scores, kind="stable")
    exact = WeightedTrials(scores[order], left[order], right[order], people)
    running = tail.ScoreTail(8_000, every=11)
    for block in np.array_split(scores, 13):
        running.add(block)
    entries = running.entries()
    sampled = WeightedTrials(
        entries.scores,
        left[entries.places],
        right[entries.places],
        people,
        exact=entries.exact,
        each=entries.each,
    )
    assert sampled.thresholds(allowed) == pytest.approx(exact.thresholds(allowed), abs=0.01)
    assert sampled.rough_thresholds(allowed) == pytest.approx(exact.thresholds(allowed), abs=0.02)


def test_draws_are_of_the_seed_and_the_client() -> None:
    one = Resampling(50, 7)
    weights = one.weights("client-00", 9)
    assert weights.shape == (50, 9)
    assert (weights.sum(axis=1) == 9).all()
    assert np.array_equal(weights, Resampling(50, 7).weights("client-00", 9))
    assert not np.array_equal(weights, one.weights("client-01", 9))
    assert not np.array_equal(weights, Resampling(50, 8).weights("client-00", 9))
    assert abs(one.weights("client-00", 400).mean() - 1) < 1e-12


def test_the_rule_of_three_where_no_error_was_seen() -> None:
    perfect = interval_of(1.0, np.ones(50), 60)
    assert perfect == metrics.Interval(1 - 3 / 60, 1.0, "rule of three")
    assert interval_of(0.0, np.zeros(50), 60) == metrics.Interval(0.0, 3 / 60, "rule of three")
    assert interval_of(1.0, np.ones(50), 2) == metrics.Interval(0.0, 1.0, "rule of three")
    assert interval_of(0.5, np.full(50, 0.5), 1) is None  # one person tells nothing of people
    assert interval_of(math.nan, np.ones(50), 9) is None
    assert interval_of(0.5, np.full(50, math.nan), 9) is None
    # With no person of n in error, a share above 3/n would show none with less than 5 %.
    assert (1 - 3 / 60) ** 60 < 0.05


def test_bands_know_nothing_where_no_replicate_does() -> None:
    band = band_of(np.array([[0.1, math.nan, math.nan], [0.3, 0.5, math.nan]]))
    assert band[:, 0] == pytest.approx([0.105, 0.295])
    assert band[:, 1].tolist() == [0.5, 0.5]
    assert np.isnan(band[:, 2]).all()


def simulated(draw: np.random.Generator, local: int, strangers: int, images: int):  # type: ignore[no-untyped-def]
    """Scores of a model with people who are easy or hard, and pairs of people who are alike."""
    ease = draw.normal(0, 0.6, local)
    mated = (1.8 + ease[:, None] + draw.normal(0, 0.7, (local, images))).astype(np.float32)
    lamb, wolf = draw.normal(0, 0.35, local), draw.normal(0, 0.35, strangers)
    alike = lamb[:, None, None] + wolf[None, :, None] + draw.normal(0, 0.5, (local, strangers, 1))
    non_mated = (alike + draw.normal(0, 0.7, (local, strangers, images))).astype(np.float32)
    return mated, non_mated


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """TAR at a FAR of a model whose true value is known; the bootstrap by pair holds it far less often."""
    local, strangers, images, far, runs = 40, 60, 6, 0.02, 200
    spread = math.sqrt(2 * 0.35**2 + 0.5**2 + 0.7**2)
    limit = spread * 2.0537489  # the normal distribution's 98 % quantile
    truth = 1 - 0.5 * math.erfc(-(limit - 1.8) / math.sqrt(0.6**2 + 0.7**2) / math.sqrt(2))
    draw = np.random.default_rng(11)
    held = by_pair = 0
    for run in range(runs):
        mated, non_mated = simulated(draw, local, strangers, images)
        left, right, _ = np.indices(non_mated.shape)
        order = np.argsort(-non_mated.ravel(), kind="stable")
        resampling = Resampling(100, run)
        people = People(resampling.weights("a", local), resampling.weights("b", strangers))
        weighted = WeightedTrials(non_mated.ravel()[order], left.ravel()[order], right.ravel()[order], people)
        each = np.full(local, float(images))
        total = non_mated_weight(people.left, each, people.right, np.ones(strangers))
        thresholds = weighted.thresholds(bootstrap.allowed_weight(total, (far,)))
        accepted = accepted_by_person(mated.ravel(), np.repeat(np.arange(local), images), local, thresholds)
        shares = weighted_shares(accepted, each, people.left)[:, 0]
        value = metrics.tar_at_far(mated, non_mated, far).value
        interval = interval_of(value, shares, local)
        assert interval is not None
        held += interval.low <= truth <= interval.high
        half = 1.96 * math.sqrt(value * (1 - value) / mated.size)
        by_pair += value - half <= truth <= value + half
    assert 0.90 <= held / runs <= 0.99
    assert by_pair / runs < held / runs - 0.1


def test_searches_need_the_weight_of_the_person_taken_for_a_stranger_too() -> None:
    """TPIR at an FPIR: with strangers' weights alone the intervals come out too narrow."""
    local, strangers, images, fpir, runs = 30, 60, 4, 0.1, 150
    draw = np.random.default_rng(5)
    values, intervals = [], []
    for run in range(runs):
        mated, non_mated = simulated(draw, local, strangers, images)
        best, person = non_mated.max(axis=0).ravel(), non_mated.argmax(axis=0).ravel()
        order = np.argsort(-best, kind="stable")
        stranger = np.repeat(np.arange(strangers), images)
        resampling = Resampling(100, run)
        own, theirs = resampling.weights("a", local), resampling.weights("b", strangers)
        values.append(metrics.tar_at_far(mated, best, fpir).value)
        for left in (own, np.ones_like(own)):
            weighted = WeightedTrials(best[order], person[order], stranger[order], People(left, theirs))
            allowed = bootstrap.allowed_weight(theirs.sum(axis=1) * images, (fpir,))
            who = np.repeat(np.arange(local), images)
            accepted = accepted_by_person(mated.ravel(), who, local, weighted.thresholds(allowed))
            shares = weighted_shares(accepted, np.full(local, float(images)), own)[:, 0]
            intervals.append(interval_of(values[-1], shares, local))
    truth = np.mean(values)  # no closed form; the mean of all runs is near enough
    held = np.array([one.low <= truth <= one.high for one in intervals if one]).reshape(runs, 2).mean(axis=0)
    assert 0.90 <= held[0] <= 0.99
    assert held[1] < held[0] - 0.02


def test_pairs_within_a_client_weigh_both() -> None:
    weights, images = np.array([[2.0, 1.0, 0.0]]), np.array([3.0, 4.0, 9.0])
    assert weight_within(weights, images).tolist() == [2 * 3 * 4]
