"""The cycle hierarchy and metastable states."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies_chain import cost_matrices, tied_costs, wide_costs
from twins_chain import brute_force_cycles, brute_force_w

import qpot
from qpot.chain.cycles import relaxation_exponents
from qpot.chain.w_graphs import metastable_state

inf = np.inf
E1 = [[0.0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]
E4 = [[0.0, 1, inf, inf], [0.7, 0, 0.3, inf], [inf, 0.1, 0, 1.5], [inf, inf, 1.8, 0]]
ABSORBING = [[0.0, 1, 2], [inf, 0, inf], [0.5, 3, 0]]


def table(costs: Any) -> dict[tuple[int, ...], tuple[float, tuple[tuple[int, int], ...], tuple[int, ...]]]:
    return {
        cycle.members: (cycle.exit_cost, cycle.exit_edges, cycle.main_states)
        for _, cycle in qpot.cycle_hierarchy(costs).walk()
    }


def test_three_states_by_hand() -> None:
    assert table(E1) == {
        (0, 1, 2): (inf, (), (1,)),
        (0,): (1.0, ((0, 1),), (0,)),
        (1,): (1.5, ((1, 2),), (1,)),
        (2,): (0.5, ((2, 1),), (2,)),
        (1, 2): (2.0, ((1, 0),), (1,)),
    }
    top = qpot.cycle_hierarchy(E1)
    assert (top.mixing_time_exponent, top.rotation_time_exponent) == (1.0, 2.0)
    assert set(top.rotation) == {(0, 1), (1, 0)}
    assert top.exit_edge is None
    assert "main {1}" in repr(top)


def test_chain_of_four_by_hand() -> None:
    found = table(E4)
    assert {members: value[1:] for members, value in found.items()} == {
        (0, 1, 2, 3): ((), (0,)),
        (0, 1, 2): (((2, 3),), (0,)),
        (1, 2): (((1, 0),), (1,)),
        (0,): (((0, 1),), (0,)),
        (1,): (((1, 2),), (1,)),
        (2,): (((2, 1),), (2,)),
        (3,): (((3, 2),), (3,)),
    }
    for members, exit_cost in {
        (0, 1, 2): 2.0,
        (1, 2): 0.7,
        (0,): 1.0,
        (1,): 0.3,
        (2,): 0.1,
        (3,): 1.8,
    }.items():
        assert found[members][0] == pytest.approx(exit_cost, abs=1e-15)


def test_tie_of_two_is_kept() -> None:
    top = qpot.cycle_hierarchy([[0.0, 1.0], [1.0, 0]])
    assert top.main_states == (0, 1)
    assert {c.exit_cost for c in top.children} == {1.0}


def test_tied_exits_are_all_kept_and_do_not_make_a_cycle() -> None:
    # from 0 to 1 and to 2 alike: {0, 1} is left before it has gone round, so it is no cycle
    costs = [[0.0, 1, 1], [0.1, 0, inf], [5, inf, 0]]
    found = table(costs)
    assert set(found) == {(0,), (1,), (2,), (0, 1, 2)}
    assert found[(0,)][1] == ((0, 1), (0, 2))


def test_sums_that_differ_in_the_last_digit_tie_unless_told_otherwise() -> None:
    costs = [[0.0, 0.1 + 0.2, inf], [inf, 0, 0.3], [0.3, inf, 0]]
    assert qpot.cycle_hierarchy(costs).main_states == (0, 1, 2)
    assert qpot.cycle_hierarchy(costs, tolerance=0.0).main_states == (0,)


def check_definition(costs: Any) -> None:
    expected = brute_force_cycles(costs)
    top = qpot.cycle_hierarchy(costs, tolerance=0.0)
    found = {c.members: c for depth, c in top.walk() if depth > 0 or c.index >= 0}
    assert set(found) == set(expected)
    for members, (exit_cost, main) in expected.items():
        cycle = found[members]
        assert cycle.exit_cost == (inf if exit_cost is None else float(exit_cost))
        assert cycle.main_states == main
        if exit_cost is not None:
            assert all(i in members and j not in members for i, j in cycle.exit_edges)
    W = brute_force_w(costs)
    finite = [w for w in W if w is not None]
    assert top.main_states == (tuple(i for i, w in enumerate(W) if w == min(finite)) if finite else ())
    # nested, and the exit costs grow upwards
    for _, cycle in top.walk():
        assert all(set(child.members) < set(cycle.members) for child in cycle.children)
        assert all(child.exit_cost <= cycle.exit_cost for child in cycle.children)


@settings(deadline=None, max_examples=40)
@given(cost_matrices(largest=4, values=tied_costs.map(lambda c: c + 1)))
def test_cycles_equal_their_definition_with_ties(costs: Any) -> None:
    check_definition(costs)


@settings(deadline=None, max_examples=40)
@given(cost_matrices(largest=4, values=wide_costs))
def test_cycles_equal_their_definition_over_27_decades(costs: Any) -> None:
    check_definition(costs)


def test_metastable_state_by_hand() -> None:
    assert [metastable_state(E1, c, 0) for c in (0.5, 1.2, 3.0)] == [(0,), (1,), (1,)]
    assert [metastable_state(E4, c, 3) for c in (1.7, 1.9, 2.1, inf)] == [(3,), (0,), (0,), (0,)]
    # from 1: 0.2 rests, 0.5 the pair {1, 2} has mixed, 0.8 it has left to 0
    assert [metastable_state(E4, c, 2) for c in (0.05, 0.2, 0.5, 0.8, 1.9)] == [(2,), (1,), (1,), (0,), (0,)]


def test_at_the_exit_cost_itself_both_states_count() -> None:
    assert metastable_state(E1, 1.0, 0) == (0, 1)
    assert metastable_state(E1, 1.0 * (1 + 1e-14), 0) == (0, 1)


def test_metastable_state_takes_all_tied_exits() -> None:
    costs = [[0.0, 1, 1], [3, 0, inf], [4, inf, 0]]
    assert metastable_state(costs, 2.0, 0) == (1, 2)
    assert metastable_state(costs, 3.5, 0) == (2,)


def test_metastable_state_with_two_absorbing_minima() -> None:
    costs = [[0.0, 1.0, 2.0], [inf, 0, inf], [inf, inf, 0]]
    assert metastable_state(costs, 5.0, 0) == (1,)
    assert metastable_state(costs, inf, 2) == (2,)
    top = qpot.cycle_hierarchy(costs)
    assert top.main_states == ()
    assert "depends on the start" in top.text()


def test_a_hierarchy_can_be_used_again() -> None:
    hierarchy = qpot.cycle_hierarchy(E1)
    assert metastable_state(hierarchy, 1.2, 0) == (1,)


def test_relaxation_exponents_by_hand() -> None:
    assert relaxation_exponents(E1).tolist() == [inf, 1.0, 0.5]
    np.testing.assert_allclose(relaxation_exponents(E4), [inf, 1.8, 0.7, 0.1], rtol=1e-15)
    assert relaxation_exponents(ABSORBING).tolist() == [inf, 1.0, 0.5]
    assert relaxation_exponents([[0.0]]).tolist() == [inf]


@pytest.mark.parametrize("start", [-1, 3, 0.0, "a"])
def test_bad_start_is_named(start: Any) -> None:
    with pytest.raises(ValueError, match="start must be the id of a minimum"):
        metastable_state(E1, 1.0, start)


@pytest.mark.parametrize("log_time", [math.nan, "1", [1.0], True, None])
def test_bad_time_is_named(log_time: Any) -> None:
    with pytest.raises(ValueError, match="log_time must be a number"):
        metastable_state(E1, log_time, 0)


@pytest.mark.parametrize("tolerance", [-1e-3, 0.5, math.nan, "x"])
def test_bad_tolerance_is_named(tolerance: Any) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        qpot.cycle_hierarchy(E1, tolerance=tolerance)


def test_costs_are_checked() -> None:
    with pytest.raises(ValueError, match="must be a number >= 0"):
        qpot.cycle_hierarchy([[0, -1.0], [1.0, 0]])
