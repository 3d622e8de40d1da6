"""Walking back from a point to the source along the characteristic of a field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qpot._arrays import Array
from qpot.solution import PathSolution, Status

if TYPE_CHECKING:
    from qpot.field_solution import FieldSolution

# A piece of the walk in cells, and the most pieces: a focus is wound round many times.
_STEP_CELLS = 0.5
_MOST_STEPS = 20000
# V of the last point over V of the first: what is left is closed by a straight line.
_REST = 1e-8
# Momenta below this fraction of the largest are a free descent.
_FREE = 1e-6


def walk_back(field: FieldSolution, point: Array) -> PathSolution:
    """The minimum action path to ``point``: x' = b + a grad V followed backwards with RK4.

    The action is integrated along the same curve, so it is the action of a true path and agrees with V up to the
    errors of the field's gradient.
    """
    value = float(field.at(point[None])[0])
    if not np.isfinite(value):
        return _solution(field, point[None], np.zeros((1, point.size)), np.zeros(1), np.nan, Status.LEFT_DOMAIN, np.inf)
    source = np.atleast_2d(field.source)
    step = _STEP_CELLS * float(np.min(field.grid.spacing))
    points, momenta, times = [point], [field.gradient_at(point[None])[0]], [0.0]
    x = point
    action = 0.0
    closest = float(np.linalg.norm(source - x, axis=1).min())
    status = Status.NOT_CONVERGED
    for _ in range(_MOST_STEPS):
        nearest = source[int(np.argmin(np.linalg.norm(source - x, axis=1)))]
        gap = float(np.linalg.norm(x - nearest))
        here = float(field.at(x[None])[0])
        if gap <= 1e-12 or (here <= max(_REST * value, 0.0) and gap <= 4.0 * step) or gap <= 0.02 * step:
            status = Status.CONVERGED
            break
        v, _ = _velocity(field, x)
        speed = float(np.linalg.norm(v))
        rate = float(np.linalg.norm(field.system.jacobian(x[None])[0]))
        if not np.isfinite(speed) or speed == 0.0:
            break
        # close to rest the flow is linear and sets the pace, elsewhere the grid does
        dt = min(step / speed, 0.1 / max(rate, 1e-300))
        moved = _backward(field, x, dt)
        if moved is None:
            break
        x, cost = moved
        if not field.grid.contains(x[None])[0]:
            break
        x = field.grid.wrap(x[None])[0]
        action += cost
        points.append(x)
        momenta.append(field.gradient_at(x[None])[0])
        times.append(times[-1] - dt)
        closest = min(closest, gap)
    if status is Status.CONVERGED:
        # the rest is the quadratic well of the source
        action += max(here, 0.0)
        points.append(nearest)
        momenta.append(np.zeros(point.size))
        times.append(times[-1] - (times[0] - times[-1] if len(times) > 1 else 1.0))
    return _solution(
        field, np.array(points)[::-1], np.array(momenta)[::-1], np.array(times)[::-1], action, status, value
    )


def _velocity(field: FieldSolution, x: Array) -> tuple[Array, float]:
    p = field.gradient_at(x[None])[0]
    ap = field.system.covariance(x[None])[0] @ p
    return np.asarray(field.system.drift(x[None])[0] + ap), 0.5 * float(p @ ap)


def _backward(field: FieldSolution, x: Array, dt: float) -> tuple[Array, float] | None:
    """One RK4 step back in time; the cost of the piece with it."""
    velocities, costs = [], []
    z = x
    for fraction in (0.5, 0.5, 1.0, None):
        if not field.grid.contains(z[None])[0]:
            return None
        v, cost = _velocity(field, z)
        if not np.isfinite(v).all():
            return None
        velocities.append(v)
        costs.append(cost)
        if fraction is not None:
            z = x - fraction * dt * v
    weights = np.array([1.0, 2.0, 2.0, 1.0]) / 6.0
    return x - dt * (weights @ np.array(velocities)), dt * float(weights @ np.array(costs))


def _solution(
    field: FieldSolution, points: Array, momenta: Array, times: Array, action: float, status: Status, value: float
) -> PathSolution:
    sizes = np.linalg.norm(momenta, axis=1)
    b = field.system.drift(points)
    a = field.system.covariance(points)
    H = np.einsum("ni,ni->n", b, momenta) + 0.5 * np.einsum("ni,nij,nj->n", momenta, a, momenta)
    return PathSolution(
        points=points,
        action=action,
        error=abs(action - value) + (field.error if np.isfinite(field.error) else 0.0),
        status=status,
        residual=float(np.abs(H).max()),
        iterations=len(points) - 1,
        method=field.method,
        momenta=momenta,
        times=times,
        uphill=sizes > _FREE * max(float(sizes.max()), 1e-300),
    )
