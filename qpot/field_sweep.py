"""How a field is put together: sweep of the rays, other basins over saddles, holes, level, error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._arrays import Array, format_point
from qpot.field_methods import CharacteristicJets, FieldMethod, OrderedLineIntegral
from qpot.field_solution import FieldSolution
from qpot.field_source import (
    Source,
    cycle_source,
    equilibrium_head,
    equilibrium_source,
    local_jets,
    refined_equilibrium,
)
from qpot.grid import Grid
from qpot.progress import ProgressCallback
from qpot.solution import Status
from qpot.solvers.marching.bridge import bridge
from qpot.solvers.marching.characteristics import taylor_value
from qpot.solvers.marching.gradients import node_gradients
from qpot.solvers.marching.state import (
    NEAR_CELLS,
    SweepState,
    add_records,
    advance,
    advance_march,
    make_march,
    make_medium,
    make_state,
    write_patch,
)
from qpot.system import System

# Labels handled between two reports of progress (and two chances for Ctrl-C).
_SLICE = 20000
# Radius of the patch around a source and of the core in which its polynomial starts rays, in parts of the radius.
_PATCH, _CORE = 2.0 / 3.0, 1.0 / 3.0
# Longest straight pieces, in cells, when the few nodes that rays left open are filled in.
_FILL_RADIUS = 2
# Values this many radii around a saddle are looked at when the sweep goes over it.
_CLEAR = 4.0
# Gaps of up to this many nodes to either side are bridged, if the provisional value agrees within this fraction.
_SPAN, _AGREEMENT = 6, 0.03
# The halved grid has 2^4 times the error; the estimate is three times what that alone would say.
_RICHARDSON = 5.0


@dataclass(frozen=True)
class FieldRun:
    """What every stage needs."""

    system: System
    grid: Grid
    samples: Array
    constant: Array | None
    report: ProgressCallback
    highest: float = float("inf")


@dataclass
class _Result:
    value: Array
    gradient: Array
    near: np.ndarray[Any, np.dtype[np.bool_]]
    level: float
    interrupted: bool
    equilibria: Sequence[tuple[Array, float]] = ()


def sweep_field(run: FieldRun, points: Array, options: CharacteristicJets) -> FieldSolution:
    """Field by rays that carry Taylor polynomials."""
    radius = NEAR_CELLS if options.radius is None else options.radius
    result, source = _solve(run, points, radius)
    error = float("nan")
    if options.estimate_error and not result.interrupted:
        error = _estimated_error(run, points, radius, result)
    return _solution(run, result, source.points if source.is_cycle else source.points[0], error, options)


def march_field(run: FieldRun, points: Array, options: OrderedLineIntegral) -> FieldSolution:
    """Field by one pass of ordered line integrals."""
    grid = run.grid
    d = grid.dimension
    medium = make_medium(run.samples, grid.lower, grid.spacing, grid.periodic, run.constant)
    state, source = _started(run, medium, points, 3.0)
    known = np.isfinite(state.distance) & (state.distance <= _PATCH * state.near)
    value = np.where(known, state.value, np.inf)
    gradient = np.zeros((grid.size, d))
    node_gradients(state.records, state.owner, known, medium, gradient)
    # short pieces lose causality where the drift turns fast, long ones cut corners: the optimum grows like sqrt(nodes)
    radius = options.radius or max(4, round((8 if d == 2 else 4) * (max(grid.shape) / 129.0) ** 0.5))
    result = _marched(run, medium, value, gradient, known, radius, np.inf)
    return _solution(run, result, source.points if source.is_cycle else source.points[0], float("nan"), options)


def _solution(run: FieldRun, result: _Result, source: Array, error: float, options: FieldMethod) -> FieldSolution:
    grid = run.grid
    beyond = ~(result.value <= result.level)
    value = np.where(beyond, np.nan, result.value)
    gradient = np.where(beyond[:, None], np.nan, result.gradient)
    return FieldSolution(
        values=value.reshape(grid.shape),
        gradient=gradient.reshape(*grid.shape, grid.dimension),
        grid=grid,
        source=source,
        status=Status.INTERRUPTED if result.interrupted else Status.CONVERGED,
        error=error,
        level=result.level,
        method=options,
        exact_order=result.near.reshape(grid.shape),
        equilibria=tuple((x, level) for x, level in result.equilibria if level <= result.level),
        system=run.system,
    )


def _started(run: FieldRun, medium: tuple[Any, ...], points: Array, radius: float) -> tuple[SweepState, Source]:
    """A sweep with its source's polynomial written."""
    state = make_state(medium, radius)
    if len(points) == 1:
        source = equilibrium_source(medium, points[0])
    else:
        source = cycle_source(run.system, medium, points, state.near)
    first = add_records(
        state,
        source.heads,
        np.where(source.parents < 0, -1, source.parents),
        np.full(len(source.heads), _CORE * state.near),
    )
    _check_patch(run, source, _PATCH * state.near)
    covariance = run.system.covariance(source.points)
    for i in range(len(source.heads)):
        write_patch(state, first + i, _PATCH * state.near, covariance[i])
    if int(np.isfinite(state.value).sum()) == 0:
        raise ValueError(f"grid is too coarse: no node lies close to the source; use more nodes than {run.grid.shape}")
    return state, source


