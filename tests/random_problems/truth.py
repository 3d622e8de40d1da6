"""The truth for landscapes in two dimensions, computed without qpot: exhaustive search, flooding, and sums of climbs."""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import root

from .problem import Array, BatchFunction


class TruthError(Exception):
    """The two computations of the truth do not agree, or the drawn landscape is too close to a degenerate one."""


def refined_axis(low: float, high: float, nodes: int, centres: Array, widths: Array) -> Array:
    """Coordinates of grid nodes, closer to one another around narrow wells."""
    fine = [
        c + w * np.linspace(-4, 4, 41) for c, w in zip(centres, widths, strict=True) if w < 25 * (high - low) / nodes
    ]
    axis = np.unique(np.concatenate([np.linspace(low, high, nodes), *fine]))
    return np.asarray(axis[(axis >= low) & (axis <= high)])


def critical_points(gradient: BatchFunction, axes: tuple[Array, Array]) -> Array:
    """All zeros of a gradient in two dimensions: cells in which both components change sign, each polished."""
    X, Y = np.meshgrid(*axes, indexing="ij")
    g = gradient(np.stack([X.ravel(), Y.ravel()], axis=1)).reshape(*X.shape, 2)
    corners = np.stack([g[:-1, :-1], g[1:, :-1], g[:-1, 1:], g[1:, 1:]])
    both = ((corners.min(axis=0) <= 0) & (corners.max(axis=0) >= 0)).all(axis=-1)
    found: list[Array] = []
    spread = max(float(axes[0][-1] - axes[0][0]), float(axes[1][-1] - axes[1][0]))
    for i, j in np.argwhere(both):
        start = np.array([0.5 * (axes[0][i] + axes[0][i + 1]), 0.5 * (axes[1][j] + axes[1][j + 1])])
        cell = np.array([axes[0][i + 1] - axes[0][i], axes[1][j + 1] - axes[1][j]])
        answer = root(lambda x: gradient(x[None])[0], start, tol=1e-13)
        x = answer.x
        close = np.abs(gradient(x[None])[0]).max() <= 1e-9 * np.abs(g).max()
        if close and (np.abs(x - start) < 6 * cell).all() and all(np.linalg.norm(x - y) > 1e-6 * spread for y in found):
            found.append(x)
    return np.array(found).reshape(-1, 2)


def hessian(gradient: BatchFunction, point: Array, step: float) -> Array:
    """The Hessian (d, d) by central differences of the gradient."""
    d = point.size
    shifts = step * np.eye(d)
    H = (gradient(point + shifts) - gradient(point - shifts)) / (2 * step)
    return np.asarray(0.5 * (H + H.T))


def landing(drift: BatchFunction, start: Array, minima: Array, *, reach: float) -> int:
    """The index of the minimum to which the drift leads from a point."""
    # A saddle may lie next to a narrow well, and has not arrived there.
    reach = min(reach, float(np.linalg.norm(minima - start, axis=1).min()))

    def right_side(_: float, x: Any) -> Any:
        return drift(x[None])[0]

    def arrived(_: float, x: Any) -> float:
        return float(np.linalg.norm(minima - x, axis=1).min() - 0.2 * reach)

    arrived.terminal = True  # type: ignore[attr-defined]
    speed = np.abs(right_side(0.0, start)).max()
    run = solve_ivp(right_side, (0, 1e5 * reach / max(speed, 1e-12)), start, method="LSODA", rtol=1e-7, events=arrived)
    away = np.linalg.norm(minima - run.y[:, -1], axis=1)
    if away.min() > 0.25 * reach:
        raise TruthError("a descent from a saddle ends at none of the minima")
    return int(away.argmin())


def sums_of_climbs(heights: Array, passes: list[tuple[int, int, float]]) -> Array:
    """V(i, j) for minima of these heights and passes (i, j, height): Dijkstra over the climbs, (k, k)."""
    k = heights.size
    graph = nx.DiGraph()
    graph.add_nodes_from(range(k))
    for i, j, top in passes:
        for a, b in ((i, j), (j, i)):
            climb = top - heights[a]
            if climb < graph.get_edge_data(a, b, {"weight": np.inf})["weight"]:
                graph.add_edge(a, b, weight=float(climb))
    costs = np.full((k, k), np.inf)
    for i, lengths in nx.all_pairs_dijkstra_path_length(graph):
        for j, V in lengths.items():
            costs[i, j] = V
    return costs


