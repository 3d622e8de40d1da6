"""What a finite time costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov

from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.tails import lengthened, spread, tail_rate


def test_rate_of_two_tails() -> None:
    assert tail_rate(2.0, 0.0) == 4.0
    assert tail_rate(0.0, 3.0) == 6.0
    assert tail_rate(2.0, 2.0) == pytest.approx(2.0)
    assert tail_rate(0.0, 0.0) == 0.0


def test_spread_is_the_integral_of_the_noise_carried_on() -> None:
    J, a = np.array([[-1.0, -2.0], [1.0, -0.5]]), np.array([[1.0, 0.4], [0.4, 3.0]])
    times, weights = np.polynomial.legendre.leggauss(200)
    times, weights = 15.0 * (times + 1.0), 15.0 * weights
    expected = sum(w * expm(J * t) @ a @ expm(J.T * t) for t, w in zip(times, weights, strict=True))
    np.testing.assert_allclose(spread(J, a), expected, atol=1e-8)
    np.testing.assert_allclose(J @ spread(J, a) + spread(J, a) @ J.T, -a, atol=1e-12)


def test_spread_at_a_saddle_bounds_each_direction_taken_in_its_own_sense_of_time() -> None:
    J, a = np.array([[-1.0, 0.7], [0.0, 2.0]]), np.array([[1.0, 0.4], [0.4, 3.0]])
    values, vectors = np.linalg.eig(J)
    noise = np.linalg.inv(vectors) @ a @ np.linalg.inv(vectors).T
    for k, rate in enumerate(np.abs(values)):
        p = np.linalg.inv(vectors)[k]  # left eigenvector: p.x moves alone
        exact = solve_continuous_lyapunov([[-rate]], [[-noise[k, k]]])[0, 0]
        assert p @ spread(J, a) @ p >= exact * (1 - 1e-12)


def test_lengthening_adds_rest_at_fixed_ends_only() -> None:
    path = ElementPath(np.linspace(0.0, 1.0, 3), np.linspace(0.0, 1.0, 9)[:, None] * np.ones(2), 4)
    longer = lengthened(path, 1e-3, 1.0, 2.0, 0.0, 1e-9)
    assert longer.breaks[-1] == 1.0
    folds = -longer.breaks[0] * 2.0
    assert folds == pytest.approx(min(0.5 * np.log(1e-3 / 1e-10) + 0.3, 8.0))
    before = longer.nodes[: longer.nodes.shape[0] - 9]
    np.testing.assert_array_equal(before, np.zeros_like(before))
    assert lengthened(path, 1e-3, 1.0, 0.0, 0.0, 1e-9) is path
    assert lengthened(path, 1e-12, 1.0, 2.0, 2.0, 1e-9) is path
