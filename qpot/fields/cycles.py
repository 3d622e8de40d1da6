"""Limit cycles that a field meets in the plane: unstable ones bound a basin as saddles do, stable ones end free ways down.

An unstable cycle is reached from one side by climbing, in infinitely many turns, so no ray arrives at it. But V is
constant on it and its gradient vanishes, and the cost of the rest of the way, W(x), is the quasi-potential of the cycle
for the reversed drift: its polynomials come from the same periodic equations as those of a stable cycle. So V = L - W
close to the cycle, with L = V + W on the last rays. From the cycle the drift leads down on the other side for free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from qpot._core.arrays import Array
from qpot.fields.grid import Grid
from qpot.fields.run import PATCH, FieldRun
from qpot.fields.sources import Source, cycle_source
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.state import SweepState, add_records, forget, write_patch

NodeNumbers = np.ndarray[Any, np.dtype[np.int64]]

# Walks along the drift, forwards or backwards: starts, step in parts of the box, longest way in rounds of the box.
_STARTS, _STEP, _ROUNDS = 8, 0.02, 4.0
# Speeds below this part of the largest are at rest; close to rest steps are as long in time as at this part of it.
_REST, _SLOW = 1e-4, 0.02
# The level is read off nodes in a ring of this width around a cycle, in cells, the closest of these that rays reach ...
_WIDTH = 3.0
_RINGS = (2.0, 4.0, 7.0, 11.0, 16.0, 24.0)
# ... of which this part must have been reached, with sums V + W that differ by no more than this part of the level.
_REACHED, _SPREAD = 0.6, 0.05
# Nodes within this many radii beyond a cycle may hold polynomials that ran on over it.
_CLEAR = 2.0


@dataclass(frozen=True, eq=False)
class LimitCycle:
    """A limit cycle of the drift in the grid.

    Attributes
    ----------
    source : Source
        Points in the order of the drift, with the polynomials of V(cycle, x), or of the cost W(x, cycle) of the way to it
        if it repels.
    attracts : bool
    """

    source: Source
    attracts: bool


def limit_cycle(run: FieldRun, medium: Medium, starts: Array, *, attracts: bool) -> LimitCycle | None:
    """The first limit cycle in the grid that the drift leads to from ``starts`` (n, 2); backwards if it shall repel."""
    sign = 1.0 if attracts else -1.0
    ways, _ = _walk(run, starts, sign)
    for way in ways:
        curve = _last_round(way, lambda x: np.asarray(sign * run.system.drift(x)))
        if curve is None:
            continue
        turned = medium
        if not attracts:
            coefficients = medium.coefficients.copy()
            coefficients[..., :2] *= -1.0
            turned = medium._replace(coefficients=coefficients)
        try:
            near = 3.0 * float(np.exp(np.mean(np.log(run.grid.spacing))))
            source = cycle_source(run.system, turned, curve, near, time=sign)
        except ValueError:
            continue
        # it may touch the boundary, up to rounding
        points = np.where(run.grid.periodic, source.points, np.clip(source.points, run.grid.lower, run.grid.upper))
        if np.abs(points - source.points).max() <= 1e-6 * run.grid.spacing.min():
            return LimitCycle(source, attracts)
    return None


def sample_of_reached(state: SweepState, grid: Grid) -> Array:
    """A few reached nodes in the upper half of the levels, spread over the grid, ``(n, 2)``."""
    top = min(float(state.exits[0]), float(state.value[state.distance <= state.near].max(initial=0.0)))
    high = np.flatnonzero((state.distance <= state.near) & (state.value > 0.5 * top) & (state.value < top))
    high = high[:: max(1, high.size // _STARTS)][:_STARTS]
    return np.array([grid.points(int(k), int(k) + 1)[0] for k in high]).reshape(-1, grid.dimension)


def _walk(run: FieldRun, starts: Array, sign: float) -> tuple[Array, Array]:
    """Walks along ``sign`` times the drift: last rounds of those that go on, ``(k, m, 2)``, and where others come to rest.

    Those that leave the grid are dropped.
    """
    grid = run.grid
    x = np.array(starts)
    box = float(np.linalg.norm(grid.upper - grid.lower))
    fastest = float(np.linalg.norm(run.samples[..., :2], axis=-1).max())

    def drift(z: Array) -> Array:
        return sign * np.asarray(run.system.drift(grid.wrap(z)))

    ways, rests = [x], [np.zeros((0, 2))]
    for _ in range(int(_ROUNDS * 4.0 / _STEP)):
        if not len(x):
            break
        velocity = drift(x)
        speed = np.linalg.norm(velocity, axis=1)
        dt = _STEP * box / np.maximum(speed, _SLOW * fastest)[:, None]
        x = x + dt * drift(x + 0.5 * dt * velocity)
        inside, moves = grid.contains(x), speed > _REST * fastest
        kept = inside & moves
        if not kept.all():
            rests.append(x[inside & ~moves])
            x = x[kept]
            ways = [way[kept] for way in ways]
        ways.append(x)
    return np.stack(ways[-int(4.0 / _STEP) :], axis=1), np.concatenate(rests)


def _last_round(way: Array, drift: Callable[[Array], Array]) -> Array | None:
    """The part of a walk from its last return to where it ends; None if it does not return."""
    end = way[-1]
    ahead = (way - end) @ drift(end[None])[0]
    close = np.linalg.norm(way - end, axis=1) < 0.1 * np.ptp(way, axis=0).max()
    hits = np.flatnonzero((ahead[:-1] < 0.0) & (ahead[1:] >= 0.0) & close[1:])
    hits = hits[hits < len(way) - 8]
    return way[hits[-1] + 1 :] if hits.size else None


def go_over(run: FieldRun, state: SweepState, cycle: LimitCycle) -> Array:
    """Settle the last nodes before an unstable cycle, whose `level_of` is finite, and start the free way out of the grid.

    Returns a point on that way, ``(1, 2)``.
    """
    level, side, reach = _reading(run, state, cycle)
    near, d = state.near, 2
    heads = cycle.source.heads
    nodes, offset, head, signed = _around(run.grid, cycle, max(_CLEAR * near, reach))
    gap = np.linalg.norm(offset, axis=1)
    climbed = heads.copy()
    climbed[:, d] = level
    climbed[:, d + 1 :] *= -1.0
    first = add_records(state, climbed, np.full(len(heads), -1, np.int32), np.zeros(len(heads)))
    forget(state, nodes[(side * signed < 0.0) & (gap < _CLEAR * near)])
    # nodes that no ray came near take the cycle's polynomial from further away
    closer = (gap < np.minimum(state.distance[nodes], near)) | (state.distance[nodes] > near)
    mine = (side * signed >= 0.0) & closer
    nodes, offset, head, gap = nodes[mine], offset[mine], head[mine], gap[mine]
    state.value[nodes] = level - _rest_of_way(cycle, head, offset)
    state.distance[nodes] = np.minimum(gap, near)
    state.owner[nodes] = first + head
    void = (state.distance > near) & (state.value >= level)
    forget(state, np.flatnonzero(void))
    points, normal = cycle.source.points, _normals(cycle)
    beyond = (points - side * 0.5 * run.grid.spacing.min() * normal)[:: max(1, len(points) // _STARTS)]
    ways, rests = _walk(run, beyond, 1.0)
    if not len(ways) and not len(rests):
        flat = np.zeros_like(heads)
        flat[:, :d], flat[:, d] = heads[:, :d], level
        # V is flat and its rays follow the drift, so they need not begin on the cycle: everywhere is its core
        write_cycle(run, state, flat, np.full(len(heads), -1, np.int32), core=np.inf)
    # rays without momentum would be started beyond what attracts in the grid, too: there the march goes on
    return np.array(beyond[:1])


def write_cycle(
    run: FieldRun, state: SweepState, heads: Array, parents: np.ndarray[Any, np.dtype[np.int32]], core: float = 0.0
) -> int:
    """Write the polynomials of a cycle's heads; rays start from the nodes around. Returns the first record."""
    first = add_records(state, heads, parents, np.full(len(heads), core))
    state.parents[first : first + len(heads)] = np.where(parents < 0, -1, first + parents)
    covariance = run.system.covariance(run.grid.wrap(heads[:, :2]))
    for i in range(len(heads)):
        write_patch(state, first + i, PATCH * state.near, covariance[i])
    return first


