"""Streamed scores against everything held at once; both readings of 1:N against loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedfr_edge.evaluation import identification, metrics, tail, verification
from fedfr_edge.evaluation.identification import mean_templates, search_all
from fedfr_edge.evaluation.products import HostProducts
from fedfr_edge.evaluation.tail import ScoreTail, bin_counts
from fedfr_edge.evaluation.verification import (
    Comparisons,
    compare_all,
    cross_scores,
    pair_counts,
    sweep,
    sweep_within,
)


def grid_vectors(n: int, seed: int, d: int = 8) -> np.ndarray:
    """Vectors of small quarters: their products are exact in float32 in any order of summing, so
    equal means equal, and ties are plenty."""
    return (np.random.default_rng(seed).integers(-2, 3, (n, d)) / 4).astype(np.float32)


@given(
    st.lists(st.lists(st.integers(-20, 20), max_size=30), min_size=1, max_size=8),
    st.integers(1, 12),
)
def test_the_tail_keeps_the_largest(blocks: list[list[int]], keep: int) -> None:
    running = ScoreTail(keep)
    for block in blocks:
        running.add(np.array(block, np.float32) / 20)
    everything = np.sort(np.array([score for block in blocks for score in block], np.float32) / 20)[::-1]
    assert running.count == everything.size
    scores, places = running.top()
    assert np.array_equal(scores, everything[:keep])
    added = np.concatenate([np.array(block, np.float32) / np.float32(20) for block in blocks])
    assert np.array_equal(added[places], scores)
    assert abs(running.histogram(100).sum() - everything.size) <= 100  # the sample's share is rounded
    for rank in range(min(keep, everything.size)):
        threshold, passing = running.above_rank(rank)
        assert passing == np.count_nonzero(everything > everything[rank])
        assert passing == np.count_nonzero(everything >= np.float32(threshold))


@given(st.integers(20, 200), st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.1]), st.integers(0, 5))
def test_a_streamed_threshold_is_the_exact_one(n: int, far: float, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(-50, 50, n).astype(np.float32) / 50
    streamed = ScoreTail(metrics.allowed_false_accepts(n, far) + 1)
    for block in np.array_split(scores, 7):
        streamed.add(block)
    assert streamed.threshold(far) == metrics.far_threshold(scores, far)


def test_a_rank_that_was_dropped_is_an_error_not_a_guess() -> None:
    running = ScoreTail(3)
    running.add(np.linspace(0, 1, 100, dtype=np.float32))
    with pytest.raises(ValueError, match="only 3 were kept"):
        running.threshold(0.5)
    with pytest.raises(ValueError, match="found none"):
        ScoreTail(3).threshold(0.5)


def test_plot_thresholds_below_the_kept_part_come_from_the_sample() -> None:
    scores = np.random.default_rng(0).normal(0, 0.2, 20_000).clip(-1, 1).astype(np.float32)
    fars = np.array([0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 1.0])
    exact = np.array([metrics.far_threshold(scores, far)[0] for far in fars])
    for every, tolerance in ((1, 1e-4), (7, 0.02)):
        running = ScoreTail(100, every=every)
        for block in np.split(scores, [3, 4, 1000, 1012, 15_000]):
            running.add(block)
        found = running.plot_thresholds(fars)
        assert np.array_equal(found[[0, 1, 6]], exact[[0, 1, 6]])  # 20 false accepts: among the kept
        assert found == pytest.approx(exact, abs=tolerance)
        counts = running.histogram(50)
        assert counts.sum() == pytest.approx(scores.size, abs=50)
        assert np.abs(counts - bin_counts(scores, 50)).max() < 2 + 4 * every * math.sqrt(1000)
        entries = running.entries()
        assert 100 <= entries.exact <= 200
        rest = entries.scores.size - entries.exact
        assert entries.exact + entries.each * rest == pytest.approx(scores.size)
        assert np.array_equal(entries.scores[: entries.exact], np.sort(scores)[::-1][: entries.exact])
        assert np.array_equal(scores[entries.places], entries.scores)
        assert (np.diff(entries.scores) <= 0).all()
        # Every n-th of all, the same ones however they came in blocks.
        sampled = set(range(0, scores.size, every))
        assert {int(place) for place in entries.places[entries.exact :]} <= sampled


def test_a_floor_that_was_guessed_too_high_shows() -> None:
    scores = np.linspace(0, 1, 101, dtype=np.float32)
    for floor, complete in ((0.945, False), (0.885, True), (-math.inf, True)):
        running = ScoreTail(10, floor=floor)
        running.add(scores)
        assert running.complete is complete
    few = ScoreTail(10)
    few.add(scores[:3])
    assert few.complete


@given(st.integers(2, 10**9))
def test_the_sample_keeps_step_with_nothing(total: int) -> None:
    step = tail.sample_step(total)
    assert all(step % divisor for divisor in range(2, math.isqrt(step) + 1))
    assert total / step <= 2 * tail.SAMPLE


def test_bins_cover_the_ends() -> None:
    counts = bin_counts(np.array([-1.0001, -1.0, -0.97, 0.0, 0.999, 1.0, 1.0001], np.float32), 100)
    assert np.flatnonzero(counts).tolist() == [0, 1, 50, 99]
    assert counts[[0, 1, 50, 99]].tolist() == [2, 1, 1, 3]


def brute_pairs(vectors: np.ndarray, labels: np.ndarray) -> tuple[list[float], list[float]]:
    mated, non_mated = [], []
    for i, j in itertools.combinations(range(len(labels)), 2):
        (mated if labels[i] == labels[j] else non_mated).append(float(vectors[i] @ vectors[j]))
    return mated, non_mated


@pytest.mark.parametrize("tile", [1, 3, 7, 2048])
def test_pairs_in_blocks_are_all_pairs_once(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "TILE", tile)
    labels = np.array([3, 1, 3, 3, 2, 1, 7, 3, 1, 1, 2, 3, 3], dtype=np.int64)
    vectors = grid_vectors(len(labels), seed=1)
    mated, non_mated = brute_pairs(vectors, labels)
    assert sorted(verification.mated_scores(vectors, labels).tolist()) == sorted(mated)
    blocks = list(verification.non_mated_scores(vectors, labels))
    assert sorted(np.concatenate(blocks).tolist()) == sorted(non_mated)
    assert max(block.size for block in blocks) <= tile**2
    assert pair_counts(labels) == (len(mated), len(non_mated))
    keeps_all = ScoreTail(1000)
    sweep_within(keeps_all, HostProducts(tile), vectors, labels, column=100, width=1000)
    scores, places = keeps_all.top()
    assert sorted(scores.tolist()) == sorted(non_mated)
    i, j = np.divmod(places, 1000)
    assert np.array_equal(scores, np.einsum("nd,nd->n", vectors[i], vectors[j - 100]))
    assert (labels[i] != labels[j - 100]).all()
    assert len(set(places.tolist())) == len(non_mated)
    left, right = vectors[:5], vectors[5:]
    keeps_all = ScoreTail(1000)
    sweep(keeps_all, HostProducts(tile), left, right, column=0, width=8)
    scores, places = keeps_all.top()
    assert np.array_equal(scores, (left @ right.T).reshape(-1)[places])
    assert sorted(places.tolist()) == list(range(40))
    crossed = np.concatenate([block.ravel() for block in cross_scores(left, right)])
    assert sorted(crossed.tolist()) == sorted(float(a @ b) for a in left for b in right)


@pytest.mark.parametrize("every", [0, 1, 7])
def test_two_blocks_at_a_time_give_what_one_gives(every: int) -> None:
    """Also where the sample's place in a block follows from blocks that are still being made."""
    generator = np.random.default_rng(5)
    left, right = grid_vectors(23, seed=5), grid_vectors(31, seed=6)
    labels = generator.integers(0, 4, 31)
    found = []
    for workers in (1, 2):
        products = HostProducts(5)
        products.workers = workers
        tail = ScoreTail(40, floor=0.2, every=every, places=31 * 60)
        sweep(tail, products, products.put(left), products.put(right), column=0, width=60)
        sweep_within(tail, products, products.put(right), labels, column=29, width=60)
        known = tail.entries()
        found.append((tail.count, *tail.top(), known.scores, known.places, known.exact, known.each))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("guessed", [None, 0.0, 99.0])
