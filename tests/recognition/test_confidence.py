"""Bounds on rates, against sums in exact arithmetic and against simulated truth."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from fedfr_edge.recognition.confidence import (
    binomial_tail,
    design_effect,
    few_groups,
    most_allowed,
    upper_bound,
)


def exact_tail(accepted: int, trials: int, rate: Fraction) -> Fraction:
    return sum(
        (math.comb(trials, i) * rate**i * (1 - rate) ** (trials - i) for i in range(accepted + 1)),
        Fraction(0),
    )


@pytest.mark.parametrize(("accepted", "trials"), [(0, 1), (0, 59), (3, 40), (7, 7), (20, 200), (150, 400)])
@pytest.mark.parametrize("rate", [Fraction(1, 1000), Fraction(1, 20), Fraction(2, 5), Fraction(9, 10)])
def test_the_tail_is_the_sum_of_the_exact_terms(accepted: int, trials: int, rate: Fraction) -> None:
    expected = float(exact_tail(accepted, trials, rate))
    assert binomial_tail(accepted, trials, float(rate)) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("accepted", "trials"), [(0, 1), (0, 300), (1, 10), (5, 1000), (30, 50), (49, 50)])
def test_the_bound_is_the_rate_at_which_so_few_are_seen_once_in_twenty(accepted: int, trials: int) -> None:
    bound = upper_bound(accepted, trials)
    below, above = (exact_tail(accepted, trials, Fraction(bound * factor)) for factor in (1 - 1e-6, 1 + 1e-6))
    assert above < Fraction(1, 20) < below
    if accepted == 0:  # (1 - u)^n = 0.05
        assert bound == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-8)


def test_bounds_at_the_ends() -> None:
    assert upper_bound(4, 4) == 1.0
    assert upper_bound(0, 3000) < 1e-3 < upper_bound(0, 2990)
    big = upper_bound(1000, 1_000_000)
    # The normal approximation, k + 1.645 √k + (1.645² + 2) / 3, is good to a count or so there.
    assert big * 1e6 == pytest.approx(1000 + 1.645 * math.sqrt(1000) + (1.645**2 + 2) / 3, abs=1.5)


@pytest.mark.parametrize("trials", [1, 10, 58, 59, 500, 900])
@pytest.mark.parametrize("rate", [0.3, 0.05, 1e-3])
def test_the_most_that_is_allowed(trials: int, rate: float) -> None:
    allowed = most_allowed(trials, rate)
    assert allowed == max((k for k in range(trials) if upper_bound(k, trials) <= rate), default=-1)


def test_nothing_is_allowed_of_nothing() -> None:
    assert most_allowed(0, 0.5) == -1


def test_the_design_effect_of_people_who_pass_as_one() -> None:
    """All trials of a person end alike: as many independent trials as people."""
    rng = np.random.default_rng(0)
    people, each = 4000, 25
    passes = rng.random(people) < 0.1
    groups = np.arange(people)
    effect = design_effect(passes * each, np.full(people, each), groups)
    assert effect == pytest.approx(each * people / (people - 1), rel=1e-9)


def test_the_design_effect_of_independent_trials_is_one() -> None:
    rng = np.random.default_rng(0)
    effects = [design_effect(rng.binomial(30, 0.1, 500), np.full(500, 30), np.arange(500)) for _ in range(40)]
    assert min(effects) >= 1
    assert np.mean(effects) < 1.06


def test_rows_of_a_person_are_taken_together() -> None:
    rng = np.random.default_rng(1)
    accepted, trials, groups = rng.integers(0, 4, 60), rng.integers(4, 9, 60), rng.integers(0, 12, 60)
    together = [(accepted[groups == g].sum(), trials[groups == g].sum()) for g in np.unique(groups)]
    share = accepted.sum() / trials.sum()
    squares = sum((x - share * m) ** 2 for x, m in together)
    variance = len(together) / (len(together) - 1) * squares / trials.sum() ** 2
    expected = max(1.0, variance / (share * (1 - share) / trials.sum()))
    assert design_effect(accepted, trials, groups) == pytest.approx(expected)


def test_the_design_effect_where_nothing_can_be_told() -> None:
    nothing = np.zeros(3, np.int64)
    assert design_effect(nothing, np.full(3, 7), np.arange(3)) == 1.0
    assert design_effect(np.array([1]), np.array([9]), np.array([4])) == 9.0


@pytest.mark.parametrize(("groups", "t"), [(3, 2.91999), (6, 2.01505), (11, 1.81246), (31, 1.69726)])
def test_few_groups_against_tabulated_quantiles(groups: int, t: float) -> None:
    assert few_groups(groups) == pytest.approx((1.64485 / t) ** 2, rel=0.03)
    assert few_groups(10**6) == pytest.approx(1.0, abs=1e-5)
