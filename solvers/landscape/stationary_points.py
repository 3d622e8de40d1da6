"""Zeros of a vector field by damped Newton steps, and points on the border between two basins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qpot.solvers.common.differences import spacing_of
from qpot.solvers.common.quiet_ivp import quiet_ivp

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# So many points are labelled at once where a bisection can look ahead.
_AT_ONCE = 512


def find_roots(
    function: BatchFunction,
    jacobian: BatchFunction,
    starts: Array,
    *,
    lower: Array,
    upper: Array,
    max_iterations: int = 80,
) -> tuple[Array, NDArray[np.bool_]]:
    """Solve ``function(x) = 0`` from every start by Levenberg-Marquardt steps, which turn into Newton's at the end.

    Parameters
    ----------
    function, jacobian : callable ``(m, d) -> (m, d)``, ``(m, d) -> (m, d, d)``
        The vector field and its Jacobian. Starts at which the field is NaN are not followed.
    starts : array (n, d)
    lower, upper : array (d,)
        The corners of the box. Iterates that leave the box, widened by half its size on each side, are given up.

    Returns
    -------
    roots : array (n, d)
        The last iterate of every start.
    found : array (n,) of bool
        Whether the last Newton step was at rounding level.
    """
    # Everything is measured in box sizes, so that neither the units of the coordinates nor that of time matter, and a
    # coordinate of size 1e-3 is solved for as accurately as one of size 1e3.
    size = upper - lower
    x = starts / size
    low, high = lower / size - 0.5, upper / size + 0.5
    n, d = x.shape
    f = function(starts) / size
    norm = _norms(f)
    mu = np.full(n, 1e-3)
    found = np.zeros(n, dtype=bool)
    active = np.flatnonzero(np.isfinite(norm))
    eye = np.eye(d)
    spacing = spacing_of(function)
    # A function that rounds its argument has no roots closer than that.
    closest = 0.0 if spacing is None else 2.0 * float((spacing / size).max())
    # The Jacobians of iterates that have moved since they were last asked for are not known.
    jacobians, moved = np.empty((n, d, d)), np.ones(n, dtype=bool)
    for _ in range(max_iterations):
        if active.size == 0:
            break
        xa, fa = x[active], f[active]
        asked = active[moved[active]]
        if asked.size:
            jacobians[asked] = jacobian(x[asked] * size) * size / size[:, None]
        J = jacobians[active]
        JT = np.swapaxes(J, 1, 2)
        normal = JT @ J
        scale = np.maximum(np.trace(normal, axis1=1, axis2=2) / d, 1e-300)
        damped = normal + (mu[active] * scale)[:, None, None] * eye
        step = -np.linalg.solve(damped, JT @ fa[:, :, None])[..., 0]
        trial = xa + step
        ft = function(trial * size) / size
        new = _norms(ft)
        reach = 1.0 + np.abs(xa).max(axis=1)
        small = np.abs(step).max(axis=1) <= np.maximum(1e-11 * reach, closest)
        better = np.isfinite(new) & (new < norm[active])
        resting = norm[active] <= np.sqrt(scale) * np.maximum(1e-14 * reach, 0.25 * closest)
        settled = small & (mu[active] < 1e-6) & np.isfinite(new) & (new <= 10 * norm[active])
        done = settled | resting
        take = better | settled
        rows = active[take]
        moved[active] = take
        x[rows], f[rows], norm[rows] = trial[take], ft[take], new[take]
        # A tiny step that gains nothing may have started at rounding level. Less damping shows whether Newton's step is as
        # tiny.
        rounding = small & (norm[active] <= 1e-9 * np.sqrt(scale) * reach)
        mu[active] = np.where(better | rounding, mu[active] * 0.1, mu[active] * 4.0)
        found[active[done]] = True
        outside = ((x[active] < low) | (x[active] > high)).any(axis=1)
        stuck = mu[active] > 1e8
        active = active[~(done | outside | stuck)]
        mu[active] = np.maximum(mu[active], 1e-14)
    exact = norm == 0.0
    return x * size, found | exact


def _norms(f: Array) -> Array:
    """The norms (n,) of the rows.

    Where a trial step lands far outside and the field overflows, the norm is infinite, and the step is not accepted.
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.linalg.norm(f, axis=1), dtype=np.float64)


