"""Passages: the field goes on over every saddle and unstable cycle, and from every attractor, that its rays reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.fields.cycles import LimitCycle, go_over, level_of, limit_cycle, sample_of_reached, write_cycle
from qpot.fields.equilibria import equilibria
from qpot.fields.grid import Grid
from qpot.fields.run import CORE, PATCH, FieldRun, boundary, run_rays
from qpot.fields.sources import equilibrium_head, local_cubic, local_jets
from qpot.fields.values import Passage
from qpot.fields.walk import free_descents
from qpot.solvers.fields.marching.gradients import node_gradients
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.parts import NEWEST, RECORDS
from qpot.solvers.fields.marching.state import SweepState, add_records, forget, write_patch
from qpot.solvers.fields.marching.support import comes_from_nowhere
from qpot.solvers.fields.marching.taylor import taylor_value

# When the sweep goes over a saddle, values on its far side within this many radii are forgotten.
_CLEAR = 4.0
# The records of the heads there are followed upstream, over at most so many records, ...
_BACK = 1000
# ... until they are so many radii away from the ridge, where the side on which they lie is beyond doubt.
_AWAY = 1.0
# The level of a saddle is read off the heads of the nodes within so many cells of it along each axis.
_REACH = 3
# A saddle's uphill polynomial is used if its median difference from the values of rays is at most this part of the
# median height of the saddle above them.
_CONFIRMED = 0.1
# If the sum of two rates is below this part of the largest rate, the uphill curvature is not determined.
_RESONANT = 1e-3

# Only the ends of free descents are wanted here, to within a cell, so that steps are this part of the fastest time.
_LONG = 0.5
# Losses one period apart are the same within this part of their range.
_LEVEL = 1e-9

NodeNumbers = NDArray[np.int64]


@dataclass
class _Stop:
    """An equilibrium or a limit cycle that the sweep may reach and go on from.

    ``points`` (1, d) or (n, 2) are the equilibrium or points along the cycle. If a free descent from a passage ends
    there, ``level`` is the level of that passage and ``before`` its position in the list of passages.
    """

    points: Array
    cycle: LimitCycle | None = None
    level: float = float("inf")
    before: int = -1
    uphill: Array | None = None

    @property
    def repels(self) -> bool:
        """Whether this is an unstable limit cycle."""
        return self.cycle is not None and not self.cycle.attracts


def other_basins(run: FieldRun, state: SweepState, medium: Medium, points: Array) -> tuple[Passage, ...]:
    """Continue over every saddle and unstable cycle, and from every attractor, that the sweep reaches, lowest first.

    ``points`` are those of the field's own source. Beyond a saddle the drift carries the system down for free, so V is
    flat along this free descent, and V(saddle, x) is the cost of leaving it.
    """
    passages: list[Passage] = []
    cell = float(run.grid.spacing.max())
    waiting = [
        _Stop(x[None], uphill=_uphill_curvature(run, x))
        for x in equilibria(run)
        if np.linalg.norm(points - x, axis=1).min() > 2.0 * cell
    ]
    met = [points]
    _look_for_cycle(run, medium, sample_of_reached(state, run.grid), False, waiting, met)
    while waiting:
        levels = np.array([_level_at(run, state, stop) for stop in waiting])
        # If the exit level lies below an unstable cycle, the reason may be that polynomials beside the cycle reach over it
        # to the boundary. The exit level is read again once such values are forgotten.
        open_to = [level < float(state.exits[0]) or stop.repels for level, stop in zip(levels, waiting, strict=True)]
        levels[~np.array(open_to)] = np.inf
        order = int(np.argmin(levels))
        level = float(levels[order])
        if not np.isfinite(level):
            break
        stop = waiting.pop(order)
        ends = (
            _over_equilibrium(run, state, medium, stop.points[0], level)
            if stop.cycle is None
            else _over_cycle(run, state, stop.cycle, level)
        )
        if ends is None:
            continue
        attracts = not len(ends)
        place = stop.points[0] if stop.cycle is None else stop.points
        passages.append(Passage(point=place, level=level, attracts=attracts, before=stop.before))
        first = int(state.counts[RECORDS])
        run_rays(run, state)
        if not attracts and stop.cycle is None:
            _forget_what_comes_from_nowhere(run, state, medium, first)
        _look_for_cycle(
            run, medium, sample_of_reached(state, run.grid) if attracts else ends, not attracts, waiting, met
        )
        for other in waiting:
            # V does not rise on a free descent, so an attractor at its end has exactly the level of the passage.
            if len(ends) and other.before < 0 and not other.repels:
                gaps = np.linalg.norm(other.points[None] - ends[:, None], axis=2)
                if gaps.min() <= cell:
                    other.level, other.before = level, len(passages) - 1
    return tuple(passages)


def _over_equilibrium(run: FieldRun, state: SweepState, medium: Medium, x: Array, level: float) -> Array | None:
    """Start the field of an equilibrium, and return where the free descents from it end: ``(2, d)``, or ``(0, d)``.

    An attractor has no such descents. The result is None for a repeller, since any path over it is more expensive than
    one over a saddle, and for a degenerate point, which is left to the march.
    """
    rates = np.linalg.eigvals(run.system.unchecked.jacobian(x[None])[0]).real
    if (rates > 0).all() or np.abs(rates).min() < 1e-9 * np.abs(rates).max():
        return None
    attracts = not bool((rates > 0).any())
    Q, T, a = local_jets(medium, x, saddle=not attracts)
    ends = np.zeros((0, run.grid.dimension))
    mine = np.zeros(0, np.int64)
    if not attracts:
        mine = _clear_beyond(run, state, x)
        ends = np.array([way[-1] for way in free_descents(run.system, run.grid, x, step=_LONG)])
    _forget_provisional(state, level)
    if mine.size:
        _write_uphill(run, state, medium, x, level, mine)
    head = equilibrium_head(x, level, Q, T)
    first = add_records(state, head[None], np.array([-1], np.int32), np.array([CORE * state.near]))
    # At a saddle both sheets run along the ridge, so the test that tells one sheet from another must not be used.
    state.counts[NEWEST] = first if attracts else 0
    # The saddle's polynomial, flat along the unstable direction, holds only beyond the ridge. On the near side the values
    # that rays have brought are put back.
    before = state.value[mine], state.distance[mine], state.owner[mine]
    write_patch(state, first, PATCH * state.near, a)
    state.value[mine], state.distance[mine], state.owner[mine] = before
    return ends


def _over_cycle(run: FieldRun, state: SweepState, cycle: LimitCycle, level: float) -> Array:
    """Start the field of a limit cycle, and return a point on each free descent from it: none if the cycle attracts."""
    state.counts[NEWEST] = 0
    if not cycle.attracts:
        ends = go_over(run, state, cycle)
        _read_exit_again(run, state)
        return ends
    heads = cycle.source.heads.copy()
    heads[:, run.grid.dimension] = level
    _forget_provisional(state, level)
    state.counts[NEWEST] = write_cycle(run, state, heads, cycle.source.parents)
    return np.zeros((0, run.grid.dimension))


def _read_exit_again(run: FieldRun, state: SweepState) -> None:
    """Read the exit level again, after values on the boundary have been forgotten."""
    edge = boundary(run.grid) & (state.distance <= state.near)
    state.exits[0] = min(run.highest, float(state.value[edge].min(initial=np.inf)))


def _forget_provisional(state: SweepState, level: float) -> None:
    """Forget provisional values above ``level``, where a new sheet starts: they come from other sheets."""
    forget(state, np.flatnonzero((state.distance > state.near) & (state.value >= level)))


def _forget_what_comes_from_nowhere(run: FieldRun, state: SweepState, medium: Medium, first: int) -> None:
    """Forget what the sheet of the records from ``first`` on claims beyond the attractors in which its rays end.

    There it solves H = 0 along rays that have no beginning.
    """
    grid, d = run.grid, run.grid.dimension
    near = state.distance <= state.near
    sheet, older = near & (state.owner >= first), near & (state.owner < first)
    nodes = np.flatnonzero(sheet)
    if nodes.size == 0:
        return
    gradient = np.zeros((grid.size, d))
    node_gradients(state.records, state.owner, sheet, medium, gradient)
    samples = run.samples.reshape(grid.size, -1)[nodes]
    if run.constant is not None:
        a = np.broadcast_to(run.constant, (nodes.size, d, d))
    else:
        a = np.empty((nodes.size, d, d))
        rows, columns = np.triu_indices(d)
        a[:, rows, columns] = a[:, columns, rows] = samples[:, d:]
    velocity = samples[:, :d] + np.einsum("nij,nj->ni", a, gradient[nodes])
    false = comes_from_nowhere(nodes, velocity, older, grid.shape, grid.spacing, np.array(grid.periodic))
    if not false.any():
        return
    forget(state, nodes[false])
    _read_exit_again(run, state)


def _look_for_cycle(
    run: FieldRun, medium: Medium, starts: Array, attracts: bool, waiting: list[_Stop], met: list[Array]
) -> None:
    """Add to ``waiting`` the limit cycle to which the drift leads from ``starts`` (n, 2), unless it was ``met`` before.

    A cycle that repels (``attracts`` false) is looked for along the reversed drift. Only in the plane cycles are
    looked for.
    """
    if run.grid.dimension != 2:
        return
    if run.system.gradient_drift and _single_valued(run):
        return  # A loss falls along its flow, which therefore never returns. On a torus a tilted one runs round.
    cycle = limit_cycle(run, medium, starts, attracts=attracts)
    if cycle is None:
        return
    points = cycle.source.points
    if all(np.linalg.norm(curve[:, None] - points[0], axis=-1).min() > run.grid.spacing.max() for curve in met):
        met.append(points)
        waiting.append(_Stop(points, cycle))


def _single_valued(run: FieldRun) -> bool:
    """Whether the loss of a gradient drift is known to have one value at every place of the grid."""
    if not any(run.grid.periodic):
        return True
    if run.system.loss is None:
        return False
    corners = np.array([run.grid.lower, *(run.grid.lower + np.diag(run.grid.upper - run.grid.lower))])
    corners = corners[[True, *run.grid.periodic]]
    losses = run.system.unchecked.loss(corners)
    typical = float(np.ptp(run.system.unchecked.loss(run.grid.points(0, min(run.grid.size, 1000)))))
    return bool(np.abs(losses - losses[0]).max() <= _LEVEL * typical)


def _write_uphill(
    run: FieldRun, state: SweepState, medium: Medium, saddle: Array, level: float, nodes: NodeNumbers
) -> None:
    """Write V's polynomial on the near side of a saddle's ridge at ``nodes`` that no head came near, if rays confirm it.

    Only few rays happen to pass close to a saddle. Nodes that all of them missed must not take the polynomial of the
    sheet beyond, which is flat across the ridge: two cells from the saddle it is too high by 1e-2.
    """
    grid, d = run.grid, run.grid.dimension
    Q = uphill_spread_inverse(run, saddle)
    head = equilibrium_head(saddle, level, Q, local_cubic(medium, saddle, Q))
    offset = offset_from(grid, grid.points()[nodes], saddle)
    inside = np.linalg.norm(offset, axis=1) <= PATCH * state.near
    nodes, offset = nodes[inside], offset[inside]
    value = np.array([taylor_value(head, dx, medium.axes)[0] for dx in offset])
    reached = state.distance[nodes] <= state.near
    below = level - state.value[nodes][reached]
    if not np.isfinite(value).all() or np.count_nonzero(reached) <= d:
        return
    if np.median(np.abs(value[reached] - state.value[nodes][reached])) > _CONFIRMED * np.median(np.abs(below)):
        return
    record = add_records(state, head[None], np.array([-1], np.int32), np.array([CORE * state.near]))
    missed = nodes[~reached]
    state.value[missed], state.owner[missed] = value[~reached], record
    state.distance[missed] = np.linalg.norm(offset[~reached], axis=1)


def _clear_beyond(run: FieldRun, state: SweepState, saddle: Array) -> NodeNumbers:
    """Forget values close to a saddle on its far side, and return the nodes close to it on the near side.

    Polynomials of heads on the near side reach across the ridge, where they continue smoothly into another branch, below
    the saddle's level; but no path gets there for less than that level.
    """
    grid = run.grid
    across = ridge_normal(run, saddle, uphill_spread_inverse(run, saddle))
    offset = offset_from(grid, grid.points(), saddle)
    close = np.flatnonzero(np.linalg.norm(offset, axis=1) < _CLEAR * state.near)
    heads = np.unique(state.owner[close][state.distance[close] <= state.near]).astype(np.int64)
    side = _came_from(state, grid, heads, saddle, across)
    height = side * (offset[close] @ across)
    forget(state, close[height < 0.0])
    return np.asarray(close[height > 0.0])


def ridge_normal(run: FieldRun, saddle: Array, Q: Array) -> Array:
    """A normal of the ridge at a saddle, the surface along which rays pass it; ``Q`` is the uphill curvature.

    The ridge is conjugate in Q to the unstable direction e of the drift, e.Q dx = 0, and coincides with the separatrix of the
    drift only if the drift does not rotate.
    """
    rates, vectors = np.linalg.eig(run.system.unchecked.jacobian(saddle[None])[0])
    return np.asarray(Q @ np.real(vectors[:, int(np.argmax(rates.real))]))


def _came_from(state: SweepState, grid: Grid, heads: NodeNumbers, saddle: Array, across: Array) -> float:
    """The side of a ridge from which most of ``heads`` came, 1 or -1: the sign of ``across`` times the offset.

    Rays pass a saddle on the side from which they came, but so close to the ridge that at the heads themselves this sign
    is that of their error. So the rays are followed upstream until they are away from the ridge.
    """
    away = _AWAY * state.near * float(np.linalg.norm(across))
    height = np.zeros(heads.size)
    left = np.arange(heads.size)
    for _ in range(_BACK):
        if not left.size:
            break
        height[left] = offset_from(grid, state.records[heads[left], : grid.dimension].copy(), saddle) @ across
        left = left[(np.abs(height[left]) < away) & (state.parents[heads[left]] >= 0)]
        heads[left] = state.parents[heads[left]]
    return float(np.sign(np.median(np.sign(height)))) if heads.size else 0.0


def _nearest(grid: Grid, x: Array) -> NodeNumbers:
    """The index ``(d,)`` of the node nearest to ``x``."""
    index = np.rint((x - grid.lower) / grid.spacing).astype(np.int64)
    return np.where(grid.periodic, index % grid.shape, np.clip(index, 0, np.array(grid.shape) - 1))


def offset_from(grid: Grid, points: Array, origin: Array) -> Array:
    """The offsets ``points - origin``, taken the shorter way round on periodic axes."""
    offset = points - origin
    for i, wraps in enumerate(grid.periodic):
        if wraps:
            period = float(grid.upper[i] - grid.lower[i])
            offset[:, i] -= period * np.round(offset[:, i] / period)
    return offset


def _value_at(state: SweepState, grid: Grid, x: Array) -> float:
    """V at a point, from the polynomial of the head that owns the nearest node; inf if that node is not near a head."""
    node = int(np.ravel_multi_index(tuple(_nearest(grid, x)), grid.shape))
    if state.owner[node] < 0 or not state.distance[node] <= state.near:
        return float("inf")
    head = state.records[state.owner[node]]
    dx = offset_from(grid, x[None], head[: grid.dimension])[0]
    return float(taylor_value(head, dx, state.medium.axes)[0])


def levels_at_rests(run: FieldRun, state: SweepState, points: Array) -> Array:
    """V at equilibria (m, d) to which the sweep came close, ``(m,)``; inf at the others."""
    return np.array([_level_at_rest(run, state, x, _uphill_curvature(run, x)) for x in points])


def _level_at(run: FieldRun, state: SweepState, stop: _Stop) -> float:
    """V at a place from which the sweep may go on; inf if the sweep has not reached it."""
    if stop.before >= 0:
        return stop.level
    if stop.cycle is None:
        return _level_at_rest(run, state, stop.points[0], stop.uphill)
    # A cycle that attracts is reached only by a free descent, whose passage gives it a level.
    return level_of(run, state, stop.cycle) if stop.repels else float("inf")


def _level_at_rest(run: FieldRun, state: SweepState, x: Array, uphill: Array | None) -> float:
    """V at an equilibrium to which the sweep came close; inf if it did not.

    Rays slow down at a saddle and pass it on the ridge, and in a narrow canyon V is quartic within a cell of it. So V is
    not extrapolated from a head. At the saddle the gradient vanishes and the uphill curvature is known; between the head
    and the saddle, the slope of V is taken as the cubic with these values at its ends, and its integral is the
    trapezoidal rule with end correction. Among the heads around it, the one with the smallest correction is used.
    """
    grid, d = run.grid, run.grid.dimension
    extrapolated = _value_at(state, grid, x)
    if uphill is None or not np.isfinite(extrapolated):
        return extrapolated
    around = np.stack(np.meshgrid(*[np.arange(-_REACH, _REACH + 1)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    index = _nearest(grid, x) + around
    inside = np.where(grid.periodic, True, (index >= 0) & (index < np.array(grid.shape))).all(axis=1)
    nodes = np.unique(np.ravel_multi_index(tuple((index[inside] % np.array(grid.shape)).T), grid.shape))
    nodes = nodes[(state.owner[nodes] >= 0) & (state.distance[nodes] <= state.near)]
    heads = state.records[np.unique(state.owner[nodes])]
    offset = offset_from(grid, heads[:, :d].copy(), x)
    p, Q = heads[:, d + 1 : 2 * d + 1], heads[:, 2 * d + 1 : 2 * d + 1 + d * d].reshape(-1, d, d)
    slope = np.einsum("ni,ni->n", p, offset)
    bend = np.einsum("ni,nij,nj->n", offset, uphill - Q, offset)
    rise = slope / 2.0 + bend / 12.0
    return float((heads[:, d] - rise)[int(np.argmin(np.abs(rise)))])


def _uphill_curvature(run: FieldRun, x: Array) -> Array | None:
    """The Hessian of V at a saddle on its uphill side; None at attractors, and where it is not determined."""
    rates = np.linalg.eigvals(run.system.unchecked.jacobian(x[None])[0])
    sums = np.abs(rates[:, None] + rates[None, :])
    if (rates.real < 0.0).all() or sums.min() <= _RESONANT * np.abs(rates).max():
        return None
    return uphill_spread_inverse(run, x)


def uphill_spread_inverse(run: FieldRun, x: Array) -> Array:
    """The inverse of the spread of the linear system at ``x``, with unstable directions included: the uphill Hessian.

    The spread S solves J S + S J^T = -a. If two rates add up to zero, S is not unique and the smallest one is taken.
    """
    J, a = run.system.unchecked.jacobian(x[None])[0], run.system.unchecked.covariance(x[None])[0]
    d = len(x)
    operator = np.kron(J, np.eye(d)) + np.kron(np.eye(d), J)
    spread = np.linalg.lstsq(operator, -a.reshape(-1), rcond=_RESONANT)[0].reshape(d, d)
    return np.linalg.inv(0.5 * (spread + spread.T))
