"""Elements in a row, condensed: against the dense solution, and what is not positive semidefinite is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import LinAlgError

from qpot.solvers.paths.condensed import condensed


def elements(rng: np.random.Generator, K: int, m: int, d: int) -> np.ndarray:
    """Random positive definite matrices (K, m + 1, d, m + 1, d)."""
    factors = rng.normal(size=(K, (m + 1) * d, (m + 1) * d + 3))
    return (factors @ np.swapaxes(factors, 1, 2)).reshape(K, m + 1, d, m + 1, d)


@pytest.mark.parametrize(("K", "m", "d"), [(1, 4, 3), (2, 1, 2), (7, 1, 3), (3, 2, 1), (5, 4, 3), (9, 6, 40)])
def test_the_inverse_is_that_of_the_sum(K: int, m: int, d: int) -> None:
    """The last shape has more numbers than are made together."""
    rng = np.random.default_rng(K + m)
    local = elements(rng, K, m, d)
    whole = np.zeros((K * m + 1, d, K * m + 1, d))
    for k in range(K):
        nodes = slice(k * m, k * m + m + 1)
        whole[nodes, :, nodes] += local[k]
    n = (K * m - 1) * d
    inner = whole[1:-1, :, 1:-1].reshape(n, n)
    solution = rng.normal(size=(K * m - 1, d))
    apply = condensed(lambda some: local[some].copy(), K, m, d)
    np.testing.assert_allclose(apply((inner @ solution.ravel()).reshape(-1, d)), solution, rtol=0, atol=1e-7)


@pytest.mark.parametrize("node", [1, 2])
def test_what_is_not_positive_is_refused(node: int) -> None:
    """The first is a node inside an element, the second one between two elements."""
    local = elements(np.random.default_rng(0), 2, 2, 2)
    local[:, node, 0, node, 0] -= 100.0
    with pytest.raises(LinAlgError):
        condensed(lambda some: local[some].copy(), 2, 2, 2)


def test_a_direction_that_costs_nothing_is_shifted() -> None:
    """A matrix that is singular up to rounding is inverted with a small share of its diagonal added."""
    ones = np.full((1, 3, 2, 3, 2), 1.0)
    step = condensed(lambda some: ones[some].copy(), 1, 2, 2)(np.array([[1.0, 1.0]]))
    np.testing.assert_allclose(step.sum(), 1.0, rtol=1e-3)
