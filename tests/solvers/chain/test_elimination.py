"""The sparse elimination against a plain dense one, and the order against its purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.chain.stationary import TransitionRates, stationary_weights
from qpot.solvers.chain.fill_reducing import elimination_order, neighbours
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
    k = 150
    tails = np.concatenate([np.arange(k - 1), np.arange(1, k)])
    heads = np.concatenate([np.arange(1, k), np.arange(k - 1)])
    order, entries, pattern = elimination_order(k, *neighbours(k, tails, heads), 20, 10**6)
    assert sorted(order.tolist()) == list(range(k))
    assert order[-1] == 20
    row_start, columns, column_start, rows, positions, core = pattern
    assert core == k - 64  # The last 64 are kept as a full matrix.
    # Each state is the end of a line when it is taken out, or stands between two others: no more than they are filled in.
    assert row_start[-1] == columns.size == entries <= 2 * 2 * core + 64 * 63
    assert column_start[-1] == rows.size == positions.size == entries // 2


def log_domain_gth(costs: Array, epsilon: float) -> Array:
    """Logarithms of the stationary law by elimination in the given order, in long doubles and logarithms."""
    k = len(costs)
    L = -costs.astype(np.longdouble) / np.longdouble(epsilon)
    np.fill_diagonal(L, -np.inf)
    for s in range(k - 1, 0, -1):
        L[:s, s] -= np.logaddexp.reduce(L[s, :s])
        L[:s, :s] = np.logaddexp(L[:s, :s], L[:s, s][:, None] + L[s, :s][None])
        np.fill_diagonal(L[:s, :s], -np.inf)
    w = np.zeros(k, dtype=np.longdouble)
    for s in range(1, k):
        w[s] = np.logaddexp.reduce(w[:s] + L[:s, s])
    return np.asarray(w - np.logaddexp.reduce(w))


@pytest.mark.parametrize(
    ("k", "degree", "epsilon"),
    [(5, 2, 0.1), (70, 3, 1e-3), (150, 4, 0.3), (150, 150, 0.05), (200, 6, 1e-4), (150, 3, 1e3), (150, 3, 3e-6)],
)
def test_any_order_and_blocks_equal_the_dense_elimination_at_all_noise_levels(
    k: int, degree: int, epsilon: float
) -> None:
    costs = random_routes(k + degree, k, degree)
    m, e = stationary_weights(TransitionRates.of(costs, epsilon))
    found = np.log(m.astype(np.longdouble)) + e * np.log(np.longdouble(2.0))
    reference = log_domain_gth(costs, epsilon)
    # The reference has logarithms as large as 1 / epsilon, of which long doubles keep 19 digits.
    assert np.abs(found - reference).max() <= k * 4e-16 + 1e-17 * np.abs(reference).max()


def test_a_block_of_rates_beyond_the_range_of_floats() -> None:
    """Rates of 1e-3000 beside 1, in a matrix of more than one block."""
    rng = np.random.default_rng(2)
    costs = rng.uniform(0.0, 7000.0, (100, 100))
    np.fill_diagonal(costs, 0.0)
    m, e = stationary_weights(TransitionRates.of(costs, 1.0))
    found = np.log(m.astype(np.longdouble)) + e * np.log(np.longdouble(2.0))
    reference = log_domain_gth(costs, 1.0)
    assert np.abs(found - reference).max() <= 100 * 4e-16 + 1e-17 * np.abs(reference).max()


def test_a_fill_beyond_the_memory_is_said_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qpot.chain.stationary.free_memory", lambda: 10**5)
    with pytest.raises(ValueError, match=r"elimination of 300 minima .* fills in to .* entries.* GiB are free"):
        stationary_weights(TransitionRates.of(random_routes(1, 300, 6), 0.1))


def test_squaring_does_not_double_the_errors_of_small_entries() -> None:
    """exp of a slow two-state chain: entry 1e-9 after 2^30 steps of 1e-18, to full relative accuracy."""
    a = 1e-18
    P = repeated_square(np.array([[1.0, a], [2 * a, 1.0]]), 30)
    # without abs=0 a difference of 1e-12 would pass, a thousandth of the entry
    assert P[0, 1] == pytest.approx(2.0**30 * a * (1 - 0.5 * 3 * a * 2.0**30), rel=1e-14, abs=0.0)
    assert P[1, 0] == pytest.approx(2 * P[0, 1], rel=1e-15, abs=0.0)
