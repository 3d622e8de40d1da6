"""Routes with limit cycles: up from a state to a saddle or an unstable cycle, and down its other side to another state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot._core.status import SolveError, Status
from qpot.landscape.cycle_search import distance_to, extent_of
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.cycle_ends import CycleEnd
from qpot.paths.cycle_legs import leg_with_cycles
from qpot.paths.joined import free_path, joined
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.quiet_ivp import quiet_ivp
from qpot.solvers.common.spending import spent

# The free way down begins at this part of the size of the route beside the saddle, or of the extent of the cycle.
_BESIDE = 1e-3
# It has arrived within this part of its size at a point, and of the extent at a cycle.
_ARRIVED, _ON_CYCLE = 1e-4, 1e-2
# It begins at so many phases of a cycle, one after the other, until it leads to the state, and goes on for so many windows
# of time, whose points are kept.
_PHASES, _WINDOWS, _POINTS = 16, 40, 60
# Relative accuracy of the way, which costs nothing.
_ACCURACY = 1e-8


def route_with_cycles(
    system: System,
    state: Minimum,
    crossing: Saddle | LimitCycle,
    away: Minimum,
    sign: float,
    method: LegMethod,
    known: PathSolution | None = None,
) -> PathSolution:
    """The cheapest path from a state over a crossing to another state, where at least one of the three is a cycle.

    ``sign`` times the direction of a saddle points to the state ``away``; it is -1 where the flow from the crossing's first
    side leads to ``state``. A leg that is not found costs inf, with a status that is not ok. A ``known`` route from the same
    state over the same crossing gives its leg up.

    Raises
    ------
    SolveError
        If the path solver fails, or the flow from the crossing does not lead to ``away``.
    """
    if known is None:
        leg = leg_up(system, state, crossing, sign, method)
    elif known.uphill.any():
        up = known.uphill
        leg = replace(known, points=known.points[up], momenta=known.momenta[up], times=known.times[up], uphill=up[up])
    else:
        leg = known
    if not np.isfinite(leg.action):
        return leg
    return joined([replace(leg, via=()), _down(system, leg.end, crossing, away, sign, method)])


def leg_up(
    system: System, state: Minimum, crossing: Saddle | LimitCycle, sign: float, method: LegMethod
) -> PathSolution:
    """The leg from a state to a crossing, as for `route_with_cycles`."""
    if isinstance(state, LimitCycle) or isinstance(crossing, LimitCycle):
        return leg_with_cycles(system, state, crossing, _coordinate(system, crossing, sign), method)
    return method.up(system, state.point, crossing.point, crossing.direction)


def _coordinate(system: System, crossing: Saddle | LimitCycle, sign: float) -> float:
    """The sign of a cycle's unstable coordinate on the side from which a leg comes, which is that of the left side or not."""
    end = CycleEnd.of(system, crossing) if isinstance(crossing, LimitCycle) else None
    if end is None or not isinstance(crossing, LimitCycle):
        return 0.0
    left = end.cycle.points[0] + 1e-6 * extent_of(crossing) * _left(system, crossing.points[0])
    return float(np.sign(end.tube.coordinates(left[None])[0, 0])) * -sign * crossing.side


def _left(system: System, x: Array) -> Array:
    """In the plane: the unit vector to the left of the drift at a point."""
    v = system.unchecked.drift(x[None])[0]
    return np.array([-v[1], v[0]]) / float(np.linalg.norm(v))


def _down(
    system: System, end: Array, crossing: Saddle | LimitCycle, away: Minimum, sign: float, method: LegMethod
) -> PathSolution:
    """The free way from the end of a leg at a crossing to a state."""
    if not isinstance(crossing, LimitCycle):
        if not isinstance(away, LimitCycle):
            return method.down(system, crossing.point, sign * crossing.direction, away.point)
        size = float(np.linalg.norm(away.points - crossing.point, axis=1).min())
        start = crossing.point + _BESIDE * min(size, extent_of(away)) * sign * crossing.direction
        rate = float(np.abs(crossing.rates.real).min())
        way = _flow(system, start, away, 2.0 / rate)
        if way is not None:
            return _free(crossing.point[None], np.zeros(1), way, 1.0 / rate, method)
        raise _missed(crossing, away)
    # Where the basins of several states wind on to the cycle, the path goes along it until it can fall into the right one.
    first = int(np.linalg.norm(crossing.points - end, axis=1).argmin())
    n = len(crossing.points)
    step = crossing.period / n
    for phase in range(_PHASES):
        arc = (first + np.arange(1 + phase * n // _PHASES)) % n
        foot = crossing.points[arc[-1]]
        offset = _BESIDE * extent_of(crossing) * sign * crossing.side * _left(system, foot)
        way = _flow(system, foot + offset, away, crossing.period)
        if way is not None:
            along = np.concatenate([end[None], crossing.points[arc]])
            return _free(along, np.linspace(0.0, step * len(arc), len(along)), way, step, method)
    raise _missed(crossing, away)


def _missed(crossing: Saddle | LimitCycle, away: Minimum) -> SolveError:
    return SolveError(
        f"the flow from {format_point(crossing.point)} misses the state {away!r}",
        status=Status.NO_ROUTE,
    )


def _free(before: Array, clock: Array, way: tuple[Array, Array], pause: float, method: LegMethod) -> PathSolution:
    times, points = way
    return free_path(np.concatenate([before, points]), np.concatenate([clock, clock[-1] + pause + times]), method)


def _flow(system: System, start: Array, away: Minimum, window: float) -> tuple[Array, Array] | None:
    """Times (n,) and points (n, d) of the flow from a point until it is at a state; None if it does not come there."""
    drift = system.unchecked.drift
    size = float(np.linalg.norm(start - away.point))
    times, points, x, now = [np.zeros(1)], [start[None]], start, 0.0
    for _ in range(_WINDOWS):
        if spent():
            break
        try:
            way = quiet_ivp(
                lambda _, y: drift(y[None])[0],
                (0.0, window),
                x,
                method="LSODA",
                rtol=_ACCURACY,
                atol=_ACCURACY * size,
                t_eval=np.linspace(0.0, window, _POINTS)[1:],
            )
        except (ValueError, ArithmeticError):  # The flow leaves the region where the user's drift is defined.
            return None
        if way.status != 0 or not np.isfinite(way.y).all():
            return None
        found = way.y.T
        here = _distances(found, away)
        near = np.flatnonzero(
            here <= (_ON_CYCLE * extent_of(away) if isinstance(away, LimitCycle) else _ARRIVED * size)
        )
        # A trajectory may only pass by; one that stays has arrived at the end of its window too.
        if near.size and here[-1] <= 2.0 * here[near[0]]:
            last = near[0] + 1
            times.append(now + way.t[:last])
            points.append(found[:last])
            if not isinstance(away, LimitCycle):
                times.append(times[-1][-1:] + window)
                points.append(away.point[None])
            return np.concatenate(times), np.concatenate(points)
        times.append(now + way.t)
        points.append(found)
        x, now = found[-1], now + window
        window *= 1.3
    return None


def _distances(points: Array, state: Minimum) -> Array:
    return (
        distance_to(state, points)
        if isinstance(state, LimitCycle)
        else np.asarray(np.linalg.norm(points - state.point, axis=1))
    )
