"""Cubic Hermite interpolation of a field from its values and gradients at the nodes of a uniform grid."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _basis(t: Array, h: float) -> tuple[Array, Array]:
    """Weights ``(n, end, order)`` of end values and slopes, and their derivatives, at local coordinates ``t``."""
    r = 1.0 - t
    weights = np.empty((t.size, 2, 2))
    weights[:, 0, 0] = r * r * (1.0 + 2.0 * t)
    weights[:, 1, 0] = t * t * (3.0 - 2.0 * t)
    weights[:, 0, 1] = h * t * r * r
    weights[:, 1, 1] = -h * t * t * r
    slopes = np.empty_like(weights)
    slopes[:, 0, 0] = -6.0 * t * r / h
    slopes[:, 1, 0] = 6.0 * t * r / h
    slopes[:, 0, 1] = r * (1.0 - 3.0 * t)
    slopes[:, 1, 1] = t * (3.0 * t - 2.0)
    return weights, slopes


def _shifted(
    index: list[NDArray[np.int64]], axis: int, step: int, shape: tuple[int, ...], wraps: bool
) -> list[NDArray[np.int64]]:
    moved = list(index)
    j = index[axis] + step
    moved[axis] = j % shape[axis] if wraps else np.clip(j, 0, shape[axis] - 1)
    return moved


def _mixed(
    gradient: Array, index: list[NDArray[np.int64]], axes: tuple[int, ...], spacing: Array, periodic: tuple[bool, ...]
) -> Array:
    """Mixed derivative along ``axes`` (two or three) at nodes, by differences of the gradients; 0 where unknown."""
    shape = gradient.shape[:-1]
    total = np.zeros(index[0].shape)
    count = np.zeros(index[0].shape)
    for main in axes:
        others = [axis for axis in axes if axis != main]
        value = np.zeros(index[0].shape)
        width = np.ones(index[0].shape)
        for signs in itertools.product((-1, 1), repeat=len(others)):
            moved = list(index)
            for axis, sign in zip(others, signs, strict=True):
                moved = _shifted(moved, axis, sign, shape, periodic[axis])
            value = value + float(np.prod(signs)) * gradient[(*moved, main)]
        for axis in others:
            if periodic[axis]:
                steps = np.full(index[axis].shape, 2.0)
            else:
                steps = np.where((index[axis] == 0) | (index[axis] == shape[axis] - 1), 1.0, 2.0)
            width = width * steps * spacing[axis]
        found = value / width
        good = np.isfinite(found)
        total += np.where(good, found, 0.0)
        count += good
    return total / np.maximum(count, 1.0)


def interpolate(
    values: Array,
    gradient: Array,
    points: Array,
    lower: Array,
    spacing: Array,
    periodic: tuple[bool, ...],
) -> tuple[Array, Array]:
    """Value ``(n,)`` and gradient ``(n, d)`` of the Hermite interpolant at ``points`` ``(n, d)`` inside the box.

    ``values`` has the grid's shape, ``gradient`` one more axis of length d. Where a corner of the cell is nan, the
    linear polynomial of the nearest corner that is known is used; where none is, the result is nan.
    """
    shape = values.shape
    d = len(shape)
    n = points.shape[0]
    base: list[NDArray[np.int64]] = []
    local: list[Array] = []
    for i in range(d):
        t = (points[:, i] - lower[i]) / spacing[i]
        cell = np.floor(t).astype(np.int64)
        if not periodic[i]:
            cell = np.clip(cell, 0, shape[i] - 2)
        base.append(cell)
        local.append(t - cell)
    weights = [_basis(local[i], float(spacing[i])) for i in range(d)]
    value, slope = np.zeros(n), np.zeros((n, d))
    known = np.ones(n, dtype=bool)
    best = np.full(n, np.inf)
    linear, linear_slope = np.full(n, np.nan), np.full((n, d), np.nan)
    for corner in itertools.product((0, 1), repeat=d):
        index = [(base[i] + corner[i]) % shape[i] if periodic[i] else base[i] + corner[i] for i in range(d)]
        at_corner = values[tuple(index)]
        slopes_here = gradient[tuple(index)]
        good = np.isfinite(at_corner) & np.isfinite(slopes_here).all(axis=1)
        known &= good
        dx = np.stack([(local[i] - corner[i]) * spacing[i] for i in range(d)], axis=1)
        away = (dx**2).sum(axis=1)
        nearer = good & (away < best)
        best[nearer] = away[nearer]
        linear[nearer] = (at_corner + (slopes_here * dx).sum(axis=1))[nearer]
        linear_slope[nearer] = slopes_here[nearer]
        for order in itertools.product((0, 1), repeat=d):
            axes = tuple(i for i in range(d) if order[i])
            if not axes:
                data = at_corner
            elif len(axes) == 1:
                data = slopes_here[:, axes[0]]
            else:
                data = _mixed(gradient, index, axes, spacing, periodic)
            product = np.ones(n)
            for i in range(d):
                product = product * weights[i][0][:, corner[i], order[i]]
            value += product * data
            for j in range(d):
                product = np.ones(n)
                for i in range(d):
                    product = product * weights[i][1 if i == j else 0][:, corner[i], order[i]]
                slope[:, j] += product * data
    return np.where(known, value, linear), np.where(known[:, None], slope, linear_slope)
