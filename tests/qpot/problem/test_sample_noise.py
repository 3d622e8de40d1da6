"""Covariances of finite sums as products: against differences, and where they are singular."""

from __future__ import annotations

import numpy as np
import pytest
from sums_models import random_network

import qpot
from qpot.problem import sample_noise
from qpot.problem.sample_noise import finite_sum_products
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian


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
        with pytest.raises(ValueError, match="covariance is singular at"):
            solve(x, x)


@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_conjugate_gradients_solve_what_matrices_do(monkeypatch: pytest.MonkeyPatch, floor: float) -> None:
    total = random_network(samples=60)
    x, r = np.random.default_rng(3).normal(size=(2, 7, total.dimension))
    expected = finite_sum_products(total, floor)[1](x, r)
    monkeypatch.setattr(sample_noise, "MATRICES", 3)
    found = finite_sum_products(total, floor)[1](x, r)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


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