def _check_patch(run: FieldRun, source: Source, radius: float) -> None:
    """Refuse a grid on which the cubic term rules the quadratic one within the source's patch."""
    d = run.grid.dimension
    for x, head in zip(source.points, source.heads, strict=True):
        Q = head[2 * d + 1 : 2 * d + 1 + d * d].reshape(d, d)
        T = head[2 * d + 1 + d * d : 2 * d + 1 + d * d + d**3].reshape(d, d, d)
        stiffness = float(np.linalg.eigvalsh(Q)[-1])
        cubic = float(np.abs(T).max())
        if cubic * radius / 3.0 > stiffness:
            raise ValueError(
                f"grid is too coarse at the source {format_point(x)}: V is not quadratic over {radius:.3g}, "
                f"two cells; use spacing below {run.grid.spacing.max() * stiffness / max(cubic * radius / 3.0, 1e-300):.3g}"
            )


def _solve(run: FieldRun, points: Array, radius: float) -> tuple[_Result, Source]:
    grid = run.grid
    medium = make_medium(run.samples, grid.lower, grid.spacing, grid.periodic, run.constant)
    state, source = _started(run, medium, points, radius)
    state.exits[0] = min(float(state.exits[0]), run.highest)
    interrupted = False
    reached: list[tuple[Array, float]] = []
    try:
        _advance(run, state)
        _other_basins(run, state, medium, points, reached)
    except KeyboardInterrupt:
        interrupted = True
    near = (state.distance <= state.near) & np.isfinite(state.value)
    gradient = np.zeros((grid.size, grid.dimension))
    node_gradients(state.records, state.owner, near, medium, gradient)
    value = np.where(near, state.value, np.inf)
    if interrupted:
        level = min(float(state.exits[0]), float(state.keys[0]) if state.counts[0] else np.inf)
        return _Result(value, gradient, near, level, True), source
    closed = bridge(
        value, gradient, near, state.value, state.spacing, medium[3], medium[4], _SPAN, _AGREEMENT, value, gradient
    )
    result = _marched(run, medium, value, gradient, near | closed, _FILL_RADIUS, float(state.exits[0]))
    result.equilibria = reached
    _prefer_polynomials(state, result)
    return result, source


def _prefer_polynomials(state: SweepState, result: _Result) -> None:
    """Where a line integral and the polynomial of a distant head agree, the polynomial is of higher order."""
    filled = np.flatnonzero(~result.near & np.isfinite(result.value) & (state.owner >= 0))
    if filled.size == 0:
        return
    change = state.near * np.linalg.norm(result.gradient[filled], axis=1)
    difference = state.value[filled] - result.value[filled]
    # a line integral is a little dear where the drift turns; far below it no polynomial is believed
    agree = (difference <= _AGREEMENT * change) & (difference >= -0.5 * change)
    nodes = filled[agree]
    result.value[nodes] = state.value[nodes]
    wanted = np.zeros(result.value.size, dtype=bool)
    wanted[nodes] = True
    node_gradients(state.records, state.owner, wanted, state.medium, result.gradient)


def _advance(run: FieldRun, state: SweepState) -> None:
    total = state.value.size
    while not advance(state, np.inf, _SLICE):
        run.report(int(np.count_nonzero(state.owner >= 0)), total, "rays")