def distinct(points: Array, *, tolerance: float) -> NDArray[np.int64]:
    """The indices of points (n, d), each farther than ``tolerance`` from all that are kept before it."""
    kept: list[int] = []
    if points.shape[0] == 0:
        return np.zeros(0, dtype=np.int64)
    tree = cKDTree(points)
    taken = np.zeros(points.shape[0], dtype=bool)
    for i in range(points.shape[0]):
        if not taken[i]:
            kept.append(i)
            taken[tree.query_ball_point(points[i], tolerance)] = True
    return np.array(kept, dtype=np.int64)


def nearest_rest(drift: BatchFunction, start: Array, *, time: float) -> Array:
    """Do as `nearest_rests` for one start (d,)."""
    return np.asarray(nearest_rests(drift, start[None], time=time)[0])


def nearest_rests(drift: BatchFunction, starts: Array, *, time: float) -> Array:
    """The slowest points (n, d) of the drift's trajectories from ``starts`` (n, d) over ``time``.

    A trajectory that starts on the border of a basin runs along it to a saddle before it leaves the border, and is slowest
    there. The ends of the trajectory count only where its speed has no minimum inside. All trajectories share their steps.
    """
    n, d = starts.shape
    # On a line the border is the point itself, and at a kink the integrator would take forever.
    if n == 0 or d == 1:
        return starts.copy()
    solution = quiet_ivp(
        lambda _, x: drift(x.reshape(-1, d)).ravel(),
        (0.0, time),
        starts.ravel(),
        method="LSODA",
        rtol=1e-9,
        atol=1e-12,
        max_step=time / 50,
        # One trajectory does not feel another, so that the Jacobian is a band of blocks.
        lband=d - 1,
        uband=d - 1,
    )
    if n > 1 and not (solution.success and np.isfinite(solution.y[:, -1]).all()):
        # One trajectory has failed; each is integrated by itself, so that it does not take the others with it.
        return np.concatenate([nearest_rests(drift, start[None], time=time) for start in starts])
    points = solution.y.T.reshape(-1, n, d)
    speeds = np.linalg.norm(drift(points.reshape(-1, d)).reshape(points.shape), axis=2)
    return np.array([points[_slowest(speeds[:, k]), k] for k in range(n)])


def _slowest(speeds: Array) -> int:
    """The place in a trajectory at which it passes a fixed point, from its speeds (n,)."""
    inner = np.flatnonzero((speeds[1:-1] <= speeds[:-2]) & (speeds[1:-1] <= speeds[2:])) + 1
    if inner.size == 0:
        return int(np.argmin(speeds))
    # Of the minima of the speed the one is taken after which the speed grows by the largest factor: at an attractor the
    # speed has minima as well, but only by rounding.
    later = np.maximum.accumulate(speeds[::-1])[::-1]
    return int(inner[np.argmax(later[inner] / np.maximum(speeds[inner], 1e-300))])


def bisect_labels(
    label: Callable[[Array], NDArray[np.int64]], left: Array, right: Array, *, steps: int
) -> tuple[Array, Array]:
    """Bisect the segments from ``left`` (n, d) to ``right`` (n, d), whose ends have different labels.

    Each returned segment starts in the label of its left end and ends outside it, and is shorter by the factor 2^steps.
    Where there are few segments, one call of ``label`` does the work of several bisections.
    """
    a, b = left.copy(), right.copy()
    n, d = a.shape
    home = label(a)
    rows = np.arange(n)
    while steps > 0 and n > 0:
        depth = min(steps, max(1, int(np.log2(1 + _AT_ONCE / n))))
        weights = (np.arange(1, 1 << depth) / (1 << depth))[:, None, None]
        between = (1.0 - weights) * a + weights * b
        same = label(between.reshape(-1, d)).reshape(-1, n) == home
        # The path of the bisections through the points that are labelled already.
        low, high = np.zeros(n, dtype=np.int64), np.full(n, 1 << depth)
        for _ in range(depth):
            middle = (low + high) // 2
            kept = same[middle - 1, rows]
            low, high = np.where(kept, middle, low), np.where(kept, high, middle)
        ends = np.concatenate([a[None], between, b[None]])
        a, b = ends[low, rows], ends[high, rows]
        steps -= depth
    return a, b
