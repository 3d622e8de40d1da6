"""Fields of systems whose coordinates end: solved in coordinates without sides, and read at the nodes that the user wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.status import SolveError
from qpot.fields.errors import largest_around
from qpot.fields.grid import Grid
from qpot.fields.solution import FieldSolution
from qpot.problem.charts import Chart, chart_of
from qpot.problem.system import System

# A grid that goes up to a side at infinity ends this part of its first cell before it.
_CUT = 0.1


def touches_a_side(system: System, grid: Grid) -> bool:
    """Whether the grid goes up to a side of the system's domain, or beyond.

    Raises
    ------
    ValueError
        If it goes beyond.
    """
    sides = system.domain
    if sides is None:
        return False
    sides.check(np.stack([grid.lower, grid.upper]), name="grid")
    return bool(((grid.lower == sides.lower) | (grid.upper == sides.upper)).any())


def field_in_chart(
    system: System,
    source: Array,
    grid: Grid,
    targets: Array | None,
    solve: Callable[[System, Array, Grid, Array | None], FieldSolution],
) -> FieldSolution:
    """The field on a grid that goes up to sides of the domain; ``solve`` solves one in coordinates without sides.

    No path leaves through these sides, so that V is known beyond its level there.
    """
    assert system.domain is not None  # Otherwise there is no side.
    if any(grid.periodic):
        raise ValueError(f"the {grid} is periodic, and the system has a domain: leave one of them out")
    chart = chart_of(system, source, (grid.lower, grid.upper))
    inner = chart.inside()
    into = chart.inverse(inner)
    lower, upper = system.domain.lower, system.domain.upper
    shift = _CUT * grid.spacing
    ends = chart.coordinates.back(np.stack([grid.lower, grid.upper]))
    near = chart.coordinates.back(np.stack([grid.lower + shift, grid.upper - shift]))
    ends = np.where(np.isfinite(ends), ends, near)
    # Where no face is open, the user says that nothing leaves through those inside the domain.
    closed = np.stack([grid.lower == lower, grid.upper == upper], axis=1) | ~grid.open_faces
    own = Grid(ends[0], ends[1], grid.shape, closed=closed)
    wanted = None if targets is None else np.clip(into.points(targets), ends[0], ends[1])
    try:
        field = solve(inner, into.points(source), own, wanted)
    except SolveError as error:
        partial = error.partial
        read = _read(partial, chart, grid, system) if isinstance(partial, FieldSolution) else partial
        raise SolveError(str(error), status=error.status, partial=read) from error
    return _read(field, chart, grid, system)


def _read(field: FieldSolution, chart: Chart, grid: Grid, system: System) -> FieldSolution:
    """The field at the nodes of the user's grid."""
    c = chart.coordinates
    x = grid.points()
    y = c.back(x)
    held = np.clip(y, field.grid.lower, field.grid.upper)
    values = field.at(held)
    # On a side at which x' vanishes the gradient is read half a cell inside.
    inside = np.array(held)
    for axis, face, inward in c.faces:
        step = 0.5 * float(field.grid.spacing[axis])
        on = inward * (inside[:, axis] - face) < step
        inside[on, axis] = face + inward * step
    gradient = field.gradient_at(inside) / c.slopes(inside)
    # On a side at infinity V goes on with the slope that it has next to it.
    beyond = ~np.isfinite(y)
    values = values + np.where(beyond, gradient * (x - c.points(held)), 0.0).sum(axis=1)
    bent = _bend(gradient, beyond, x - c.points(held), grid)
    # In a cell with unknown corners the interpolant guesses, so that V is read up to the lowest value there.
    guessed = ~_whole_cells(field, held)
    level = min(field.level, float(np.nanmin(np.where(guessed & np.isfinite(values), values, np.inf), initial=np.inf)))
    unknown = guessed | ((values > level) & guessed.any())
    if not unknown.any():
        level = max(level, float(values.max()))
    values, gradient = np.where(unknown, np.nan, values), np.where(unknown[:, None], np.nan, gradient)
    nearest = np.rint((held - field.grid.lower) / field.grid.spacing).astype(np.int64)
    index = tuple(np.clip(nearest[:, i], 0, n - 1) for i, n in enumerate(field.grid.shape))
    exact = field.exact_order[index] & ~beyond.any(axis=1) & ~unknown
    # Between nodes the error is that of the worst node around.
    errors = largest_around(field.errors, field.grid)[index] + bent
    shape = grid.shape
    source = chart.points(field.source)
    passages = tuple(replace(p, point=chart.points(p.point)) for p in field.passages)
    return FieldSolution(
        values=values.reshape(shape),
        gradient=gradient.reshape(*shape, grid.dimension),
        grid=grid,
        source=source,
        status=field.status,
        error=field.error + bent,
        errors=np.where(unknown, np.nan, errors).reshape(shape),
        level=level,
        method=field.method,
        exact_order=exact.reshape(shape),
        system=system,
        passages=passages,
        charted=(field, chart),
    )


def _whole_cells(field: FieldSolution, y: Array) -> NDArray[np.bool_]:
    """Whether V is known at all corners of the cell in which a point (n, d) lies, and next to them."""
    finite = np.isfinite(field.values)
    inner = finite.copy()
    for axis in range(field.grid.dimension):
        # Gradients at the rim of what is known come from one side.
        along, before = np.moveaxis(inner, axis, 0), np.moveaxis(finite, axis, 0)
        along[1:] &= before[:-1]
        along[:-1] &= before[1:]
    position = (y - field.grid.lower) / field.grid.spacing
    corner = np.floor(position + 1e-9).astype(np.int64)
    known = np.ones(len(y), dtype=bool)
    for offset in np.ndindex(*(2,) * field.grid.dimension):
        # A point on a node or a face has no cell beyond it.
        there = np.where(position - corner > 1e-9, corner + np.array(offset), corner)
        index = tuple(np.clip(there[:, i], 0, n - 1) for i, n in enumerate(field.grid.shape))
        known &= inner[index]
    return known


def _bend(gradient: Array, beyond: Array, ahead: Array, grid: Grid) -> float:
    """How far V may bend where it was continued with its slope, over the distances ``ahead`` (n, d) on sides at infinity."""
    slopes = gradient.reshape(*grid.shape, grid.dimension)
    worst = 0.0
    for axis in range(grid.dimension):
        second = np.abs(np.gradient(slopes[..., axis], grid.spacing[axis], axis=axis)).ravel()
        bend = np.where(beyond[:, axis], second * ahead[:, axis] ** 2, 0.0)
        worst = max(worst, float(np.nanmax(bend, initial=0.0)))
    return worst
