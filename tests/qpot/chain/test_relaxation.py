"""The chain at finite times, and its relaxation times."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from strategies_chain import cost_matrices
from twins_chain import generator

from qpot.chain.cycles import cycle_hierarchy, metastable_state, relaxation_exponents
from qpot.chain.relaxation import log_relaxation_times, occupation_after, transition_matrix

inf = np.inf
E1 = [[0.0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]


def exponential(Q: Any, time: Any) -> Any:
    values, vectors = mp.eig(Q)
    return vectors * mp.diag([mp.exp(value * time) for value in values]) * vectors**-1


@pytest.mark.parametrize(("seed", "log_time"), [(0, 0.1), (1, 0.45), (2, 0.8)])
def test_transition_matrix_against_mpmath_over_300_decades(seed: int, log_time: float) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.random((5, 5))
    np.fill_diagonal(costs, 0)
    epsilon = 1.0 / (300 * math.log(10))
    with mp.workdps(800):
        exact = exponential(generator(costs, epsilon), mp.exp(mp.mpf(log_time) / mp.mpf(epsilon)))
        reference = np.array([[float(mp.re(exact[i, j])) for j in range(5)] for i in range(5)])
    found = transition_matrix(costs, epsilon, log_time)
    # 2e-14 from the step, 44 squarings with a rounding error of about k units each
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-14)


def test_two_states_in_closed_form_at_all_times() -> None:
    """P(t) = pi + (1 - pi) exp(-(a + b) t), with relative accuracy also where entries are small."""
    a, b = math.exp(-2.0), math.exp(-5.0)
    for log_time in (-20.0, -1.0, 0.0, 2.0, 4.0, 10.0):
        t = math.exp(log_time)
        P = transition_matrix([[0.0, 2.0], [5.0, 0]], 1.0, log_time)
        decay = -math.expm1(-(a + b) * t)
        np.testing.assert_allclose(P[0, 1], a / (a + b) * decay, rtol=1e-12)
        np.testing.assert_allclose(P[1, 0], b / (a + b) * decay, rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(cost_matrices(values=st.integers(1, 40).map(float), connected=True), st.data())
def test_metastable_state_is_where_the_law_concentrates(costs: Any, data: Any) -> None:
    """From the hierarchy, and from exp(Qt) at small epsilon: two unrelated algorithms."""
    k = len(costs)
    start = data.draw(st.integers(0, k - 1))
    exponents = sorted({c.exit_cost for _, c in cycle_hierarchy(costs).walk() if math.isfinite(c.exit_cost)})
    log_time = data.draw(st.integers(0, 60)) + 0.5
    assume(all(abs(log_time - exponent) >= 0.5 for exponent in exponents))
    states = metastable_state(costs, log_time, start)
    law = occupation_after(costs, 0.01, log_time, start)
    # all other states together: at most 5 states, prefactors of at most 5!, gaps of at least 1/2
    assert np.delete(law, list(states)).sum() < 600 * math.exp(-50)
    assert law[list(states)].min() > 1e-3


def test_law_as_start_and_time_zero() -> None:
    law = np.array([0.25, 0.5, 0.25])
    np.testing.assert_array_equal(occupation_after(E1, 0.1, -inf, law), law)
    rows = transition_matrix(E1, 0.1, 1.0)
    np.testing.assert_allclose(occupation_after(E1, 0.1, 1.0, law), law @ rows, rtol=1e-14)


def test_absorbing_minimum_fills_up() -> None:
    law = occupation_after([[0.0, 1.0], [inf, 0]], 0.1, 1.0, 0)
    np.testing.assert_allclose(law, [math.exp(-1), -math.expm1(-1)], rtol=1e-12)


@pytest.mark.parametrize("epsilon", [0.3, 1e-3])
def test_relaxation_times_against_mpmath(epsilon: float) -> None:
    rng = np.random.default_rng(5)
    costs = rng.random((5, 5))
    np.fill_diagonal(costs, 0)
    with mp.workdps(1500 if epsilon < 0.01 else 50):
        values = sorted(mp.eig(generator(costs, epsilon), left=False, right=False), key=lambda x: abs(mp.re(x)))
        reference = [float(-mp.log(-mp.re(value))) for value in values[1:]]
    np.testing.assert_allclose(log_relaxation_times(costs, epsilon, 4), reference, rtol=1e-13, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(cost_matrices(values=st.integers(1, 40).map(float), connected=True))
@example(
    np.array([[0, 1, inf, 1, inf], [4, 0, 3, inf, inf], [inf, 1, 0, 2, 3], [inf, inf, 6, 0, 7], [11, inf, inf, inf, 0]])
)
def test_relaxation_times_tend_to_their_exponents(costs: Any) -> None:
    k = len(costs)
    assume(k >= 2)
    epsilon = 0.01
    found = epsilon * log_relaxation_times(costs, epsilon, k - 1)
    np.testing.assert_allclose(found, relaxation_exponents(costs)[1:], atol=epsilon * math.log(600))


def test_two_closed_classes_never_mix() -> None:
    assert log_relaxation_times([[0.0, 1, 1], [inf, 0, inf], [inf, inf, 0]], 0.1, 1).tolist() == [inf]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: transition_matrix(E1, 0.1, inf), "log_time must be a number below infinity"),
        (lambda: transition_matrix(E1, 0.1, math.nan), "log_time must be a number"),
        (lambda: transition_matrix(E1, -0.1, 1.0), "epsilon must be"),
        (lambda: occupation_after(E1, 0.1, 1.0, 3), "start must be the id of a minimum"),
        (lambda: occupation_after(E1, 0.1, 1.0, [0.5, 0.5]), "start must be a minimum from 0 to 2 or a law"),
        (lambda: occupation_after(E1, 0.1, 1.0, [0.5, 0.6, 0.5]), "sums to one"),
        (lambda: log_relaxation_times(E1, 0.1, 3), "count=3 exceeds the 2 relaxation times"),
        (lambda: log_relaxation_times(E1, 0.1, 0), "count must be an integer >= 1"),
    ],
)
def test_bad_input_is_named(call: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()
