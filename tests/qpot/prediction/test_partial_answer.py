"""Predictions where some legs were not solved: what they say holds whatever these legs cost."""

from __future__ import annotations

import pathlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from chains import costs_of, impossible, leg, unsolved
from numpy.typing import NDArray

import qpot
from qpot.prediction.partial_answer import partial_answer
from qpot.prediction.unfinished import refuse_undecided

Array = NDArray[np.float64]
inf = np.inf


def drawn(seed: int) -> tuple[Array, dict[Any, Any]]:
    """True costs of legs between some minima, and what is known of them: values within errors, or bounds."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 6))
    true = np.full((k, k), inf)
    np.fill_diagonal(true, 0.0)
    for i in range(k):
        for j in range(k):
            if i != j and (j == (i + 1) % k or i == (j + 1) % k or rng.random() < 0.3):
                true[i, j] = rng.exponential(2.0) + 0.1
    lost = np.where(rng.random(k) < 0.4, rng.uniform(0.0, 1.0), 0.0)  # Of the legs out of each minimum.
    exact = rng.random() < 0.5
    legs: dict[Any, Any] = {}
    for i, j in np.argwhere(np.isfinite(true) & (true > 0)):
        pair, cost = (int(i), int(j)), float(true[i, j])
        error = 0.0 if exact else rng.exponential(0.05) * cost
        known = leg(pair, max(cost + rng.uniform(-1, 1) * error, 0.0), error)
        bound = cost * rng.uniform(0, 1) * (rng.random() < 0.7)
        missing = unsolved(pair, bound)
        if rng.random() < lost[i]:
            # A second leg over another saddle may be known, and be dearer.
            dearer = leg(pair, cost + rng.exponential(1.0), 0.0)
            legs[pair] = [missing, dearer] if rng.random() < 0.3 else missing
        else:
            legs[pair] = known
    return true, legs


@pytest.mark.parametrize("block", [*range(3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 8))])
def test_the_true_costs_never_contradict_what_is_said(block: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        true, legs = drawn(seed)
        k = len(true)
        costs = costs_of(k, legs)
        prediction = qpot.prediction_from_costs(costs)
        W = qpot.stationary_costs(true)
        assert set(np.flatnonzero(W == 0.0).tolist()) <= set(prediction.possible)
        among = [i for i in range(k) if i not in prediction.left_out]
        best = min(among, key=lambda i: W[i])
        assert best in prediction.selected
        for i in among if partial_answer(costs) is not None else ():
            if np.isfinite(prediction.stationary_costs[i]):
                apart = abs(prediction.stationary_costs[i] - (W[i] - W[best]))
                assert apart <= prediction.stationary_errors[i] + 1e-12
        if len(prediction.selected) == 1 and len(among) > 1:
            gap = min(W[i] for i in among if i != best) - W[best]
            assert gap >= prediction.margin - prediction.margin_error - 1e-12
        assert repr(prediction)
        assert prediction._repr_html_()


def test_all_kinds_of_answers_are_among_those_drawn() -> None:
    kinds = []
    for seed in range(200):
        true, legs = drawn(seed)
        prediction = qpot.prediction_from_costs(costs_of(len(true), legs))
        kinds.append((len(prediction.selected) == 1, bool(prediction.left_out), prediction.costs.solved))
    for kind in (
        (True, False, False),
        (True, True, False),
        (False, False, False),
        (False, True, False),
        (True, False, True),
    ):
        assert kinds.count(kind) >= 5, kind


def three(out_of_2: Any) -> qpot.TransitionCosts:
    """Minima 0 and 1, of which 1 has the least W, and minimum 2 next to 1."""
    return costs_of(
        3,
        {
            (0, 1): leg((0, 1), 1.0, 1e-3),
            (1, 0): leg((1, 0), 2.0, 1e-3),
            (1, 2): leg((1, 2), 1.5, 1e-3),
            (2, 1): out_of_2,
        },
    )


def test_a_minimum_that_nothing_solved_leaves_is_left_out() -> None:
    costs = three(unsolved((2, 1), 0.4))
    prediction = qpot.prediction_from_costs(costs)
    assert (prediction.selected, prediction.left_out, prediction.possible) == ((1,), (2,), (1, 2))
    assert prediction.margin == pytest.approx(1.0)
    assert prediction.margin_error == pytest.approx(2e-3)
    assert prediction.stationary_costs[:2].tolist() == [1.0, 0.0]
    assert np.isnan(prediction.stationary_costs[2])
    assert prediction.stationary_errors[2] == inf
    text = repr(prediction)
    assert prediction.answer().startswith("Among the minima 0 and 1 SGD selects minimum 1 at (1, 0)")
    assert prediction.answer().endswith("Minimum 2 may be selected instead.")
    assert (
        "Minimum 2 is left out of the chain: the cost of leaving it to minimum 1 lies between 0.4 and inf (the "
        "leg from 2 to 1 was lost)."
    ) in text
    assert "method=" in text
    assert "saddles=" in text
    assert "not known" in costs.table() or ">= 0.4" in costs.table()
    assert ">= 0.4" in text
    assert "no route" not in text
    # Nothing of this is refused by the costs' own table, but by predict for a System, as before.
    with pytest.raises(qpot.SolveError, match="from minimum 2 to 1 is not known"):
        refuse_undecided(costs)


def test_a_bound_that_is_high_enough_decides() -> None:
    """W(1) - W(2) is V(2, 1) - V(1, 2), so that the bound 1.6 excludes minimum 1, and 2 is selected."""
    prediction = qpot.prediction_from_costs(three(unsolved((2, 1), 1.6)))
    assert (prediction.selected, prediction.left_out, prediction.possible) == ((2,), (), (2,))
    assert prediction.margin == pytest.approx(0.1)
    assert "does not change the selection" in repr(prediction)
    assert "The cost from 2 to 1 lies between 1.6 and inf (the leg from 2 to 1 was lost)." in repr(prediction)


def test_a_minimum_that_nothing_solved_reaches_is_left_out() -> None:
    costs = costs_of(
        3,
        {
            (0, 1): leg((0, 1), 1.0, 0.0),
            (1, 0): leg((1, 0), 2.0, 0.0),
            (1, 2): unsolved((1, 2), 0.0),
            (2, 1): leg((2, 1), 3.0, 0.0),
        },
    )
    prediction = qpot.prediction_from_costs(costs)
    assert (prediction.selected, prediction.left_out, prediction.possible) == ((1,), (2,), (1, 2))
    assert "the cost of reaching it from minimum 1 is not known (the leg from 1 to 2 was lost)" in repr(prediction)


def test_of_two_minima_one_leg_decides_nothing_alone() -> None:
    costs = costs_of(2, {(0, 1): leg((0, 1), 1.0, 0.0), (1, 0): unsolved((1, 0), 0.5)})
    prediction = qpot.prediction_from_costs(costs)
    assert (prediction.selected, prediction.left_out, prediction.possible) == ((0, 1), (), (0, 1))
    assert prediction.answer() == "It is not decided which of the minima 0 and 1 SGD selects."
    assert "The cost from 1 to 0 lies between 0.5 and inf" in repr(prediction)
    # W(1) - W(0) is V(0, 1) - V(1, 0), which is at most 0.5.
    assert prediction.stationary_costs[1] + prediction.stationary_errors[1] == pytest.approx(0.5)
    assert np.isnan(prediction.stationary_costs[0])
    assert prediction.margin_error > prediction.margin


def test_nothing_solved_at_all_is_a_report_still() -> None:
    prediction = qpot.prediction_from_costs(costs_of(2, {(0, 1): unsolved((0, 1), 0.0), (1, 0): unsolved((1, 0), 0.0)}))
    assert prediction.selected == prediction.possible == (0, 1)
    text = repr(prediction)
    assert text.count("not known") >= 4
    assert "was lost" in text


def test_another_leg_bounds_what_is_not_known() -> None:
    """Between 0 and 1 leads a second leg, which is known: the cost lies between the bound of the one and the other's."""
    costs = costs_of(2, {(0, 1): [unsolved((0, 1), 0.8), leg((0, 1), 1.0, 0.0)], (1, 0): leg((1, 0), 0.7, 0.0)})
    prediction = qpot.prediction_from_costs(costs)
    assert prediction.selected == (0,)
    assert prediction.margin - prediction.margin_error == pytest.approx(0.1)
    costs = costs_of(2, {(0, 1): [unsolved((0, 1), 0.6), leg((0, 1), 1.0, 0.0)], (1, 0): leg((1, 0), 0.7, 0.0)})
    prediction = qpot.prediction_from_costs(costs)
    assert prediction.selected == (0, 1)
    assert "The cost from 0 to 1 lies between 0.6 and 1" in repr(prediction)


