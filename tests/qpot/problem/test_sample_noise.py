"""Covariances of finite sums as products and as matrices along a path: against differences, and where they are singular."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.stats import ortho_group
from sums_models import random_network

import qpot
from qpot.problem.sample_noise import _by_cholesky, finite_sum_products, local_operators
from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian


@pytest.mark.parametrize("missing", [(), ("weighted_hessian",), ("weighted_hessian", "weighted_hessian_product")])
def test_rates_along_a_path_are_derivatives_of_the_motion(missing: tuple[str, ...]) -> None:
    """M = d(b + a p)/dx at fixed p."""
    changes: dict[str, Any] = dict.fromkeys(missing)
    total = dataclasses.replace(random_network(samples=40), **changes)
    rng = np.random.default_rng(5)
    x, v = rng.normal(size=(2, 6, total.dimension))
    rates, inverse, p, _ = local_operators(total, x, v)
    np.testing.assert_allclose(p, finite_sum_products(total)[1](x, v + total.gradient(x)), rtol=1e-8)
    np.testing.assert_allclose(inverse @ total.covariance(x), np.tile(np.eye(x.shape[1]), (6, 1, 1)), atol=1e-8)
    for k in range(6):

        def motion(y: np.ndarray, q: np.ndarray = p[k]) -> np.ndarray:
            return np.asarray(-total.gradient(y) + np.einsum("nij,j->ni", total.covariance(y), q))

        expected = central_jacobian(motion, x[k : k + 1])[0]
        np.testing.assert_allclose(rates[k], expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_pivots_decide_only_where_there_is_no_doubt() -> None:
    """Well conditioned: the solution. Near singular, singular, indefinite: None, so that eigenvalues decide."""
    rng = np.random.default_rng(0)
    turn, r = ortho_group.rvs(4, random_state=1), rng.normal(size=(2, 4, 1))

    def matrices(smallest: float) -> np.ndarray:
        return np.stack([np.diag([1.0, 2.0, 3.0, 1.0]), turn @ np.diag([1.0, 0.5, 2.0, smallest]) @ turn.T])

    solved = _by_cholesky(matrices(0.1), r)
    assert solved is not None
    np.testing.assert_allclose(matrices(0.1) @ solved, r, atol=1e-12)
    for smallest in (1e-12, 0.0, -0.1):
        assert _by_cholesky(matrices(smallest), r) is None


@pytest.mark.parametrize("share", [1e-10, 1e-20])
def test_noise_that_is_small_is_solved_and_noise_that_is_none_is_refused(share: float) -> None:
    """Samples x_j +- s_j: the covariance is diag(s^2)."""
    s = np.array([1.0, np.sqrt(share)])
    pulls = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * s
    total = qpot.FiniteSum(
        sample_losses=lambda x: 0.5 * ((x[:, None] - pulls) ** 2).sum(axis=2),
        sample_gradients=lambda x: x[:, None] - pulls,
        n_samples=4,
        dimension=2,
    )
    x = np.array([[0.3, -0.2]])
    solve = finite_sum_products(total)[1]
    if share > 1e-13:
        np.testing.assert_allclose(solve(x, x), x / s**2, rtol=1e-5)
    else:
        for call in (lambda: solve(x, x), lambda: local_operators(total, x, x)):
            with pytest.raises(ValueError, match="covariance is singular at"):
                call()


def test_the_hamiltonian_by_products_has_the_derivatives_of_the_one_by_matrices() -> None:
    rng = np.random.default_rng(8)
    total = qpot.network_sum(rng.normal(size=(9, 2)), rng.integers(0, 2, 9), hidden=2, weight_decay=0.1)
    system = qpot.System.from_finite_sum(total)
    x, p = rng.normal(size=(2, 5, system.dimension))
    f = system.unchecked
    by_matrices = DiffusionHamiltonian(f.drift, f.jacobian, f.covariance, None, 0.3).expand(x, p)
    by_products = system.noise.hamiltonian(f).floored(0.3).expand(x, p)
    for one, other in zip(by_matrices, by_products, strict=True):
        assert np.allclose(one, other, rtol=0.0, atol=1e-6 * np.abs(one).max())
