"""The stationary law at finite epsilon."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import sparse
from strategies_chain import cost_matrices, tied_costs
from twins_chain import generator, stationary_law

import qpot
from qpot.chain.stationary import TransitionRates, log_stationary_distribution, stationary_weights

inf = np.inf
E1 = [[0.0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]


def relative_error(costs: Any, epsilon: float, prefactors: Any = None, digits: int = 100) -> float:
    """Largest relative error of the scaled stationary law against a solve with many digits."""
    m, e = stationary_weights(TransitionRates.of(costs, epsilon, prefactors))
    with mp.workdps(digits):
        reference = stationary_law(generator(np.asarray(costs, dtype=float), epsilon, prefactors))
        return float(
            max(abs(mp.ldexp(mp.mpf(a), int(b)) / c - 1) for a, b, c in zip(m.tolist(), e, reference, strict=True))
        )


@pytest.mark.parametrize("epsilon", [10.0, 1.0, 0.05, 1e-3])
def test_law_against_a_hundred_digits(epsilon: float) -> None:
    rng = np.random.default_rng(3)
    costs = rng.random((7, 7)) / 5
    np.fill_diagonal(costs, 0)
    prefactors = np.exp(rng.normal(size=(7, 7)))
    assert relative_error(costs, epsilon, prefactors, digits=900) < 20 * 2.2e-16


def test_law_at_cost_over_epsilon_of_a_million() -> None:
    """A four-state line has detailed balance, so that the law is known in closed form."""
    up, down = [0.31, 0.47, 1.03], [0.83, 0.19, 0.77]
    costs = np.full((4, 4), inf)
    np.fill_diagonal(costs, 0)
    for i in range(3):
        costs[i, i + 1], costs[i + 1, i] = up[i], down[i]
    epsilon = 1e-6
    m, e = stationary_weights(TransitionRates.of(costs, epsilon))
    with mp.workdps(60):
        weights = [mp.mpf(1)]
        for i in range(3):
            weights.append(weights[-1] * mp.exp((mp.mpf(down[i]) - mp.mpf(up[i])) / mp.mpf(epsilon)))
        total = sum(weights)
        for i in range(4):
            assert abs(mp.ldexp(mp.mpf(m[i]), int(e[i])) / (weights[i] / total) - 1) < 1e-14
        np.testing.assert_allclose(
            log_stationary_distribution(costs, epsilon),
            [float(mp.log(w / total)) for w in weights],
            rtol=1e-14,
        )


def test_small_noise_does_not_return_the_wrong_state() -> None:
    law = qpot.stationary_distribution(E1, 0.001)
    assert law.tolist() == [0.0, 1.0, 0.0]


@settings(deadline=None, max_examples=40)
@given(cost_matrices(values=tied_costs))
def test_log_of_the_law_tends_to_the_stationary_costs(costs: Any) -> None:
    """Two unrelated algorithms, one answer; the rest is at most epsilon log(number of in-trees)."""
    try:
        expected = qpot.stationary_costs(costs)
    except ValueError:
        with pytest.raises(ValueError, match="closed classes"):
            qpot.stationary_distribution(costs, 1e-4)
        return
    epsilon = 1e-4
    found = -epsilon * log_stationary_distribution(costs, epsilon)
    in_trees = len(costs) ** len(costs)
    np.testing.assert_allclose(found, expected, atol=epsilon * math.log(in_trees) + 1e-12)


def test_sparse_grid_against_dense_and_detailed_balance() -> None:
    """A grid of minima with energies and saddles has the Boltzmann law."""
    rng = np.random.default_rng(0)
    n = 12
    energy = rng.random(n * n)
    number = np.arange(n * n).reshape(n, n)
    pairs = np.concatenate(
        [
            np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], 1),
            np.stack([number[:-1].ravel(), number[1:].ravel()], 1),
        ]
    )
    saddle = energy[pairs].max(axis=1) + rng.random(len(pairs))
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    costs = sparse.coo_array((np.concatenate([saddle, saddle]) - energy[rows], (rows, columns)), shape=(n * n, n * n))
    for epsilon in (1.0, 0.01):
        law = qpot.stationary_distribution(costs, epsilon)
        boltzmann = np.exp(-(energy - energy.min()) / epsilon)
        # the costs are rounded: 1e-16 / epsilon each, along a path of at most n * n routes
        np.testing.assert_allclose(law, boltzmann / boltzmann.sum(), rtol=n * n * 2e-16 / epsilon)
        assert law.sum() == pytest.approx(1.0, abs=1e-14)
        full = np.full(costs.shape, inf)
        full[rows, columns] = costs.data
        np.fill_diagonal(full, 0)
        np.testing.assert_allclose(qpot.stationary_distribution(full, epsilon), law, rtol=1e-13)


def test_parallel_routes_add_their_rates() -> None:
    twice = sparse.coo_array(([1.0, 1.0, 1.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    np.testing.assert_allclose(qpot.stationary_distribution(twice, 0.3), [1 / 3, 2 / 3], rtol=1e-15)


def test_transient_and_absorbing_minima() -> None:
    costs = [[0.0, 1, 2], [inf, 0, inf], [0.5, 3, 0]]
    assert qpot.stationary_distribution(costs, 0.1).tolist() == [0.0, 1.0, 0.0]
    assert qpot.stationary_distribution([[0.0]], 0.1).tolist() == [1.0]


def test_prefactors_shift_a_tie() -> None:
    law = qpot.stationary_distribution([[0.0, 1.0], [1.0, 0]], 1e-5, prefactors=[[0, 1.0], [3.0, 0]])
    np.testing.assert_allclose(law, [0.75, 0.25], rtol=1e-14)
    stored = sparse.coo_array(([1.0, 3.0], ([0, 1], [1, 0])), shape=(2, 2))
    np.testing.assert_allclose(
        qpot.stationary_distribution([[0.0, 1.0], [1.0, 0]], 1e-5, prefactors=stored), [0.75, 0.25], rtol=1e-14
    )


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, inf, "1", None])
def test_bad_epsilon_is_named(epsilon: Any) -> None:
    with pytest.raises(ValueError, match="epsilon must be a finite number > 0"):
        qpot.stationary_distribution(E1, epsilon)


def test_epsilon_without_digits_left_is_refused() -> None:
    with pytest.raises(ValueError, match="use stationary_costs"):
        qpot.stationary_distribution(E1, 1e-20)


@pytest.mark.parametrize(
    ("prefactors", "match"),
    [
        (np.ones((2, 2)), r"prefactors has shape \(2, 2\)"),
        (np.zeros((3, 3)), r"prefactors\[0, 1\] = 0.0 must be a finite number > 0"),
        (np.full((3, 3), math.nan), r"prefactors\[0, 1\] = nan"),
        (-np.ones((3, 3)), r"prefactors\[0, 1\] = -1.0"),
    ],
)
def test_bad_prefactors_are_named(prefactors: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        qpot.stationary_distribution(E1, 1.0, prefactors=prefactors)


def test_several_closed_classes_are_named() -> None:
    with pytest.raises(ValueError, match=r"2 closed classes: \{1\}, \{2\}"):
        qpot.stationary_distribution([[0.0, 1, 1], [inf, 0, inf], [inf, inf, 0]], 0.1)