def test_a_path_of_the_audit_bounds_what_is_not_known() -> None:
    costs = costs_of(2, {(0, 1): leg((0, 1), 1.0, 0.0), (1, 0): unsolved((1, 0), 0.2)})
    path = np.array([[1.0, 0.0], [0.5, 1.0], [0.0, 0.0]])
    hole = qpot.Hole(start=1, end=0, value=0.7, error=0.01, known=inf, path=path)
    costs = replace(costs, holes=(hole,), audited="audited: 1 path is cheaper")
    prediction = qpot.prediction_from_costs(costs)
    assert prediction.selected == (0,)
    assert prediction.margin - prediction.margin_error == pytest.approx(1.0 - 0.71)
    assert "HOLES" not in repr(prediction)
    assert "lies between 0.2 and 0.71" in repr(prediction)


def test_a_leg_that_stopped_short_leaves_both_minima() -> None:
    """Its cost is known within an error, which is too large to decide."""
    late = replace(leg((1, 0), 1.5, 2.0), status=qpot.Status.BUDGET)
    prediction = qpot.prediction_from_costs(costs_of(2, {(0, 1): leg((0, 1), 1.0, 0.0), (1, 0): late}))
    assert (prediction.selected, prediction.left_out, prediction.possible) == ((0, 1), (), (0, 1))
    assert prediction.answer() == "It is not decided which of the minima 0 and 1 SGD selects."
    assert "The leg from minimum 1 to 0 can decide" in repr(prediction)
    assert "an error below 0.25 would decide" in repr(prediction)
    assert "budget=" in repr(prediction)
    certain = qpot.prediction_from_costs(costs_of(2, {(0, 1): leg((0, 1), 1.0, 0.0), (1, 0): replace(late, error=0.4)}))
    assert certain.selected == (1,)
    assert "budget=" not in repr(certain)


