"""Passes inside a domain that reaches beyond the basin: whether the noise leaves the basin before it leaves the domain."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.attractor import attracts, unstable_directions
from qpot.landscape.basins import basin_of
from qpot.landscape.flow import descents
from qpot.landscape.minima import polish_fixed_point
from qpot.paths.geometric import GeometricAction
from qpot.paths.methods import quiet
from qpot.paths.uphill import uphill_leg
from qpot.problem.system import System

# Curves out of the basin that are followed.
_CURVES = 8
# Halvings of the interval on a curve in which it leaves the basin. From too close to the edge the drift takes too long.
_HALVINGS = (24, 14)
# A fixed point is looked for within this part of the way.
_REACH = 0.2


def cheapest_pass(system: System, start: Array, curves: Array, method: GeometricAction) -> float:
    """The lowest cost of a saddle over which the curves (n, m, d) leave the basin of ``start``.

    It is -inf where a saddle is not found, so that nothing can be said.
    """
    lowest = np.inf
    known: list[Array] = []
    for curve in curves[:_CURVES]:
        saddle = None
        for halvings in _HALVINGS:
            edge = _edge_of_the_basin(system, start, curve, halvings)
            saddle = None if edge is None else _saddle_below(system, start, edge)
            if saddle is not None:
                break
        else:
            return -np.inf
        span = np.linalg.norm(saddle - start)
        if any(np.linalg.norm(saddle - other) <= 1e-4 * span for other in known):
            continue
        known.append(saddle)
        leg = uphill_leg(
            system,
            start,
            saddle,
            method=method,
            directions=unstable_directions(system, saddle),
            end_is_fixed=True,
            report=quiet,
        )
        if leg is None or not leg.status.ok:
            return -np.inf
        lowest = min(lowest, leg.action - leg.error)
    return lowest


def _edge_of_the_basin(system: System, start: Array, curve: Array, halvings: int) -> Array | None:
    """A point of a curve (m, d) just inside the basin of ``start``, next to where it first leaves it."""
    own = basin_of(system, curve[1:], start[None]) == 0
    if own.all():
        return None
    first = int(np.argmin(own))
    low, high = curve[first], curve[first + 1]
    for _ in range(halvings):
        middle = 0.5 * (low + high)
        if basin_of(system, middle[None], start[None])[0] == 0:
            low = middle
        else:
            high = middle
    return np.asarray(low)


def _saddle_below(system: System, start: Array, edge: Array) -> Array | None:
    """The saddle past which the drift flows from the edge of the basin, where it is slowest on its way."""
    way = descents(system, edge[None], towards=start)[0]
    if way is None:
        return None
    points = way[1]
    speeds = np.linalg.norm(system.unchecked.drift(points), axis=1)
    slow = np.flatnonzero((speeds[1:-1] <= speeds[:-2]) & (speeds[1:-1] <= speeds[2:])) + 1
    for k in sorted({0, *(int(j) for j in slow)}, key=lambda j: speeds[j]):
        fixed = polish_fixed_point(system, points[k], reach=_REACH * float(np.linalg.norm(points[k] - start)))
        if fixed is not None and not attracts(system, fixed):
            return fixed
    return None
