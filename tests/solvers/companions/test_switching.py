"""Filippov's sliding velocity against brute force over all sign patterns."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.solvers.companions.switching import sliding_velocity


def brute_force(H: NDArray[np.float64], v: NDArray[np.float64], zero: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Try every assignment of (leaves up, leaves down, slides) to the coordinates on the surface."""
    index = np.flatnonzero(zero)
    for pattern in product((-1, 0, 1), repeat=index.size):
        w = v.copy()
        slides = index[np.array(pattern) == 0]
        for j, p in zip(index, pattern, strict=True):
            w[j] = p
        if slides.size:
            rest = np.setdiff1d(np.arange(v.size), slides)
            w[slides] = np.linalg.solve(H[np.ix_(slides, slides)], -H[np.ix_(slides, rest)] @ w[rest])
        push = H @ w
        feasible = np.abs(w[index]).max() <= 1 + 1e-12
        signs = all((p == 0) or p * push[j] <= 1e-12 for j, p in zip(index, pattern, strict=True))
        if feasible and signs:
            return w
    raise AssertionError("no solution: H is not positive definite")


@pytest.mark.parametrize("seed", range(20))
def test_sliding_velocity_is_the_complementarity_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 6))
    B = rng.normal(size=(d, d))
    H = B @ B.T + 0.05 * np.eye(d)
    zero = rng.random(d) < 0.6
    zero[0] = True
    v = np.where(zero, 0.0, rng.choice([-1.0, 1.0], size=d))
    found = sliding_velocity(H, v, zero)
    assert found is not None
    np.testing.assert_allclose(found, brute_force(H, v, zero), atol=1e-7)


def test_no_sliding_where_the_surface_repels() -> None:
    assert sliding_velocity(-np.eye(2), np.zeros(2), np.array([True, False])) is None
