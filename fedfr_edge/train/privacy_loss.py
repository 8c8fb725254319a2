"""How much Gaussian mechanisms give away, exactly: ε for a given δ.

k mechanisms of sensitivity 1 and standard deviations z_i, each of which may depend on what the ones before it
gave, are together μ-GDP with μ² = Σ 1/z_i² (Dong, Roth & Su, "Gaussian differential privacy", 2022, Corollary
3.3), the same as one mechanism of standard deviation 1/μ. Its curve is known in closed form (Balle & Wang,
ICML 2018, Theorem 8)::

    δ(ε) = F(μ/2 − ε/μ) − e^ε F(−μ/2 − ε/μ)        F: the normal distribution function

There is no bound in this that a finer accountant (RDP, PRV) would improve on. Sampling of clients is not
counted as protection: see ``docs/privacy.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def gdp(multipliers: Iterable[float]) -> float:
    """μ of mechanisms with these noise multipliers, one after the other; 0 for none."""
    return math.sqrt(math.fsum(multiplier**-2 for multiplier in multipliers))


def delta_of(epsilon: float, mu: float) -> float:
    """The least δ for which a μ-GDP mechanism is (ε, δ)-differentially private."""
    if mu == 0:
        return 0.0
    a = epsilon / mu - mu / 2
    # e^ε F(−a − μ) is φ(a) · (F(−x)/φ(x)) at x = a + μ, in which nothing overflows.
    density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    return max(0.0, 0.5 * math.erfc(a / math.sqrt(2)) - density * _mills(a + mu))


def epsilon_of(delta: float, mu: float) -> float:
    """The least ε for which a μ-GDP mechanism is (ε, δ)-differentially private, rounded up.

    Args:
        delta: δ, above 0 and below 1.
        mu: see :func:`gdp`.
    """
    if delta_of(0.0, mu) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while delta_of(high, mu) > delta:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if delta_of(middle, mu) > delta else (low, middle)
    return high


def privacy_text(spent: Mapping[str, Any]) -> str:
    """A run's account (or a line of its ``metrics.jsonl``) in one line for people; empty without noise."""
    if "epsilon" not in spent:
        return ""
    return (
        f"ε {spent['epsilon']:.4g} against who reads the updates, {spent['epsilon_models']:.4g} against who "
        f"sees global models alone, at δ {spent['delta']:g} (of a client, so far)"
    )


def _mills(x: float) -> float:
    """F(−x)/φ(x) for x > 0."""
    if x < 30:
        return math.exp(x * x / 2) * math.sqrt(math.pi / 2) * math.erfc(x / math.sqrt(2))
    square = x * x
    return (1 - 1 / square + 3 / square**2 - 15 / square**3) / x
