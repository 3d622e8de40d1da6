"""quasipotential: V(source, x) on a whole grid, in one to three dimensions."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, NonFiniteError, as_points, format_point
from qpot._core.interrupts import failed, interruptible
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import Status
from qpot._core.types import PointLike
from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.charted import field_in_chart, touches_a_side
from qpot.fields.checks import check_memory, check_regular, kink_in
from qpot.fields.grid import Grid
from qpot.fields.methods import FieldMethod
from qpot.fields.run import FieldRun, unfinished
from qpot.fields.solution import FieldSolution
from qpot.fields.sources import as_source_points, attracting_equilibrium, refined_equilibrium
from qpot.problem.arguments import a_flag, a_system, checked
from qpot.problem.system import System
from qpot.solvers.common.spending import left, spent
from qpot.solvers.fields.line import line_quasipotential
from qpot.solvers.fields.marching.splines import MINIMUM_NODES

# A user's function is called with at most so many points at once, which bounds its temporary arrays.
_BATCH = 65536
# The same where time is limited, which is looked at between two calls.
_BATCH_IN_TIME = 4096


@interruptible
@checked(system=a_system, throw=a_flag)
def quasipotential(
    system: System,
    source: PointLike,
    grid: Grid,
    *,
    method: FieldMethod | None = None,
    targets: ArrayLike | None = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> FieldSolution:
    """The quasi-potential of an attractor at every node of a grid.

    Parameters
    ----------
    system : System
        A system of dimension 1, 2 or 3, whose covariance is positive definite on the grid.
    source : array (d,), object with ``.point``, or array (n, 2)
        An attracting equilibrium, or in 2-D at least eight points along an attracting limit cycle.
    grid : Grid
        The nodes at which V is wanted.
    method : FieldMethod, optional
        `CharacteristicJets` (the default) or `OrderedLineIntegral`. Not used in 1-D, where V is a quadrature.
    targets : array (n, d), optional
        Points at which V is wanted. The status is LEFT_DOMAIN if V is above the exit level at one of them.
    progress : callable, True, "auto" or None
        Takes the number of nodes done, the number of all nodes, and what is being done; True shows a bar.
    throw : bool
        Whether to raise `SolveError` on failure; otherwise the solution is returned with its status.

    Returns
    -------
    FieldSolution
        V is known up to the level at which its sublevel set first touches the boundary of the grid. It is nan above that
        level, because cheaper paths may run outside the grid.

    Raises
    ------
    ValueError
        If the source lies outside the grid or close to its boundary, or does not attract; if the covariance is singular
        or a function not finite on the grid; or if the grid is too coarse for the source or too large for the memory.
    SolveError
        With status NOT_CONVERGED if neighbouring rays disagree, LEFT_DOMAIN if V is above the exit level at a target,
        and INTERRUPTED on Ctrl-C. Its ``partial`` is the field as far as it is known.

    Notes
    -----
    The Hamilton-Jacobi equation H(x, grad V) = 0 (Freidlin and Wentzell, Random Perturbations of Dynamical Systems,
    ch. 4) is solved along its characteristics, which carry V with three derivatives. ``docs/field.md`` explains the
    method.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> system = qpot.System(drift=lambda x: -x, covariance=np.eye(2), dimension=2)
    >>> field = qpot.quasipotential(system, (0.0, 0.0), qpot.Grid((-1, -1), (1, 1), 33))
    >>> field.at((0.3, 0.4)).round(3)
    array([0.25])
    """
    if not isinstance(system, System):
        raise ValueError(f"system must be a qpot.System, got {type(system).__name__}")
    if not isinstance(grid, Grid):
        raise ValueError(f"grid must be a qpot.Grid, got {type(grid).__name__}")
    if grid.dimension != system.dimension:
        raise ValueError(
            f"grid has {grid.dimension} axes, the system has dimension {system.dimension}; pass a grid of as many axes"
        )
    chosen: FieldMethod = CharacteristicJets() if method is None else method
    if not isinstance(chosen, FieldMethod):
        raise ValueError(
            f"method must be a field method such as CharacteristicJets() or OrderedLineIntegral(), got {method!r}"
        )
    points = as_source_points(source, grid.dimension)
    wanted = None if targets is None else as_points(targets, dimension=grid.dimension, name="targets")
    if wanted is not None and not grid.contains(wanted).all():
        row = int(np.flatnonzero(~grid.contains(wanted))[0])
        raise ValueError(f"targets: row {row}, {format_point(wanted[row])}, lies outside the {grid}; enlarge the grid")
    check_memory(grid)
    if touches_a_side(system, grid):
        return field_in_chart(
            system, points, grid, wanted,
            lambda inner, x, own, there: quasipotential(
                inner, x, own, method=method, targets=there, progress=progress, throw=throw
            ),
        )  # fmt: skip
    if len(points) == 1:
        points = attracting_equilibrium(system, points[0], grid)[None]
    elif not grid.contains(points).all():
        raise ValueError(f"source: the limit cycle leaves the {grid}; enlarge the grid")
    if grid.dimension == 1:
        field = _on_a_line(system, float(points[0, 0]), grid)
    else:
        with reporting(progress, "quasipotential") as report:
            samples, constant = sampled(system, grid)
            kink = kink_in(samples, grid)
            if kink and chosen.kinks == "refuse":
                raise ValueError(kink)
            if kink:
                warnings.warn(kink, UserWarning, stacklevel=2)
            run = FieldRun(system=system, grid=grid, samples=samples, constant=constant, report=report)
            field = chosen.solve(run, points)
    return _checked(field, chosen, wanted, throw)


def sampled(system: System, grid: Grid) -> tuple[Array, Array | None]:
    """Drift and, unless it is constant, the upper triangle of the covariance at the nodes.

    The user's functions are called with batches of bounded size.

    Returns
    -------
    samples : array (*shape, m)
        The d components of the drift, then the upper triangle of the covariance unless that is constant.
    constant : array (d, d) or None
        The covariance if it is constant.

    Raises
    ------
    ValueError
        If the grid has too few nodes for splines, or if the covariance is not positive definite or a function not
        finite at a node.
    SolveError
        If the time is over, see `qpot.solvers.common.spending`.
    """
    d = grid.dimension
    if min(grid.shape) < MINIMUM_NODES:
        raise ValueError(f"grid has {min(grid.shape)} nodes on an axis; the splines need {MINIMUM_NODES}")
    constant = system.noise.constant
    rows, columns = np.triu_indices(d)
    m = d if constant is not None else d + rows.size
    samples = np.empty((grid.size, m))
    if constant is not None:
        check_regular(constant[None], grid.points(0, 1))
    batch = _BATCH if np.isinf(left()) else _BATCH_IN_TIME
    for start in range(0, grid.size, batch):
        if spent():
            raise unfinished()
        stop = min(start + batch, grid.size)
        x = grid.points(start, stop)
        try:
            samples[start:stop, :d] = system.unchecked.drift(x)
            if constant is None:
                a = system.unchecked.covariance(x)
                check_regular(a, x)
                samples[start:stop, d:] = a[:, rows, columns]
        except NonFiniteError as error:
            raise ValueError(f"{error} (a node of the {grid})") from error
    return samples.reshape(*grid.shape, m), constant


def _on_a_line(system: System, source: float, grid: Grid) -> FieldSolution:
    """V in one dimension, by quadrature."""
    nodes = grid.axes[0]
    check_regular(system.unchecked.covariance(nodes[:, None]), nodes[:, None])
    period = float(grid.upper[0] - grid.lower[0])
    turns = np.array([-period, 0.0, period]) if grid.periodic[0] else np.zeros(1)
    # On a circle a node is reached both ways round, so the circle is unrolled to one period on each side of the source.
    unrolled = (nodes + turns[:, None]).ravel()
    within = np.abs(unrolled - source) <= period if grid.periodic[0] else np.ones(unrolled.size, dtype=bool)
    V, slope, error = line_quasipotential(
        lambda x: system.unchecked.drift(grid.wrap(x[:, None]))[:, 0],
        lambda x: system.unchecked.covariance(grid.wrap(x[:, None]))[:, 0, 0],
        source,
        unrolled[within],
    )
    table = np.full((2, unrolled.size), np.inf)
    table[0, within], table[1, within] = V, slope
    images = table.reshape(2, turns.size, nodes.size)
    cheaper = np.argmin(images[0], axis=0)[None]
    values = np.take_along_axis(images[0], cheaper, axis=0)[0]
    gradient = np.take_along_axis(images[1], cheaper, axis=0)[0]
    # A path that leaves the interval must come back through the end at which it left, so no node can be reached more
    # cheaply from outside and all nodes are known.
    return FieldSolution(
        values=values,
        gradient=gradient[:, None],
        grid=grid,
        source=np.array([source]),
        status=Status.CONVERGED,
        error=error,
        errors=np.full(grid.shape, error),
        level=float(values.max()),
        method=None,
        exact_order=np.ones(grid.shape, dtype=bool),
        system=system,
    )


def _checked(field: FieldSolution, method: FieldMethod, targets: Array | None, throw: bool) -> FieldSolution:
    """The field, with status LEFT_DOMAIN if V is unknown at a target; raises `SolveError` on failure if ``throw``."""
    if not isinstance(field, FieldSolution):
        raise ValueError(f"the field method {type(method).__name__} returned {field!r}, expected a qpot.FieldSolution")
    status = field.status
    message = "" if status is Status.CONVERGED else method.failure(field)
    if status is Status.CONVERGED and targets is not None:
        beyond = ~np.isfinite(field.at(targets))
        if beyond.any():
            row = int(np.flatnonzero(beyond)[0])
            status = Status.LEFT_DOMAIN
            message = f"target {format_point(targets[row])}: {status} (level {field.level:.6g})"
            field = FieldSolution(**{**field.__dict__, "status": status})
    if throw and status is not Status.CONVERGED:
        raise failed(message, status=status, partial=field)
    return field


__all__ = ["quasipotential", "refined_equilibrium", "sampled"]
