"""Reaction coordinates as arrays for compiled kernels: a multilinear table, or heights along a polyline."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import LEAF, UNCOUNTED, njit

Array = NDArray[np.float64]

# The kinds of arrays.
TABLE, POLYLINE = range(2)


class CoordinateArrays(NamedTuple):
    """A reaction coordinate of one of two kinds.

    A TABLE has ``heights``, flat in C order, on a grid of ``shape`` from ``origin`` by ``spacing``, and is constant beyond
    the grid. A POLYLINE has ``heights`` at its ``nodes``, which are linear in between; a point has the height of the
    nearest point of the line.
    """

    kind: int
    heights: Array  # (M,)
    nodes: Array  # (M, d) for POLYLINE, (0, d) for TABLE
    origin: Array  # (d,)
    spacing: Array  # (d,)
    shape: NDArray[np.int64]  # (d,)


def as_table(values: Array, origin: Array, spacing: Array) -> CoordinateArrays:
    """Make a coordinate of values on a grid."""
    d = values.ndim
    shape = np.array(values.shape, dtype=np.int64)
    heights = np.ascontiguousarray(values, dtype=np.float64).ravel()
    return CoordinateArrays(TABLE, heights, np.empty((0, d)), origin.copy(), spacing.copy(), shape)


def as_polyline(nodes: Array, heights: Array) -> CoordinateArrays:
    """Make a coordinate of heights along a line."""
    d = nodes.shape[1]
    none = np.zeros(d)
    return CoordinateArrays(POLYLINE, heights.copy(), nodes.copy(), none, none, np.zeros(d, dtype=np.int64))


@njit(**LEAF)
def coordinate_at(coordinate: CoordinateArrays, x: Array, r: int) -> float:
    """The coordinate at ``x[r]``."""
    height: float
    if coordinate.kind == POLYLINE:
        height = _along_polyline(coordinate.heights, coordinate.nodes, x, r)
    else:
        height = _in_table(coordinate.heights, coordinate.origin, coordinate.spacing, coordinate.shape, x, r)
    return height


@njit(**LEAF)
def _along_polyline(heights: Array, nodes: Array, x: Array, r: int) -> float:
    d = x.shape[1]
    best, value = math.inf, heights[0]
    for m in range(nodes.shape[0] - 1):
        length, along = 0.0, 0.0
        for j in range(d):
            side = nodes[m + 1, j] - nodes[m, j]
            length += side * side
            along += side * (x[r, j] - nodes[m, j])
        share = min(max(along / length, 0.0), 1.0)
        distance = 0.0
        for j in range(d):
            distance += (x[r, j] - nodes[m, j] - share * (nodes[m + 1, j] - nodes[m, j])) ** 2
        if distance < best:
            best = distance
            value = heights[m] + share * (heights[m + 1] - heights[m])
    return float(value)


@njit(**LEAF)
def _in_table(heights: Array, origin: Array, spacing: Array, shape: NDArray[np.int64], x: Array, r: int) -> float:
    d = x.shape[1]
    value = 0.0
    for corner in range(1 << d):
        weight, index = 1.0, 0
        for j in range(d):
            u = min(max((x[r, j] - origin[j]) / spacing[j], 0.0), shape[j] - 1.0)
            cell = min(int(u), shape[j] - 2)
            if (corner >> j) & 1:
                weight *= u - cell
                cell += 1
            else:
                weight *= 1.0 - (u - cell)
            index = index * shape[j] + cell
        if weight > 0.0:
            value += weight * heights[index]
    return value


@njit(**UNCOUNTED)
def _coordinates(coordinate: CoordinateArrays, points: Array, out: Array) -> None:
    for r in range(points.shape[0]):
        out[r] = coordinate_at(coordinate, points, r)


def coordinate_values(arrays: CoordinateArrays, points: Array) -> Array:
    """The coordinate ``(n,)`` at ``points`` ``(n, d)``."""
    out = np.empty(points.shape[0])
    _coordinates(arrays, np.ascontiguousarray(points), out)
    return out
