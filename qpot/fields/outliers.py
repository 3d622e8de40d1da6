"""Single nodes that all of their neighbours contradict: the cubics through the neighbours replace them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.fields.grid import Grid

# A node is contradicted where cubics along at least so many lines through it ...
_LINES = {2: 3, 3: 5}
# ... this part of all, agree with their median up to this part of its distance from the node ...
_MAJORITY, _AGREE = 0.7, 0.25
# ... while none comes closer to the node than this part of it (along a ridge the lines in it do) ...
_SUPPORT = 0.3
# ... and that distance is more than this part of the highest value: what it is about is gross errors.
_GROSS = 1e-4
# Beside one that is mended another may show.
_ROUNDS = 6


def mend_outliers(
    value: Array, gradient: Array, known: np.ndarray[Any, np.dtype[np.bool_]], grid: Grid
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Replace V and its gradient at contradicted nodes among the ``known`` ones, in place; returns these nodes.

    The cubic along a line of three nodes, from values and slopes at the outer ones, is of fourth order in the middle.
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


def _suspects(
    value: Array, gradient: Array, known: np.ndarray[Any, np.dtype[np.bool_]], grid: Grid, gross: float
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Nodes that the cubics along no axis come close to."""
    V = np.where(known, value, np.nan).reshape(grid.shape)
    slopes = gradient.reshape(*grid.shape, grid.dimension)
    closest = np.full(grid.shape, np.inf)
    for axis, h in enumerate(grid.spacing):
        v, g, c = np.moveaxis(V, axis, 0), np.moveaxis(slopes[..., axis], axis, 0), np.moveaxis(closest, axis, 0)
        gap = np.abs(v[1:-1] - 0.5 * (v[:-2] + v[2:]) - 0.25 * h * (g[:-2] - g[2:]))
        c[1:-1] = np.fmin(c[1:-1], gap)
    flat = closest.ravel()
    return np.flatnonzero(np.isfinite(flat) & (flat > _SUPPORT * gross))


def _neighbours(nodes: Any, step: Any, known: Any, grid: Grid) -> tuple[Any, Any, Any]:
    """Which of ``nodes`` have both neighbours along ``step``, and these."""
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
