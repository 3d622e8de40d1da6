"""The answer where some legs were not solved: what is selected all the same, and what stays possible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.chain.intervals import IntervalSelection, interval_selection
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.leg_intervals import LegIntervals, leg_intervals, never_left
from qpot.prediction.unfinished import doubt


@dataclass(frozen=True, eq=False)
class PartialAnswer:
    """What a `Prediction` says where costs are not known, or where nothing leaves several minima; see its attributes."""

    selected: tuple[int, ...]
    possible: tuple[int, ...]
    left_out: tuple[int, ...]
    margin: float
    margin_error: float
    stationary_costs: Array
    stationary_errors: Array


def partial_answer(costs: TransitionCosts) -> PartialAnswer | None:
    """The answer that holds for all costs within the bounds that are known of them.

    None where the errors of the legs say everything: all have an upper bound, or those without cannot decide; also where
    minima are not connected at all, to which there is no answer.

    Notes
    -----
    If one minimum has the least W whatever the legs without an upper bound cost, it is the answer. Otherwise the largest set
    of minima that solved legs connect both ways is compared within itself, again for all costs of the other legs, and the
    rest is left out. If there is no such set of two or more, all minima that are possible are named.
    """
    intervals = leg_intervals(costs)
    closed = intervals.closed_sets(known=False)
    if len(closed) > 1:
        return _never_leaving(costs, intervals, closed)
    if costs.solved or (np.isfinite(costs.values).all() and doubt(costs) is None):
        return None
    inside = closed[0]
    whole = _compared(intervals, inside)
    # Noise that is too weak for a leg that is not known may never leave these.
    stray = sorted(i for s in intervals.closed_sets(known=True) if not set(s) <= set(inside) for i in s)
    possible = tuple(sorted({*whole.selected, *stray}))
    states = sorted({*inside, *stray})
    if len(possible) == 1:
        return _answer(len(costs.minima), whole, possible, states, possible, ())
    sets = [s for s in intervals.solved_sets() if set(s) <= set(inside)]
    alone = len(sets[0]) > 1 and (len(sets) == 1 or len(sets[1]) < len(sets[0]))
    left_out = tuple(i for i in states if i not in sets[0]) if alone else ()
    if not left_out:
        return _answer(len(costs.minima), whole, possible, states, possible, ())
    found = _compared(intervals, sets[0])
    return _answer(len(costs.minima), found, found.selected, states, possible, left_out)


def _compared(intervals: LegIntervals, among: tuple[int, ...]) -> IntervalSelection:
    return interval_selection(intervals.values, errors=intervals.errors, least=intervals.least, among=among)


def _answer(
    k: int,
    found: IntervalSelection,
    selected: tuple[int, ...],
    states: list[int],
    possible: tuple[int, ...],
    left_out: tuple[int, ...],
) -> PartialAnswer:
    """The answer from a comparison; minima that are not among the ``states`` have no weight at all."""
    W, errors = found.stationary_costs.copy(), found.stationary_errors.copy()
    others = np.setdiff1d(np.arange(k), states)
    W[others], errors[others] = np.inf, 0.0
    margin, certain = found.margin, found.certain_margin
    if not set(selected) <= set(found.among):
        margin, certain = 0.0, -np.inf
    return PartialAnswer(
        selected=selected,
        possible=tuple(sorted({*possible, *selected})),
        left_out=left_out,
        margin=margin,
        margin_error=0.0 if certain == np.inf else margin - certain,
        stationary_costs=W,
        stationary_errors=errors,
    )


def _never_leaving(
    costs: TransitionCosts, intervals: LegIntervals, closed: list[tuple[int, ...]]
) -> PartialAnswer | None:
    """The answer where nothing leaves several sets of minima: the best of each, since none of the sets is selected."""
    if not all(never_left(costs, s) for s in closed):
        return None  # Passes are missing.
    k = len(costs.minima)
    W, errors = np.full(k, np.inf), np.zeros(k)
    selected: list[int] = []
    for minima in closed:
        own = np.ix_(minima, minima)
        found = interval_selection(intervals.values[own], errors=intervals.errors[own], least=intervals.least[own])
        selected += [minima[n] for n in found.selected]
        W[list(minima)], errors[list(minima)] = found.stationary_costs, found.stationary_errors
    chosen = tuple(sorted(selected))
    return PartialAnswer(chosen, chosen, (), 0.0, 0.0, W, errors)
