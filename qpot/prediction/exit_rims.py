"""Where a field is read for an exit: on the pieces of a boundary, or at the passes out of a basin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.fields.solution import FieldSolution
from qpot.paths.boundary_surfaces import Surface, finite_values
from qpot.paths.exits import beside_saddle, on_one_side
from qpot.problem.system import System

# The lowest crossings of grid lines with the boundary are moved onto it: so many of them.
_MOVED = 8
# Points of the boundary within this part of the lowest value may be the lowest once they are moved onto it.
_CLOSE = 1e-2


def lowest_on_surfaces(pieces: Sequence[Surface], field: FieldSolution) -> tuple[Array, float]:
    """The point of a boundary at which a field is least, and its value there; inf where the field does not reach it.

    A piece may go on beyond the domain, as the face of a box does. V is higher there, since a path comes to it through
    the boundary.
    """
    grid = field.grid
    nodes = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1)
    best, point = np.inf, np.full(grid.dimension, np.nan)
    for piece in pieces:
        x = _crossings(piece, nodes)
        values = np.asarray(field.at(x)) if len(x) else np.zeros(0)
        values[np.isnan(values)] = np.inf
        order = np.argsort(values)[:_MOVED]
        for k in order[values[order] <= (1.0 + _CLOSE) * values.min(initial=np.inf)]:
            if not np.isfinite(values[k]):
                break
            here, value = _moved(field, piece, x[k], float(values[k]))
            if value < best:
                best, point = value, here
    return point, best


def _crossings(piece: Surface, nodes: Array) -> Array:
    """Where the lines of a grid cross a surface, (n, d), by linear interpolation of its function at ``nodes`` (*shape, d)."""
    shape, d = nodes.shape[:-1], nodes.shape[-1]
    g = finite_values(piece, nodes.reshape(-1, d)).reshape(shape)
    found = []
    for axis in range(d):
        G, X = np.moveaxis(g, axis, 0), np.moveaxis(nodes, axis, 0)
        low, high = G[:-1], G[1:]
        crossed = ((low < 0.0) != (high < 0.0)) & np.isfinite(low) & np.isfinite(high)
        share = (low[crossed] / (low[crossed] - high[crossed]))[:, None]
        found.append(X[:-1][crossed] + share * (X[1:][crossed] - X[:-1][crossed]))
    return np.concatenate(found)


def _moved(field: FieldSolution, piece: Surface, x: Array, value: float) -> tuple[Array, float]:
    """A point close to a surface moved onto it, and the field there; the same point where that leads out of the field."""
    try:
        onto = piece.projected(x)
        there = float(field.at(onto)[0])
    except (ValueError, NonFiniteError):
        return x, value
    near = np.linalg.norm((onto - x) / field.grid.spacing) <= 1.0
    return (onto, there) if near and np.isfinite(there) else (x, value)


def lowest_way_out(system: System, start: Array, field: FieldSolution) -> tuple[Array, float]:
    """The lowest pass out of the basin of ``start`` that a field reaches, and its level; inf where it reaches none.

    Over an unstable limit cycle the point is that one of the cycle which is nearest to the start.
    """
    if field.grid.dimension == 1:
        return _lowest_top(system, start, field)
    for passage in sorted(field.passages, key=lambda p: p.level):
        if passage.attracts:
            continue
        points = np.atleast_2d(passage.point)
        if len(points) > 1:
            return points[int(np.argmin(np.linalg.norm(points - start, axis=1)))], passage.level
        if on_one_side(system, start, np.array(beside_saddle(start, points[0], uphill_direction(system, points[0])))):
            return points[0], passage.level
    return np.full(start.size, np.nan), np.inf


def uphill_direction(system: System, saddle: Array) -> Array:
    """The unit vector (d,) along which the drift leads away from a saddle."""
    rates, vectors = np.linalg.eig(system.unchecked.jacobian(saddle[None])[0])
    direction = np.real(vectors[:, int(np.argmax(rates.real))])
    return np.asarray(direction / np.linalg.norm(direction))


def _lowest_top(system: System, start: Array, field: FieldSolution) -> tuple[Array, float]:
    """The lower end of a basin in one dimension, and V there: where the drift first leads away from the minimum."""
    x = field.grid.axes[0]
    away = np.sign(x - start[0])
    outside = (system.unchecked.drift(x[:, None])[:, 0] * away > 0.0) & (field.values > 0.0)
    ends = [np.flatnonzero(outside & (away == side)) for side in (-1.0, 1.0)]
    nearest = [int(k[-1] if side < 0 else k[0]) for k, side in zip(ends, (-1.0, 1.0), strict=True) if k.size]
    if not nearest:
        return np.full(1, np.nan), np.inf
    lowest = min(nearest, key=lambda k: float(field.values[k]))
    return x[lowest][None], float(field.values[lowest])
