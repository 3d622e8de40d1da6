"""Limit cycles as passages in the plane: unstable ones bound a basin, stable ones attract.

A path uphill winds on to an unstable cycle in infinitely many turns, so that no ray arrives at it. But V is constant on
the cycle, with the value L, and its gradient vanishes there. The cost W(x) of the remaining path from x to the cycle is
the quasi-potential of the cycle for the reversed drift, so its polynomials come from the same periodic equations as
those of a stable cycle. Close to the cycle V = L - W, and L is read off as V + W where the last rays have passed. From
the cycle on, the path follows the drift down on the other side and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qpot._core.arrays import Array
from qpot.fields.grid import Grid
from qpot.fields.run import PATCH, FieldRun
from qpot.fields.sources import Source, cycle_source
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.state import SweepState, add_records, forget, write_patch

NodeNumbers = NDArray[np.int64]

# Cycles are looked for by following the drift, forwards or backwards, from about so many points.
_STARTS = 8
# A step has at most this length, in diagonals of the grid's box.
_STEP = 0.02
# The drift is followed for so many times the steps that a curve of four diagonals needs.
_ROUNDS = 4.0
# A point with a speed below this part of the largest one counts as at rest.
_REST = 1e-4
# Below this part of the largest speed, steps no longer grow in time; otherwise they would be endless close to rest.
_SLOW = 0.02
# The level of a cycle is read off the nodes in a ring beside it, of this width in cells.
_WIDTH = 3.0
# The inner edge of the ring is at one of these distances, in cells; the first that rays have reached is taken.
_RINGS = (2.0, 4.0, 7.0, 11.0, 16.0, 24.0)
# A ring counts as reached if rays have come near at least this part of its nodes ...
_REACHED = 0.6
# ... and if V + W at nine tenths of these differs from the level by less than this part of the range of W over them.
_SPREAD = 0.05
# Nodes within so many radii beyond a cycle may hold values of polynomials that reach across it; these are forgotten.
_CLEAR = 2.0


@dataclass(frozen=True, eq=False)
class LimitCycle:
    """A limit cycle of the drift in the grid.

    Attributes
    ----------
    source : Source
        Points along the cycle, with the polynomials of V(cycle, x) in the order of the drift. If the cycle repels, they
        are those of W(x), the cost of the path from x to the cycle, and in the order of the reversed drift.
    attracts : bool
        Whether the cycle is stable; otherwise it repels.
    """

    source: Source
    attracts: bool


def limit_cycle(run: FieldRun, medium: Medium, starts: Array, *, attracts: bool) -> LimitCycle | None:
    """The first limit cycle in the grid to which the drift leads from ``starts`` (n, 2); None if there is none.

    A cycle that repels (``attracts`` false) is looked for along the reversed drift.
    """
    sign = 1.0 if attracts else -1.0
    ways, _ = _walk(run, starts, sign)
    for way in ways:
        curve = _last_round(way, lambda x: np.asarray(sign * run.system.unchecked.drift(x)))
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
        if np.ptp(source.points, axis=0).max() < run.grid.spacing.min():
            continue  # The curve winds into a point of rest, at which the equations of a cycle hold as well.
        # A cycle may touch the boundary, so that rounding puts points outside.
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
    """Follow ``sign`` times the drift from ``starts`` (n, 2).

    Returns
    -------
    ways : array (k, m, 2)
        The last parts of the k curves that neither leave the grid nor come to rest.
    rests : array (j, 2)
        Where other curves come to rest. Those that leave the grid are dropped.
    """
    grid = run.grid
    x = np.array(starts)
    box = float(np.linalg.norm(grid.upper - grid.lower))
    fastest = float(np.linalg.norm(run.samples[..., :2], axis=-1).max())

    def drift(z: Array) -> Array:
        return sign * np.asarray(run.system.unchecked.drift(grid.wrap(z)))

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
    """The last round of a curve ``way`` (m, 2), up to its end; None if it does not come back to its end."""
    end = way[-1]
    ahead = (way - end) @ drift(end[None])[0]
    close = np.linalg.norm(way - end, axis=1) < 0.1 * np.ptp(way, axis=0).max()
    hits = np.flatnonzero((ahead[:-1] < 0.0) & (ahead[1:] >= 0.0) & close[1:])
    hits = hits[hits < len(way) - 8]
    return way[hits[-1] + 1 :] if hits.size else None


def go_over(run: FieldRun, state: SweepState, cycle: LimitCycle) -> Array:
    """Settle the last nodes before an unstable cycle whose `level_of` is finite, and start the free descent beyond it.

    Returns a point where that descent begins, ``(1, 2)``.
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
    # A node that no head came near takes the polynomial of the cycle even from more than one radius away.
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
        # V is flat and its rays follow the drift, so they need not begin on the cycle: all of its patch is its core.
        write_cycle(run, state, flat, np.full(len(heads), -1, np.int32), core=np.inf)
    # If the descent ends at an attractor within the grid, rays without momentum would be started beyond it, too. In
    # that case the nodes are left to the march.
    return np.array(beyond[:1])


