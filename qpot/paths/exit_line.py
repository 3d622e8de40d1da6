"""Exits in one dimension: the cost is an integral, and no path has to be searched for."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.integrate import IntegrationWarning, quad

from qpot._core.arrays import Array, format_point
from qpot._core.status import Status
from qpot.paths.infinite import infinite_leg
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System

# Relative error that is asked of the quadrature.
_RELATIVE = 1e-12
# Most subintervals of the quadrature; each halves one of those before it.
_INTERVALS = 400
# The quadrature begins with pieces that grow by this factor from either end, since the covariance may vanish there.
_GRADING = 4.0
# Pieces at each end.
_PIECES = 24
# Points of the path between the two ends.
_POINTS = 200
# Where the path begins, as a part of its length: from the minimum itself it would take infinite time.
_TAIL = 1e-6


def exit_on_a_line(system: System, start: Array, end: Array, method: LegMethod) -> PathSolution:
    r"""The cheapest path from a minimum to a point of its basin, whose cost is the integral of 2 |b| / a.

    The system has Gaussian noise and one dimension.
    """
    length = float(end[0] - start[0])

    def slope(s: float) -> float:
        x = np.array([[start[0] + s * length]])
        b, a = float(system.unchecked.drift(x)[0, 0]), float(system.unchecked.covariance(x)[0, 0, 0])
        return 2.0 * abs(b) * abs(length) / a if a > 0.0 else np.inf

    near = _GRADING ** -np.arange(1.0, _PIECES + 1.0)
    knots = np.unique(np.concatenate([[0.0, 1.0], near, 1.0 - near]))
    value, error = 0.0, 0.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", IntegrationWarning)
        # The integral over the pieces in one call shares its subintervals among them.
        value, error = quad(
            slope, 0.0, 1.0, points=knots[1:-1], epsabs=0.0, epsrel=_RELATIVE, limit=_INTERVALS + 2 * _PIECES
        )[:2]
    if not np.isfinite(value):
        reason = f"the covariance vanishes on the way from {format_point(start)} to {format_point(end)}"
        return infinite_leg(start, end, reason, method)
    error += 1e-14 * abs(value)
    tail = np.geomspace(_TAIL, 1.0 / _POINTS, 20)
    s = np.unique(np.concatenate([tail, np.linspace(0.0, 1.0, _POINTS + 1)[1:], 1.0 - tail]))
    x = start[0] + s[:, None] * length
    x[-1] = end
    b, a = system.unchecked.drift(x)[:, 0], system.unchecked.covariance(x)[:, 0, 0]
    speed = np.maximum(np.abs(b), 1e-300)
    steps = 0.5 * np.diff(s) * abs(length) * (1.0 / speed[1:] + 1.0 / speed[:-1])
    converged = error <= method.tolerance * max(abs(value), 1e-300)
    return PathSolution(
        points=np.concatenate([start[None], x]),
        action=value,
        error=error,
        status=Status.CONVERGED if converged else Status.NOT_CONVERGED,
        residual=0.0,
        iterations=0,
        method=method,
        momenta=np.concatenate([[[0.0]], (-2.0 * b / np.maximum(a, 1e-300))[:, None]]),
        times=np.concatenate([[0.0], np.cumsum(np.concatenate([[1.0 / speed[0] * _TAIL * abs(length)], steps]))]),
        uphill=np.ones(s.size + 1, dtype=bool),
    )
