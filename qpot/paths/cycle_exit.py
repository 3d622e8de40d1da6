"""Exits from a basin in the plane that an unstable limit cycle bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, BoundsLike, NonFiniteError, as_bounds
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.landscape.basins import attracting_neighbourhoods, basin_of
from qpot.paths.boundary_exits import refined_exit
from qpot.paths.boundary_samples import boundary_samples
from qpot.paths.boundary_search import BoundaryProblem, coarse_exit, in_order, searched
from qpot.paths.boundary_surfaces import Surface
from qpot.paths.exit_solution import ExitCoverage, ExitSolution
from qpot.paths.geometric import GeometricAction
from qpot.problem.system import System
from qpot.solvers.paths.planar_cycle import PlanarCycle, unstable_cycle

# Relative tolerance of the paths to the inner curves.
_TOLERANCE = 1e-7
# The answer has converged where its relative error is below this.
_GOOD = 1e-5
# Starts of the search for the cheapest path to the inner curve.
_STARTS = 8
# Rays from the minimum on which the edge of the basin is looked for, points on each, and halvings from there.
_RAYS = 4
_POINTS = 16
_HALVINGS = 4
# The drift is followed for so many of the slowest relaxation times; what has not come to the minimum by then is outside.
_DECIDED = 30.0
# A turn around the cycle may take so many of the slowest relaxation times.
_PATIENCE = 100.0
# The inner curve lies beside the cycle at this part of its radius, or further where the path would wind too often.
_BESIDE = 2e-3
# Turns that the path may take from a tenth of the radius to the inner curve.
_TURNS = 3.0
# The second inner curve is further from the cycle by this factor.
_RATIO = 2.0


class _InnerCurve(Surface):
    """The curve beside a cycle from which it still costs ``rest`` to come to it, in the quadratic approximation."""

    def __init__(self, cycle: PlanarCycle, rest: float, centre: Array) -> None:
        self.cycle, self.rest, self.origin = cycle, rest, centre

    def value(self, x: Array) -> Array:
        """The distance from the cycle in units in which the cost is half its square, less that of the curve."""
        t, distance = self.cycle.feet(x)
        return np.asarray(distance * np.sqrt(self.cycle.stiffness(t)) + np.sqrt(2.0 * self.rest))

    def normal(self, x: Array) -> Array:
        """Its gradient, by differences."""
        return self._derivative(self.value, x)


def exit_onto_cycle(
    system: System,
    start: Array,
    bounds: BoundsLike,
    method: GeometricAction,
    shape: Array,
    budget: float,
    rng: np.random.Generator,
    report: ProgressCallback,
) -> list[ExitSolution]:
    """The exit over an unstable cycle around ``start``, if one bounds its basin within the bounds.

    The path takes infinitely many turns to come to the cycle. It is solved up to a curve beside the cycle, from where the
    periodic Riccati equation has the rest; the same from a second curve tells the error, which is of third order in the
    distance.
    """
    if system.dimension != 2 or system.gradient_drift:
        return []
    cycle = _bounding_cycle(system, start, bounds)
    if cycle is None:
        return []
    times = np.linspace(0.0, cycle.period, 64, endpoint=False)
    radius = float(np.linalg.norm(cycle.orbit(times) - start, axis=1).min())
    beside = radius * max(_BESIDE, 0.1 * float(np.exp(-_TURNS * cycle.growth)))
    stiffness = float(cycle.stiffness(times).min())
    lagrangian = system.noise.lagrangian(system.unchecked)
    curves = [_InnerCurve(cycle, 0.5 * stiffness * d**2, start) for d in (_RATIO * beside, beside)]
    outer, inner = (BoundaryProblem.of(system, lagrangian, start, [curve]) for curve in curves)
    samples = boundary_samples(system, lagrangian, [curves[0]], start, shape, rng)
    order = in_order(outer, samples, rng)[:_STARTS]
    search = searched(outer, samples, order, budget, report)
    if not search.exits:
        return []
    # What the curves leave out is of this size, so that the paths to them need no more digits.
    method = replace(method, tolerance=max(method.tolerance, _TOLERANCE))
    far = refined_exit(outer, search.exits[0], method, shape)
    # The path to the second curve goes on from the first one along the cycle's own direction.
    far_foot = cycle.orbit(cycle.feet(far.point[None])[0])[0]
    onward = coarse_exit(inner, 0, np.concatenate([far.path.points, [far.point + (far_foot - far.point) / _RATIO]]))
    if onward is None:
        return []
    near = refined_exit(inner, onward, method, shape)
    far, near = (replace(e, cost=e.cost + c.rest) for e, c in zip((far, near), curves, strict=True))
    # Errors of third order shrink by eight from the far curve to the near one.
    cost = near.cost + (near.cost - far.cost) / (_RATIO**3 - 1.0)
    error = near.error + far.error + abs(near.cost - far.cost)
    # Along the cycle V is level, so that the momentum there is small and its direction says little.
    solved = far.path.status.ok and near.path.status.ok and error <= _GOOD * cost
    status = Status.CONVERGED if solved else Status.NOT_CONVERGED
    foot = cycle.orbit(cycle.feet(near.point[None])[0])[0]
    coverage = ExitCoverage(
        starts=search.starts, costs=tuple(search.levels), hits=tuple(search.hits), unseen=search.unseen
    )
    return [replace(near, cost=cost, error=error, point=foot, status=status, coverage=coverage)]


def _bounding_cycle(system: System, start: Array, bounds: BoundsLike) -> PlanarCycle | None:
    rate = np.abs(np.linalg.eigvals(system.unchecked.jacobian(start[None])[0]).real).min()
    for edge in _edges(system, start, bounds, _DECIDED / float(rate)):
        try:
            cycle = unstable_cycle(
                system.unchecked.drift,
                system.unchecked.jacobian,
                system.unchecked.covariance,
                start,
                edge,
                _PATIENCE / float(rate),
            )
        except NonFiniteError:
            continue
        if cycle is not None:
            return cycle
    return None


def _edges(system: System, start: Array, bounds: BoundsLike, patience: float) -> list[Array]:
    """Points inside the basin near where rays from the minimum first leave it; the flow backwards comes to the edge."""
    near = attracting_neighbourhoods(system, start[None])

    def inside(points: Array) -> NDArray[np.bool_]:
        labels = basin_of(system, points, start[None], max_time=patience, neighbourhoods=near)
        return np.asarray(labels == 0)

    lower, upper = as_bounds(bounds, dimension=2)
    angles = 2.0 * np.pi * (np.arange(_RAYS) + 0.3) / _RAYS
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (upper - lower)
    with np.errstate(divide="ignore"):
        reach = np.where(directions > 0.0, (upper - start) / directions, (lower - start) / directions).min(axis=1)
    shares = np.linspace(0.0, 1.0, _POINTS + 1)[1:]
    ways = reach[:, None, None] * directions[:, None] * shares[None, :, None]
    own = inside((start + ways).reshape(-1, 2)).reshape(_RAYS, _POINTS)
    leaving = np.flatnonzero(~own.all(axis=1))
    if not leaving.size:
        return []
    first = own[leaving].argmin(axis=1)
    rays = reach[leaving, None] * directions[leaving]
    low, high = first / _POINTS, (first + 1.0) / _POINTS
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        own_side = inside(start + middle[:, None] * rays)
        low, high = np.where(own_side, middle, low), np.where(own_side, high, middle)
    return [start + share * ray for share, ray in zip(low, rays, strict=True) if share > 0.0]
