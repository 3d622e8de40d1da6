"""Zeros of a vector field by damped Newton steps, and points on the border between two basins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]


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
    for _ in range(max_iterations):
        if active.size == 0:
            break
        xa, fa = x[active], f[active]
        J = jacobian(xa * size) * size / size[:, None]
        JT = np.swapaxes(J, 1, 2)
        normal = JT @ J
        scale = np.maximum(np.trace(normal, axis1=1, axis2=2) / d, 1e-300)
        damped = normal + (mu[active] * scale)[:, None, None] * eye
        step = -np.linalg.solve(damped, JT @ fa[:, :, None])[..., 0]
        trial = xa + step
        ft = function(trial * size) / size
        new = _norms(ft)
        reach = 1.0 + np.abs(xa).max(axis=1)
        small = np.abs(step).max(axis=1) <= 1e-11 * reach
        better = np.isfinite(new) & (new < norm[active])
        resting = norm[active] <= 1e-14 * np.sqrt(scale) * reach
        settled = small & (mu[active] < 1e-6) & np.isfinite(new) & (new <= 10 * norm[active])
        done = settled | resting
        take = better | settled
        rows = active[take]
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
    """The slowest point (d,) of the drift's trajectory from ``start`` (d,) over ``time``.

    A trajectory that starts on the border of a basin runs along it to a saddle before it leaves the border, and is slowest
    there. The ends of the trajectory count only where its speed has no minimum inside.
    """
    if start.size == 1:
        return start  # On a line the border is the point itself, and at a kink the integrator would take forever.
    solution = solve_ivp(
        lambda _, x: drift(x[None])[0],
        (0.0, time),
        start,
        method="LSODA",
        rtol=1e-9,
        atol=1e-12,
        max_step=time / 50,
    )
    speeds = np.linalg.norm(drift(solution.y.T), axis=1)
    inner = np.flatnonzero((speeds[1:-1] <= speeds[:-2]) & (speeds[1:-1] <= speeds[2:])) + 1
    if inner.size:
        # Of the minima of the speed the one is taken after which the speed grows by the largest factor: at an attractor the
        # speed has minima as well, but only by rounding.
        later = np.maximum.accumulate(speeds[::-1])[::-1]
        index = int(inner[np.argmax(later[inner] / np.maximum(speeds[inner], 1e-300))])
    else:
        index = int(np.argmin(speeds))
    return np.asarray(solution.y[:, index], dtype=np.float64)


def bisect_labels(
    label: Callable[[Array], NDArray[np.int64]], left: Array, right: Array, *, steps: int
) -> tuple[Array, Array]:
    """Bisect the segments from ``left`` (n, d) to ``right`` (n, d), whose ends have different labels.

    Each returned segment starts in the label of its left end and ends outside it, and is shorter by the factor 2^steps.
    """
    a, b = left.copy(), right.copy()
    home = label(a)
    for _ in range(steps):
        middle = 0.5 * (a + b)
        same = label(middle) == home
        a[same], b[~same] = middle[same], middle[~same]
    return a, b
