"""Initial paths in time: a polyline gets the speed |x'| = |b| of an optimal path, and slow tails at fixed points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.elements import ElementPath

Array = NDArray[np.float64]

# Distance from a fixed point, as a part of the length, at which the guess starts to move. It need not be smaller, because
# the refinement lengthens the tails.
_TAIL = 1e-4
# Distance from a fixed point, as a part of the length, within which the linear rate there limits the speed.
_NEAR = 0.25


def timed_path(
    polyline: Array,
    speed: Callable[[Array, Array], Array],
    *,
    slow_start: float,
    slow_end: float,
    n_elements: int,
    degree: int,
) -> ElementPath:
    """Give a polyline the speed of an optimal path and put it on a mesh of ``n_elements`` elements.

    Parameters
    ----------
    polyline : array (n, d)
        Points of the curve in order.
    speed : callable (n, d), (n, d) -> (n,)
        Speed of an optimal path at points along directions: |b(x)| for isotropic Gaussian noise.
    slow_start, slow_end : float
        Slowest linear rate at each end; 0 where the end is not a fixed point.
    n_elements, degree : int
        Number of elements of the mesh, and their polynomial degree.
    """
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(polyline, axis=0), axis=1))])
    total = lengths[-1]
    inner = np.linspace(0.0, 1.0, 401)[1:-1]
    tail = np.geomspace(_TAIL, 1.0 / 400, 60)
    s = np.unique(
        np.concatenate([[0.0], tail if slow_start > 0 else [], inner, 1.0 - tail if slow_end > 0 else [], [1.0]])
    )
    points = np.stack([np.interp(s * total, lengths, polyline[:, i]) for i in range(polyline.shape[1])], axis=1)
    middle = speed(0.5 * (points[1:] + points[:-1]), np.diff(points, axis=0))
    ds = np.diff(s) * total
    rates = np.array([r for r in (slow_start, slow_end) if r > 0.0] or [np.median(middle) / total])
    floor = 0.05 * np.median(middle) + 1e-3 * rates.min() * total
    if slow_start > 0.0 or slow_end > 0.0:
        # Close to a fixed point the speed vanishes with the distance; anywhere else a stall is only a poor guess of the
        # curve, and the floor keeps it from taking much time.
        near = np.minimum(s[1:] if slow_start > 0 else np.inf, (1.0 - s[:-1]) if slow_end > 0 else np.inf)
        floor = floor * np.minimum(near / 0.05, 1.0)
    velocity = np.maximum(middle, floor)
    # A path turns fast at a focus but leaves it slowly: close to a fixed point not |b| but the slowest rate limits the speed.
    half = 0.5 * (s[1:] + s[:-1])
    for rate, distance in ((slow_start, half), (slow_end, 1.0 - half)):
        if rate > 0.0:
            near_end = distance < _NEAR
            velocity[near_end] = np.minimum(velocity, 1.5 * rate * distance * total)[near_end]
    times = np.concatenate([[0.0], np.cumsum(ds / velocity)])
    density = np.interp(0.5 * (s[1:] + s[:-1]), s, s * 0.0 + 1.0) * np.diff(s) + 0.7 * np.diff(times) / times[-1]
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    breaks = np.interp(np.linspace(0.0, cumulative[-1], n_elements + 1), cumulative, times)
    target = ElementPath(breaks, np.empty((n_elements * degree + 1, points.shape[1])), degree)
    at = target.node_times()
    nodes = np.stack([np.interp(at, times, column) for column in points.T], axis=1)
    return ElementPath(breaks, nodes, degree)
