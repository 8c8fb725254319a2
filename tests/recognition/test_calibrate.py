from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedfr_edge.errors import DataError
from fedfr_edge.evaluation import metrics
from fedfr_edge.recognition import calibrate as module
from fedfr_edge.recognition.calibrate import (
    allowed_false_accepts,
    calibrate,
    calibrate_embeddings,
    count_impostors,
    impostor_scores,
)


def unit_rows(n: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def loop_scores(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array(
        [
            float(embeddings[i].astype(np.float64) @ embeddings[j])
            for i in range(len(labels))
            for j in range(i + 1, len(labels))
            if labels[i] != labels[j]
        ]
    )


def test_impostor_scores_are_all_cross_identity_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 7)  # several blocks, the last one not full
    embeddings = unit_rows(31, 5, 0)
    labels = np.random.default_rng(1).integers(0, 4, 31)
    expected = np.sort(loop_scores(embeddings, labels))
    found = np.sort(impostor_scores(embeddings, labels))
    assert len(found) == count_impostors(labels) == len(expected)
    assert found == pytest.approx(expected, abs=1e-6)


def test_one_identity_has_no_impostors() -> None:
    assert impostor_scores(unit_rows(3, 4, 0), np.zeros(3, np.int64)).shape == (0,)
    assert count_impostors(np.zeros(3, np.int64)) == 0
    with pytest.raises(DataError, match="two identities"):
        calibrate_embeddings(unit_rows(3, 4, 0), np.zeros(3, np.int64))


def test_thresholds_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], np.float32)
    two, one, none = calibrate(scores, (0.2, 0.1, 0.05), "hand")
    # Just above the highest score that must be refused.
    assert two.threshold == float(np.nextafter(np.float32(0.8), np.float32(2)))
    assert (two.false_accepts, two.non_mated, two.far, two.source) == (2, 10, 0.2, "hand")
    assert one.threshold == float(np.nextafter(np.float32(0.9), np.float32(2)))
    assert one.false_accepts == 1
    assert none.threshold > 1.0
    assert none.false_accepts == 0


def test_ties_are_refused_together() -> None:
    scores = np.array([0.5, 0.5, 0.5, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32)
    (record,) = calibrate(scores, (0.3,), "ties")  # three allowed, but four score 0.5 or more
    assert record.false_accepts == 1
    assert record.threshold == float(np.nextafter(np.float32(0.5), np.float32(1)))


def test_rates_that_the_trials_cannot_carry_are_flagged() -> None:
    scores = np.linspace(-1, 1, 1000, dtype=np.float32)
    flags = {record.far: record.supported for record in calibrate(scores, (0.1, 0.01, 0.009, 1e-5), "few")}
    assert flags == {0.1: True, 0.01: True, 0.009: False, 1e-5: False}


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=60),
    st.lists(st.floats(1e-4, 0.999), min_size=1, max_size=4, unique=True),
)
def test_smallest_threshold_by_exhaustion(raw: list[int], fars: list[float]) -> None:
    scores = (np.array(raw, np.float32) / np.float32(20)).astype(np.float32)
    candidates = np.unique(
        np.concatenate([scores, np.nextafter(scores, np.float32(2)), np.nextafter(scores, np.float32(-2))])
    )
    for record in calibrate(scores, fars, "random"):
        target = Fraction(record.far)
        # Fraction(far) is exact; the rates allowed are those that a float comparison allows.
        good = [c for c in candidates if int((scores >= c).sum()) / len(scores) <= record.far]
        assert record.threshold == float(min(good))
        assert record.false_accepts == int((scores >= np.float64(record.threshold)).sum())
        assert Fraction(record.false_accepts, len(scores)) <= target + Fraction(1, 10**12)


@given(st.integers(1, 10_000), st.floats(1e-6, 0.999))
def test_allowed_count_is_the_largest(trials: int, far: float) -> None:
    count = allowed_false_accepts(far, trials)
    assert count / trials <= far < (count + 1) / trials


def test_allowed_count_where_the_product_is_rounded_down() -> None:
    assert 0.29 * 100 < 29
    assert allowed_false_accepts(0.29, 100) == 29


@pytest.mark.parametrize("block", [5, 1024])
def test_streaming_equals_sorting_everything(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    # Few distinct values, so that ties occur at the thresholds.
    embeddings = unit_rows(6, 2, 3)[np.random.default_rng(4).integers(0, 6, 60)]
    labels = np.random.default_rng(5).integers(0, 9, 60)
    fars = (0.3, 0.1, 1e-2, 1e-3)
    streamed = calibrate_embeddings(embeddings, labels, fars, "s")
    assert streamed == calibrate(impostor_scores(embeddings, labels), fars, "s")


@pytest.mark.parametrize("far", [0.5, 0.1, 0.01, 1e-3, 1e-6])
def test_agrees_with_the_evaluator(far: float) -> None:
    rng = np.random.default_rng(7)
    scores = np.round(rng.normal(0.1, 0.2, 5000), 3).astype(np.float32)
    (record,) = calibrate(scores, (far,), "x")
    rate = metrics.tar_at_far(scores[:10], scores, far)
    assert (record.threshold, record.false_accepts, record.non_mated, record.supported) == (
        rate.threshold,
        rate.false_accepts,
        rate.non_mated,
        rate.supported,
    )


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_rates_outside_are_refused(far: float) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        calibrate(np.zeros(3, np.float32), (far,), "x")


def test_no_scores_no_rates_or_nan_are_refused() -> None:
    with pytest.raises(DataError, match="two identities"):
        calibrate(np.empty(0, np.float32), (0.1,), "x")
    with pytest.raises(DataError, match="no false accept rate"):
        calibrate(np.zeros(3, np.float32), (), "x")
    with pytest.raises(DataError, match="NaN"):
        calibrate(np.array([0.1, np.nan], np.float32), (0.1,), "x")
    broken = unit_rows(4, 3, 0)
    broken[2] = np.nan
    with pytest.raises(DataError, match="NaN"):
        calibrate_embeddings(broken, np.arange(4))