def _marched(
    run: FieldRun,
    medium: tuple[Any, ...],
    value: Array,
    gradient: Array,
    known: np.ndarray[Any, np.dtype[np.bool_]],
    radius: int,
    stop: float,
) -> _Result:
    """Fill the open nodes up to the level where V leaves the grid."""
    grid = run.grid
    edge = _edge(grid)
    interrupted = False
    march = make_march(medium, value, gradient, known, radius)
    level = min(stop, float(value[edge & known].min(initial=np.inf)))
    try:
        while not advance_march(march, level, _SLICE):
            level = min(level, float(value[edge & (march.state == 3)].min(initial=np.inf)))
            run.report(int(np.count_nonzero(march.state >= 2)), grid.size, "line integrals")
    except KeyboardInterrupt:
        interrupted = True
        level = min(level, float(march.keys[0]) if march.counts[0] else np.inf)
    settled = (march.state == 3) | known
    level = min(level, float(value[edge & settled].min(initial=np.inf)))
    if not np.isfinite(level):
        level = float(value[settled].max()) if not interrupted else level
    return _Result(np.where(settled, value, np.inf), gradient, known, level, interrupted)


def _edge(grid: Grid) -> np.ndarray[Any, np.dtype[np.bool_]]:
    edge = np.zeros(grid.shape, dtype=bool)
    for axis, wraps in enumerate(grid.periodic):
        if not wraps:
            index: list[Any] = [slice(None)] * grid.dimension
            for end in (0, -1):
                index[axis] = end
                edge[tuple(index)] = True
    return edge.ravel()


def _estimated_error(run: FieldRun, points: Array, radius: float, fine: _Result) -> float:
    """Compare with the same solve on every second node."""
    grid = run.grid
    keep = tuple(slice(None, None, 2) for _ in grid.shape)
    samples = np.ascontiguousarray(run.samples[keep])
    if min(samples.shape[:-1]) < 17 or any(p and n % 2 for p, n in zip(grid.periodic, grid.shape, strict=True)):
        return float("nan")
    upper = [high if p else axis[::2][-1] for high, axis, p in zip(grid.upper, grid.axes, grid.periodic, strict=True)]
    half = Grid(grid.lower, upper, samples.shape[:-1], periodic=grid.periodic)
    coarse_run = FieldRun(
        system=run.system, grid=half, samples=samples, constant=run.constant, report=run.report, highest=run.highest
    )
    try:
        coarse, _ = _solve(coarse_run, points, radius)
    except ValueError:
        # the source's patch does not fit on the coarse grid
        return float("nan")
    reference = fine.value.reshape(grid.shape)[keep].ravel()
    both = coarse.near & fine.near.reshape(grid.shape)[keep].ravel()
    both &= (coarse.value <= coarse.level) & (reference <= min(coarse.level, fine.level))
    if not both.any():
        return float("nan")
    return float(np.abs(coarse.value[both] - reference[both]).max()) / _RICHARDSON


def _other_basins(
    run: FieldRun,
    state: SweepState,
    medium: tuple[Any, ...],
    points: Array,
    reached: list[tuple[Array, float]],
) -> None:
    """Continue over every saddle and from every attractor that the sweep reaches, lowest first.

    Past a saddle the drift carries on for free: V is flat along the way down, and what leaves it costs V(saddle, x).
    """
    grid = run.grid
    waiting = [x for x in equilibria(run) if np.linalg.norm(points - x, axis=1).min() > 2.0 * float(grid.spacing.max())]
    while waiting:
        levels = [_value_at(state, grid, x) for x in waiting]
        order = int(np.argmin(levels))
        level = levels[order]
        if not level < float(state.exits[0]):
            return
        x = waiting.pop(order)
        reached.append((x, level))
        rates = np.linalg.eigvals(run.system.jacobian(x[None])[0]).real
        if (rates > 0).all() or np.abs(rates).min() < 1e-9 * np.abs(rates).max():
            # nothing starts from a repeller that does not go over a saddle cheaper; degenerate points are left to the march
            continue
        Q, T, a = local_jets(medium, x, saddle=bool((rates > 0).any()))
        if (rates > 0).any():
            _clear_beyond(run, state, x)
        # provisional values from before say nothing about what starts here
        void = (state.distance > state.near) & (state.value >= level)
        state.value[void], state.distance[void], state.owner[void], state.tries[void] = np.inf, np.inf, -1, 0
        head = equilibrium_head(x, level, Q, T)
        first = add_records(state, head[None], np.array([-1], np.int32), np.array([_CORE * state.near]))
        write_patch(state, first, _PATCH * state.near, a)
        _advance(run, state)


