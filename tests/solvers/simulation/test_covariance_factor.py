"""The covariance factor: matrices of any rank, and those that have none."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qpot.solvers.simulation.covariance_factor import lower_factor


@given(seed=st.integers(0, 10_000), d=st.integers(1, 6), rank=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_factor_of_semidefinite_matrices_of_any_rank(seed: int, d: int, rank: int) -> None:
    root = np.random.default_rng(seed).normal(size=(5, d, rank))
    a = root @ np.swapaxes(root, 1, 2)
    L, bad = lower_factor(a)
    assert bad == -1
    np.testing.assert_allclose(L @ np.swapaxes(L, 1, 2), a, atol=2e-5 * (1 + np.abs(a).max()))
    assert (np.triu(L, 1) == 0).all()


def test_factor_names_a_matrix_that_is_not_semidefinite() -> None:
    assert lower_factor(np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]))[1] == 1
    assert lower_factor(np.array([np.eye(2), np.eye(2), -np.eye(2)]))[1] == 2
    assert lower_factor(np.array([[[0.0, 1.0], [1.0, 1.0]]]))[1] == 0
