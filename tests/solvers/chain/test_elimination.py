"""The sparse elimination against a plain dense one, and the order against its purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.chain.stationary import TransitionRates, stationary_weights
from qpot.solvers.chain.stationary_law import elimination_order, pattern_of
from qpot.solvers.chain.transition_matrix import repeated_square

Array = NDArray[np.float64]


def dense_gth(rates: Array) -> Array:
    """Grassmann, Taksar and Heyman in plain floats, last state first."""
    A = rates.copy()
    k = len(A)
    for s in range(k - 1, 0, -1):
        A[:s, s] /= A[s, :s].sum()
        A[:s, :s] += np.outer(A[:s, s], A[s, :s])
    weights = np.ones(k)
    for s in range(1, k):
        weights[s] = weights[:s] @ A[:s, s]
    return np.asarray(weights / weights.sum())


def random_routes(seed: int, k: int, degree: int) -> Any:
    rng = np.random.default_rng(seed)
    costs = np.full((k, k), np.inf)
    costs[np.arange(k), (np.arange(k) + 1) % k] = 1.0
    rows, columns = rng.integers(0, k, (2, degree * k))
    costs[rows, columns] = rng.random(degree * k)
    np.fill_diagonal(costs, 0)
    return costs


@pytest.mark.parametrize(("k", "degree"), [(2, 1), (5, 1), (40, 2), (70, 3), (70, 70)])
def test_sparse_elimination_equals_the_plain_one(k: int, degree: int) -> None:
    costs = random_routes(k, k, degree)
    m, e = stationary_weights(TransitionRates.of(costs, 0.3))
    rates = np.where(np.isfinite(costs), np.exp(-costs / 0.3), 0.0)
    np.fill_diagonal(rates, 0)
    np.testing.assert_allclose(np.ldexp(m, e.astype(np.int32)), dense_gth(rates), rtol=k * 4e-15)


def test_order_leaves_a_line_without_fill_and_keeps_the_last() -> None:
    k = 50
    tails = np.concatenate([np.arange(k - 1), np.arange(1, k)])
    heads = np.concatenate([np.arange(1, k), np.arange(k - 1)])
    order, out, into = elimination_order(k, tails, heads, 20)
    assert sorted(order.tolist()) == list(range(k))
    assert order[-1] == 20
    _, pattern = pattern_of(order, out, into)
    row_start, columns, column_start, rows, positions = pattern
    assert columns.size == 2 * (k - 1)
    assert rows.size == positions.size == k - 1
    assert row_start[-1] == columns.size
    assert column_start[-1] == rows.size


def test_squaring_does_not_double_the_errors_of_small_entries() -> None:
    """exp of a slow two-state chain: entry 1e-9 after 2^30 steps of 1e-18, to full relative accuracy."""
    a = 1e-18
    P = repeated_square(np.array([[1.0, a], [2 * a, 1.0]]), 30)
    # without abs=0 a difference of 1e-12 would pass, a thousandth of the entry
    assert P[0, 1] == pytest.approx(2.0**30 * a * (1 - 0.5 * 3 * a * 2.0**30), rel=1e-14, abs=0.0)
    assert P[1, 0] == pytest.approx(2 * P[0, 1], rel=1e-15, abs=0.0)
