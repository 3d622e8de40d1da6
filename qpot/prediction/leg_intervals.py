"""What legs may cost, solved or not, as intervals of which some have no upper end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts, routes_of
from qpot.prediction.stationary_errors import LOWER
from qpot.prediction.unfinished import lowest

# Bounds that differ by this part are the same.
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class LegIntervals:
    """What the legs between minima may cost, as `qpot.chain.intervals.interval_selection` takes it.

    Attributes
    ----------
    values, errors : array (k, k)
        The costs of legs that were solved, and their errors; for others the most that they may cost, and 0. Where nothing is
        known, and where there is no leg, the value is inf.
    least : array (k, k)
        The least that a leg may cost which was not solved; inf where there is none, or where it cannot be part of a cheapest
        route.
    """

    values: Array
    errors: Array
    least: Array

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Boolean array (k, k): the legs that were solved; true on the diagonal."""
        return np.isfinite(self.values) & ~self.doubtful

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """Boolean array (k, k): the legs that were not solved, with an upper bound or without."""
        return np.isfinite(self.least)

    def bounds(self, pair: tuple[int, int]) -> tuple[float, float]:
        """The least and the most that a leg may cost."""
        value, error = float(self.values[pair]), float(self.errors[pair])
        if self.doubtful[pair]:
            return float(self.least[pair]), value
        return max(value - error, 0.0), value + error

    def solved_sets(self) -> list[tuple[int, ...]]:
        """The sets of minima that legs which were solved connect both ways, the largest first."""
        return connected_sets(self.sure)

    def closed_sets(self, *, known: bool) -> list[tuple[int, ...]]:
        """The sets of minima that nothing leaves, of those that legs connect both ways: known legs, or all of them."""
        edges = np.isfinite(self.values) if known else np.isfinite(self.values) | self.doubtful
        sets = connected_sets(edges)
        return [s for s in sets if not np.delete(edges[list(s)], s, axis=1).any()]


def connected_sets(edges: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """The strongly connected sets of a graph, given as a boolean array (k, k), the largest first."""
    count, label = connected_components(csr_array(edges), directed=True, connection="strong")
    sets = [tuple(int(i) for i in np.flatnonzero(label == n)) for n in range(count)]
    return sorted(sets, key=lambda s: (-len(s), s))


def leg_intervals(costs: TransitionCosts) -> LegIntervals:
    """What legs may cost, from those that were solved, from bounds of others, and from paths that the audit has drawn."""
    k = len(costs.minima)
    values, errors, least = np.full((k, k), np.inf), np.zeros((k, k)), np.full((k, k), np.inf)
    np.fill_diagonal(values, 0.0)
    for pair in costs.paths:
        legs = legs_of(costs, pair)
        known = [leg for leg in legs if leg.bounded and np.isfinite(leg.action)]
        bound = lowest(legs)
        if known:
            best = min(known, key=lambda leg: leg.action)
            if all(leg.bounded for leg in legs) or bound >= best.action - best.error:
                values[pair], errors[pair] = _within(bound, best.action, best.error)
            else:
                values[pair], least[pair] = best.action + best.error, bound
        elif np.isfinite(bound):
            least[pair] = bound
    for pair, bound in [*costs.doubts.items(), *(((c.start, c.end), (1.0 - LOWER) * c.value) for c in costs.corners)]:
        if np.isinf(values[pair]) and np.isfinite(costs.values[pair]) and np.isfinite(costs.errors[pair]):
            values[pair], errors[pair], least[pair] = costs.values[pair], costs.errors[pair], np.inf
        if np.isfinite(values[pair]) and np.isinf(least[pair]):
            values[pair], errors[pair] = _within(bound, values[pair], errors[pair])
        else:
            least[pair] = min(least[pair], bound)
    below, _ = routes_of(np.minimum(np.maximum(values - errors, 0.0), least))
    for hole in costs.holes:
        pair = (hole.start, hole.end)
        if np.isinf(costs.values[pair]) and np.isfinite(below[pair]):
            # It is a true path, and so bounds the cost from above, whatever way it takes.
            most = hole.value + hole.error
            values[pair], least[pair] = min(values[pair], most), min(below[pair], most)
    highest, _ = routes_of(values + errors)
    dearer = np.isfinite(least) & (least >= (1.0 - _SAME) * highest) & (values > highest)
    values[dearer], least[dearer] = np.inf, np.inf
    return LegIntervals(values, errors, least)


def _within(bound: float, value: float, error: float) -> tuple[float, float]:
    """A cost that is known within an error, and its error, where it may also be as low as a bound."""
    if bound >= value - error:
        return value, error
    return 0.5 * (bound + value + error), 0.5 * (value + error - bound)


def legs_of(costs: TransitionCosts, pair: tuple[int, int]) -> tuple[PathSolution, ...]:
    """All legs from one minimum to another."""
    return costs.parallel.get(pair, (costs.paths[pair],))


def why_open(costs: TransitionCosts, pair: tuple[int, int]) -> str:
    """Why the cost of a leg has no upper bound."""
    for leg in legs_of(costs, pair) if pair in costs.paths else ():
        if not leg.bounded:
            return leg.reason or leg.note or str(leg.status)
    return "paths across other basins were not looked at closely enough"


def never_left(costs: TransitionCosts, minima: tuple[int, ...]) -> str:
    """Why no noise leads out of a set of minima; empty if a leg out of it is not known to be impossible, or there is none."""
    out = [leg for pair in costs.paths if pair[0] in minima and pair[1] not in minima for leg in legs_of(costs, pair)]
    impossible = all(leg.status is Status.INFINITE and np.isinf(leg.action) for leg in out)
    return out[0].reason if out and impossible else ""
