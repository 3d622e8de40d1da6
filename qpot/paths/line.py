"""Uphill legs on a line, whose cost is a quadrature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot.paths.joined import free_path
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.paths.action_minimization import Minimization
from qpot.solvers.paths.line_momentum import line_cost, zero_energy_momentum
from qpot.solvers.problem.lagrangian import BoundedLagrangian, SingularCovarianceError

# Below this `BoundedLagrangian.hull_margin` velocities are so close to the hull's edge that a polynomial path in time has
# too few digits to tell the momentum.
_MARGIN = 1e-4
# A leg ends at a pass if it goes no further beyond it than this fraction of its length.
_BEYOND = 1e-6
# A drift below this part of the fastest one counts as none.
_STILL = 1e-12
# Points of a free descent.
_DESCENT = 201


def hugs_the_hull(lagrangian: BoundedLagrangian, coarse: Sequence[Minimization]) -> bool:
    """Whether no coarse path was found, or the cheapest has velocities close to the edge of the hull of the steps."""
    if not coarse:
        return True
    path = min(coarse, key=lambda m: m.action).path
    x, v, _ = path.at_quadrature(path.degree)
    d = x.shape[-1]
    return lagrangian.hull_margin(x.reshape(-1, d), v.reshape(-1, d)) < _MARGIN


def line_leg(lagrangian: BoundedLagrangian, start: Array, end: Array, method: LegMethod) -> PathSolution:
    """The leg from ``start`` to ``end`` in one dimension, whose cost is the integral of the root p of H(x, p) = 0."""
    direction = float(np.sign(end[0] - start[0]))
    value, error, x, p = line_cost(
        lambda x: zero_energy_momentum(lagrangian, x, direction),
        float(start[0]),
        float(end[0]),
        tolerance=method.tolerance,
    )
    both = lagrangian.cumulants(x[:, None], p[:, None])
    return _solution(start, end, value, error, x, p, both[:, 1], float(np.abs(both[:, 0]).max()), method)


def gaussian_line_leg(system: System, start: Array, end: Array, method: LegMethod) -> PathSolution | None:
    """The same under Gaussian noise, where p = -2 b / a against the drift and 0 along it, also at kinks and jumps.

    None in more dimensions, for other noise, where the noise vanishes on the way and where the way leads downhill.
    """
    if system.dimension != 1 or not system.noise.gaussian:
        return None
    direction = float(np.sign(end[0] - start[0]))

    def both(x: Array) -> tuple[Array, Array]:
        return system.unchecked.drift(x[:, None])[:, 0], system.unchecked.covariance(x[:, None])[:, 0, 0]

    def momentum(x: Array) -> Array:
        b, a = both(x)
        if not (a > 0.0).all():
            raise SingularCovarianceError(x[np.argmin(a), None], np.sort(a))
        return np.asarray(direction * np.maximum(-2.0 * direction * b / a, 0.0), dtype=np.float64)

    try:
        value, error, x, p = line_cost(momentum, float(start[0]), float(end[0]), tolerance=method.tolerance)
    except SingularCovarianceError:
        return None
    b, a = both(x)
    # A pass at a kink is known to rounding only, and the drift just beyond it points on.
    inner = np.abs(x - end[0]) > _BEYOND * abs(end[0] - start[0])
    if (direction * b > 0.0)[inner].any():
        return None  # The way leads down to another attractor and is composed of legs elsewhere.
    return _solution(start, end, value, error, x, p, b + a * p, float(np.abs(b * p + 0.5 * a * p**2).max()), method)


def line_descent(system: System, start: Array, end: Array, method: LegMethod) -> PathSolution | None:
    """The free descent from a pass to a minimum in one dimension, also at kinks; None if the drift turns back on the way."""
    shares = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, _DESCENT))
    points = start + shares[:, None] * (end - start)
    speed = system.unchecked.drift(points)[:, 0] * np.sign(end[0] - start[0])
    # At a half-stable rest on the way the drift vanishes, and rounding may give it the other sign.
    slowest = _STILL * float(np.abs(speed).max())
    if not (speed[1:-1] > -slowest).all():
        return None
    middle = system.unchecked.drift(0.5 * (points[1:] + points[:-1]))[:, 0]
    times = np.append(0.0, np.cumsum(np.abs(np.diff(points[:, 0])) / np.maximum(np.abs(middle), max(slowest, 1e-300))))
    return free_path(points, times, method)


def _solution(
    start: Array,
    end: Array,
    value: float,
    error: float,
    x: Array,
    p: Array,
    velocity: Array,
    residual: float,
    method: LegMethod,
) -> PathSolution:
    """The leg through the quadrature points ``x`` (n,) with their momenta and velocities."""
    points = np.concatenate([start, x, end])[:, None]
    momenta = np.concatenate([p[:1], p, p[-1:]])[:, None]
    speed = np.maximum(np.abs(np.concatenate([velocity[:1], velocity, velocity[-1:]])), 1e-300)
    times = np.append(0.0, np.cumsum(np.abs(np.diff(points[:, 0])) * 2.0 / (speed[1:] + speed[:-1])))
    converged = error <= method.tolerance * max(abs(value), 1e-300)
    return PathSolution(
        points=points,
        action=value,
        error=error,
        status=Status.CONVERGED if converged else Status.NOT_CONVERGED,
        residual=residual,
        iterations=x.size,
        method=method,
        momenta=momenta,
        times=times,
        uphill=np.ones(times.size, dtype=bool),
    )
