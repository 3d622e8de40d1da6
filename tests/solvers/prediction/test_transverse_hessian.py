"""The Hessian along a characteristic: against the linear equation of its inverse, and where its own direction is imposed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm, solve_continuous_lyapunov

from qpot.solvers.prediction.transverse_hessian import transport

Array = NDArray[np.float64]
A = np.array([[-1.0, 2.0, 0.3], [-0.7, -0.5, 0.1], [0.0, 0.4, -0.8]])
NOISE = np.array([[1.0, 0.4, 0.1], [0.4, 2.0, 0.0], [0.1, 0.0, 0.7]])
START = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, -0.2], [0.0, -0.2, 0.5]])
SPAN = 1.5


def transported(n: int, Q: Array, impose: bool, at: Any = None) -> tuple[Array, float]:
    """Through n steps of x' = A x + a p, from Q, with K = 0.3; ``at`` gives x' and p' at a time."""
    times = np.linspace(0.0, SPAN, 2 * n + 1)
    velocity, rate = (np.zeros((2, 2 * n + 1, 3))) if at is None else np.array([at(t) for t in times]).swapaxes(0, 1)
    constant = (np.tile(M, (2 * n + 1, 1, 1)) for M in (np.zeros((3, 3)), A, NOISE))
    kernel: Any = transport
    end, integral = kernel(*constant, velocity, rate, np.full(2 * n + 1, 0.3), SPAN / n, Q, impose)
    return np.asarray(end), float(integral)


def test_its_inverse_is_a_covariance_that_spreads() -> None:
    """For a linear drift S = Q^-1 obeys S' = A S + S A' + a, and the integral is that of log det Q: order four."""
    d = 3
    block = expm(np.block([[-A, NOISE], [np.zeros((d, d)), A.T]]) * SPAN)  # Van Loan
    spread = block[d:, d:].T @ block[:d, d:]
    flow = expm(A * SPAN)
    exact = np.linalg.inv(flow @ np.linalg.inv(START) @ flow.T + spread)
    # (log det Q)' = -(2 tr A + tr a Q)
    change = np.log(np.linalg.det(exact) / np.linalg.det(START))
    exact_integral = 0.3 * SPAN - 0.5 * change - np.trace(A) * SPAN
    counts, errors, integrals = np.array([40, 80, 160]), [], []
    for n in counts:
        Q, integral = transported(int(n), START, impose=False)
        errors.append(np.abs(Q - exact).max())
        integrals.append(abs(integral - exact_integral))
    for gaps in (errors, integrals):
        assert gaps[-1] < 1e-7
        assert -np.polyfit(np.log(counts), np.log(gaps), 1)[0] == pytest.approx(4.0, abs=0.3)


def test_an_error_along_the_path_is_taken_out_at_once() -> None:
    """Q x' = p' is known: on a path uphill from a minimum the solution of Riccati's equation comes back, and stays."""
    rest = np.linalg.inv(solve_continuous_lyapunov(A, -NOISE))
    uphill = A + NOISE @ rest
    beginning = np.array([0.02, -0.01, 0.03])

    def along(t: float) -> Array:
        velocity = uphill @ expm(uphill * t) @ beginning
        return np.stack([velocity, rest @ velocity])

    n = along(0.0)[0] / np.linalg.norm(along(0.0)[0])
    u = np.array([0.05, 0.02, -0.04])
    spoilt = rest + np.outer(n, u) + np.outer(u, n)
    healed, integral = transported(100, spoilt, True, along)
    np.testing.assert_allclose(healed, rest, atol=1e-7)
    assert integral == pytest.approx(SPAN * (0.3 + 0.5 * np.trace(NOISE @ rest)), abs=1e-7)
    left, _ = transported(100, spoilt, False, along)
    assert np.abs(left - rest).max() > 1e-3


def test_what_is_imposed_holds_and_the_rest_is_kept() -> None:
    v, w = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.1, -0.7])
    fixed = np.stack([v, w])
    held, _ = transported(50, START, True, lambda t: fixed)
    np.testing.assert_allclose(held @ v, w, atol=1e-12)
    np.testing.assert_allclose(held, held.T, atol=1e-12)
    # a path at rest has no direction, and nothing is imposed
    plain, _ = transported(50, START, False)
    still, _ = transported(50, START, True)
    np.testing.assert_array_equal(still, plain)
