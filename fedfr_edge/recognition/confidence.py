"""How high a rate can be, given what was counted: binomial bounds, also for trials that are not independent.

For n independent trials with k accepted, the upper bound of Clopper and Pearson (Biometrika 26, 1934) is the
rate at which so few would be seen in 1 of 20 cases: P(X ≤ k; n, u) = 0.05.

Comparisons are not independent: those of one stranger succeed or fail together. Korn and Graubard (Survey
Methodology 24, 1998) count them as fewer: n divided by the design effect, which is how much larger the
variance of the rate is, with whole people drawn, than it would be with independent trials; and once more by
(z / t)², as the variance is known from so many people only.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
"""How sure a bound is."""


def binomial_tail(accepted: int, trials: int, rate: float) -> float:
    """P(X ≤ ``accepted``) of a binomial with ``trials`` and ``rate`` between 0 and 1."""
    return float(_tails(accepted, trials, rate)[-1])


def upper_bound(accepted: int, trials: int, level: float = LEVEL) -> float:
    """The rate is at most this, with confidence ``level``: Clopper and Pearson's one-sided bound.

    Args:
        accepted: how many of the trials, 0 to ``trials``.
        trials: 1 or more.
        level: between 0 and 1.
    """
    if accepted >= trials:
        return 1.0
    low, high = accepted / trials, 1.0
    while high - low > 1e-12 + 1e-9 * low:
        middle = (low + high) / 2
        if binomial_tail(accepted, trials, middle) > 1 - level:
            low = middle
        else:
            high = middle
    return high


def most_allowed(trials: int, rate: float, level: float = LEVEL) -> int:
    """The largest count whose :func:`upper_bound` is no higher than ``rate``; -1 if that of 0 is higher."""
    if trials < 1:
        return -1
    # Nothing above the expected count is small enough.
    tails = _tails(math.floor(trials * rate), trials, rate)
    return int(np.searchsorted(tails, 1 - level, side="right")) - 1


def design_effect(
    accepted: npt.NDArray[np.int64], trials: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]
) -> float:
    """Variance of the accepted share with whole groups drawn, over that of independent trials; 1 or more.

    That of a ratio of sums: Var ≈ G / (G − 1) · Σ_g (x_g − p m_g)² / (Σ_g m_g)², x_g accepted of m_g.

    Args:
        accepted: int64 (m,), of each row's trials.
        trials: int64 (m,), of each row.
        groups: int64 (m,), whose row it is.

    Returns:
        1 where nothing or everything was accepted; the mean of a group's trials where there is one group.
    """
    _, place = np.unique(groups, return_inverse=True)
    count = int(place.max()) + 1
    x = np.bincount(place, accepted, count)
    m = np.bincount(place, trials, count)
    total, share = float(m.sum()), float(x.sum() / m.sum())
    if not 0 < share < 1:
        return 1.0
    if count == 1:
        return total
    variance = count / (count - 1) * float(((x - share * m) ** 2).sum()) / total**2
    return max(1.0, variance * total / (share * (1 - share)))


def few_groups(groups: int) -> float:
    """(z / t)², the normal and Student's quantile at :data:`LEVEL` with ``groups`` − 1 degrees of freedom.

    t by the expansion in Abramowitz and Stegun, 26.7.5: short of the exact one by 2 % or less from 2
    degrees on.
    """
    z, d = 1.6448536269514722, max(groups - 1, 1)
    t = z + (z**3 + z) / (4 * d) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * d**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * d**3)
    return (z / t) ** 2


def _tails(most: int, trials: int, rate: float) -> npt.NDArray[np.float64]:
    """P(X ≤ i) for i = 0 … ``most``, float64."""
    if not 0 < rate < 1:
        return np.full(most + 1, 1.0 if rate <= 0 else float(most >= trials))
    i = np.arange(1, most + 1, dtype=np.float64)
    logs = np.concatenate([[0.0], np.cumsum(np.log((trials - i + 1) / i))])
    logs += np.arange(most + 1) * math.log(rate) + (trials - np.arange(most + 1)) * math.log1p(-rate)
    return np.asarray(np.minimum(np.cumsum(np.exp(logs)), 1.0))
