"""How well values and gradients at neighbouring nodes agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.fields.grid import Grid


def misfits(
    value: Array, gradient: Array, near: np.ndarray[Any, np.dtype[np.bool_]], grid: Grid, level: float
) -> Iterator[Array]:
    """For each axis the differences between V at a node and the cubic through its two neighbours, below ``level``."""
    V = np.where(near & (value <= level), value, np.nan).reshape(grid.shape)
    slopes = gradient.reshape(*grid.shape, grid.dimension)
    for axis, h in enumerate(grid.spacing):
        v, g = np.moveaxis(V, axis, 0), np.moveaxis(slopes[..., axis], axis, 0)
        yield np.abs(v[1:-1] - 0.5 * (v[:-2] + v[2:]) - 0.25 * h * (g[:-2] - g[2:]))


def roughness(
    value: Array, gradient: Array, near: np.ndarray[Any, np.dtype[np.bool_]], grid: Grid, level: float
) -> float:
    """The largest of the `misfits`."""
    return max(float(np.nanmax(gap, initial=0.0)) for gap in misfits(value, gradient, near, grid, level))
