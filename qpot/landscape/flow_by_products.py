"""Descents in many dimensions: the drift's trajectories, of which few points are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.integrate import BDF, RK45
from scipy.sparse import csc_array, diags_array

from qpot._core.arrays import Array, NonFiniteError
from qpot.landscape.linear_rates import FixedPointRates, fastest_rate, fixed_point_rates
from qpot.problem.system import System
from qpot.solvers.common.linear_part import as_linear_part
from qpot.solvers.landscape.chebyshev_flow import ChebyshevFlow

# A trajectory has arrived at a fixed point when their distance is below this fraction of the distance to the farthest target.
_ARRIVED = 1e-4
# A point is kept whenever the trajectory has moved on by this fraction of that distance.
_KEPT = 0.01
# A trajectory is given up after this many steps.
_MAX_STEPS = 20_000
# A trajectory out of a saddle starts at this fraction of the distance to the nearest minimum.
NUDGE = 1e-4


def stiff_part(linear_part: object, dimension: int) -> Array | csc_array:
    """A method's ``linear_part`` as a diagonal (d,) or a sparse matrix (d, d); errors name the argument."""
    try:
        return as_linear_part(linear_part, dimension)
    except ValueError as error:
        raise ValueError(f"linear_part: {error}") from error


def large_flow(
    system: System, start: Array, targets: Array, *, slowest: float, linear_part: Array | csc_array | None = None
) -> tuple[int, Array, Array] | None:
    """The drift's trajectory from ``start`` (d,) to one of the ``targets`` (k, d).

    Parameters
    ----------
    slowest : float
        The slowest linear rate at the start and the targets, which bounds the time.
    linear_part : array (d,) or sparse matrix (d, d), optional
        The stiff part of the drift's Jacobian. With it the steps are implicit (BDF, which takes it as the Jacobian). Without
        it a gradient flow takes the steps of a stabilised explicit method, and any other flow those of RK45.

    Returns
    -------
    (int, array (n,), array (n, d)) or None
        The index of the target, the times and the points; None where the trajectory reaches none of the targets.
    """
    size = float(np.linalg.norm(targets - start, axis=1).max())

    def velocity(_: float, x: Array) -> Array:
        return np.asarray(system.unchecked.drift(x[None])[0])

    # A trajectory that has come to rest away from all targets is given up. A tenth of the arrival radius along the slowest
    # direction corresponds to this speed.
    limit, at_rest = 200.0 / slowest, 0.1 * _ARRIVED * slowest * size
    if linear_part is None and system.gradient_drift:
        solver: Any = ChebyshevFlow(
            velocity, 0.0, start, limit, rtol=1e-4, atol=1e-6 * size, radius=partial(fastest_rate, system)
        )
    elif linear_part is None:
        solver = RK45(velocity, 0.0, start, limit, rtol=1e-6, atol=1e-8 * size)
    else:
        part = stiff_part(linear_part, system.dimension)
        matrix = csc_array(diags_array(part)) if isinstance(part, np.ndarray) else part
        solver = BDF(velocity, 0.0, start, limit, rtol=1e-6, atol=1e-8 * size, jac=matrix)
    times, points = [0.0], [start]
    try:
        for _ in range(_MAX_STEPS):
            solver.step()
            distance = np.linalg.norm(targets - solver.y, axis=1)
            near = int(np.argmin(distance))
            if distance[near] <= _ARRIVED * size:
                return near, np.array([*times, solver.t]), np.array([*points, solver.y])
            if solver.status != "running" or distance[near] > 100.0 * size:
                return None
            if np.linalg.norm(velocity(solver.t, solver.y)) <= at_rest:
                return None
            if np.linalg.norm(solver.y - points[-1]) > _KEPT * size:
                times.append(solver.t)
                points.append(solver.y.copy())
    except NonFiniteError:
        return None
    return None


def basins_of_sides(
    system: System,
    saddle: Array,
    rates: FixedPointRates,
    minima: Array,
    *,
    linear_part: Array | csc_array | None = None,
) -> Sequence[int | None]:
    """The indices of the minima (k, d) to which the drift leads from the two sides of a saddle.

    The side of ``rates.direction`` comes first. None stands for a side that leads to none of the minima.
    """
    shift = NUDGE * float(np.linalg.norm(minima - saddle, axis=1).min())
    slowest = min(rates.slowest, *(fixed_point_rates(system, m, name="minimum").slowest for m in minima))
    ids: list[int | None] = []
    for sign in (1.0, -1.0):
        found = large_flow(
            system, saddle + sign * shift * rates.direction, minima, slowest=slowest, linear_part=linear_part
        )
        ids.append(None if found is None else found[0])
    return ids
