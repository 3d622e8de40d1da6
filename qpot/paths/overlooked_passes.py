"""Passes inside a domain that reaches beyond the basin: whether the noise leaves the basin before it leaves the domain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.attractor import attracts, unstable_directions
from qpot.landscape.basins import attracting_neighbourhoods, follow
from qpot.landscape.fates import ELSEWHERE, HOME, STEPS, fates
from qpot.landscape.flow import descents
from qpot.landscape.minima import polish_fixed_point
from qpot.paths.geometric import GeometricAction
from qpot.paths.methods import quiet
from qpot.paths.uphill import uphill_leg
from qpot.problem.system import System

# Curves out of the basin that are followed.
CURVES = 8
# Halvings of the interval on a curve in which it leaves the basin. From too close to the edge the drift takes too long.
_HALVINGS = (24, 14)
# A fixed point is looked for within this part of the way.
_REACH = 0.2
# The two sides of a saddle are looked at in this part of its distance from the minimum.
_BESIDE = 1e-3
# Two saddles closer than this part of it are one.
_SAME = 1e-4


class PassOut(NamedTuple):
    """A saddle on the way of a curve: its lowest cost, and whether one of its sides is known to lie in another basin."""

    saddle: Array
    cost: float
    leads_out: bool


def cheapest_pass(system: System, start: Array, curves: Array, method: GeometricAction) -> float:
    """The lowest cost of a saddle over which the curves (n, m, d) leave the basin of ``start``.

    It is -inf where a saddle is not found, so that nothing can be said.
    """
    lowest = np.inf
    known: list[Array] = []
    for curve in curves[:CURVES]:
        own = fates(system, curve[1:], start) == HOME
        saddle = None if own.all() else _saddle_on(system, start, curve, int(np.argmin(own)) + 1)
        if saddle is None:
            return -np.inf
        span = np.linalg.norm(saddle - start)
        if any(np.linalg.norm(saddle - other) <= _SAME * span for other in known):
            continue
        known.append(saddle)
        lowest = min(lowest, _cost_of(system, start, saddle, method))
    return lowest


def pass_out(
    system: System, start: Array, curve: Array, belonging: int, known: list[PassOut], method: GeometricAction
) -> PassOut | None:
    """The saddle over which a curve (m, d) may leave the basin, to which its first ``belonging`` points belong, or None.

    The passes that are ``known`` are not solved again; a new one is added to them.
    """
    saddle = _saddle_on(system, start, curve, belonging)
    if saddle is None:
        return None
    span = float(np.linalg.norm(saddle - start))
    for other in known:
        if np.linalg.norm(saddle - other.saddle) <= _SAME * span:
            return other
    shift = _BESIDE * span * unstable_directions(system, saddle)
    sides = fates(system, np.concatenate([saddle + shift, saddle - shift]), start)
    known.append(PassOut(saddle, _cost_of(system, start, saddle, method), bool((sides == ELSEWHERE).any())))
    return known[-1]


def _cost_of(system: System, start: Array, saddle: Array, method: GeometricAction) -> float:
    """The lowest that the way up to a saddle may cost, -inf where it is not solved."""
    leg = uphill_leg(
        system,
        start,
        saddle,
        method=method,
        directions=unstable_directions(system, saddle),
        end_is_fixed=True,
        report=quiet,
    )
    return leg.action - leg.error if leg is not None and leg.status.ok else -np.inf


def _saddle_on(system: System, start: Array, curve: Array, belonging: int) -> Array | None:
    """The saddle over which a curve (m, d) leaves the basin, to which its first ``belonging`` points belong."""
    for halvings in _HALVINGS:
        edge = _edge_of_the_basin(system, start, curve[belonging - 1], curve[belonging], halvings)
        saddle = _saddle_below(system, start, edge)
        if saddle is not None:
            return saddle
    return None


def _edge_of_the_basin(system: System, start: Array, low: Array, high: Array, halvings: int) -> Array:
    """A point just inside the basin of ``start``, next to where a straight line from ``low`` to ``high`` leaves it."""
    near = attracting_neighbourhoods(system, start[None])
    # Where the inner end takes more steps than is usual, so do the points behind it.
    steps = None if follow(system, low[None], near).labels[0] == 0 else STEPS
    for _ in range(halvings):
        middle = 0.5 * (low + high)
        if follow(system, middle[None], near, max_steps=steps).labels[0] == 0:
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
