"""Integrals along soft directions against quadrature and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from qpot.solvers.prediction.soft_integrals import polynomial_ratio, profile_integrals, turn_of


@pytest.mark.parametrize(
    ("second", "third", "fourth", "turn"),
    [(1.0, 0.0, 1.0, math.inf), (1.0, -1.0 / 3.0, 0.0, 1.0), (1.0, 0.0, -0.25, 1.0), (2.0, -1.0, 0.25, 1.0)],
)
def test_where_a_polynomial_stops_to_grow(second: float, third: float, fourth: float, turn: float) -> None:
    # The derivative of the last is z (1 - z) (2 - z).
    assert turn_of(second, third, fourth) == pytest.approx(turn)


def test_ratios_are_those_of_quadrature() -> None:
    rng = np.random.default_rng(20)
    for _ in range(40):
        second, fourth, epsilon = rng.exponential(), rng.exponential(), 10.0 ** rng.uniform(-3.0, 0.0)
        third = rng.normal() * math.sqrt(second * fourth) * 0.5
        left, right = -turn_of(second, -third, fourth), turn_of(second, third, fourth)
        ends = max(left, -20.0), min(right, 20.0)
        cut = 0.05 * math.sqrt(epsilon)

        def under(z: float, a: float = second, b: float = third, c: float = fourth, e: float = epsilon) -> float:
            return math.exp(-(a * z * z / 2 + b * z**3 + c * z**4) / e)

        whole = sum(
            quad(under, a, b, epsabs=0.0, epsrel=1e-10, limit=400)[0]
            for a, b in ((ends[0], -cut), (-cut, cut), (cut, ends[1]))
        )
        exact = whole / math.sqrt(2.0 * math.pi * epsilon / second)
        assert polynomial_ratio(second, third, fourth, epsilon) == pytest.approx(exact, rel=1e-7)


def test_both_limits() -> None:
    """Weak noise sees the Gaussian, and a vanishing curvature the quartic part alone."""
    assert polynomial_ratio(2.0, 0.3, 0.7, 1e-12) == pytest.approx(1.0, abs=1e-9)
    for second in (1e-4, 1e-8, 1e-12):
        quartic = 0.5 * math.gamma(0.25) * (0.1 / 3.0) ** 0.25
        ratio = polynomial_ratio(second, 0.0, 3.0, 0.1) * math.sqrt(2.0 * math.pi * 0.1 / second)
        assert ratio == pytest.approx(quartic, rel=second)
    assert polynomial_ratio(0.0, 0.0, 3.0, 0.1) == pytest.approx(1.0, rel=1e-12)


def test_a_profile_from_its_slopes() -> None:
    z = np.linspace(0.0, 3.0, 300)
    levels = np.array([1e-6, 1e-2, 0.3])
    found = profile_integrals(z, z + 4.0 * z**3, 1.0 + 12.0 * z**2, np.zeros_like(z), levels)
    both = [0.5 * polynomial_ratio(1.0, 0.0, 1.0, e) * math.sqrt(2.0 * math.pi * e) for e in levels]
    np.testing.assert_allclose(found, both, rtol=1e-6)
