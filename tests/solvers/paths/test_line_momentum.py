"""Exact noise on a line by quadrature of the zero of H."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.solvers.paths.line_momentum import line_cost, zero_energy_momentum
from qpot.solvers.problem.cumulant import CumulantLagrangian

Array = NDArray[np.float64]


def bernoulli(x: Array) -> tuple[Array, Array]:
    """Steps to +-1: H = -p x + log cosh p."""
    return np.stack([x - 1.0, x + 1.0], axis=1), np.full((len(x), 2), 0.5)


@pytest.mark.parametrize(("end", "expected"), [(0.5, 0.2748473684301693), (0.9, 1.3695153724111762)])
def test_bernoulli_convolution(end: float, expected: float) -> None:
    exact = CumulantLagrangian(bernoulli)
    for side in (1.0, -1.0):
        value, error, x, p = line_cost(
            lambda x, side=side: zero_energy_momentum(exact, x, side),  # type: ignore[misc]
            0.0,
            side * end,
            tolerance=1e-10,
        )
        assert value == pytest.approx(expected, abs=1e-10)
        assert abs(value - expected) <= error + 1e-12
        assert (np.diff(side * x) > 0).all()
        np.testing.assert_allclose(-p * x + np.logaddexp(p, -p) - np.log(2.0), 0.0, atol=1e-13)


def test_with_the_drift_it_is_free() -> None:
    exact = CumulantLagrangian(bernoulli)
    value, _, _, p = line_cost(lambda x: zero_energy_momentum(exact, x, -1.0), 0.9, 0.1, tolerance=1e-10)
    assert value == 0.0
    assert not p.any()


def test_momenta_of_all_sizes() -> None:
    lagrangian = CumulantLagrangian(bernoulli)
    x = np.array([1e-6, 1e-3, 0.5, 1.0 - 1e-6, 1.0 - 1e-12])
    p = zero_energy_momentum(lagrangian, x, 1.0)
    # p = 2 x for small x; p (1 - x) = log 2 close to the edge of the reachable interval
    assert p[0] == pytest.approx(2e-6, rel=1e-4)
    assert p[3] == pytest.approx(np.log(2.0) / 1e-6, rel=1e-6)
    assert p[4] == pytest.approx(np.log(2.0) / 1e-12, rel=1e-3)
    assert zero_energy_momentum(lagrangian, np.array([1.5]), 1.0)[0] == np.inf


def test_kinks_and_jumps_of_the_momentum() -> None:
    value, error, x, _ = line_cost(lambda x: np.abs(x - 0.3) + 2.0 * (x > 0.7), -1.0, 1.0, tolerance=1e-11)
    exact = 0.5 * (1.3**2 + 0.7**2) + 0.6
    assert abs(value - exact) <= error <= 1e-10
    assert (np.diff(x) > 0).all()
