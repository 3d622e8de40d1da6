"""A roadmap in the plane: nearly cheapest curves between points, over all curves on a grid and along known ones.

Straight lines join every node of a grid to its neighbours in about thirty directions, each at its geometric action.
Dijkstra's algorithm then finds cheapest polylines, whatever valleys and ridges lie between. A polyline is a curve like
others, so that its action bounds the least one from above; it misses the cheapest direction by a few degrees, which costs
some percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
LineActions = Callable[[Array, Array], Array]

# A node is joined to others up to so many cells away, and a point off the grid to the nodes within so many.
_REACH, _NEAR = 4, 2
# No edge is free: scipy reads a zero as a missing one.
_LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class Roadmap:
    """Points (m, d), those of the grid first, and the costs of the straight lines between some of them."""

    points: Array
    graph: csr_array
    # Where the points off the grid begin.
    first: int

    def curves_from(self, source: int, targets: Sequence[int]) -> tuple[Array, list[Array]]:
        """The costs (k,) of going from one point off the grid to others, and the curves, empty where there is none."""
        start, ends = source + self.first, [target + self.first for target in targets]
        values, before = dijkstra(self.graph, indices=start, return_predecessors=True)
        return values[ends], [self._curve(before, start, end) for end in ends]

    def way_out(self, source: int, inside: NDArray[np.bool_]) -> Array:
        """The cheapest curve from a point off the grid to a point that is not ``inside`` (m,); empty where there is none."""
        start, coo = source + self.first, self.graph.tocoo()
        kept = inside[coo.row] | (coo.row == start)
        within = csr_array((coo.data[kept], (coo.row[kept], coo.col[kept])), shape=self.graph.shape)
        values, before = dijkstra(within, indices=start, return_predecessors=True)
        end = int(np.argmin(np.where(inside, np.inf, values)))
        return self._curve(before, start, end)

    def _curve(self, before: Array, start: int, end: int) -> Array:
        nodes = [end]
        while nodes[-1] != start:
            last = int(before[nodes[-1]])
            if last < 0:
                return np.zeros((0, self.points.shape[1]))
            nodes.append(last)
        return np.asarray(self.points[nodes[::-1]])


def roadmap(
    drift: Callable[[Array], Array],
    covariance: Callable[[Array], Array],
    lines: LineActions,
    others: Array,
    chains: Sequence[Ids],
    box: Array,
    n: int,
) -> Roadmap | None:
    """The roadmap of a box in the plane around points, of which some are joined to chains.

    Parameters
    ----------
    lines : callable (m, d), (m, d) -> (m,)
        The actions of straight lines between points off the grid and on it; infinite where a function fails.
    others : array (m, 2)
        Points off the grid.
    chains : sequence of arrays of int
        The numbers of the points on known curves, in their order.
    box : array (k, 2)
        Points that the grid covers, and a tenth of its length beyond.
    n : int
        Nodes of the grid along each axis.

    Returns
    -------
    Roadmap or None
        None where drift or covariance cannot be evaluated on the whole grid.
    """
    low, high = box.min(axis=0), box.max(axis=0)
    wider = 0.1 * (high - low).max()
    low, high = low - wider, high + wider
    grid = _grid_edges(drift, covariance, low, high, n)
    if grid is None:
        return None
    nodes, tails, heads, costs = grid
    points, first = np.concatenate([nodes, others]), len(nodes)
    h = (high - low) / (n - 1)
    pairs = _attached(low, h, n, others) + np.array([0, first])
    # Known curves have directions that the grid lacks.
    joined = [np.stack([chain[:-1], chain[1:]], axis=1) + first for chain in chains]
    more = np.concatenate([pairs, pairs[:, ::-1], *joined])
    tails, heads = np.concatenate([tails, more[:, 0]]), np.concatenate([heads, more[:, 1]])
    costs = np.concatenate([costs, lines(points[more[:, 0]], points[more[:, 1]])])
    fine = np.isfinite(costs)
    # The same line twice would be added up.
    order = np.lexsort((costs[fine], heads[fine], tails[fine]))
    tails, heads, costs = tails[fine][order], heads[fine][order], np.maximum(costs[fine][order], _LEAST)
    once = np.concatenate([[True], (np.diff(tails) != 0) | (np.diff(heads) != 0)])
    graph = csr_array((costs[once], (tails[once], heads[once])), shape=(len(points), len(points)))
    return Roadmap(points, graph, first)


def _grid_edges(
    drift: Callable[[Array], Array], covariance: Callable[[Array], Array], low: Array, high: Array, n: int
) -> tuple[Array, Ids, Ids, Array] | None:
    """The nodes of a grid, and tails, heads and costs of the lines between them, by Simpson's rule.

    The middles of all lines lie on the grid of half the spacing, where the functions are evaluated once.
    """
    axes = [np.linspace(a, b, 2 * n - 1) for a, b in zip(low, high, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    flat = x.reshape(-1, 2)
    b, a = drift(flat), covariance(flat)
    if not (np.isfinite(b).all() and np.isfinite(a).all()):
        return None
    inverse = np.linalg.inv(a)
    u = (inverse @ b[..., None])[..., 0]
    speed = np.sqrt(np.maximum((b * u).sum(axis=1), 0.0))
    places = np.arange((2 * n - 1) ** 2).reshape(2 * n - 1, 2 * n - 1)
    ids = np.arange(n * n).reshape(n, n)
    h = (high - low) / (n - 1)
    found: list[tuple[Ids, Ids, Array]] = []
    for p, q in _directions():
        rows, columns = (slice(max(0, -m), n - max(0, m)) for m in (p, q))
        tail = ids[rows, columns].ravel()
        i, j = tail // n, tail % n
        step = h * np.array([p, q])
        total = np.zeros(len(tail))
        for weight, k in ((1.0, 0), (4.0, 1), (1.0, 2)):
            at = places[2 * i + k * p, 2 * j + k * q]
            length = np.sqrt(np.maximum(np.einsum("i,kij,j->k", step, inverse[at], step), 0.0))
            total += weight / 6.0 * np.maximum(speed[at] * length - u[at] @ step, 0.0)
        found.append((tail, (i + p) * n + j + q, total))
    tails, heads, costs = (np.concatenate(part) for part in zip(*found, strict=True))
    return x[::2, ::2].reshape(-1, 2), tails, heads, costs


def _directions() -> list[tuple[int, int]]:
    every = range(-_REACH, _REACH + 1)
    return [(p, q) for p in every for q in every if gcd(p, q) == 1 and p * p + q * q <= _REACH**2 + 1]


def _attached(low: Array, h: Array, n: int, others: Array) -> Ids:
    """Pairs (m, 2) of a node of the grid and a point near it."""
    inside = (others - low) / h
    corner = np.floor(inside).astype(np.int64)
    steps = np.arange(1 - _NEAR, _NEAR + 1)
    around = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    cells = np.clip(corner[:, None] + around, 0, n - 1)
    nodes = (cells[..., 0] * n + cells[..., 1]).ravel()
    return np.stack([nodes, np.repeat(np.arange(len(others)), len(around))], axis=1)
