"""Least squares within bounds: the conditions of the minimum, and a method for where a library's answer violates them."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.common import bounded_least_squares as problems
from qpot.solvers.common.bounded_least_squares import active_set, nonnegative_least_squares, violation


def problem(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 12)), int(rng.integers(1, 40))
    return rng.standard_normal((m, n)), rng.standard_normal(m)


@pytest.mark.parametrize("seed", range(40))
def test_both_methods_find_the_minimum(seed: int) -> None:
    A, b = problem(seed)
    n = A.shape[1]
    rng = np.random.default_rng(1000 + seed)
    lows = [np.zeros(n), np.asarray(-rng.uniform(0.0, 2.0, n))]
    highs = [np.full(n, np.inf), np.asarray(rng.uniform(0.01, 1.0, n))]
    for low, high in zip(lows, highs, strict=True):
        own = active_set(A, b, low, high)
        library = (
            nonnegative_least_squares(A, b) if np.isinf(high[0]) else problems.bounded_least_squares(A, b, low, high)
        )
        assert own.ok
        assert library.ok
        assert ((own.x >= low) & (own.x <= high)).all()
        # The residual at the minimum is unique, though x may not be.
        np.testing.assert_allclose(A @ own.x, A @ library.x, atol=1e-9)


def test_equal_columns() -> None:
    A, b = problem(3)
    A = np.tile(A[:, :2], 6)
    n = A.shape[1]
    assert active_set(A, b, np.zeros(n), np.full(n, np.inf)).ok


def test_the_violation_of_the_conditions() -> None:
    """|x - (1, -1)|^2 over x >= 0 has its minimum at (1, 0)."""
    A, b, low, high = np.eye(2), np.array([1.0, -1.0]), np.zeros(2), np.full(2, np.inf)
    assert violation(A, b, low, high, np.array([1.0, 0.0])) == 0.0
    # Between the bounds the slope is 1 - x = 1/2, against |b| + |x|_1.
    assert violation(A, b, low, high, np.array([0.5, 0.0])) == pytest.approx(0.5 / (np.sqrt(2.0) + 0.5))
    # Outside of the bounds, by all of its size.
    assert violation(A, b, low, high, np.array([1.0, -1.0])) == pytest.approx(1.0)
    assert violation(A, b, low, high, np.array([np.nan, 0.0])) == np.inf


def test_an_answer_of_a_library_that_is_no_minimum_is_not_believed() -> None:
    """What scipy 1.15.3 returned for such problems: a point within the bounds with one column too few."""
    A, b = problem(8)
    n = A.shape[1]
    low, high = np.zeros(n), np.full(n, np.inf)
    x = nonnegative_least_squares(A, b).x
    few = np.where(x == x.max(), 0.0, x)
    assert violation(A, b, low, high, few) > 1e-3
    found = problems._held(A, b, low, high, few)
    assert found.ok
    np.testing.assert_allclose(A @ found.x, A @ x, atol=1e-9)
