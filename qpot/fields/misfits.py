"""How well values and gradients at neighbouring nodes agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.fields.grid import Grid


def misfits(value: Array, gradient: Array, near: NDArray[np.bool_], grid: Grid, level: float) -> Iterator[Array]:
    """The misfits along each axis: the differences between V at a node and the cubic through its two neighbours.

    Parameters
    ----------
    value : array (n,)
        V at the flat nodes.
    gradient : array (n, d)
    near : array of bool (n,)
        The nodes that count; a misfit that needs any other node is nan.
    grid : Grid
    level : float
        Nodes above this level do not count.

    Yields
    ------
    array
        The absolute misfits for one axis after the other, in the shape of the grid but with that axis first and
        shortened by its two end nodes.
    """
    V = np.where(near & (value <= level), value, np.nan).reshape(grid.shape)
    slopes = gradient.reshape(*grid.shape, grid.dimension)
    for axis, h in enumerate(grid.spacing):
        v, g = np.moveaxis(V, axis, 0), np.moveaxis(slopes[..., axis], axis, 0)
        yield np.abs(v[1:-1] - 0.5 * (v[:-2] + v[2:]) - 0.25 * h * (g[:-2] - g[2:]))


def node_misfits(value: Array, gradient: Array, near: NDArray[np.bool_], grid: Grid, level: float) -> Array:
    """The largest of the `misfits` of every node ``(n,)``; 0 where there is none."""
    largest = np.zeros(grid.shape)
    for axis, gap in enumerate(misfits(value, gradient, near, grid, level)):
        inner = np.moveaxis(largest, axis, 0)[1:-1]
        np.maximum(inner, np.nan_to_num(gap), out=inner)
    return largest.ravel()
