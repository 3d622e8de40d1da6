"""Answers of linear algebra are held against the equations that they solve."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.common.held import pairs_hold, stationary_covariance


@pytest.mark.parametrize("seed", range(10))
def test_the_lyapunov_equation_of_random_stable_drifts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 9))
    J = rng.standard_normal((d, d))
    J -= (np.linalg.eigvals(J).real.max() + rng.uniform(0.01, 1.0)) * np.eye(d)
    B = rng.standard_normal((d, d))
    S = stationary_covariance(J, B @ B.T)
    np.testing.assert_array_equal(S, S.T)
    np.testing.assert_allclose(J @ S + S @ J.T, -B @ B.T, atol=1e-9 * float(np.linalg.norm(S) * np.linalg.norm(J)))
    # By the Kronecker product, which is another method.
    K = np.kron(J, np.eye(d)) + np.kron(np.eye(d), J)
    np.testing.assert_allclose(S.ravel(), np.linalg.solve(K, -(B @ B.T).ravel()), rtol=1e-6, atol=1e-8)


def test_rates_that_add_up_to_zero_have_no_stationary_covariance() -> None:
    with (
        pytest.raises(np.linalg.LinAlgError, match="two rates of the drift add up to almost zero"),
        pytest.warns(RuntimeWarning),
    ):
        stationary_covariance(np.array([[1.0, 1.0], [0.0, -1.0]]), np.ones((2, 2)))
    with pytest.raises(ValueError, match="infs or NaNs"):
        stationary_covariance(np.full((2, 2), np.nan), np.eye(2))


def test_pairs_that_hold_and_one_that_does_not() -> None:
    A = np.array([[2.0, 1.0], [-1.0, 2.0]])
    values, vectors = np.linalg.eig(A)
    assert pairs_hold(lambda v: A @ v, values, vectors, 1e-12)
    assert not pairs_hold(lambda v: A @ v, values + 1e-3, vectors, 1e-4)
    H = np.diag([3.0, 1.0])
    assert pairs_hold(lambda v: H @ v, np.array([3.0]), np.array([[1.0], [1e-6]]), 1e-5)
    assert not pairs_hold(lambda v: H @ v, np.array([3.0]), np.array([[1.0], [1e-2]]), 1e-3)
    assert not pairs_hold(lambda v: H @ v, np.array([3.0]), np.array([[np.nan], [0.0]]), 1e-3)
