"""Outliers: single nodes that the cubics through their neighbours contradict, and replace."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.fields.grid import Grid

# A node can be an outlier if cubics are known along at least so many lines through it, in 2-D and in 3-D.
_LINES = {2: 3, 3: 5}
# It is one if at least this part of these cubics agree with their median ...
_MAJORITY = 0.7
# ... up to this part of the difference between the median and the node's value, ...
_AGREE = 0.25
# ... no cubic comes closer to the node's value than this part of that difference (at a ridge, the cubics along lines
# within the ridge do, and so kinks stay), ...
_SUPPORT = 0.3
# ... and the difference is more than this part of the highest value, because only gross errors are mended.
_GROSS = 1e-4
# The search is repeated at most so often, because the mending of one node may expose an outlier beside it.
_ROUNDS = 6


def mend_outliers(value: Array, gradient: Array, known: NDArray[np.bool_], grid: Grid) -> NDArray[np.int64]:
    """Replace V and its gradient at the outliers among the ``known`` nodes, in place; returns these nodes.

    Their V becomes the median of the cubics. The cubic along a line of three nodes, from the values and slopes at the
    outer two, is of fourth order at the middle one.
    """
    if not known.any():
        return np.zeros(0, np.int64)
    gross = _GROSS * float(value[known].max())
    nodes = _suspects(value, gradient, known, grid, gross)
    d = grid.dimension
    steps = [np.array(s) for s in itertools.product((-1, 0, 1), repeat=d) if s > (0,) * d]
    mended: list[Array] = [np.zeros(0, np.int64)]
    for _ in range(_ROUNDS):
        if not nodes.size:
            break
        cubics = np.full((nodes.size, len(steps)), np.nan)
        slopes = np.full((nodes.size, len(steps), d), np.nan)
        for k, step in enumerate(steps):
            rows, ahead, behind = _neighbours(nodes, step, known, grid)
            rise = (gradient[behind] - gradient[ahead]) @ (step * grid.spacing)
            cubics[rows, k] = 0.5 * (value[behind] + value[ahead]) + 0.25 * rise
            slopes[rows, k] = 0.5 * (gradient[behind] + gradient[ahead])
        lines = np.isfinite(cubics).sum(axis=1)
        enough = lines >= _LINES[d]
        nodes, cubics, slopes, lines = nodes[enough], cubics[enough], slopes[enough], lines[enough]
        if not nodes.size:
            break
        middle = np.nanmedian(cubics, axis=1)
        off = np.abs(value[nodes] - middle)
        agree = (np.abs(cubics - middle[:, None]) <= _AGREE * off[:, None]).sum(axis=1) >= _MAJORITY * lines
        alone = np.nanmin(np.abs(cubics - value[nodes, None]), axis=1) > _SUPPORT * off
        wrong = agree & alone & (off > gross)
        if not wrong.any():
            break
        value[nodes[wrong]] = middle[wrong]
        gradient[nodes[wrong]] = np.nanmedian(slopes[wrong], axis=1)
        mended.append(nodes[wrong])
    return np.unique(np.concatenate(mended))


def _suspects(value: Array, gradient: Array, known: NDArray[np.bool_], grid: Grid, gross: float) -> NDArray[np.int64]:
    """The nodes that may be outliers by more than ``gross``: the cubic along no axis comes close to their value."""
    V = np.where(known, value, np.nan).reshape(grid.shape)
    slopes = gradient.reshape(*grid.shape, grid.dimension)
    closest = np.full(grid.shape, np.inf)
    for axis, h in enumerate(grid.spacing):
        v, g, c = np.moveaxis(V, axis, 0), np.moveaxis(slopes[..., axis], axis, 0), np.moveaxis(closest, axis, 0)
        gap = np.abs(v[1:-1] - 0.5 * (v[:-2] + v[2:]) - 0.25 * h * (g[:-2] - g[2:]))
        c[1:-1] = np.fmin(c[1:-1], gap)
    flat = closest.ravel()
    return np.flatnonzero(np.isfinite(flat) & (flat > _SUPPORT * gross))


def _neighbours(
    nodes: NDArray[np.int64], step: NDArray[np.int64], known: NDArray[np.bool_], grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The positions among ``nodes`` of those with known neighbours along ``step`` ahead and behind, and these nodes."""
    shape = np.array(grid.shape)
    index = np.stack(np.unravel_index(nodes, grid.shape), axis=1)
    ends = []
    inside = np.ones(len(nodes), dtype=bool)
    for side in (1, -1):
        other = index + side * step
        other = np.where(grid.periodic, other % shape, other)
        inside &= ((other >= 0) & (other < shape)).all(axis=1)
        ends.append(np.ravel_multi_index(tuple(np.clip(other, 0, shape - 1).T), grid.shape))
    rows = inside & known[ends[0]] & known[ends[1]]
    return np.flatnonzero(rows), ends[0][rows], ends[1][rows]
