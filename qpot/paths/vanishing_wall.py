"""Walls that no noise crosses: surfaces before a pass on which the noise vanishes and the drift points back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot.problem.system import System

# Points on a curve, and so many curves for each dimension, but never more than these.
_POINTS, _CURVES, _MOST = 129, 60, 400
# Curves are bowed by as much as this multiple of the way.
_FAR = 3.0
# A lowest point of the noise is looked at more closely so often, with so many points each time.
_CLOSER, _BETWEEN = 9, 11
# The part of its neighbours' noise that is left at such a point, if the noise vanishes at least linearly near it.
_FALLS = 0.7
# Noise below this part of what it is at the start is none, once it has been looked at so closely.
_NONE = 1e-7
# Distances from the surface, in parts of the way, between which the noise across it must grow by this power at least. One is
# the least with which the integral of 2 |b| / a diverges.
_OFFSETS, _ORDER = (1e-4, 1e-6), 0.985
# A drift that points back by less than this part of its size may be along the surface.
_BACK = 1e-6
# No surface is looked for within this part of a curve from its ends.
_ENDS = 1e-3


def vanishing_wall(system: System, start: Array, end: Array) -> str | None:
    """Why nothing comes from ``start`` (d,) to ``end`` (d,); None where that is not shown.

    Let g be the distance to a surface on which the noise of g vanishes like g, or faster, and the drift points back. The
    integral of 2 |b| / a over g diverges there, so that nothing crosses. Every one of many curves between the two points has
    to meet such a surface; the straight one is looked at first.
    """
    if system.dimension < 2 or not system.noise.gaussian or not system.noise.state_dependent:
        return None
    try:
        level = float(_weakest(system, start[None])[0])
        if not level > 0.0:
            return None
        straight = _curves(start, end, 1)
        if not _closed(system, straight, level).all():
            return None
        bowed = _curves(start, end, min(_CURVES * start.size, _MOST))
        if not _closed(system, bowed, level).all():
            return None
    except NonFiniteError:
        return None
    return (
        f"every one of {len(bowed) + 1} curves from {format_point(start)} to {format_point(end)} meets a surface on which "
        f"the noise across it vanishes while the drift points back, as far as {_FAR:g} times the way: the integral of "
        "2 |b| / a diverges there, and nothing crosses"
    )


def _curves(start: Array, end: Array, n: int) -> Array:
    """A straight line between two points, or n curves (n, points, d) that are bowed at random."""
    s = np.linspace(0.0, 1.0, _POINTS)
    straight = start + s[:, None] * (end - start)
    if n == 1:
        return straight[None]
    rng = np.random.default_rng(0)
    waves = np.array([np.sin(k * np.pi * s) / k for k in (1, 2, 3)])
    sizes = _FAR * np.linalg.norm(end - start) * rng.uniform(0.0, 1.0, size=(n, 1, 1)) ** 2
    heights = rng.standard_normal((n, 3, start.size))
    heights *= sizes / np.linalg.norm(heights, axis=(1, 2), keepdims=True)
    return np.asarray(straight + np.einsum("kp,nkd->npd", waves, heights))


def _closed(system: System, curves: Array, level: float) -> NDArray[np.bool_]:
    """Whether each of the curves (n, points, d) meets a surface that nothing crosses."""
    n, points, d = curves.shape
    weakest = _weakest(system, curves.reshape(-1, d)).reshape(n, points)
    inner = slice(1, -1)
    lowest = (weakest[:, inner] <= weakest[:, :-2]) & (weakest[:, inner] <= weakest[:, 2:])
    lowest &= weakest[:, inner] < 0.5 * level
    owner, at = np.nonzero(lowest)
    result = np.zeros(n, dtype=bool)
    if owner.size == 0:
        return result
    first, last = curves[owner, at], curves[owner, at + 2]
    place = (at + 1.0) / (points - 1)
    nearest, zero = _zeros(system, first, curves[owner, at + 1], last, _NONE * level)
    met = zero & (place > _ENDS) & (place < 1.0 - _ENDS)
    way = float(np.linalg.norm(curves[0, -1] - curves[0, 0]))
    back = np.zeros(owner.size, dtype=bool)
    back[met] = _points_back(system, nearest[met], (last - first)[met], way)
    np.logical_or.at(result, owner, back)
    return result


def _zeros(system: System, first: Array, middle: Array, last: Array, none: float) -> tuple[Array, NDArray[np.bool_]]:
    """The weakest points (m, d) on pieces of curves, by ever closer looks, and whether the noise is none there."""
    before, best, after = first.copy(), middle.copy(), last.copy()
    weakest = np.full(len(first), np.inf)
    shares = np.linspace(0.0, 1.0, _BETWEEN)[:, None]
    left = np.arange(len(first))
    for _ in range(_CLOSER):
        if left.size == 0:
            break
        low, mid, high = before[left, None], best[left, None], after[left, None]
        tried = np.concatenate([low + shares * (mid - low), mid + shares[1:] * (high - mid)], axis=1)
        values = _weakest(system, tried.reshape(-1, tried.shape[2])).reshape(len(left), -1)
        k, rows = values.argmin(axis=1), np.arange(len(left))
        found = values[rows, k]
        ends = np.clip([k - 1, k + 1], 0, values.shape[1] - 1)
        before[left], best[left], after[left] = tried[rows, ends[0]], tried[rows, k], tried[rows, ends[1]]
        weakest[left] = found
        # Noise that vanishes is weaker by far than beside it, however close one looks; noise that is only small is not.
        falls = found < _FALLS * np.maximum(*values[rows, ends])
        left = left[falls & (found > 0.0)]
    return best, weakest <= none


def _points_back(system: System, zeros: Array, ahead: Array, way: float) -> NDArray[np.bool_]:
    """Whether the noise across the surfaces at zeros (m, d) falls to none fast enough, and the drift points back."""
    if len(zeros) == 0:
        return np.zeros(0, dtype=bool)
    d = zeros.shape[1]
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    step = 0.1 * _OFFSETS[0] * way
    shifts = step * np.concatenate([np.eye(d), -np.eye(d)])
    normals, seen = ahead, np.ones(len(zeros), dtype=bool)
    # A curve may meet the surface at a small angle; the second time one looks from straight before it.
    for _ in range(2):
        beside = zeros - _OFFSETS[0] * way * normals
        around = _weakest(system, (beside[:, None] + shifts).reshape(-1, d)).reshape(-1, 2, d)
        slopes = around[:, 1] - around[:, 0]
        sizes = np.linalg.norm(slopes, axis=1, keepdims=True)
        seen &= sizes[:, 0] > 0.0
        normals = slopes / np.where(sizes > 0.0, sizes, 1.0)
        normals *= np.where((ahead * normals).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    # Towards the surface, where the noise is least.
    seen &= (slopes * normals).sum(axis=1) > 0.0

    def across(x: Array) -> Array:
        return np.asarray(np.einsum("ni,nij,nj->n", normals, system.unchecked.covariance(x), normals))

    wide, narrow = (across(zeros - part * way * normals) for part in _OFFSETS)
    power = np.log(np.maximum(wide, 1e-300) / np.maximum(narrow, 1e-300)) / np.log(_OFFSETS[0] / _OFFSETS[1])
    drift = system.unchecked.drift(zeros)
    against = (drift * normals).sum(axis=1) < -_BACK * np.linalg.norm(drift, axis=1)
    return np.asarray(seen & (power > _ORDER) & against)


def _weakest(system: System, x: Array) -> Array:
    """The least eigenvalue of the covariance at points (n, d)."""
    return np.asarray(np.linalg.eigvalsh(system.unchecked.covariance(x))[:, 0])
