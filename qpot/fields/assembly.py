"""How a field is put together: sweep of the rays, other basins over saddles, holes, level, error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot.fields.grid import Grid
from qpot.fields.methods import CharacteristicJets, FieldMethod, OrderedLineIntegral
from qpot.fields.outliers import mend_outliers
from qpot.fields.passages import equilibria, other_basins
from qpot.fields.run import CORE, PATCH, SLICE, FieldRun, boundary, run_rays
from qpot.fields.solution import FieldSolution, Passage
from qpot.fields.sources import (
    Source,
    cycle_source,
    equilibrium_source,
)
from qpot.paths.solution import Status
from qpot.solvers.fields.marching.bridge import bridge
from qpot.solvers.fields.marching.gradients import node_gradients
from qpot.solvers.fields.marching.march_state import advance_march, make_march
from qpot.solvers.fields.marching.medium import Medium, make_medium
from qpot.solvers.fields.marching.state import NEAR_CELLS, SweepState, add_records, make_state, write_patch

# Longest straight pieces, in cells, when the few nodes that rays left open are filled in.
_FILL_RADIUS = 2
# Gaps of up to this many nodes to either side are bridged, if the provisional value agrees within this fraction.
_SPAN, _AGREEMENT = 6, 0.03
# The halved grid has 2^4 times the error; the estimate is three times what that alone would say.
_RICHARDSON = 5.0
# Unless a few outliers of the halved grid decide: then this quantile counts, and the roughness, with this factor.
_TYPICAL, _ROUGH = 0.99, 3.0
# Rays that disagree by this part of the level at this part of the nodes, or leave this part of them open, are refused.
_DISAGREE, _MANY, _FILLED = 1e-2, 0.05, 0.5
# So is a 3-D field whose estimated error is more than this part of its level.
_USELESS = 0.1


@dataclass
class _Result:
    value: Array
    gradient: Array
    near: np.ndarray[Any, np.dtype[np.bool_]]
    level: float
    interrupted: bool
    passages: tuple[Passage, ...] = ()
    trusted: bool = True


def sweep_field(run: FieldRun, points: Array, options: CharacteristicJets) -> FieldSolution:
    """Field by rays that carry Taylor polynomials."""
    radius = NEAR_CELLS if options.radius is None else options.radius
    result, source = _solve(run, points, radius)
    # what was filled in to lower order has no say
    mend_outliers(result.value, result.gradient, result.near & (result.value <= result.level), run.grid)
    result.trusted = result.interrupted or _trusted(run, result)
    error = float("nan")
    if options.estimate_error and not result.interrupted:
        error = _estimated_error(run, points, radius, result)
        # in 3-D rays along a ridge may have lost the curvature across it; NaN is no estimate
        if run.grid.dimension == 3:
            result.trusted = result.trusted and not error > _USELESS * result.level
    return _solution(run, result, source.points if source.is_cycle else source.points[0], error, options)


def _trusted(run: FieldRun, result: _Result) -> bool:
    """Whether neighbouring rays agree, and have reached most of the nodes."""
    settled = result.value <= result.level
    filled = int(np.count_nonzero(settled & ~result.near))
    nodes = int(np.count_nonzero(settled))
    # where sheets meet V has a kink and a misfit of its own: only many of them speak against the rays
    rough = max(
        int(np.count_nonzero(gap > _DISAGREE * result.level))
        for gap in misfits(result.value, result.gradient, result.near, run.grid, result.level)
    )
    return rough <= _MANY * nodes and filled <= _FILLED * nodes


def march_field(run: FieldRun, points: Array, options: OrderedLineIntegral) -> FieldSolution:
    """Field by one pass of ordered line integrals."""
    grid = run.grid
    d = grid.dimension
    medium = make_medium(run.samples, grid.lower, grid.spacing, grid.periodic, run.constant)
    state, source = _started(run, medium, points, 3.0)
    known = np.isfinite(state.distance) & (state.distance <= PATCH * state.near)
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
    status = Status.CONVERGED if result.trusted else Status.NOT_CONVERGED
    if result.interrupted:
        status = Status.INTERRUPTED
    return FieldSolution(
        values=value.reshape(grid.shape),
        gradient=gradient.reshape(*grid.shape, grid.dimension),
        grid=grid,
        source=source,
        status=status,
        error=error,
        level=result.level,
        method=options,
        exact_order=result.near.reshape(grid.shape),
        system=run.system,
        passages=result.passages,
    )


def _started(run: FieldRun, medium: Medium, points: Array, radius: float) -> tuple[SweepState, Source]:
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
        np.full(len(source.heads), CORE * state.near),
    )
    _check_patch(run, source, PATCH * state.near)
    covariance = run.system.covariance(source.points)
    for i in range(len(source.heads)):
        write_patch(state, first + i, PATCH * state.near, covariance[i])
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
    passages: tuple[Passage, ...] = ()
    try:
        run_rays(run, state)
        passages = other_basins(run, state, medium, points)
    except KeyboardInterrupt:
        interrupted = True
    near = (state.distance <= state.near) & np.isfinite(state.value)
    gradient = np.zeros((grid.size, grid.dimension))
    node_gradients(state.records, state.owner, near, medium, gradient)
    value = np.where(near, state.value, np.inf)
    if interrupted:
        level = min(float(state.exits[0]), float(state.keys[0]) if state.counts[0] else np.inf)
        return _Result(value, gradient, near, level, True), source
    level = float(state.exits[0])
    if not _has_gaps(grid, value, near, level):
        level = min(level, float(value[boundary(grid) & near].min(initial=np.inf)))
        level = level if np.isfinite(level) else float(value[near].max())
        return _Result(value, gradient, near, level, False, passages), source
    closed = bridge(value, gradient, near, state.value, medium, _SPAN, _AGREEMENT)
    result = _marched(run, medium, value, gradient, near | closed, _FILL_RADIUS, level)
    result.passages = passages
    _prefer_polynomials(state, result)
    return result, source


def _has_gaps(grid: Grid, value: Array, near: np.ndarray[Any, np.dtype[np.bool_]], level: float) -> bool:
    """Whether a node below the level has a neighbour that no ray came near."""
    inside = (near & (value <= level)).reshape(grid.shape)
    unreached = ~near.reshape(grid.shape)
    for axis, wraps in enumerate(grid.periodic):
        for step in (1, -1):
            beside = np.roll(unreached, step, axis)
            if not wraps:
                index: list[Any] = [slice(None)] * grid.dimension
                index[axis] = 0 if step == 1 else -1
                beside[tuple(index)] = False
            if (inside & beside).any():
                return True
    return False


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


def _marched(
    run: FieldRun,
    medium: Medium,
    value: Array,
    gradient: Array,
    known: np.ndarray[Any, np.dtype[np.bool_]],
    radius: int,
    stop: float,
) -> _Result:
    """Fill the open nodes up to the level where V leaves the grid."""
    grid = run.grid
    edge = boundary(grid)
    interrupted = False
    march = make_march(medium, value, gradient, known, radius)
    level = min(stop, float(value[edge & known].min(initial=np.inf)))
    try:
        while not advance_march(march, level, SLICE):
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
    fine_near = fine.near.reshape(grid.shape)[keep].ravel()
    reference = fine.value.reshape(grid.shape)[keep].ravel()
    level = min(coarse.level, fine.level)
    known = (coarse.value <= coarse.level) & (reference <= level)
    difference = np.abs(np.subtract(coarse.value, reference, out=np.zeros_like(reference), where=known))
    both = known & coarse.near & fine_near
    if not both.any():
        return float("nan")
    halved = float(difference[both].max()) / _RICHARDSON
    # one bad ray on the coarse grid says nothing about the fine one, which then is smooth all the same
    typical = float(np.quantile(difference[both], _TYPICAL)) / _RICHARDSON
    error = min(halved, _ROUGH * (typical + roughness(fine.value, fine.gradient, fine.near, grid, level)))
    # what was filled in is of first order: it shows in the difference, or in a misfit with the nodes around
    settled = fine.value <= fine.level
    if (settled & ~fine.near).any():
        misfit = roughness(fine.value, fine.gradient, settled, grid, fine.level)
        error = max(error, float(difference[known & ~fine_near].max(initial=0.0)), _ROUGH * misfit)
    return error


def misfits(
    value: Array, gradient: Array, near: np.ndarray[Any, np.dtype[np.bool_]], grid: Grid, level: float
) -> Iterator[Array]:
    """For each axis the differences between V at a node and the cubic through its two neighbours, below ``level``."""
    V = np.where(near & (value <= level), value, np.nan).reshape(grid.shape)
    slopes = gradient.reshape(*grid.shape, grid.dimension)
    for axis, h in enumerate(grid.spacing):
        v, g = np.moveaxis(V, axis, 0), np.moveaxis(slopes[..., axis], axis, 0)
        yield np.abs(v[1:-1] - 0.5 * (v[:-2] + v[2:]) - 0.25 * h * (g[:-2] - g[2:]))


def roughness(
    value: Array, gradient: Array, near: np.ndarray[Any, np.dtype[np.bool_]], grid: Grid, level: float
) -> float:
    """The largest of the `misfits`."""
    return max(float(np.nanmax(gap, initial=0.0)) for gap in misfits(value, gradient, near, grid, level))


__all__ = ["FieldRun", "equilibria", "march_field", "sweep_field"]
