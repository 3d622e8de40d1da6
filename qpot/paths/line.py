"""Uphill legs on a line, whose cost is a quadrature."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.integrate import IntegrationWarning, quad

from qpot._core.arrays import Array, format_point
from qpot._core.status import Status
from qpot.paths.infinite import infinite_leg
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
# Halvings towards a zero of the noise; the last ones tell whether the cost is finite, by the factor from one to the next.
_SHELLS, _LATE, _DIVERGES = 26, 8, 0.99
# The noise is taken to vanish below this part of its largest value, after so many closer looks. Were it only small there, the
# intervals that halve would see that too.
_VANISHING, _CLOSER = 1e-7, 12
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

    if _zero_on(system, start, end) is not None:
        return vanishing_leg(system, start, end, method)
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


def vanishing_leg(system: System, start: Array, end: Array, method: LegMethod) -> PathSolution | None:
    """The leg where the noise vanishes at its end or on its way: the integral of 2 |b| / a, which may be infinite there.

    It is taken over intervals that halve towards the zero of the noise. From one to the next the cost falls by a factor that
    tends to a constant: the rest is a geometric series, and the cost is infinite if the factor is one. None where the noise
    vanishes at the start, and where the way leads downhill.
    """
    zero, way = _zero_on(system, start, end), end - start
    if zero is None or abs(zero - start[0]) <= _BEYOND * abs(way[0]):
        return None
    inner = start + np.linspace(_BEYOND, 1.0 - _BEYOND, _DESCENT)[:, None] * way
    if (np.sign(way[0]) * system.unchecked.drift(inner)[:, 0] > 0.0).any():
        return None  # As above.
    stops = [float(start[0]), zero] + ([float(end[0])] if abs(zero - end[0]) > _BEYOND * abs(end[0] - start[0]) else [])
    value = error = 0.0
    for edge in (stops[0], *stops[2:]):
        part, uncertain = _towards(system, edge, zero)
        if not np.isfinite(part):
            reason = (
                f"the noise vanishes at {format_point(np.array([zero]))}, and the integral of 2 |b| / a diverges there"
            )
            return infinite_leg(start, end, reason, method)
        value, error = value + part, error + uncertain
    shares = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, _DESCENT))[1:-1]
    x = start[0] + shares * (end[0] - start[0])
    x = x[system.unchecked.covariance(x[:, None])[:, 0, 0] > 0.0]
    b, a = system.unchecked.drift(x[:, None])[:, 0], system.unchecked.covariance(x[:, None])[:, 0, 0]
    return _solution(start, end, value, error, x, -2.0 * b / a, -b, 0.0, method)


def _zero_on(system: System, start: Array, end: Array) -> float | None:
    """The point of the way at which the noise vanishes, to rounding of the way, or None; the lowest of several."""

    def noise(x: Array) -> Array:
        return np.asarray(system.unchecked.covariance(x[:, None])[:, 0, 0])

    x = np.linspace(float(start[0]), float(end[0]), _DESCENT)
    a = noise(x)
    largest = float(a.max())
    for _ in range(_CLOSER):
        k = int(np.argmin(a))
        if a[k] <= 0.0:
            return float(x[k])
        x = np.linspace(x[max(k - 1, 0)], x[min(k + 1, x.size - 1)], 41)
        a = noise(x)
    k = int(np.argmin(a))
    return float(x[k]) if a[k] <= _VANISHING * largest else None


def _towards(system: System, edge: float, zero: float) -> tuple[float, float]:
    """The integral of 2 |b| / a from an edge to a zero of the noise, and its error; inf where it diverges."""

    def cost(s: float) -> float:
        x = np.array([[zero + s * (edge - zero)]])
        b, a = float(system.unchecked.drift(x)[0, 0]), float(system.unchecked.covariance(x)[0, 0, 0])
        return 2.0 * abs(b) * abs(edge - zero) / a if a > 0.0 else float("inf")

    shells, errors = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IntegrationWarning)
        for k in range(_SHELLS):
            part, uncertain = quad(cost, 0.5 ** (k + 1), 0.5**k, epsabs=0.0, epsrel=1e-12, limit=200)[:2]
            if not np.isfinite(part):
                return float("inf"), 0.0
            shells.append(part)
            errors.append(uncertain)
    late = np.array(shells[-_LATE:])
    factors = late[1:] / np.maximum(late[:-1], 1e-300)
    factor = float(np.median(factors))
    if factor > _DIVERGES:
        return float("inf"), 0.0
    rest = late[-1] * factor / (1.0 - factor)
    # How far the factors differ says how far the series is from a geometric one.
    spread = float(np.ptp(factors)) / (1.0 - factor)
    return float(sum(shells) + rest), float(sum(errors) + rest * min(spread + 1e-6, 1.0))


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