def test_an_error_without_a_bound_is_a_leg_that_was_not_solved() -> None:
    vague = replace(leg((1, 0), 0.5, inf), status=qpot.Status.NOT_CONVERGED, least=0.3)
    costs = costs_of(2, {(0, 1): leg((0, 1), 1.0, 0.0), (1, 0): vague})
    assert not costs.solved
    prediction = qpot.prediction_from_costs(costs)
    assert prediction.selected == (0, 1)
    assert "The cost from 1 to 0 lies between 0.3 and inf" in repr(prediction)
    with pytest.raises(qpot.SolveError, match="an error without a bound"):
        refuse_undecided(costs)
    enough = qpot.prediction_from_costs(
        costs_of(2, {(0, 1): leg((0, 1), 0.2, 0.0), (1, 0): replace(vague, action=0.4, least=0.3)})
    )
    assert enough.selected == (1,)
    assert enough.answer().startswith("SGD selects minimum 1 at (1, 0): its W is least, by a margin of at least 0.1")
    assert "0.4 to 0" not in repr(enough)
    assert "0.4 +- inf" in repr(enough)


def test_costs_that_are_not_known_are_no_missing_routes() -> None:
    costs = three(unsolved((2, 1), 0.4))
    for function in (qpot.stationary_costs, qpot.selection, qpot.chain.cycle_hierarchy):
        with pytest.raises(ValueError, match="from minimum 2 to 0 is not known, since a leg was not solved"):
            function(costs)
    with pytest.raises(ValueError, match="from minimum 2 to 0 is not known"):
        qpot.plots.plot_chain(costs, epsilon=0.1)
    assert qpot.stationary_costs(costs.values).tolist() == [inf, inf, 0.0]


