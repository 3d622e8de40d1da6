"""Selection where some costs are known as intervals, against all ends of all of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_chain import cost_matrices
from twins_chain import brute_force_w

from qpot.chain.certainty import selection
from qpot.chain.intervals import interval_selection

inf = np.inf
# Higher than any sum of the costs that are drawn, so that it stands for a cost without an upper bound.
HIGH = 4096.0


def none_open(k: int) -> Any:
    return np.full((k, k), inf)


def rng_of(draw: Any) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 10**6)))


def with_open(draw: Any, costs: Any, many: int) -> tuple[Any, Any]:
    """The costs, some of them as intervals, and the lower ends of these."""
    least = np.full_like(costs, inf)
    routes = [(int(i), int(j)) for i, j in np.argwhere(np.isfinite(costs)) if i != j]
    if routes:
        for pair in draw(st.lists(st.sampled_from(routes), max_size=many, unique=True)):
            least[pair] = float(draw(st.integers(0, 6)))
    # Some of them have an upper end.
    most = np.where(rng_of(draw).random(costs.shape) < 0.3, costs + 6.0, inf)
    return np.where(np.isfinite(least), most, costs), least


def ends(costs: Any, least: Any) -> Any:
    """The matrices with every cost at an end of its interval; one that is missing is higher than everything."""
    where = [tuple(pair) for pair in np.argwhere(np.isfinite(least))]
    for chosen in itertools.product((False, True), repeat=len(where)):
        full = costs.copy()
        for pair, low in zip(where, chosen, strict=True):
            full[pair] = least[pair] if low else min(costs[pair], HIGH)
        yield full


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_what_may_be_selected_is_what_some_ends_select(data: Any) -> None:
    """In-trees are enumerated for every combination of ends, not only for those that the theorem says suffice."""
    drawn = data.draw(cost_matrices(largest=4, values=st.integers(0, 8).map(float), connected=True))
    costs, least = with_open(data.draw, drawn, 4)
    k = len(costs)
    among = sorted(data.draw(st.sets(st.integers(0, k - 1), min_size=1)))
    found = interval_selection(costs, errors=np.zeros((k, k)), least=least, among=among)
    seen: set[int] = set()
    gaps: list[Any] = []
    changes: dict[int, list[float]] = {i: [] for i in among}
    for full in ends(costs, least):
        W = np.array([float(w) for w in brute_force_w(full) if w is not None])[among]
        seen |= {among[n] for n in np.flatnonzero(W.min() == W)}
        gaps.append(W)
        for n, i in enumerate(among):
            changes[i].append(W[n] - W.min())
    assert set(found.selected) == seen
    for i in among:
        if max(changes[i]) > 0.5 * HIGH:
            assert np.isnan(found.stationary_costs[i])
            assert found.stationary_errors[i] == inf
        elif np.isfinite(found.stationary_errors[i]):
            assert max(abs(c - found.stationary_costs[i]) for c in changes[i]) <= found.stationary_errors[i] + 1e-12
    if len(seen) == 1 and len(among) > 1:
        (best,) = (among.index(i) for i in seen)
        least_gap = min(float((np.delete(W, best) - W[best]).min()) for W in gaps)
        assert found.certain_margin <= least_gap + 1e-12
        assert found.margin == pytest.approx(least_gap, abs=1e-12) if least_gap < 0.5 * HIGH else found.margin == inf


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(0, 2), st.integers(0, 10**6))
def test_nothing_within_the_intervals_selects_what_is_ruled_out(data: Any, size: int, seed: int) -> None:
    """Costs anywhere within errors and above the least ones."""
    drawn = data.draw(cost_matrices(largest=5, values=st.integers(1, 8).map(float), connected=True))
    costs, least = with_open(data.draw, drawn, 4)
    k, rng = len(costs), np.random.default_rng(seed)
    errors = rng.random((k, k)) * size
    found = interval_selection(costs, errors=errors, least=least)
    for trial in range(20):
        shift = rng.choice([-1.0, 1.0], (k, k)) if trial % 2 else rng.uniform(-1, 1, (k, k))
        known, within = np.isfinite(costs), np.isfinite(least)
        moved = np.where(known, np.maximum(np.where(known, costs, 0) + shift * errors, 0), inf)
        height = np.where(within, least, 0.0) + rng.exponential(10.0 ** rng.uniform(-2, 3), (k, k))
        moved = np.where(within, np.minimum(height, costs), moved)
        np.fill_diagonal(moved, 0.0)
        assert set(selection(moved).selected) <= set(found.selected)


def test_without_open_routes_it_is_the_selection() -> None:
    costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    found = interval_selection(costs, errors=np.full((3, 3), 0.1), least=none_open(3))
    known = selection(costs, errors=0.1)
    assert found.selected == known.possible == (1,)
    assert (found.margin, found.certain_margin) == (known.margin, known.certain_margin)
    assert found.stationary_costs.tolist() == [1.0, 0.0, 1.0]
    for i in range(3):
        low, high = known.interval(i)
        assert found.stationary_errors[i] == max(high - found.stationary_costs[i], found.stationary_costs[i] - low)


def test_a_bound_from_below_may_decide() -> None:
    costs, least = np.array([[0, 2.0], [inf, 0]]), none_open(2)
    for bound, selected in ((1.9, (0, 1)), (2.1, (1,))):
        least[1, 0] = bound
        found = interval_selection(costs, errors=np.zeros((2, 2)), least=least)
        assert found.selected == selected
    assert found.margin == pytest.approx(0.1)
    assert found.certain_margin == pytest.approx(0.1)
    assert found.stationary_costs[1] == 0.0
    assert np.isnan(found.stationary_costs[0])


def test_many_open_routes_rule_nothing_out() -> None:
    k = 7
    costs = np.full((k, k), inf)
    np.fill_diagonal(costs, 0.0)
    least = np.where(np.eye(k, dtype=bool), inf, 1.0)
    found = interval_selection(costs, errors=np.zeros((k, k)), least=least)
    assert found.selected == tuple(range(k))
    assert found.certain_margin == -inf
    assert np.isnan(found.stationary_costs).all()


def test_minima_outside_the_closed_class_are_not_compared() -> None:
    costs, least = np.array([[0, 1.0, 1.0], [1.0, 0, inf], [inf, inf, 0]]), none_open(3)
    with pytest.raises(ValueError, match=r"among=\(0, 1\) has minima outside of \(2,\)"):
        interval_selection(costs, errors=np.zeros((3, 3)), least=least, among=(0, 1))


@pytest.mark.parametrize("name", ["errors", "least"])
def test_shapes_are_checked(name: str) -> None:
    arguments = {"errors": np.zeros((2, 2)), "least": none_open(2)}
    arguments[name] = np.zeros((3, 3))
    with pytest.raises(ValueError, match=rf"{name} has shape \(3, 3\)"):
        interval_selection([[0, 1.0], [1.0, 0]], **arguments)


def test_ends_are_in_order() -> None:
    least = none_open(2)
    least[0, 1] = 2.0
    with pytest.raises(ValueError, match="least must not be above costs"):
        interval_selection([[0, 1.0], [1.0, 0]], errors=np.zeros((2, 2)), least=least)


def test_errors_are_finite() -> None:
    with pytest.raises(ValueError, match="errors must be finite"):
        interval_selection([[0, 1.0], [1.0, 0]], errors=np.array([[0, inf], [0, 0]]), least=none_open(2))
