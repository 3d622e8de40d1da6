"""Passes between basins on a grid: nodes descend to their lowest neighbours, and water rises until basins meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# Nodes on each axis of the grid, by dimension.
NODES = {1: 2049, 2: 161, 3: 41}


class Meeting(NamedTuple):
    """Where the water of two basins meets: a curve over the pass, as the grid knows it."""

    first: int
    second: int
    height: float
    curve: Array  # (n, d) from the first minimum to the second, along nodes


def meetings(
    loss: Callable[[Array], Array],
    minima: Array,
    lower: Array,
    upper: Array,
    nodes: int,
    closed: NDArray[np.bool_] | None = None,
) -> list[Meeting]:
    """The lowest passes between the basins of ``minima`` (k, d) on a grid over a box, as the nodes show them.

    Every pair of basins that touch has one meeting, and so has every pair that meets when water rises over basins that the
    grid has and that belong to no minimum. Heights are those of nodes, so that they are good to the square of the spacing.
    Along ``closed`` axes (d,) the loss has the period ``upper - lower``; a curve then goes on beyond the box, and ends at an
    image of the second minimum.
    """
    d = lower.size
    wraps = np.zeros(d, dtype=bool) if closed is None else closed
    axes = [np.linspace(lower[j], upper[j], nodes, endpoint=not wraps[j]) for j in range(d)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    heights = loss(points)
    heights = np.where(np.isfinite(heights), heights, np.inf)
    shape = (nodes,) * d
    down = _lowest_neighbours(heights, shape, wraps)
    roots = _followed(down)
    nearest = [np.rint((minima[:, j] - lower[j]) / (axes[j][1] - axes[j][0])) for j in range(d)]
    places = np.stack(
        [n % nodes if w else np.clip(n, 0, nodes - 1) for n, w in zip(nearest, wraps, strict=True)]
    ).astype(np.int64)
    homes = roots[np.ravel_multi_index(tuple(places), shape)]
    names = {int(root): i for i, root in reversed(list(enumerate(homes)))}
    edges = _border(heights, roots, shape, wraps)
    found: dict[tuple[int, int], tuple[float, list[int]]] = {}
    flooded, owners = DisjointSet(), {}
    routes: dict[int, list[tuple[int, list[int]]]] = {}
    for height, u, v in edges:
        a, b = int(roots[u]), int(roots[v])
        path = [*reversed(_way(down, u)), *_way(down, v)]
        if a in names and b in names and names[a] != names[b]:
            _keep(found, names[a], names[b], height, path)
        for root in (a, b):
            if root not in flooded:
                flooded.add(root)
                owners[root] = names.get(root)
        if flooded.connected(a, b):
            continue
        routes.setdefault(a, []).append((b, path))
        routes.setdefault(b, []).append((a, path[::-1]))
        i, j = owners[flooded[a]], owners[flooded[b]]
        flooded.merge(a, b)
        owners[flooded[a]] = i if j is None else j
        if i is not None and j is not None:
            _keep(found, i, j, height, _route(routes, int(homes[i]), int(homes[j])))
    curves = {
        (i, j): np.concatenate([minima[i : i + 1], points[path], minima[j : j + 1]])
        for (i, j), (_, path) in found.items()
    }
    for curve in curves.values():
        for axis in np.flatnonzero(wraps):
            curve[:, axis] = np.unwrap(curve[:, axis], period=upper[axis] - lower[axis])
    return [Meeting(i, j, height, curves[i, j]) for (i, j), (height, _) in found.items()]


def _keep(
    found: dict[tuple[int, int], tuple[float, list[int]]], i: int, j: int, height: float, path: list[int]
) -> None:
    """Keep a meeting, unless a lower one of the same two minima is known; its path runs from the smaller id to the larger."""
    found.setdefault((min(i, j), max(i, j)), (height, path if i < j else path[::-1]))


def _beside(table: NDArray[Any], offset: tuple[int, ...], wraps: NDArray[np.bool_], outside: float) -> NDArray[Any]:
    """For every node what a table holds at its neighbour, and ``outside`` where an open axis ends."""
    for axis, step in enumerate(offset):
        if step == 0:
            continue
        table = np.roll(table, -step, axis=axis)
        if not wraps[axis]:
            edge = [slice(None)] * table.ndim
            edge[axis] = slice(-1, None) if step > 0 else slice(0, 1)
            table[tuple(edge)] = outside
    return table


def _lowest_neighbours(heights: Array, shape: tuple[int, ...], wraps: NDArray[np.bool_]) -> Integers:
    """For every node the neighbour, diagonal ones included, to which the loss falls most steeply; itself at a minimum."""
    d = len(shape)
    table = heights.reshape(shape)
    numbers = np.arange(heights.size).reshape(shape)
    best, down = np.zeros(shape), numbers.copy()
    for offset in itertools.product((-1, 0, 1), repeat=d):
        if not any(offset):
            continue
        with np.errstate(invalid="ignore"):
            slope = (table - _beside(table, offset, wraps, np.inf)) / np.sqrt(sum(o * o for o in offset))
        steeper = slope > best
        best = np.where(steeper, slope, best)
        down = np.where(steeper, _beside(numbers, offset, wraps, -1), down)
    return np.asarray(down.ravel(), dtype=np.int64)


def _followed(down: Integers) -> Integers:
    """The node at which each descent ends."""
    ends = down
    while True:
        further = ends[ends]
        if np.array_equal(further, ends):
            return ends
        ends = further


def _border(
    heights: Array, roots: Integers, shape: tuple[int, ...], wraps: NDArray[np.bool_]
) -> list[tuple[float, int, int]]:
    """The lowest edge between every two basins that touch, the lowest first."""
    numbers = np.arange(heights.size).reshape(shape)
    u, v = [], []
    for offset in itertools.product((-1, 0, 1), repeat=len(shape)):
        if offset <= (0,) * len(shape):
            continue
        a, b = numbers.ravel(), _beside(numbers, offset, wraps, -1).ravel()
        across = (b >= 0) & (roots[a] != roots[b])
        u.append(a[across])
        v.append(b[across])
    first, second = np.concatenate(u), np.concatenate(v)
    swap = roots[first] > roots[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    level = np.maximum(heights[first], heights[second])
    first, second, level = first[np.isfinite(level)], second[np.isfinite(level)], level[np.isfinite(level)]
    order = np.argsort(level, kind="stable")
    pairs = np.stack([roots[first[order]], roots[second[order]]], axis=1)
    _, lowest = np.unique(pairs, axis=0, return_index=True)
    chosen = order[np.sort(lowest)]
    return [(float(level[n]), int(first[n]), int(second[n])) for n in chosen]


def _way(down: Integers, node: int) -> list[int]:
    """The nodes of the descent from a node to its end."""
    way = [node]
    while down[way[-1]] != way[-1]:
        way.append(int(down[way[-1]]))
    return way


def _route(routes: dict[int, list[tuple[int, list[int]]]], start: int, end: int) -> list[int]:
    """The nodes along the one chain of flooded basins from ``start`` to ``end``."""
    waiting: list[tuple[int, list[int]]] = [(start, [start])]
    seen = {start}
    while waiting:
        basin, path = waiting.pop()
        if basin == end:
            return path
        for other, way in routes.get(basin, []):
            if other not in seen:
                seen.add(other)
                waiting.append((other, [*path, *way]))
    return [start, end]