def write_cycle(run: FieldRun, state: SweepState, heads: Array, parents: NDArray[np.int32], core: float = 0.0) -> int:
    """Write the polynomials of a cycle's heads on the nodes around them, and return the number of the first record."""
    first = add_records(state, heads, parents, np.full(len(heads), core))
    state.parents[first : first + len(heads)] = np.where(parents < 0, -1, first + parents)
    covariance = run.system.unchecked.covariance(run.grid.wrap(heads[:, :2]))
    for i in range(len(heads)):
        write_patch(state, first + i, PATCH * state.near, covariance[i])
    return first


def level_of(run: FieldRun, state: SweepState, cycle: LimitCycle) -> float:
    """V on an unstable cycle on to which rays have wound; inf if none have."""
    return _reading(run, state, cycle)[0]


def _reading(run: FieldRun, state: SweepState, cycle: LimitCycle) -> tuple[float, float, float]:
    """The level of a cycle, the side from which rays come up to it (1 or -1), and how far out the level was read.

    Only on that side V + W is the same at all nodes. The level is inf if rays have come up on neither side.
    """
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
            # Rays that wind on to the cycle all have the same V + W; where they only pass by, the sums differ.
            if np.quantile(np.abs(total - level), 0.9) < _SPREAD * np.ptp(rest):
                found.append((level, side, reach))
        if found:
            return min(found)
    return float("inf"), 1.0, 0.0


def _rest_of_way(cycle: LimitCycle, head: NodeNumbers, offset: Array) -> Array:
    """W(x) at ``offset`` (n, 2) from the cycle's heads with numbers ``head`` (n,), from their polynomials."""
    heads = cycle.source.heads[head]
    Q, T = heads[:, 5:9].reshape(-1, 2, 2), heads[:, 9:17].reshape(-1, 2, 2, 2)
    square = np.einsum("ni,nij,nj->n", offset, Q, offset)
    return np.asarray(square / 2.0 + np.einsum("nijk,ni,nj,nk->n", T, offset, offset, offset) / 6.0)


def _around(grid: Grid, cycle: LimitCycle, reach: float) -> tuple[NodeNumbers, Array, NodeNumbers, Array]:
    """The nodes within ``reach`` of a cycle.

    Returns
    -------
    nodes : array (n,)
        Their flat numbers.
    offset : array (n, 2)
        Their offsets from the closest head of the cycle.
    head : array (n,)
        The number of that head.
    signed : array (n,)
        The component of the offset along the cycle's normal there.
    """
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
    """Unit normals at the points of a cycle, ``(n, 2)``, which point to the left of the order of the points."""
    points = cycle.source.points
    ahead = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    return np.asarray(np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) / np.linalg.norm(ahead, axis=1, keepdims=True))
