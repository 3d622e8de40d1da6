"""check_exit: the cheapest exit from a domain held against a quasi-potential field on a grid.

The search over a boundary is one of local minima. A field takes the infimum over all paths, so that a boundary point where it
is lower than the answer is an exit that the search has missed, and the search is started again from there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from qpot._core.arrays import Array, NonFiniteError, as_count, as_positive, format_point
from qpot._core.status import SolveError, Status
from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.grid import Grid
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.paths.boundaries import Domain, surfaces
from qpot.paths.boundary_exits import exit_near
from qpot.paths.boundary_surfaces import Surface, finite_values
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.exits import cheapest_exit
from qpot.paths.geometric import GeometricAction
from qpot.problem.system import System
from qpot.solvers.common.spending import spending

# Nodes on each axis of the finer of the two grids, by dimension.
_NODES = {1: 1025, 2: 129, 3: 49}
# Seconds of CPU time for the two fields, by dimension.
_SECONDS = {1: 20.0, 2: 20.0, 3: 60.0}
# The field is computed up to this multiple of the cost.
_BEYOND = 1.05
# The grid is widened by these factors, one after the other, until it holds the sublevel set of the cost.
_WIDENINGS = (1.2, 1.8, 3.0)
# The field's error contains this multiple of the difference between the two grids, and this fraction of V.
_SAFETY, _ALLOWANCE = 2.0, 1e-2


def check_exit(
    system: System,
    found: ExitSolution,
    *,
    boundary: Domain,
    nodes: int | None = None,
    budget: float | None = None,
) -> ExitSolution:
    """An exit from `exit_cost` held against a quasi-potential field, in up to three dimensions.

    Parameters
    ----------
    system : System
        Drift and noise.
    found : ExitSolution
        The answer of `exit_cost` for the same system and boundary.
    boundary : Ball, Box, HalfSpace, LossLevel or Region
        Boundary of the domain.
    nodes : int, optional
        Nodes on each axis of the finer grid; by default 1025, 129 or 49 in one, two or three dimensions.
    budget : float, optional
        Seconds of CPU time for the two fields; by default 20, and 60 in three dimensions.

    Returns
    -------
    ExitSolution
        The same exit with ``field_cost`` and ``field_error``. Where the field is lower by more than both errors, the search
        is started again from the field's own path. If that leads to a lower exit, it is the answer and the old one is among
        ``alternatives``; if not, the error covers the difference, and status and ``reason`` say so. Where there can be no
        field, ``reason`` tells why.

    Raises
    ------
    ValueError
        If ``found`` is no `ExitSolution`, ``boundary`` is no domain around its minimum, or ``nodes`` is below 33.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    >>> plane = qpot.HalfSpace(normal=[3.0, 4.0], offset=5.0)
    >>> exit = qpot.check_exit(bowl, qpot.exit_cost(bowl, [0.0, 0.0], boundary=plane), boundary=plane)
    >>> round(exit.field_cost, 2), exit.reason
    (1.0, '')
    """
    if not isinstance(found, ExitSolution):
        raise ValueError(f"found must be the qpot.ExitSolution of qpot.exit_cost, got {found!r}")
    start = found.path.start
    pieces = surfaces(system, boundary, start)
    d = system.dimension
    if d > 3:
        return _without(found, f"fields are for one to three dimensions, this system has {d}")
    if not system.noise.gaussian or not np.isfinite(found.cost):
        return _without(found, "fields are for Gaussian noise and finite costs")
    finest = _NODES[d] if nodes is None else as_count(nodes, name="nodes", minimum=33)
    seconds = _SECONDS[d] if budget is None else as_positive(budget, name="budget")
    with spending(seconds):
        try:
            fine, coarse = _fields(system, found, finest)
        except (ValueError, SolveError) as failure:
            return _without(found, str(failure))
    point, cost = _lowest(fine, pieces)
    _, other = _lowest(coarse, pieces)
    if not np.isfinite(cost):
        # The field does not reach the boundary below its level, which is as much as it can say.
        return replace(found, field_cost=fine.level, field_error=_ALLOWANCE * fine.level)
    difference = abs(cost - other) if np.isfinite(other) else cost
    error = _SAFETY * difference + _ALLOWANCE * cost
    checked = replace(found, field_cost=cost, field_error=error)
    if cost + error >= found.cost - found.error:
        return checked
    return _again(system, checked, boundary, fine, point)


def _again(system: System, found: ExitSolution, boundary: Domain, field: FieldSolution, point: Array) -> ExitSolution:
    """The exit after a search from the field's path to a boundary point where it is lower."""
    method = found.path.method if isinstance(found.path.method, GeometricAction) else GeometricAction()
    curve = field.path_to(point, throw=False).points
    tail = curve[-1] - curve[-2] if len(curve) > 1 else point - found.path.start
    beyond = point + 1e-3 * np.linalg.norm(point - found.path.start) * tail / max(float(np.linalg.norm(tail)), 1e-300)
    other = exit_near(
        system, found.path.start, boundary, np.concatenate([found.path.start[None], curve[1:], beyond[None]]), method
    )
    if other is not None and other.cost < found.cost - found.error:
        best = cheapest_exit([other, replace(found, alternatives=()), *found.alternatives])
        return replace(best, coverage=found.coverage, field_cost=found.field_cost, field_error=found.field_error)
    low = found.field_cost - found.field_error
    return replace(
        found,
        error=max(found.error, found.cost - low),
        status=Status.NOT_CONVERGED,
        reason=f"the field on a grid is {found.field_cost:.6g} at {format_point(point)}, but no path was found there",
    )


