"""Mean first passage times, committors, reactive flux, hitting exponents."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from strategies_chain import cost_matrices, tied_costs
from twins_chain import generator, hitting, stationary_law

from qpot.chain.passage import (
    committor,
    hitting_exponents,
    log_committor,
    log_mean_first_passage_times,
    mean_first_passage_times,
    reactive_flux,
)

inf = np.inf
E1 = [[0.0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]
ABSORBING = [[0.0, 1, 2], [inf, 0, inf], [0.5, 3, 0]]


def chain_over_decades(seed: int, k: int = 6, decades: float = 200.0) -> tuple[Any, Any]:
    """Costs at epsilon = 1 whose rates span the given decades, and prefactors."""
    rng = np.random.default_rng(seed)
    costs = rng.random((k, k)) * decades * math.log(10)
    np.fill_diagonal(costs, 0)
    return costs, np.exp(rng.normal(size=(k, k)))


@pytest.mark.parametrize("seed", range(4))
def test_passage_times_and_committors_against_mpmath_over_200_decades(seed: int) -> None:
    """The reference is solved with 700 digits: 100 are left after the cancellations of a dense solve."""
    costs, prefactors = chain_over_decades(seed)
    k = len(costs)
    log_times = log_mean_first_passage_times(costs, 1.0, [4, 5], prefactors=prefactors)
    log_forward = log_committor(costs, 1.0, 0, [4, 5], prefactors=prefactors)
    log_backward = log_committor(costs, 1.0, [4, 5], 0, prefactors=prefactors)
    with mp.workdps(700):
        Q = generator(costs, 1.0, prefactors)
        one, zero = mp.mpf(1), mp.mpf(0)
        times = hitting(Q, [4, 5], [one] * k, {4: zero, 5: zero})
        forward = hitting(Q, [0, 4, 5], [zero] * k, {0: zero, 4: one, 5: one})
        for i in range(4):
            # the logarithm is rounded: relative error of the time = absolute error of the logarithm
            assert abs(mp.exp(mp.mpf(log_times[i])) / times[i] - 1) < 1e-12
        for i in range(1, 4):
            assert abs(mp.exp(mp.mpf(log_forward[i])) / forward[i] - 1) < 1e-12
            assert abs(mp.exp(mp.mpf(log_backward[i])) / (1 - forward[i]) - 1) < 1e-12
    assert mean_first_passage_times(costs, 1.0, [4, 5], prefactors=prefactors)[4:].tolist() == [0.0, 0.0]


def test_two_states_by_hand() -> None:
    costs, prefactors = [[0.0, 1.0], [2.0, 0]], [[0, 3.0], [1.0, 0]]
    np.testing.assert_allclose(
        mean_first_passage_times(costs, 0.5, 1, prefactors=prefactors), [math.exp(2.0) / 3.0, 0.0], rtol=1e-14
    )


def test_times_where_the_chain_may_end_elsewhere_are_infinite() -> None:
    two_sinks = [[0.0, 1, 1, inf], [inf, 0, inf, inf], [inf, inf, 0, inf], [inf, inf, 1, 0]]
    assert mean_first_passage_times(two_sinks, 0.1, 1).tolist() == [inf, 0.0, inf, inf]
    assert log_mean_first_passage_times(two_sinks, 0.1, 1).tolist() == [inf, -inf, inf, inf]
    assert hitting_exponents(two_sinks, 1).tolist() == [inf, -inf, inf, inf]
    np.testing.assert_allclose(committor(two_sinks, 0.1, 1, 2), [0.5, 0, 1, 1], rtol=1e-15)
    # through the target first: what lies behind it does not matter
    assert hitting_exponents([[0.0, 1, inf], [inf, 0, 2], [inf, inf, 0]], 1).tolist() == [1.0, -inf, inf]


def test_hitting_exponents_by_hand() -> None:
    assert hitting_exponents(E1, 2)[0] == 1.5
    assert hitting_exponents([[0.0, 1.0], [1.0, 0]], 1)[0] == 1.0
    assert hitting_exponents([[0.0, 1, 2.5], [3, 0, 1.2], [0.7, 3, 0]], 2)[0] == pytest.approx(1.2, abs=1e-15)
    line = [[0.0, 1, inf, inf], [0.7, 0, 0.3, inf], [inf, 0.1, 0, 1.5], [inf, inf, 1.8, 0]]
    assert hitting_exponents(line, 3)[0] == pytest.approx(2.0, abs=1e-15)
    assert hitting_exponents(ABSORBING, 1).tolist() == [1.0, -inf, 1.0]


@settings(deadline=None, max_examples=60)
@given(cost_matrices(values=tied_costs), st.data())
def test_times_tend_to_the_hitting_exponents(costs: Any, data: Any) -> None:
    """An elimination in exponents and one in numbers; integer costs leave epsilon log(number of paths)."""
    target = data.draw(st.integers(0, len(costs) - 1))
    epsilon = 1e-4
    found = epsilon * log_mean_first_passage_times(costs, epsilon, target)
    np.testing.assert_allclose(found, hitting_exponents(costs, target), atol=epsilon * math.log(5.0**6))


def test_reactive_flux_against_mpmath() -> None:
    costs, prefactors = chain_over_decades(7, k=5, decades=40.0)
    k = len(costs)
    flux = reactive_flux(costs, 1.0, 0, 4, prefactors=prefactors)
    with mp.workdps(200):
        Q = generator(costs, 1.0, prefactors)
        one, zero = mp.mpf(1), mp.mpf(0)
        pi = stationary_law(Q)
        reverse = mp.matrix(k, k)
        for i in range(k):
            for j in range(k):
                reverse[i, j] = pi[j] * Q[j, i] / pi[i]
        forward = hitting(Q, [0, 4], [zero] * k, {0: zero, 4: one})
        backward = hitting(reverse, [0, 4], [zero] * k, {0: one, 4: zero})
        rate = sum(pi[0] * Q[0, j] * forward[j] for j in range(1, k))
        assert abs(mp.exp(mp.mpf(flux.log_rate)) / rate - 1) < 1e-12
        for (i, j), log_flux in zip(flux.edges.tolist(), flux.log_flux, strict=True):
            exact = pi[i] * backward[i] * Q[i, j] * forward[j]
            if exact == 0:
                assert log_flux == -inf
            else:
                assert abs(mp.exp(mp.mpf(float(log_flux))) / exact - 1) < 1e-12
        np.testing.assert_allclose(flux.backward_committor, [float(x) for x in backward], rtol=1e-13)


@settings(deadline=None, max_examples=30)
@given(cost_matrices(values=tied_costs, connected=True))
def test_reactive_flux_is_conserved(costs: Any) -> None:
    k = len(costs)
    assume(k >= 2)
    flux = reactive_flux(costs, 0.5, 0, k - 1)
    balance = np.zeros(k)
    np.add.at(balance, flux.edges[:, 0], flux.net_share)
    np.add.at(balance, flux.edges[:, 1], -flux.net_share)
    np.testing.assert_allclose(balance, np.eye(k)[0] - np.eye(k)[k - 1], atol=1e-12)


def test_parallel_routes_share_the_flux() -> None:
    costs = sparse.coo_array(([1.0, 1.0, 1.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    flux = reactive_flux(costs, 1.0, 0, 1)
    np.testing.assert_allclose(flux.net_share, [0.5, 0.5, 0.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mean_first_passage_times(E1, 0.0, 1), "epsilon must be a finite number > 0"),
        (lambda: mean_first_passage_times(E1, 1.0, 3), "targets must be the id of a minimum"),
        (lambda: mean_first_passage_times(E1, 1.0, []), "targets is empty"),
        (lambda: mean_first_passage_times(E1, 1.0, None), "targets must be"),  # type: ignore[arg-type]
        (lambda: committor(E1, 1.0, [0, 1], [1, 2]), r"share the minima \[1\]"),
        (lambda: committor(E1, 1.0, 0, -1), "target must be the id"),
        (lambda: reactive_flux(ABSORBING, 1.0, 0, 1), r"source=\(0,\) has no stationary weight"),
        (lambda: hitting_exponents([[0, -1], [1, 0]], 0), "must be a number >= 0"),
    ],
)
def test_bad_input_is_named(call: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()
