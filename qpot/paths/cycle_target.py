"""Paths to points on or beyond an unstable limit cycle in the plane, which bounds the basin of the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.status import SolveError
from qpot.landscape.attractor import attracting_point
from qpot.landscape.basins import basin_of
from qpot.landscape.cycle_search import as_limit_cycle, distance_to, extent_of
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum
from qpot.paths.cycle_ends import CycleEnd
from qpot.paths.cycle_legs import leg_with_cycles
from qpot.paths.ends import REACH
from qpot.paths.geometric import GeometricAction
from qpot.paths.joined import free_path, joined
from qpot.paths.methods import PathProblem
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.quiet_ivp import quiet_ivp
from qpot.solvers.common.spending import spending
from qpot.solvers.landscape.closed_orbits import closed_orbit_near

# CPU seconds for the search of a cycle from which the flow leads to the end of a path.
_SECONDS = 2.0
# A point lies on a cycle within this part of its extent, and the free way from it begins within the other.
_ON, _BESIDE = 1e-6, 1e-3
# A turn takes no more than so many of the slowest relaxation times.
_TURN = 30.0
# The free way is followed for so many periods, with so many points in each.
_PERIODS, _POINTS = 60, 100


def path_over_cycle(problem: PathProblem, method: GeometricAction) -> PathSolution | None:
    """The path to a point that the flow reaches from an unstable cycle between it and the start, or that lies on the cycle.

    It winds on to the cycle in infinitely many turns and goes on for free. None means that there is no such cycle.
    """
    system, target = problem.system, problem.end
    if system.dimension != 2 or system.gradient_drift or problem.initial is not None or problem.saddles is not None:
        return None
    size = float(np.linalg.norm(target - problem.start))
    try:
        source = attracting_point(system, problem.start, reach=REACH * size, name="start")
        # A point on the cycle may fall to either side by rounding.
        if basin_of(system, target[None], source[None])[0] == 0 and not _returns(system, source, target):
            return None
        cycle = _cycle_before(system, target, size)
        end = None if cycle is None else CycleEnd.of(system, cycle)
        if cycle is None or end is None:
            return None
        side = float(np.sign(end.tube.coordinates(source[None])[0, 0]))
        own = float(np.sign(end.tube.coordinates(target[None])[0, 0]))
        on = bool(distance_to(cycle, target[None])[0] <= _ON * extent_of(cycle))
        if own == side and not on:
            return None
        leg = leg_with_cycles(system, _state(system, source), cycle, side, method)
        if not np.isfinite(leg.action):
            return None
        way = target[None] if on else _back(system, cycle, target)
    except (SolveError, ValueError, ArithmeticError, NonFiniteError, np.linalg.LinAlgError):
        return None
    n, first, last = (
        len(cycle.points),
        *(int(np.linalg.norm(cycle.points - x, axis=1).argmin()) for x in (leg.end, way[0])),
    )
    arc = cycle.points[(first + np.arange(1, (last - first) % n)) % n]
    free = np.concatenate([leg.end[None], arc, way])
    clock = np.linspace(0.0, cycle.period / n * len(free), len(free))
    return joined([replace(leg, via=()), free_path(free, clock, method)])


def _returns(system: System, source: Array, target: Array) -> bool:
    """Whether the flow leads from a point back to it in one turn."""
    drift = system.unchecked.drift
    ahead = drift(target[None])[0]
    size = float(np.linalg.norm(target - source))

    def section(_: float, x: Array) -> float:
        return float((x - target) @ ahead)

    section.direction, section.terminal = 1.0, 2  # type: ignore[attr-defined]  # This is how scipy is told.
    rate = float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(source[None])[0]).real).min())
    way = quiet_ivp(
        lambda _, x: drift(x[None])[0],
        (0.0, _TURN / rate),
        target,
        method="LSODA",
        rtol=1e-10,
        atol=1e-10 * size,
        events=section,
    )
    passed = way.y_events[0][way.t_events[0] > 0.0]
    return bool(len(passed) and np.linalg.norm(passed - target, axis=1).min() <= _ON * size)


def _cycle_before(system: System, target: Array, size: float) -> LimitCycle | None:
    """The unstable cycle from which the flow leads to a point."""
    f = system.unchecked
    # Backwards in time the flow may run off to infinity, where functions overflow.
    with spending(_SECONDS), np.errstate(over="ignore", invalid="ignore"):
        try:
            orbit, _ = closed_orbit_near(f.drift, f.jacobian, target, size, sign=-1.0)
        except (TimeoutError, NonFiniteError):
            return None
    if orbit is None:
        return None
    low, high = np.minimum(orbit.start, target), np.maximum(orbit.start, target)
    cycle = as_limit_cycle(system, orbit, -1.0, low, high)
    return cycle if cycle.hyperbolic and not cycle.stable else None


def _state(system: System, point: Array) -> Minimum:
    hessian = -system.unchecked.jacobian(point[None])[0]
    rates = np.linalg.eigvals(hessian)
    residual = float(np.linalg.norm(system.unchecked.drift(point[None])))
    return Minimum(point=point, loss=float("nan"), hessian=hessian, rates=rates, residual=residual)


def _back(system: System, cycle: LimitCycle, target: Array) -> Array:
    """Points (n, 2) of the flow from beside a cycle to a point."""
    times = np.linspace(0.0, _PERIODS * cycle.period, _PERIODS * _POINTS)
    way = quiet_ivp(
        lambda _, x: -system.unchecked.drift(x[None])[0],
        times[[0, -1]],
        target,
        method="LSODA",
        t_eval=times,
        rtol=1e-9,
        atol=1e-9 * extent_of(cycle),
    ).y.T
    near = np.flatnonzero(distance_to(cycle, way) <= _BESIDE * extent_of(cycle))
    if not near.size:
        raise ValueError("the flow backwards does not come to the cycle")
    return np.ascontiguousarray(way[near[0] :: -1])