def _without(found: ExitSolution, reason: str) -> ExitSolution:
    """The exit as it is, with the reason why it was not checked."""
    said = f"not held against a field: {reason}"
    return replace(found, reason=f"{found.reason}; {said}" if found.reason else said)


def _fields(system: System, found: ExitSolution, nodes: int) -> tuple[FieldSolution, FieldSolution]:
    """The field up to the cost of the exit, on two grids that hold its sublevel set.

    Raises
    ------
    ValueError, SolveError
        As `qpot.quasipotential`, for the widest grid.
    """
    start = found.path.start
    spread = solve_continuous_lyapunov(
        system.unchecked.jacobian(start[None])[0], -system.unchecked.covariance(start[None])[0]
    )
    reach = np.sqrt(2.0 * found.cost * np.maximum(np.diag(spread), 0.0))
    hull = np.concatenate([found.path.points, [start - reach, start + reach]])
    centre, half = 0.5 * (hull.max(axis=0) + hull.min(axis=0)), 0.5 * np.ptp(hull, axis=0)
    highest = _BEYOND * found.cost
    method = CharacteristicJets(estimate_error=False, highest=highest, kinks="refuse")
    fine: FieldSolution | None = None
    for widening in _WIDENINGS:
        lower, upper = centre - widening * half, centre + widening * half
        grids = [Grid(lower, upper, (n,) * len(half)) for n in (nodes, (nodes + 1) // 2)]
        fine, coarse = (quasipotential(system, start, grid, method=method) for grid in grids)
        if fine.level >= found.cost:
            break
    assert fine is not None  # There is at least one grid.
    return fine, coarse


def _lowest(field: FieldSolution, pieces: Sequence[Surface]) -> tuple[Array, float]:
    """The point of the boundary at which the field is least, and its value there; inf where it does not reach it."""
    grid = field.grid
    axes = [np.linspace(a, b, n) for a, b, n in zip(grid.lower, grid.upper, grid.shape, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    best, point = np.inf, np.full(grid.dimension, np.nan)
    for piece in pieces:
        g = finite_values(piece, nodes.reshape(-1, grid.dimension)).reshape(grid.shape)
        for axis in range(grid.dimension):
            (low, high), (x_low, x_high) = (
                [np.moveaxis(a, axis, 0)[part] for part in (slice(None, -1), slice(1, None))] for a in (g, nodes)
            )
            crossed = (low < 0.0) != (high < 0.0)
            crossed &= np.isfinite(low) & np.isfinite(high)
            share = (low[crossed] / (low[crossed] - high[crossed]))[:, None]
            x = x_low[crossed] + share * (x_high[crossed] - x_low[crossed])
            if not len(x):
                continue
            values = np.asarray(field.at(x))
            for k in itertools.islice(np.argsort(np.where(np.isnan(values), np.inf, values)), 1):
                if values[k] < best:
                    best, point = float(values[k]), x[k]
    for piece in pieces:
        if np.isfinite(best) and abs(float(piece.value(point[None])[0])) < 1e-2 * float(
            np.linalg.norm(piece.normal(point))
        ) * float(np.max(grid.upper - grid.lower)):
            try:
                moved = piece.projected(point)
                value = float(field.at(moved)[0])
            except (ValueError, NonFiniteError):
                continue
            if np.isfinite(value) and value <= best * (1.0 + _ALLOWANCE):
                best, point = value, moved
                break
    return point, best
