"""ε of Gaussian mechanisms against integration, another library's values and published bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedfr_edge.train.privacy_loss import delta_of, epsilon_of, gdp, privacy_text

# Noise multiplier, how often, δ, ε: PLDAccountant of Google's dp-accounting 0.6.0, which composes numerically
# (value_discretization_interval 1e-4, 1e-2 for the multiplier 0.1), and its RdpAccountant.
LIBRARY = [
    (1.0, 1, 1e-5, 4.37717810002493, 4.728507067217623),
    (0.5, 1, 1e-5, 9.99725615024243, 10.725509696418232),
    (1.0, 100, 1e-5, 91.81728962407377, 96.11630842505602),
    (4.0, 30, 1e-6, 7.016788562287968, 7.481114834875133),
    (0.1, 4, 1e-5, 284.39185866197136, 294.86126007165325),
    (10.0, 10, 1e-5, 1.199369587738133, 1.3084972690274297),
    (2.0, 5, 1e-8, 6.542651034808021, 6.890673074286589),
]


@pytest.mark.parametrize(("noise", "times", "delta", "composed", "rdp"), LIBRARY)
def test_another_library(noise: float, times: int, delta: float, composed: float, rdp: float) -> None:
    found = epsilon_of(delta, gdp([noise] * times))
    assert found == pytest.approx(composed, rel=2e-7)
    assert found < rdp


@pytest.mark.parametrize("mu", [0.2, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 4.0, 20.0])
def test_delta_is_the_integral_of_the_definition(mu: float, epsilon: float) -> None:
    """δ = ∫ max(0, p − e^ε q), p and q the densities of N(μ, 1) and N(0, 1)."""
    x = np.linspace(-12, mu + 14, 400_001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (mu, 0.0))
    expected = np.trapezoid(np.maximum(0, p - math.exp(epsilon) * q), x)
    assert delta_of(epsilon, mu) == pytest.approx(expected, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-9])
@pytest.mark.parametrize("noise", [0.5, 1.0, 5.0, 50.0])
@pytest.mark.parametrize("times", [1, 30, 1000])
def test_published_bounds_lie_above(noise: float, times: int, delta: float) -> None:
    """Mironov (CSF 2017): RDP of order α is kα/2z²; with its conversion, at the best α."""
    rdp = times / (2 * noise**2) + math.sqrt(2 * times * math.log(1 / delta)) / noise
    found = epsilon_of(delta, gdp([noise] * times))
    assert 0 <= found < rdp
    assert delta_of(found, gdp([noise] * times)) <= delta  # rounded to the safe side
    if found > 0:
        assert delta_of(found * (1 - 1e-9), gdp([noise] * times)) > delta


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.9])
def test_the_classical_calibration_lies_above(epsilon: float) -> None:
    """Dwork & Roth 2014, Theorem A.1: z = √(2 ln(1.25/δ))/ε, for ε below 1."""
    assert epsilon_of(1e-5, 1 / (math.sqrt(2 * math.log(1.25 / 1e-5)) / epsilon)) < epsilon


def test_mechanisms_add_up_in_squares() -> None:
    assert gdp([]) == 0.0
    assert epsilon_of(1e-5, 0.0) == 0.0
    assert gdp([2.0] * 9) == pytest.approx(1.5)
    assert gdp([1.0, 0.5, 2.0]) == pytest.approx(math.sqrt(1 + 4 + 0.25))


def test_far_out_nothing_overflows() -> None:
    """μ = 2000, where e^ε is beyond any floating-point number; there ε ≈ μ²/2 + μ·F⁻¹(1 − δ)."""
    assert epsilon_of(1e-5, 2000.0) == pytest.approx(2000**2 / 2 + 2000 * 4.264890793923, rel=1e-6)
    assert epsilon_of(1e-5, 1e-9) == 0.0


def test_text() -> None:
    assert privacy_text({"round": 3}) == ""
    text = privacy_text({"epsilon": 12.3456, "epsilon_models": 0.5, "delta": 1e-5})
    assert "12.35" in text
    assert "0.5 " in text
    assert "1e-05" in text
