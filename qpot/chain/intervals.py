"""Selection where some costs are known as intervals: what is selected for all values within them, and what may be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_float_array
from qpot._core.saved import Saved
from qpot.chain.certainty import exact_sum, worst_against
from qpot.chain.contraction import contraction_of
from qpot.chain.cycles import TIE
from qpot.chain.routes import Routes, as_routes, as_states
from qpot.solvers.chain.exact_sums import to_float

# At most so many combinations of the ends of intervals are compared; beyond, nothing is ruled out.
_COMBINATIONS = 512
# A cost without an upper end is taken to be so many times the sum of all others, where it is to be higher than everything.
_BEYOND = 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class IntervalSelection(Saved):
    """What is selected for all costs within intervals, some of which may have no upper end.

    Attributes
    ----------
    among : tuple of int
        The minima that are compared.
    selected : tuple of int
        Those of them that have the least W for some costs within the intervals.
    margin : float
        The least gap of W between the best of them, with all intervals at their upper ends, and its best rival, over all
        ends of the intervals; not negative.
    certain_margin : float
        A lower bound of this gap for all costs within the intervals; negative if a rival may be selected instead, and
        -inf where nothing bounds it.
    stationary_costs : array (k,)
        W(i) less the least W among those compared, with all intervals at their upper ends; NaN where it has no bound, and for
        all others.
    stationary_errors : array (k,)
        By how much it may change within the intervals; inf where it is NaN.
    """

    among: tuple[int, ...]
    selected: tuple[int, ...]
    margin: float
    certain_margin: float
    stationary_costs: Array
    stationary_errors: Array


def interval_selection(
    costs: ArrayLike, *, errors: ArrayLike, least: ArrayLike, among: Sequence[int] | None = None
) -> IntervalSelection:
    """Which minima may have the least W, where some costs may be anything within an interval.

    Parameters
    ----------
    costs : array (k, k)
        Costs of routes as for `qpot.w_graph`; inf where there is no route. Where ``least`` is finite, the most that the route
        may cost, or inf where it may be anything.
    errors : array (k, k)
        The cost of every other route lies within its error.
    least : array (k, k)
        The least that a route may cost of which no more than an interval is known; inf elsewhere.
    among : sequence of int, optional
        The minima that are compared, by default all in the class that nothing leaves.

    Returns
    -------
    IntervalSelection

    Raises
    ------
    ValueError
        If there are several closed classes, or ``among`` has minima outside the only one.

    Notes
    -----
    Let T be a spanning in-tree of least cost to minimum i, at costs for which no other root has a lower one. Lower the costs
    on T to the lower ends of their intervals and raise all others to the upper ones: no other tree gains on T. So it is
    enough to look at costs for which at most one route out of each minimum is at its lower end, and to take a cost that is
    higher than every sum of others for an end that there is not. The errors of other costs are dealt with as in
    `qpot.selection`, so that what is ruled out is ruled out with certainty.

    Examples
    --------
    What it costs to leave minimum 2 is not known, but it does not change the order of the others:

    >>> import numpy as np
    >>> from qpot.chain.intervals import interval_selection
    >>> costs = np.array([[0, 5, 3], [1, 0, np.inf], [np.inf, np.inf, 0]])
    >>> least = np.full((3, 3), np.inf)
    >>> least[2, 0] = 0.5
    >>> interval_selection(costs, errors=np.zeros((3, 3)), least=least).selected
    (0, 2)
    >>> interval_selection(costs, errors=np.zeros((3, 3)), least=least, among=(0, 1)).selected
    (0,)
    """
    routes, open_ends = _routes(costs, errors, least)
    k = routes.k
    highest = _beyond(routes, open_ends)
    contraction = contraction_of(_at(routes, open_ends, highest, ()))
    members = contraction.members(contraction.the_closed_class("interval_selection"))
    compared = members if among is None else as_states(among, k, name="among")
    if not set(compared) <= set(members):
        raise ValueError(f"among={compared} has minima outside of {members}, the class that nothing leaves")
    lower, upper = np.full(k, np.inf), np.zeros(k)
    margin, certain, favourite = np.inf, np.inf, -1
    selected: set[int] = set()
    W = np.full(k, np.nan)
    if _count(open_ends) > _COMBINATIONS:
        return IntervalSelection(
            among=compared, selected=compared, margin=0.0, certain_margin=-np.inf,
            stationary_costs=W, stationary_errors=np.full(k, np.inf),
        )  # fmt: skip
    for lowered in _combinations(open_ends):
        known = _at(routes, open_ends, highest, lowered)
        corner = _Corner.of(known, compared)
        if favourite < 0:  # All intervals are at their upper ends.
            favourite = corner.best
            W[list(compared)] = [corner.gaps[i] for i in compared]
        selected |= corner.possible
        own = corner.against(favourite)
        others = [i for i in compared if i != favourite]
        certain = min([certain, *(own[i] for i in others)])
        margin = min([margin, *(corner.gaps[i] - corner.gaps[favourite] for i in others)])
        for i in compared:
            lower[i] = min(lower[i], 0.0 if i in corner.selected else max(corner.against(corner.best)[i], 0.0))
            upper[i] = max(upper[i], -min(corner.against(i)[j] for j in compared))
    upper[upper > 0.5 * highest] = np.inf
    width = np.full(k, np.inf)
    here = [i for i in compared if np.isfinite(upper[i])]
    width[here] = np.maximum(np.maximum(upper[here] - W[here], W[here] - lower[here]), 0.0)
    W[np.isinf(width)] = np.nan
    return IntervalSelection(
        among=compared,
        selected=tuple(sorted(selected)),
        margin=np.inf if margin > 0.5 * highest else max(margin, 0.0),
        certain_margin=-np.inf if certain < -0.5 * highest else np.inf if certain > 0.5 * highest else certain,
        stationary_costs=W,
        stationary_errors=width,
    )


@dataclass(frozen=True)
class _Open:
    """A route of which an interval is known: its number, where it begins, and the least and the most that it may cost."""

    route: int
    tail: int
    least: float
    most: float


@dataclass(eq=False)
class _Corner:
    """The selection with every cost at an end of its interval."""

    routes: Routes
    compared: tuple[int, ...]
    gaps: dict[int, float]
    best: int
    selected: set[int]
    possible: set[int]
    bounds: dict[int, Array]

    @classmethod
    def of(cls, routes: Routes, compared: tuple[int, ...]) -> _Corner:
        contraction = contraction_of(routes)
        best = max(compared, key=lambda i: contraction.depth[i])
        gaps = {i: to_float(contraction.depth[best] - contraction.depth[i], contraction.exponent) for i in compared}
        size = exact_sum(routes.costs[contraction.in_tree(best)])
        selected = {i for i in compared if gaps[i] <= TIE * size}
        lowest = worst_against(routes, best, contraction)
        possible = selected | {i for i in compared if lowest[i] <= 0}
        return cls(routes, compared, gaps, best, selected, possible, {best: lowest})

    def against(self, i: int) -> Array:
        """Lower bounds of W(j) - W(i) for all j."""
        if i not in self.bounds:
            self.bounds[i] = worst_against(self.routes, i)
        return self.bounds[i]


def _routes(costs: ArrayLike, errors: ArrayLike, least: ArrayLike) -> tuple[Routes, list[_Open]]:
    """The routes, and those of which an interval is known."""
    values, bounds = as_float_array(costs, name="costs"), as_float_array(least, name="least")
    if bounds.shape != values.shape:
        raise ValueError(f"least has shape {bounds.shape}, expected that of the costs, {values.shape}")
    within = np.isfinite(bounds)
    if (bounds[within] > values[within]).any():
        raise ValueError("least must not be above costs")
    routes = as_routes(np.where(within, bounds, values), name="costs")
    widths = as_float_array(errors, name="errors")
    if widths.shape != values.shape:
        raise ValueError(f"errors has shape {widths.shape}, expected that of the costs, {values.shape}")
    picked = np.where(within, 0.0, widths)[routes.tails, routes.heads]
    if not (np.isfinite(picked) & (picked >= 0)).all():
        raise ValueError("errors must be finite numbers >= 0 where costs are finite")
    found = [
        _Open(int(e), int(i), float(bounds[i, j]), float(values[i, j]))
        for e, (i, j) in enumerate(zip(routes.tails, routes.heads, strict=True))
        if within[i, j]
    ]
    return replace(routes, errors=picked), found


def _beyond(routes: Routes, open_ends: Sequence[_Open]) -> float:
    """A cost, a power of two, that is higher than every sum of costs that have upper ends."""
    assert routes.errors is not None
    total = exact_sum(routes.costs + routes.errors) + sum(_finite_end(one) for one in open_ends) + np.finfo(float).tiny
    return float(2.0 ** np.ceil(np.log2(_BEYOND * total)))


def _at(routes: Routes, open_ends: Sequence[_Open], highest: float, lowered: Sequence[_Open]) -> Routes:
    """The routes with all intervals at their upper ends, but for those that are ``lowered``."""
    costs = routes.costs.copy()
    costs[[one.route for one in open_ends]] = [min(one.most, highest) for one in open_ends]
    for one in lowered:
        costs[one.route] = one.least
    return replace(routes, costs=costs)


def _finite_end(one: _Open) -> float:
    return one.most if np.isfinite(one.most) else one.least


def _by_tail(open_ends: Sequence[_Open]) -> list[list[_Open]]:
    return [list(group) for _, group in itertools.groupby(open_ends, key=lambda one: one.tail)]


def _count(open_ends: Sequence[_Open]) -> float:
    """How many combinations there are; a float, since it may be any number."""
    return float(np.prod([1.0 + len(group) for group in _by_tail(open_ends)]))


def _combinations(open_ends: Sequence[_Open]) -> Iterator[list[_Open]]:
    """All ways to lower at most one cost out of each minimum; the first lowers none."""
    for chosen in itertools.product(*([None, *group] for group in _by_tail(open_ends))):
        yield [one for one in chosen if one is not None]
