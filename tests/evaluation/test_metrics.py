"""Rates and curves against plain loops and hand-counted cases."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedfr_edge.evaluation import metrics

# A coarse grid, so that ties are common, and a fine float32 range.
SCORES = st.one_of(
    st.lists(st.integers(-4, 4).map(lambda i: i / 4), min_size=1, max_size=40),
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40),
)
FARS = st.one_of(st.sampled_from([0.0, 0.01, 0.1, 0.29, 0.5, 1.0]), st.floats(0, 1))


def best_tar_by_loop(mated: list[float], non_mated: list[float], far: float) -> float:
    """Greatest TAR over every threshold that could matter, by counting."""
    best = 0.0
    for threshold in [*mated, *non_mated, math.inf]:
        accepted = sum(score >= threshold for score in non_mated)
        if accepted / len(non_mated) <= far:
            best = max(best, sum(score >= threshold for score in mated) / len(mated))
    return best


@given(SCORES, SCORES, FARS)
def test_tar_at_far_is_the_best_over_all_thresholds(
    mated: list[float], non_mated: list[float], far: float
) -> None:
    rate = metrics.tar_at_far(np.array(mated, np.float32), np.array(non_mated, np.float32), far)
    assert rate.value == best_tar_by_loop(mated, non_mated, far)
    assert rate.false_accepts == sum(score >= rate.threshold for score in non_mated)
    assert rate.false_accepts / len(non_mated) <= far
    assert (rate.trials, rate.non_mated) == (len(mated), len(non_mated))


@given(SCORES, FARS)
def test_no_lower_threshold_would_do(non_mated: list[float], far: float) -> None:
    scores = np.array(non_mated, np.float32)
    threshold, _ = metrics.far_threshold(scores, far)
    if threshold > -math.inf:
        below = np.nextafter(np.float32(threshold), np.float32(-np.inf))
        assert np.count_nonzero(scores >= below) / scores.size > far


def test_tar_at_far_by_hand() -> None:
    non_mated = [0.9, 0.8, 0.8, 0.7, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]
    mated = [0.95, 0.85, 0.8, 0.75]
    none = metrics.tar_at_far(mated, non_mated, 0.05)  # less than one of ten: above the maximum
    assert (none.value, none.false_accepts) == (0.25, 0)
    assert none.threshold == np.nextafter(0.9, 1)
    one = metrics.tar_at_far(mated, non_mated, 0.1)
    assert (one.value, one.false_accepts) == (0.5, 1)
    two = metrics.tar_at_far(mated, non_mated, 0.2)  # 0.8 is tied: both or neither
    assert (two.value, two.false_accepts) == (0.5, 1)
    three = metrics.tar_at_far(mated, non_mated, 0.3)
    assert (three.value, three.false_accepts) == (1.0, 3)
    everything = metrics.tar_at_far(mated, non_mated, 1.0)
    assert (everything.value, everything.threshold) == (1.0, -math.inf)


def test_a_score_at_the_threshold_is_accepted() -> None:
    limit = np.float32(0.5)
    at = np.nextafter(limit, np.float32(1))
    rate = metrics.tar_at_far(np.array([at, limit]), np.array([limit, 0], np.float32), 0.0)
    assert (rate.threshold, rate.value) == (at, 0.5)
    assert metrics.accuracy_at([0.5], [0.5], 0.5) == 0.5  # the mated one right, the non-mated one wrong


def test_mixed_precision_is_compared_exactly() -> None:
    limit = np.float32(0.1)
    just_over = float(limit) + 1e-12  # rounds to ``limit`` in float32
    assert metrics.tar_at_far(np.array([just_over]), np.array([limit]), 0.0).value == 1.0
    assert metrics.rate_at(np.array([limit]), just_over, None, false_accepts=0, non_mated=0).value == 0.0
    assert metrics.accuracy_at(np.array([limit]), np.array([], np.float32), just_over) == 0.0


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_allowed_false_accepts_of_a_decimal_share(n: int, k: int) -> None:
    k = min(k, n)
    assert metrics.allowed_false_accepts(n, k / n) == k


@pytest.mark.parametrize("far", ["1e-6", "1e-5", "1e-4", "1e-3", "0.01", "0.07", "0.29", "0.57", "1"])
@pytest.mark.parametrize("n", [0, 1, 9, 100, 1000, 12345, 631_920_000])
def test_allowed_false_accepts_against_exact_fractions(n: int, far: str) -> None:
    assert metrics.allowed_false_accepts(n, float(far)) == math.floor(n * Fraction(far))


def test_supported_from_ten_false_accepts_on() -> None:
    scores = np.arange(2000) / 2000
    assert metrics.tar_at_far([0.5], scores, 10 / 2000).supported
    nine = metrics.tar_at_far([0.5], scores, 9 / 2000)
    assert not nine.supported
    assert nine.to_dict()["supported"] is False
    assert nine.far == 9 / 2000


def test_a_rate_without_trials_is_nan_and_null_in_json() -> None:
    rate = metrics.tar_at_far([], [0.1], 1.0)
    assert math.isnan(rate.value)
    assert rate.to_dict()["value"] is None
    assert rate.to_dict()["threshold"] is None  # -inf


@given(SCORES, SCORES)
def test_roc_against_a_loop(mated: list[float], non_mated: list[float]) -> None:
    curve = metrics.roc(mated, non_mated)
    distinct = sorted({*mated, *non_mated}, reverse=True)
    assert curve.thresholds.tolist() == [math.inf, *distinct]
    for threshold, fmr, tar in zip(curve.thresholds, curve.fmr, curve.tar, strict=True):
        assert fmr == sum(s >= threshold for s in non_mated) / len(non_mated)
        assert tar == sum(s >= threshold for s in mated) / len(mated)
    fmr, fnmr = metrics.det(mated, non_mated)
    assert np.array_equal(fmr, curve.fmr)
    assert np.array_equal(fnmr, 1 - curve.tar)


@given(SCORES, SCORES)
def test_auc_counts_pairs(mated: list[float], non_mated: list[float]) -> None:
    wins = sum((m > n) + 0.5 * (m == n) for m in mated for n in non_mated)
    assert metrics.auc(mated, non_mated) == pytest.approx(wins / (len(mated) * len(non_mated)))
    curve = metrics.roc(mated, non_mated)  # and it is the area under the curve drawn
    assert metrics.auc(mated, non_mated) == pytest.approx(np.trapezoid(curve.tar, curve.fmr))


@given(SCORES, SCORES)
def test_eer_lies_on_the_roc_where_both_errors_are_equal(mated: list[float], non_mated: list[float]) -> None:
    rate = metrics.eer(mated, non_mated)
    curve = metrics.roc(mated, non_mated)
    # The ROC has vertical steps: FNMR at that FMR is an interval, which must hold the rate.
    at = np.isclose(curve.fmr, rate)
    if at.any():
        assert curve.fnmr[at].min() - 1e-9 <= rate <= curve.fnmr[at].max() + 1e-9
    else:
        assert np.interp(rate, curve.fmr, curve.fnmr) == pytest.approx(rate)


def test_eer_by_hand() -> None:
    assert metrics.eer([0.9, 0.8], [0.2, 0.1]) == 0.0
    assert metrics.eer([0.1, 0.2], [0.8, 0.9]) == 1.0
    assert metrics.eer([0.5], [0.5]) == 0.5
    assert metrics.eer([0.9, 0.7, 0.5, 0.3], [0.6, 0.2, 0.1, 0.0]) == 0.25


@given(SCORES, SCORES)
def test_best_accuracy_against_a_loop(mated: list[float], non_mated: list[float]) -> None:
    mated_array, non_mated_array = np.array(mated, np.float32), np.array(non_mated, np.float32)
    accuracy, threshold = metrics.best_accuracy(mated_array, non_mated_array)
    best = max(
        sum(s >= t for s in mated) + sum(s < t for s in non_mated) for t in [*mated, *non_mated, math.inf]
    )
    assert accuracy == best / (len(mated) + len(non_mated))
    assert metrics.accuracy_at(mated_array, non_mated_array, threshold) == accuracy
    assert math.isfinite(threshold)


def test_best_threshold_stands_midway_and_lowest() -> None:
    assert metrics.best_accuracy([0.8, 0.9], [0.1, 0.2]) == (1.0, 0.5)
    # 0.25 between the lower pair and 0.55 between the upper pair are equally good.
    accuracy, threshold = metrics.best_accuracy([0.3, 0.7], [0.2, 0.4])
    assert (accuracy, threshold) == (0.75, 0.25)


@settings(max_examples=25)
@given(st.floats(0.05, 0.95), st.integers(2, 6))
def test_tar_at_far_is_invariant_under_a_monotone_map(far: float, power: int) -> None:
    generator = np.random.default_rng(power)
    mated, non_mated = generator.uniform(size=50), generator.uniform(size=80)
    plain = metrics.tar_at_far(mated, non_mated, far)
    mapped = metrics.tar_at_far(mated**power, non_mated**power, far)
    assert (plain.value, plain.false_accepts) == (mapped.value, mapped.false_accepts)


def test_bad_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="non-mated scores hold NaN"):
        metrics.tar_at_far([0.1], [0.1, math.nan], 0.1)
    with pytest.raises(ValueError, match="found none"):
        metrics.far_threshold([], 0.1)
    with pytest.raises(ValueError, match="0 to 1"):
        metrics.far_threshold([0.1], 1.5)
    with pytest.raises(ValueError, match="both kinds"):
        metrics.roc([], [0.1])
