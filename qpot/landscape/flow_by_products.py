"""The drift's trajectories in many dimensions, few of their points kept, and the initial curves made from them."""

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

# A trajectory has arrived within this fraction of its length of a fixed point; a point is kept after each such step.
_ARRIVED, _KEPT = 1e-4, 0.01
_MAX_STEPS = 20_000
# A trajectory leaves a saddle at this fraction of the distance to the minima.
NUDGE = 1e-4


def stiff_part(linear_part: Any, dimension: int) -> Array | csc_array:
    """The ``linear_part`` of a method, a diagonal (d,) or a sparse matrix (d, d), or an error that names it."""
    try:
        return as_linear_part(linear_part, dimension)
    except ValueError as error:
        raise ValueError(f"linear_part: {error}") from error


def large_flow(
    system: System, start: Array, targets: Array, *, slowest: float, linear_part: Any = None
) -> tuple[int, Array, Array] | None:
    """The drift's trajectory from ``start`` to one of the ``targets`` (k, d): its index, times (n,) and points (n, d).

    None if it reaches none of them. With ``linear_part`` the steps are implicit (BDF with that matrix as Jacobian); without,
    those of a gradient flow are stabilised.
    """
    size = float(np.linalg.norm(targets - start, axis=1).max())

    def velocity(_: float, x: Array) -> Array:
        return np.asarray(system.unchecked.drift(x[None])[0])

    # a point at rest that is none of the targets: within a share of the arrival radius even along the slowest direction
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
    system: System, saddle: Array, rates: FixedPointRates, minima: Array, *, linear_part: Any = None
) -> Sequence[int | None]:
    """Which of the minima (k, d) the two sides of a saddle flow to, the positive one first; None: to none of them."""
    shift = NUDGE * float(np.linalg.norm(minima - saddle, axis=1).min())
    slowest = min(rates.slowest, *(fixed_point_rates(system, m, name="minimum").slowest for m in minima))
    ids: list[int | None] = []
    for sign in (1.0, -1.0):
        found = large_flow(
            system, saddle + sign * shift * rates.direction, minima, slowest=slowest, linear_part=linear_part
        )
        ids.append(None if found is None else found[0])
    return ids
