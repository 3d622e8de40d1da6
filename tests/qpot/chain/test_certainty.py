"""Errors of the costs, carried through to the selected minimum."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_chain import cost_matrices

import qpot
from qpot.chain.certainty import selection

inf = np.inf
E1 = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])


def test_without_errors_the_selection_is_certain() -> None:
    found = selection(E1)
    assert (found.selected, found.possible, found.certainty) == ((1,), (1,), "selected with certainty")
    assert found.margin == found.certain_margin == 1.0
    assert found.refine is None
    assert found.interval(0) == (1.0, 1.0)
    assert found.w_interval(0) == (2.5, 2.5)


def test_a_tie_is_a_tie() -> None:
    found = selection([[0, 1.0], [1.0, 0]])
    assert (found.selected, found.certainty, found.margin) == ((0, 1), "tie", 0.0)


def test_errors_of_a_costs_object_are_used() -> None:
    """W(0) - W(1) = V(1, 0) - V(0, 1) = 1: the errors 0.3 and 0.9 leave -0.2."""
    errors = np.array([[0, 0.3, 0], [0.9, 0, 0.1], [0, 0.1, 0]])
    found = selection(SimpleNamespace(values=E1, errors=errors))
    assert found.selected == (1,)
    assert found.possible == (0, 1)
    assert found.certainty == "tie within error"
    assert found.certain_margin == pytest.approx(-0.2, abs=1e-15)
    assert (found.refine, found.decides) == ((1, 0), True)
    assert found.interval(0)[0] == 0.0
    assert found.interval(0)[1] == pytest.approx(2.2, abs=1e-15)
    assert "cost 1->0 would decide" in repr(found)


def test_no_single_cost_decides_when_two_are_too_uncertain() -> None:
    found = selection([[0, 1.0], [1.5, 0]], errors=0.6)
    assert found.certainty == "tie within error"
    assert found.decides is False
    assert found.refine in ((0, 1), (1, 0))
    assert "matters most" in repr(found)


def test_what_two_graphs_share_cancels() -> None:
    """State 2 hangs on by one route that every W-graph has to use, so its large error does not matter."""
    costs = [[0, 1.0, inf], [2.0, 0, 3.0], [inf, 1.0, 0]]
    errors = np.zeros((3, 3))
    errors[2, 1] = 0.9
    found = selection(costs, errors=errors)
    assert found.certainty == "selected with certainty"
    assert found.interval(0) == (1.0, 1.0)


@settings(deadline=None, max_examples=60)
@given(
    cost_matrices(values=st.integers(1, 8).map(float), connected=True),
    st.integers(0, 3),
    st.integers(0, 10**6),
)
def test_certain_means_certain(costs: Any, size: int, seed: int) -> None:
    """Costs anywhere within the errors, corners included, select a minimum that was called possible."""
    rng = np.random.default_rng(seed)
    k = len(costs)
    errors = rng.random((k, k)) * size
    found = selection(costs, errors=errors)
    intervals = [found.interval(i) for i in range(k)]
    ranges = [found.w_interval(i) for i in range(k)]
    for trial in range(20):
        shift = rng.choice([-1.0, 1.0], (k, k)) if trial % 2 else rng.uniform(-1, 1, (k, k))
        moved = np.where(
            np.isfinite(costs), np.maximum(np.where(np.isfinite(costs), costs, 0) + shift * errors, 0), inf
        )
        np.fill_diagonal(moved, 0)
        W = qpot.stationary_costs(moved)
        assert set(np.flatnonzero(W == 0).tolist()) <= set(found.possible)
        for i in range(k):
            assert intervals[i][0] - 1e-12 <= W[i] <= intervals[i][1] + 1e-12
            w = qpot.w_graph(moved, i).cost
            assert ranges[i][0] - 1e-12 <= w <= ranges[i][1] + 1e-12
    if found.decides:
        errors[found.refine] = 0.0
        assert selection(costs, errors=errors).certainty == "selected with certainty"


def test_minima_outside_the_closed_class_are_never_selected() -> None:
    found = selection(np.array([[0, 1, 2], [inf, 0, inf], [0.5, 3, 0]]), errors=0.1)
    assert found.possible == (1,)
    assert found.interval(0) == (inf, inf)
    assert found.margin == inf


@pytest.mark.parametrize(
    ("errors", "match"),
    [
        (-0.1, r"errors\[0, 1\] = -0.1 must be a finite number >= 0"),
        (math.nan, r"errors\[0, 1\] = nan"),
        (inf, r"errors\[0, 1\] = inf"),
        (np.zeros((2, 2)), r"errors has shape \(2, 2\)"),
    ],
)
def test_bad_errors_are_named(errors: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        selection(E1, errors=errors)


def test_closed_classes_are_named() -> None:
    with pytest.raises(ValueError, match=r"closed classes are \{0\}, \{1\}"):
        selection([[0, inf], [inf, 0]])