@pytest.mark.parametrize("far", [0.5, 0.1, 0.01, 0.001])
def test_streamed_rates_equal_in_memory_rates(
    far: float, guessed: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the floor is guessed so high that a second sweep is needed."""
    if guessed is not None:
        monkeypatch.setattr(verification, "guess_floor", lambda *_: guessed)
    monkeypatch.setattr(verification, "TILE", 16)
    monkeypatch.setattr(tail, "KEEP_AT_LEAST", 1)
    labels = np.arange(90, dtype=np.int64) // 6
    vectors = grid_vectors(90, seed=2)
    streamed = compare_all(vectors, labels, (far,))
    assert streamed.rate(far) == metrics.tar_at_far(
        *(np.float32(s) for s in brute_pairs(vectors, labels)), far
    )


def test_no_images_no_pairs() -> None:
    empty = np.zeros((0, 4), np.float32)
    assert verification.mated_scores(empty, np.zeros(0, np.int64)).size == 0
    assert pair_counts(np.zeros(0, np.int64)) == (0, 0)


def test_curve_is_nan_where_it_would_need_less_than_one_false_accept() -> None:
    running = ScoreTail(10)
    running.add(np.linspace(0, 0.9, 10, dtype=np.float32))
    curve = Comparisons(np.array([0.95, 0.5], np.float32), running).tar_curve(np.array([0.01, 0.1, 1.0]))
    assert math.isnan(curve[0])
    assert curve[1:].tolist() == [0.5, 1.0]


def test_templates_are_means() -> None:
    faces = np.array([[1, 0], [0, 1], [0, -1], [0, 1]], np.float32)
    labels = np.array([5, 5, 2, 2], np.int64)
    plain, people = mean_templates(faces, labels, renormalise=False)
    assert people.tolist() == [2, 5]
    assert plain.tolist() == [[0, 0], [0.5, 0.5]]
    unit, _ = mean_templates(faces, labels, renormalise=True)
    assert unit[0].tolist() == [0, 0]  # opposite faces cancel: matches nobody, is not NaN
    assert unit[1] == pytest.approx([math.sqrt(0.5)] * 2)


# Two people enrolled, along x and along y; scores can be read off the coordinates.
TEMPLATES = np.eye(2, dtype=np.float32)
PEOPLE = np.array([10, 20], np.int64)
MATED = np.array([[0.9, 0.1], [0.6, 0.7], [0.5, 0.5], [0.2, 0.8]], np.float32)
MATED_LABELS = np.array([10, 10, 20, 20], np.int64)
STRANGERS = np.array([[0.65, 0.0], [0.0, 0.3], [0.4, 0.45], [0.1, 0.1]], np.float32)


def test_standard_reading_by_hand() -> None:
    found = search_all(TEMPLATES, PEOPLE, MATED, MATED_LABELS, STRANGERS, reference_fpirs=(0.25, 0.5))
    # Best scores of strangers: 0.65, 0.3, 0.45, 0.1. Mates: 0.9, 0.6, 0.5, 0.8.
    # Ranked first: 0.9 > 0.1 yes; 0.6 < 0.7 no; 0.5 = 0.5 a tie, no; 0.8 > 0.2 yes.
    assert found.rank_one.tolist() == [True, False, False, True]
    assert found.rank_one_rate == 0.5
    quarter = found.standard_rate(0.25)  # one stranger of four may pass: threshold just above 0.45
    assert (quarter.value, quarter.trials) == (0.5, 4)
    assert (quarter.false_accepts, quarter.non_mated) == (1, 4)
    assert quarter.threshold == np.nextafter(np.float32(0.45), np.float32(1))
    none = found.standard_rate(0.1)
    assert none.false_accepts == 0
    assert none.threshold == np.nextafter(np.float32(0.65), np.float32(1))


def test_reference_reading_by_hand() -> None:
    found = search_all(TEMPLATES, PEOPLE, MATED, MATED_LABELS, STRANGERS, reference_fpirs=(0.125, 0.25, 0.5))
    # Non-genuine: 0.1, 0.7, 0.5, 0.2 of mated probes; 0.65 0, 0 0.3, 0.4 0.45, 0.1 0.1 of strangers.
    # Eight probes: at 0.125 the first largest (0.7), at 0.25 the second (0.65), at 0.5 the fourth (0.45).
    assert found.non_genuine.count == 12
    first = found.reference_rate(0.125)
    assert (first.value, first.false_accepts, first.non_mated) == (0.5, 0, 8)
    second = found.reference_rate(0.25)
    assert (second.value, second.false_accepts) == (0.5, 1)
    fourth = found.reference_rate(0.5)  # mates above 0.45: all four, no matter who ranks first
    assert (fourth.value, fourth.false_accepts) == (1.0, 3)
    assert found.standard_rate(0.5).value == 0.5


def test_a_mate_at_the_threshold_is_found() -> None:
    at = np.nextafter(np.float32(0.5), np.float32(1))  # the threshold above a stranger's 0.5
    probe = np.array([[at, 0.0]], np.float32)
    stranger = np.array([[0.5, 0.0]], np.float32)
    found = search_all(TEMPLATES, PEOPLE, probe, PEOPLE[:1], stranger, reference_fpirs=(0.1,))
    assert (found.standard_rate(0.1).threshold, found.standard_rate(0.1).value) == (at, 1.0)
    assert found.reference_rate(0.1).value == 1.0


def test_a_gallery_of_one_has_no_other() -> None:
    found = search_all(
        TEMPLATES[:1], PEOPLE[:1], MATED[:2], MATED_LABELS[:2], STRANGERS, reference_fpirs=(0.25,)
    )
    assert found.rank_one.all()
    assert found.non_genuine.count == 4


def test_a_probe_without_template_is_refused() -> None:
    with pytest.raises(ValueError, match="the first is 20"):
        search_all(TEMPLATES[:1], PEOPLE[:1], MATED, MATED_LABELS, STRANGERS)


def standard_by_loop(scores: np.ndarray, own: np.ndarray, strangers: np.ndarray, fpir: float) -> float:
    """Greatest TPIR over all thresholds that keep FPIR, straight from the definition."""
    best = 0.0
    for threshold in [*scores.ravel(), *strangers.ravel(), math.inf]:
        passing = sum(max(row) >= threshold for row in strangers)
        if passing / len(strangers) > fpir:
            continue
        hits = 0
        for row, mate in zip(scores, own, strict=True):
            others = [score for column, score in enumerate(row) if column != mate]
            hits += bool(row[mate] >= threshold and all(row[mate] > other for other in others))
        best = max(best, hits / len(scores))
    return best


def reference_by_loop(scores: np.ndarray, own: np.ndarray, strangers: np.ndarray, fpir: float) -> float:
    others = [s for row, mate in zip(scores, own, strict=True) for c, s in enumerate(row) if c != mate]
    ranked = sorted([*others, *strangers.ravel()], reverse=True)
    threshold = ranked[math.ceil((len(scores) + len(strangers)) * fpir) - 1]
    return sum(row[mate] > threshold for row, mate in zip(scores, own, strict=True)) / len(scores)


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99), st.integers(1, 5))
def test_both_readings_against_loops(
    people: int, mated: int, strangers: int, seed: int, at_once: int
) -> None:
    generator = np.random.default_rng(seed)
    templates, probes = grid_vectors(people, seed, 4), grid_vectors(mated, seed + 1, 4)
    others = grid_vectors(strangers, seed + 2, 4)
    own = generator.integers(0, people, mated)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identification, "PROBES_AT_ONCE", at_once)
        found = search_all(templates, np.arange(people), probes, own, others, reference_fpirs=(0.1, 0.4))
    for fpir in (0.1, 0.4):
        scores, stranger_scores = probes @ templates.T, others @ templates.T
        assert found.standard_rate(fpir).value == standard_by_loop(scores, own, stranger_scores, fpir)
        assert found.reference_rate(fpir).value == reference_by_loop(scores, own, stranger_scores, fpir)