def level_of(run: FieldRun, state: SweepState, cycle: LimitCycle) -> float:
    """V on an unstable cycle that rays have wound on to; inf where they have not."""
    return _reading(run, state, cycle)[0]


def _reading(run: FieldRun, state: SweepState, cycle: LimitCycle) -> tuple[float, float, float]:
    """The level of a cycle, the side that it is climbed from, where V + W is the same at all nodes, and how far from it."""
    spacing = float(np.exp(np.mean(np.log(run.grid.spacing))))
    for inner in _RINGS:
        reach = (inner + _WIDTH) * spacing
        nodes, offset, head, signed = _around(run.grid, cycle, reach)
        reached = (state.distance[nodes] <= state.near) & np.isfinite(state.value[nodes])
        found = []
        for side in (1.0, -1.0):
            ring = side * signed > inner * spacing
            chosen = np.flatnonzero(ring & reached)
            if chosen.size < _REACHED * np.count_nonzero(ring) or chosen.size == 0:
                continue
            rest = _rest_of_way(cycle, head[chosen], offset[chosen])
            total = state.value[nodes[chosen]] + rest
            level = float(np.median(total))
            # rays wind round and round, so each of them has the level; where they only pass by, the sums differ
            if np.quantile(np.abs(total - level), 0.9) < _SPREAD * np.ptp(rest):
                found.append((level, side, reach))
        if found:
            return min(found)
    return float("inf"), 1.0, 0.0


