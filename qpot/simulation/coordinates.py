"""Reaction coordinates for splitting: how far an excursion has come, by a loss, path, field or function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.fields.solution import FieldSolution
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.simulation.reaction_coordinate import CoordinateArrays, as_polyline, as_table, coordinate_values

# Nodes of the polyline that stands for a path: enough for a coordinate, which need not be accurate.
_PATH_NODES = 40
# Nodes of a table along each axis, by dimension: as many as keep the table small.
_TABLE_NODES = {1: 4001, 2: 301, 3: 61}


@dataclass(frozen=True, kw_only=True, eq=False)
class ReactionCoordinate:
    """A function of points, held as a NumPy function or as arrays for the compiled kernels."""

    name: str
    function: Callable[[Array], Array] | None = None
    arrays: CoordinateArrays | None = None

    def __call__(self, points: Array) -> Array:
        if self.arrays is not None:
            return coordinate_values(self.arrays, points)
        assert self.function is not None  # One of the two is given.
        return self.function(points)


def reaction_coordinate(
    system: System, coordinate: Any, home: Array, minima: Array, *, compiled: bool
) -> ReactionCoordinate:
    """Check what the user passed; with ``compiled`` a function of at most three variables becomes a table."""
    d = system.dimension
    if isinstance(coordinate, PathSolution):
        coordinate = (coordinate,)
    if isinstance(coordinate, (tuple, list)) and all(isinstance(item, PathSolution) for item in coordinate):
        if not coordinate:
            raise ValueError(
                "coordinate holds no path; pass costs.path(i, j), or several of the minimum i that is left"
            )
        for path in coordinate:
            _check_path(path, home, d)
        title = "path" if len(coordinate) == 1 else f"{len(coordinate)} paths"
        return ReactionCoordinate(name=title, arrays=_along(coordinate))
    if isinstance(coordinate, FieldSolution):
        grid, values = coordinate.grid, np.asarray(coordinate.values, dtype=np.float64)
        lower, upper = np.asarray(grid.lower, dtype=np.float64), np.asarray(grid.upper, dtype=np.float64)
        if lower.size != d:
            raise ValueError(f"coordinate is a field in dimension {lower.size}, the system has {d}")
        reached = np.isfinite(values)
        spacing = (upper - lower) / (np.array(values.shape) - 1)
        return ReactionCoordinate(
            name="field", arrays=as_table(np.where(reached, values, values[reached].max()), lower, spacing)
        )
    if isinstance(coordinate, str) and coordinate == "loss":
        if system.loss is None:
            raise ValueError(
                'coordinate="loss" needs a system with a loss; pass a path, a field or a function (n, d) -> (n,)'
            )
        name: str
        function: Callable[[Array], Array]
        name, function = "loss", system.loss
    elif callable(coordinate):
        name, function = "function", _Checked(coordinate)
    else:
        raise ValueError(
            f'coordinate must be "loss", a PathSolution, a FieldSolution or a function (n, d) -> (n,), got {coordinate!r}'
        )
    if compiled and d in _TABLE_NODES:
        n = _TABLE_NODES[d]
        reach = np.maximum(np.ptp(minima, axis=0), 0.5 * np.linalg.norm(np.ptp(minima, axis=0)))
        lower, upper = minima.min(axis=0) - reach, minima.max(axis=0) + reach
        axes = [np.linspace(a, b, n) for a, b in zip(lower, upper, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
        return ReactionCoordinate(
            name=name, arrays=as_table(function(points).reshape((n,) * d), lower, (upper - lower) / (n - 1))
        )
    return ReactionCoordinate(name=name, function=function)


def _check_path(path: PathSolution, home: Array, d: int) -> None:
    """ValueError for a path of another dimension, or from another minimum."""
    if path.points.shape[1] != d:
        raise ValueError(f"coordinate is a path in dimension {path.points.shape[1]}, the system has {d}")
    if np.linalg.norm(path.start - home) > 0.05 * (1e-12 + np.linalg.norm(path.end - path.start)):
        raise ValueError(
            f"coordinate is a path from {path.start.tolist()}, but the escapes start at {home.tolist()}; pass "
            "costs.path(i, j) of the minimum i that is left"
        )


def _along(paths: Sequence[PathSolution]) -> CoordinateArrays:
    """The height along the nearest of several paths, each scaled to the same height at its end.

    One polyline holds them all: every second one is passed backwards, so that the lines between two of them join points
    of equal height, and no line leads from low to high beside the paths.
    """
    nodes, heights = [], []
    for n, path in enumerate(paths):
        points, height = _climb(path)
        turn = slice(None, None, -1 if n % 2 else 1)
        nodes.append(points[turn])
        heights.append((height if len(paths) == 1 else height / height[-1])[turn])
    return as_polyline(*_without_repeats(np.concatenate(nodes), np.concatenate(heights)))


def _without_repeats(nodes: Array, heights: Array) -> tuple[Array, Array]:
    """The same line without nodes that repeat the one before, whose pieces would have no direction."""
    keep = np.append(True, (np.diff(nodes, axis=0) != 0.0).any(axis=1))
    return nodes[keep], heights[keep]


def _climb(path: PathSolution) -> tuple[Array, Array]:
    """Nodes, and the cost paid so far, which on free descents, where it is constant, rises by half the cost in all."""
    x, p = path.points, path.momenta
    steps = np.diff(x, axis=0)
    length = np.linalg.norm(steps, axis=1)
    paid = np.maximum(np.einsum("ni,ni->n", 0.5 * (p[1:] + p[:-1]), steps), 0.0)
    free = ~(path.uphill[1:] & path.uphill[:-1])
    paid[free] = 0.0
    if free.any():
        paid[free] = 0.5 * path.action * length[free] / length[free].sum()
    s, heights = (np.concatenate([[0.0], np.cumsum(each)]) for each in (length, paid))
    at = np.linspace(0.0, s[-1], _PATH_NODES)
    nodes = np.stack([np.interp(at, s, column) for column in x.T], axis=1)
    return nodes, np.interp(at, s, heights)


class _Checked:
    """A user's coordinate whose values are checked; it is a class so that it can be sent to another process."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self.function = function

    def __call__(self, points: Array) -> Array:
        values = np.asarray(self.function(points), dtype=np.float64)
        if values.shape != (points.shape[0],):
            raise ValueError(f"coordinate returned shape {values.shape} for {points.shape[0]} points, expected (n,)")
        if np.isnan(values).any():
            row = int(np.flatnonzero(np.isnan(values))[0])
            raise ValueError(f"coordinate returned NaN at the point {points[row].tolist()}")
        return values
