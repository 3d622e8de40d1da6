"""Descents across and along kinks: steps against the shortest mean of gradients sampled around a point."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.bounded_least_squares import nonnegative_least_squares

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# A sphere is sampled at this number of points for each dimension, and at two more.
_SAMPLES = 3
# Where a step fails, gradients are added so often, and so many are kept for each dimension.
_TRIES, _KEPT = 4, 30
# A mean gradient shorter than this part of those around it counts as zero, also at the smallest radius, and the radius
# shrinks by this factor.
_STATIONARY, _AT_LAST, _SHRINKS = 1e-2, 1e-8, 0.1
# A step must descend by this part of what the slope promises; it is halved so often at most.
_DESCENDS, _HALVINGS = 0.1, 25
# The gradient jumps at a point if it changes by this part of the typical one at all these parts of a radius.
_JUMPS, _PARTS = 0.02, (1.0, 1e-2)


class Slide(NamedTuple):
    """A descent: its points (m, d), the times (m,) that a flow would take, and whether it has ended."""

    points: Array
    times: Array
    stationary: bool


def slide(
    loss: BatchFunction,
    gradient: BatchFunction,
    start: Array,
    *,
    radius: float,
    smallest: float,
    longest: float,
    first: float | None = None,
    steps: int = 600,
    seed: int = 0,
) -> Slide:
    """Descend from a point (d,) by gradient sampling, also along the bottom of a valley whose sides meet at a kink.

    Where the gradient jumps, the flow of steepest descent slides along the jump with the shortest of the means of the
    gradients on its sides, which is that of gradients at points around (Burke, Lewis and Overton, SIAM J. Optim. 15
    (2005) 751).

    Parameters
    ----------
    loss, gradient : ``(n, d) -> (n,)``, ``(n, d) -> (n, d)``
    radius, smallest : float
        Gradients are sampled within the radius, which shrinks where their means come to zero, until it is ``smallest``.
    longest : float
        The longest step.
    first : float, optional
        The radius at first, which grows with the steps: next to a pass it must not reach to its other side.
    """
    d = start.size
    rng = np.random.default_rng(seed)
    x, height = start.copy(), float(loss(start[None])[0])
    points, times, length = [x], [0.0], longest
    missing, tries = np.zeros((0, d)), 0
    widest, growing = radius, first is not None
    if first is not None:
        radius, length = first, 10.0 * first
    for _ in range(steps):
        around = around_points(x, radius, rng)
        values = np.concatenate([gradient(around), missing])
        values = values[np.isfinite(values).all(axis=1)]
        if not len(values):
            break
        mean = shortest_mean(values)
        slope = float(np.linalg.norm(mean))
        moved = False
        enough = _STATIONARY if radius > smallest else _AT_LAST
        if slope > enough * float(np.linalg.norm(values, axis=1).max()) + 1e-300:
            step = min(2.0 * length, longest)
            trials = x - step * 0.5 ** np.arange(_HALVINGS)[:, None] * mean / slope
            levels = loss(trials)
            good = np.flatnonzero(levels <= height - _DESCENDS * slope * step * 0.5 ** np.arange(_HALVINGS))
            if not good.size and tries < _TRIES:
                # The sample lacks the side that the step runs into: a gradient from there shortens the mean.
                beyond = gradient((x - np.array([[1.0], [0.1]]) * radius * mean / slope).reshape(-1, d))
                missing, tries = np.concatenate([missing, values[1:], beyond])[-_KEPT * d :], tries + 1
                continue
            if good.size and step * 0.5 ** good[0] > 1e-3 * radius:
                moved, k = True, int(good[0])
                length = step * 0.5**k
                x, height = trials[k], float(levels[k])
                points.append(x)
                times.append(times[-1] + length / slope)
                if growing:
                    radius = min(2.0 * radius, widest, 0.1 * float(np.linalg.norm(x - start)) + radius)
                    growing = radius < widest
        missing, tries = missing[:0], 0
        if not moved:
            growing = False
            if radius <= smallest:
                return Slide(np.array(points), np.array(times), True)
            radius = max(_SHRINKS * radius, smallest)
            length = max(length, radius)
    return Slide(np.array(points).reshape(-1, d), np.array(times), False)


def around_points(x: Array, radius: float, rng: np.random.Generator) -> Array:
    """The point (d,) itself and random points of the ball around it, in opposite pairs, (n, d)."""
    d = x.size
    shifts = rng.standard_normal(((_SAMPLES * d + 2 + 1) // 2, d))
    shifts *= radius / np.maximum(np.linalg.norm(shifts, axis=1, keepdims=True), 1e-300)
    return np.concatenate([x[None], x + shifts, x - shifts])


def shortest_mean(vectors: Array) -> Array:
    """The point (d,) of the convex hull of vectors (n, d) that is nearest to the origin."""
    size = float(np.abs(vectors).max())
    if not size > 0.0:
        return np.zeros(vectors.shape[1])
    rows = np.concatenate([vectors.T / size, np.ones((1, len(vectors)))])
    goal = np.zeros(len(rows))
    goal[-1] = 1.0
    weights = nonnegative_least_squares(rows, goal).x
    return np.asarray(weights @ vectors / weights.sum())


def varies_at(gradient: BatchFunction, point: Array, radius: float, typical: float) -> bool:
    """Whether a gradient varies so much within a radius of a point (d,) that it may jump there."""
    values = gradient(around_points(point, radius, np.random.default_rng(0)))
    return bool(np.linalg.norm(values - values.mean(axis=0), axis=1).max() > _JUMPS * typical)


def jumps_at(gradient: BatchFunction, point: Array, radius: float, typical: float) -> Array:
    """Orthonormal directions (m, d) in which a gradient jumps next to a point (d,): it changes however near one looks.

    ``typical`` is the length of a gradient that is not small.
    """
    rng = np.random.default_rng(0)
    for part in _PARTS:
        values = gradient(around_points(point, part * radius, rng))
        _, sizes, rows = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
        jumping = rows[sizes > _JUMPS * typical * np.sqrt(len(values))]
        if not len(jumping):
            break
    return np.asarray(jumping)


def hessian_beside_jumps(gradient: BatchFunction, point: Array, across: Array, radius: float, step: float) -> Array:
    """The Hessian (d, d) at a kink: by differences along it, and across it that of a parabola of width ``radius``.

    Parameters
    ----------
    across : ``(m, d)``
        Orthonormal directions in which the gradient jumps.
    """
    d = point.size
    along = np.linalg.svd(across)[2][len(across) :]
    change = (gradient(point + step * along) - gradient(point - step * along)) / (2.0 * step) if len(along) else along
    curvature = change @ along.T
    shifted = gradient(point + radius * across) - gradient(point - radius * across)
    stiff = np.abs((shifted * across).sum(axis=1)) / (2.0 * radius)
    H = across.T @ (stiff[:, None] * across) + along.T @ (0.5 * (curvature + curvature.T)) @ along
    return np.asarray(H.reshape(d, d))