def _rest_of_way(cycle: LimitCycle, head: NodeNumbers, offset: Array) -> Array:
    """W at ``offset`` (n, 2) from the cycle's heads of numbers ``head`` (n,)."""
    heads = cycle.source.heads[head]
    Q, T = heads[:, 5:9].reshape(-1, 2, 2), heads[:, 9:17].reshape(-1, 2, 2, 2)
    square = np.einsum("ni,nij,nj->n", offset, Q, offset)
    return np.asarray(square / 2.0 + np.einsum("nijk,ni,nj,nk->n", T, offset, offset, offset) / 6.0)


def _around(grid: Grid, cycle: LimitCycle, reach: float) -> tuple[NodeNumbers, Array, NodeNumbers, Array]:
    """Nodes within ``reach`` of a cycle: flat numbers, offsets from the closest head, its number, signed distances."""
    points = grid.wrap(cycle.source.points)
    width = np.ceil(reach / grid.spacing).astype(int) + 1
    around = np.stack(np.meshgrid(*[np.arange(-w, w + 1) for w in width], indexing="ij"), axis=-1).reshape(-1, 2)
    index = (np.rint((points - grid.lower) / grid.spacing).astype(int)[:, None] + around).reshape(-1, 2)
    shape, wraps = np.array(grid.shape), np.array(grid.periodic)
    index = index[(wraps | ((index >= 0) & (index < shape))).all(axis=1)] % shape
    close = np.zeros(grid.size, dtype=bool)
    close[np.ravel_multi_index(tuple(index.T), grid.shape)] = True
    nodes = np.flatnonzero(close)
    x = grid.lower + np.stack(np.unravel_index(nodes, grid.shape), axis=1) * grid.spacing
    period = np.where(wraps, grid.upper - grid.lower, 0.0)
    gap, head = cKDTree(points - grid.lower, boxsize=period).query(x - grid.lower)
    nodes, x, head = nodes[gap <= reach], x[gap <= reach], head[gap <= reach]
    offset = x - points[head]
    offset -= np.where(wraps, period * np.round(offset / np.where(wraps, period, 1.0)), 0.0)
    return nodes, offset, head, np.einsum("ni,ni->n", offset, _normals(cycle)[head])


def _normals(cycle: LimitCycle) -> Array:
    """Unit normals at the points of a cycle, to the left of their order."""
    points = cycle.source.points
    ahead = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    return np.asarray(np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) / np.linalg.norm(ahead, axis=1, keepdims=True))
