"""Uphill legs on a line under bounded noise that can barely hold the drift, found by quadrature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.solvers.paths.action_minimization import Minimization
from qpot.solvers.paths.line_momentum import line_cost
from qpot.solvers.problem.lagrangian import BoundedLagrangian

# Below this `BoundedLagrangian.hull_margin` velocities are so close to the hull's edge that a polynomial path in time has
# too few digits to tell the momentum.
_MARGIN = 1e-4


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
    value, error, x, p = line_cost(lagrangian, float(start[0]), float(end[0]), tolerance=method.tolerance)
    both = lagrangian.cumulants(x[:, None], p[:, None])
    points = np.concatenate([start, x, end])[:, None]
    momenta = np.concatenate([p[:1], p, p[-1:]])[:, None]
    speed = np.maximum(np.abs(np.concatenate([both[:1, 1], both[:, 1], both[-1:, 1]])), 1e-300)
    times = np.append(0.0, np.cumsum(np.abs(np.diff(points[:, 0])) * 2.0 / (speed[1:] + speed[:-1])))
    converged = error <= method.tolerance * max(abs(value), 1e-300)
    return PathSolution(
        points=points,
        action=value,
        error=error,
        status=Status.CONVERGED if converged else Status.NOT_CONVERGED,
        residual=float(np.abs(both[:, 0]).max()),
        iterations=x.size,
        method=method,
        momenta=momenta,
        times=times,
        uphill=np.ones(times.size, dtype=bool),
    )