def flooded(loss: BatchFunction, axes: tuple[Array, Array], minima: Array) -> Array:
    """The levels (k, k) at which minima are joined when a grid is flooded: basins by steepest descent, then union-find."""
    X, Y = np.meshgrid(*axes, indexing="ij")
    z = loss(np.stack([X.ravel(), Y.ravel()], axis=1)).reshape(X.shape)
    index = np.arange(z.size).reshape(z.shape)
    best, parent = z.copy(), index.copy()
    offsets = [(a, b) for a, b in itertools.product((-1, 0, 1), repeat=2) if (a, b) > (0, 0)]
    pairs = []
    for a, b in offsets:
        here = (slice(0, z.shape[0] - a), slice(max(0, -b), z.shape[1] - max(0, b)))
        there = (slice(a, z.shape[0]), slice(max(0, b), z.shape[1] + min(0, b)))
        pairs.append((here, there))
        for p, q in ((here, there), (there, here)):
            lower = z[q] < best[p]
            best[p] = np.where(lower, z[q], best[p])
            parent[p] = np.where(lower, index[q], parent[p])
    flat = parent.ravel()
    while True:
        jump = flat[flat]
        if (jump == flat).all():
            break
        flat = jump
    basin = flat.reshape(z.shape)
    edges: dict[tuple[int, int], float] = {}
    for here, there in pairs:
        differ = basin[here] != basin[there]
        top = np.maximum(z[here], z[there])[differ]
        ends = np.sort(np.stack([basin[here][differ], basin[there][differ]], axis=1), axis=1)
        for one, two, level in zip(*ends.T.tolist(), top.tolist(), strict=True):
            edges[one, two] = min(level, edges.get((one, two), np.inf))
    home = [int(basin[np.abs(axes[0] - m[0]).argmin(), np.abs(axes[1] - m[1]).argmin()]) for m in minima]
    joined = {b: {b} for b in np.unique(basin).tolist()}
    levels = np.full((len(minima), len(minima)), np.inf)
    for (one, two), level in sorted(edges.items(), key=lambda item: item[1]):
        if joined[one] is joined[two]:
            continue
        for i, j in itertools.product(range(len(home)), repeat=2):
            if (home[i] in joined[one] and home[j] in joined[two]) or (
                home[i] in joined[two] and home[j] in joined[one]
            ):
                levels[i, j] = level
        both = joined[one] | joined[two]
        for b in both:
            joined[b] = both
    return levels


def chain_in_the_plane(
    loss: BatchFunction,
    gradient: BatchFunction,
    axes: tuple[Array, Array],
    *,
    closed: bool = True,
    cones: Array | None = None,
) -> tuple[Array, list[tuple[int, int, float]], Array]:
    """Minima (k, 2), passes (i, j, loss) and saddles (m, 2) of a loss that confines, or TruthError.

    ``closed`` says that the loss climbs towards all edges, so that critical points obey Morse's count. ``cones`` are minima
    with a kink, at which the gradient has no zero.
    """
    points = critical_points(gradient, axes)
    if cones is not None and len(cones):
        points = points[np.linalg.norm(points[:, None] - cones, axis=2).min(axis=1) > 1e-3]
    spread = max(float(axis[-1] - axis[0]) for axis in axes)
    step = 1e-6 * spread
    curvatures = np.array([np.linalg.eigvalsh(hessian(gradient, x, step)) for x in points])
    if len(points) == 0 or (np.abs(curvatures).min(axis=1) < 1e-4 * np.abs(curvatures).max(axis=1)).any():
        raise TruthError("a critical point is nearly degenerate")
    index = (curvatures < 0).sum(axis=1)
    if closed and (index == 0).sum() - (index == 1).sum() + (index == 2).sum() != 1:
        raise TruthError("the critical points do not obey Morse's count")
    minima, saddles = points[index == 0], points[index == 1]
    if cones is not None:
        minima = np.concatenate([minima, cones])
    if len(minima) < 2:
        raise TruthError("there is one minimum only")
    apart = np.linalg.norm(minima[:, None] - minima, axis=2) + spread * np.eye(len(minima))
    reach = min(float(apart.min()), 0.1 * spread)
    passes = []
    for x in saddles:
        direction = np.linalg.eigh(hessian(gradient, x, step))[1][:, 0]
        shift = 1e-3 * reach * direction
        i, j = (landing(lambda y: -gradient(y), x + s * shift, minima, reach=reach) for s in (1, -1))
        passes.append((i, j, float(loss(x[None])[0])))
    check_by_flooding(loss, axes, minima, passes)
    return minima, passes, saddles


def check_by_flooding(
    loss: BatchFunction, axes: tuple[Array, Array], minima: Array, passes: list[tuple[int, int, float]]
) -> None:
    """TruthError where the lowest way between two minima over the passes is not that of a flooded grid."""
    levels = flooded(loss, axes, minima)
    k = len(minima)
    lowest = np.full((k, k), np.inf)
    for i, j, top in passes:
        lowest[i, j] = lowest[j, i] = min(top, lowest[i, j])
    for m in range(k):
        lowest = np.minimum(lowest, np.maximum(lowest[:, m, None], lowest[None, m, :]))
    off = ~np.eye(k, dtype=bool)
    heights = loss(minima)
    climbs = lowest - np.minimum(heights[:, None], heights[None, :])
    if not np.isfinite(lowest[off]).all() or (np.abs(lowest - levels)[off] > 0.05 * climbs[off] + 1e-6).any():
        raise TruthError("flooding and the search for critical points disagree")