def _clear_beyond(run: FieldRun, state: SweepState, saddle: Array) -> None:
    """Forget values close to a saddle on its far side.

    Polynomials of heads on the near side reach across the ridge, where they continue smoothly into another branch,
    below the saddle's level; no path gets there for less than that level.
    """
    grid = run.grid
    rates, left = np.linalg.eig(run.system.jacobian(saddle[None])[0].T)
    across = np.real(left[:, int(np.argmax(rates.real))])
    node = int(np.ravel_multi_index(tuple(_nearest(grid, saddle)), grid.shape))
    side = float(across @ _offset(grid, state.records[state.owner[node]][None, : grid.dimension], saddle)[0])
    offset = _offset(grid, grid.points(), saddle)
    far = (np.linalg.norm(offset, axis=1) < _CLEAR * state.near) & (np.sign(side) * (offset @ across) < 0.0)
    state.value[far] = np.inf
    state.distance[far] = np.inf
    state.owner[far] = -1
    state.tries[far] = 0


def _nearest(grid: Grid, x: Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    index = np.rint((x - grid.lower) / grid.spacing).astype(np.int64)
    return np.where(grid.periodic, index % grid.shape, np.clip(index, 0, np.array(grid.shape) - 1))


def _offset(grid: Grid, points: Array, origin: Array) -> Array:
    """``points - origin``, the short way round on periodic axes."""
    offset = points - origin
    for i, wraps in enumerate(grid.periodic):
        if wraps:
            period = float(grid.upper[i] - grid.lower[i])
            offset[:, i] -= period * np.round(offset[:, i] / period)
    return offset


def _value_at(state: SweepState, grid: Grid, x: Array) -> float:
    """V at a point from the head that the nearest node belongs to; inf where no ray has come near."""
    node = int(np.ravel_multi_index(tuple(_nearest(grid, x)), grid.shape))
    if state.owner[node] < 0 or not state.distance[node] <= state.near:
        return float("inf")
    head = state.records[state.owner[node]]
    dx = _offset(grid, x[None], head[: grid.dimension])[0]
    return float(taylor_value(head, dx, grid.dimension)[0])


def equilibria(run: FieldRun) -> list[Array]:
    """Equilibria of the drift in the grid: Newton's method from the cells where every component changes sign."""
    grid = run.grid
    d = grid.dimension
    cells = np.ones(tuple(n if p else n - 1 for n, p in zip(grid.shape, grid.periodic, strict=True)), dtype=bool)
    for c in range(d):
        low = high = run.samples[..., c]
        for axis, wraps in enumerate(grid.periodic):
            if wraps:
                low = np.minimum(low, np.roll(low, -1, axis))
                high = np.maximum(high, np.roll(high, -1, axis))
            else:
                n = low.shape[axis]
                a, b = (np.take(low, np.arange(n - 1), axis), np.take(low, np.arange(1, n), axis))
                low = np.minimum(a, b)
                a, b = (np.take(high, np.arange(n - 1), axis), np.take(high, np.arange(1, n), axis))
                high = np.maximum(a, b)
        cells &= (low <= 0.0) & (high >= 0.0)
    starts = grid.lower + (np.argwhere(cells) + 0.5) * grid.spacing
    found: list[Array] = []
    for start in starts[:1000]:
        try:
            x = refined_equilibrium(run.system, start, 2.0 * float(np.linalg.norm(grid.spacing)))
        except ValueError:
            continue
        x = grid.wrap(x[None])[0]
        if grid.contains(x[None])[0] and all(np.linalg.norm(x - y) > 1e-6 * grid.spacing.max() for y in found):
            found.append(x)
    return found


__all__ = ["FieldRun", "equilibria", "march_field", "sweep_field"]
