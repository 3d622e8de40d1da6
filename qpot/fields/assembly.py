"""What the field methods share: the source's patch, the march, and how a field is put together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot._core.interrupts import acknowledge
from qpot._core.status import Status
from qpot.fields.run import CORE, PATCH, SLICE, FieldRun, boundary, unfinished
from qpot.fields.solution import FieldSolution
from qpot.fields.sources import Source, cycle_source, equilibrium_source
from qpot.fields.values import Passage
from qpot.solvers.common.spending import spent
from qpot.solvers.fields.marching.march_state import advance_march, make_march
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.state import SweepState, add_records, make_state, write_patch

# Where V is below zero by more than this part of the exit level the grid does not resolve it.
_NEGATIVE = 1e-2
# Less than this part of the exit level below zero V is taken to be zero.
_ROUNDING = 1e-5


@dataclass
class NodeResult:
    """What is known at the n nodes of the grid, in C order, before it becomes a field.

    Attributes
    ----------
    value : array (n,)
        V; inf at nodes that have no value.
    gradient : array (n, d)
        The gradient of V.
    near : array of bool (n,)
        The nodes whose value comes from the polynomial of a head or from a bridge, not from the march.
    level : float
        The exit level, or a lower one at which the computation ended; values above it are not used.
    interrupted : bool
        Whether Ctrl-C ended the computation.
    passages : tuple of Passage
        The passages in the order of their levels.
    trusted : bool
        Whether the method vouches for the field; a field without that is NOT_CONVERGED.
    medium : Medium or None
        Drift and covariance as the kernels see them.
    """

    value: Array
    gradient: Array
    near: NDArray[np.bool_]
    level: float
    interrupted: bool
    passages: tuple[Passage, ...] = ()
    trusted: bool = True
    medium: Medium | None = None


def as_field(
    run: FieldRun, result: NodeResult, source: Source, error: float, method: object, errors: Array | float = math.nan
) -> FieldSolution:
    """Make a `FieldSolution` of what is known at the nodes; ``method`` holds the options used."""
    grid = run.grid
    negative = bool((result.value < -_NEGATIVE * abs(result.level)).any())
    result.level = max(result.level, 0.0)
    # V is never negative: what is below zero by more than rounding is an error, and no value.
    beyond = ~((result.value <= result.level) & (result.value >= -_ROUNDING * result.level))
    value = np.where(beyond, np.nan, np.maximum(result.value, 0.0))
    gradient = np.where(beyond[:, None], np.nan, result.gradient)
    status = Status.CONVERGED if result.trusted and not negative else Status.NOT_CONVERGED
    if result.interrupted:
        status = Status.INTERRUPTED
    return FieldSolution(
        values=value.reshape(grid.shape),
        gradient=gradient.reshape(*grid.shape, grid.dimension),
        grid=grid,
        source=source.points if source.is_cycle else source.points[0],
        status=status,
        error=error,
        errors=np.where(beyond, np.nan, errors).reshape(grid.shape),
        level=result.level,
        method=method,
        exact_order=result.near.reshape(grid.shape),
        system=run.system,
        passages=result.passages,
    )


def started(run: FieldRun, medium: Medium, points: Array, radius: float) -> tuple[SweepState, Source]:
    """A new sweep, with the polynomials of its source at ``points`` (1, d) or (n, d) written on the nodes around."""
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
    covariance = run.system.unchecked.covariance(source.points)
    for i in range(len(source.heads)):
        write_patch(state, first + i, PATCH * state.near, covariance[i])
    if int(np.isfinite(state.value).sum()) == 0:
        raise ValueError(f"grid is too coarse: no node lies close to the source; use more nodes than {run.grid.shape}")
    return state, source


def _check_patch(run: FieldRun, source: Source, radius: float) -> None:
    """Refuse a grid on which the cubic term of V exceeds the quadratic one within the source's patch."""
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


def marched(
    run: FieldRun,
    medium: Medium,
    value: Array,
    gradient: Array,
    known: NDArray[np.bool_],
    radius: int,
    stop: float,
) -> NodeResult:
    """Fill nodes that are not ``known`` with the march, up to the exit level.

    The arrays ``value`` and ``gradient`` are filled in place. ``radius`` is the length of the longest straight piece in
    cells. The march ends at the level ``stop`` if V has not left the grid below it.

    Raises
    ------
    SolveError
        If the time is over, see `qpot.solvers.common.spending`.
    """
    grid = run.grid
    edge = boundary(grid)
    interrupted = False
    march = make_march(medium, value, gradient, known, radius)
    level = min(stop, float(value[edge & known].min(initial=np.inf)))
    try:
        while not advance_march(march, level, SLICE):
            level = min(level, float(value[edge & (march.state == 3)].min(initial=np.inf)))
            if spent():
                raise unfinished()
            run.report(int(np.count_nonzero(march.state >= 2)), grid.size, "line integrals")
    except KeyboardInterrupt:
        acknowledge()
        interrupted = True
        level = min(level, float(march.keys[0]) if march.counts[0] else np.inf)
    settled = (march.state == 3) | known
    level = min(level, float(value[edge & settled].min(initial=np.inf)))
    if not np.isfinite(level):
        level = float(value[settled].max()) if not interrupted else level
    return NodeResult(np.where(settled, value, np.inf), gradient, known, level, interrupted)