def test_whether_a_way_out_comes_first_is_not_known() -> None:
    way = qpot.WayOut(minimum=0, saddle=np.array([0.0, 5.0]), path=leg((0, 1), 1.7, 0.01), leads="to infinity")
    prediction = qpot.prediction_from_costs(replace(three(unsolved((2, 1), 0.4)), ways_out=(way,)))
    assert "Whether SGD takes it before it selects is not known" in repr(prediction)
    prediction = qpot.prediction_from_costs(replace(three(leg((2, 1), 1.0, 0.0)), ways_out=(way,)))
    assert "The numbers hold until SGD leaves the box" in repr(prediction)


def test_legs_that_were_solved_change_nothing() -> None:
    costs = three(leg((2, 1), 1.0, 1e-3))
    prediction = qpot.prediction_from_costs(costs)
    assert (prediction.selected, prediction.left_out, prediction.possible) == ((1,), (), (1,))
    assert prediction.margin == qpot.selection(costs).margin
    assert "left out" not in repr(prediction)


def test_twins_that_nothing_leaves() -> None:
    costs = costs_of(
        3,
        {
            (0, 1): impossible((0, 1)),
            (1, 0): impossible((1, 0)),
            (2, 0): leg((2, 0), 1.0, 0.0),
            (0, 2): impossible((0, 2)),
        },
    )
    prediction = qpot.prediction_from_costs(costs)
    assert prediction.selected == prediction.possible == (0, 1)
    assert prediction.stationary_costs.tolist() == [0.0, 0.0, inf]
    assert prediction.answer() == (
        "Nothing is selected: SGD never leaves the minima 0 and 1 for the others, and stays at the one that it comes to "
        "first. The cost is infinite: there is no noise at 0; there is no noise at 1."
    )
    assert prediction.after(10.0, 0.1, 1, 0) == (0,)


def test_a_pass_that_is_missing_is_no_answer() -> None:
    with pytest.raises(qpot.SolveError, match="not connected"):
        qpot.prediction_from_costs(costs_of(2, {}))


def test_one_that_nothing_leaves_and_one_of_which_that_is_not_known() -> None:
    """Minimum 0 is never left, and perhaps minimum 1 neither."""
    prediction = qpot.prediction_from_costs(costs_of(2, {(0, 1): impossible((0, 1)), (1, 0): unsolved((1, 0), 0.0)}))
    assert prediction.selected == prediction.possible == (0, 1)


def test_times_are_not_known_where_a_leg_is_not() -> None:
    prediction = qpot.prediction_from_costs(three(unsolved((2, 1), 0.4)))
    steps = prediction.escape_steps(0.1, prefactor=False)
    assert np.isfinite(steps[:2]).all()
    assert np.isnan(steps[2])
    assert np.isnan(prediction.occupation(0.1, prefactor=False)).all()
    # After exp(0.3 / epsilon) minimum 2 is not left in any case, and after exp(0.6 / epsilon) it may be.
    assert prediction.after(np.exp(3.0) / 0.1, 0.1, 1, 2) == (2,)
    with pytest.raises(qpot.SolveError, match="from minimum 2 to 1, whose cost is not known"):
        prediction.after(np.exp(6.0) / 0.1, 0.1, 1, 2)


def test_it_is_kept_in_files_and_at_a_learning_rate(tmp_path: pathlib.Path) -> None:
    prediction = qpot.prediction_from_costs(three(unsolved((2, 1), 0.4)))
    prediction.save(tmp_path / "partial.npz")
    again = qpot.Prediction.load(tmp_path / "partial.npz")
    assert repr(again) == repr(prediction)
    assert (again.selected, again.left_out, again.possible) == ((1,), (2,), (1, 2))
    assert again.costs.paths[2, 1].least == 0.4
    # The legs are drawn as points only, so that nothing changes, but for the bound.
    moved = prediction.at_learning_rate(0.1)
    assert (moved.selected, moved.left_out, moved.possible) == ((1,), (2,), (1, 2))
    assert moved.costs.paths[2, 1].least == 0.0
