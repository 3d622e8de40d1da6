"""check_exit: the cheapest exit from a domain held against a quasi-potential field on a grid.

The search over a boundary is one of local minima. A field takes the infimum over all paths, so that a boundary point where it
is lower than the answer is an exit that the search has missed, and the search is started again from there.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, as_count, as_positive, format_point
from qpot._core.interrupts import interruptible
from qpot._core.status import SolveError, Status
from qpot.paths.boundaries import Domain, surfaces
from qpot.paths.boundary_exits import as_exit, exit_near
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.exits import cheapest_exit
from qpot.paths.geometric import GeometricAction
from qpot.prediction.exit_fields import FieldReading, Lowest, field_reading
from qpot.prediction.exit_rims import lowest_on_surfaces, lowest_way_out, uphill_direction
from qpot.prediction.field_answers import NODES, impossible
from qpot.problem.arguments import a_system, checked
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.solvers.common.spending import left, spending
from qpot.solvers.problem.lagrangian import SingularCovarianceError

# Seconds of CPU time for the fields, by dimension, where no budget is given.
_SECONDS = {1: 20.0, 2: 20.0, 3: 60.0}
# A search is started where a field is lower by more than this fraction.
_WORTH = 5e-3
# So much of the time that is left goes into following the field's path backwards.
_WALK = 0.2
# The path from a field's lowest point goes on beyond the boundary by this part of its distance.
_ONWARD = 1e-3


@interruptible
@checked(system=a_system)
def check_exit(
    system: System,
    found: ExitSolution,
    *,
    boundary: Domain | str,
    nodes: int | None = None,
    budget: float | None = None,
) -> ExitSolution:
    """An exit held against a quasi-potential field, in up to three dimensions.

    `exit_cost` does this by itself; the function is for exits that were found with ``second_opinion=False``, or for more
    nodes or more time.

    Parameters
    ----------
    system : System
        Drift and noise.
    found : ExitSolution
        The answer of `exit_cost` for the same system and boundary.
    boundary : Ball, Box, HalfSpace, LossLevel, Region or "basin"
        Boundary of the domain.
    nodes : int, optional
        Nodes on each axis of the finer grid; by default 1025, 129 or 49 in one, two or three dimensions.
    budget : float, optional
        Seconds of CPU time for the fields; by default 20, and 60 in three dimensions.

    Returns
    -------
    ExitSolution
        The same exit with ``field_cost`` and ``field_error``. Where the field is lower by more than both errors, the search
        is started again from the field's own path. If that leads to a lower exit, it is the answer and the old one is among
        ``alternatives``; if not, and a finer field says the same, the error covers the difference, and status and
        ``reason`` say so. Where there is no field, ``field_reason`` tells why.

    Raises
    ------
    ValueError
        If ``found`` is no `ExitSolution`, ``boundary`` is no domain around its minimum, or ``nodes`` is below 33.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    >>> plane = qpot.HalfSpace(normal=[3.0, 4.0], offset=5.0)
    >>> exit = qpot.exit_cost(bowl, [0.0, 0.0], boundary=plane, second_opinion=False)
    >>> checked = qpot.check_exit(bowl, exit, boundary=plane)
    >>> round(checked.field_cost, 2), checked.field_reason
    (1.0, '')
    """
    if not isinstance(found, ExitSolution):
        raise ValueError(f"found must be the qpot.ExitSolution of qpot.exit_cost, got {found!r}")
    count = None if nodes is None else as_count(nodes, name="nodes", minimum=33)
    seconds = _SECONDS.get(system.dimension, 0.0) if budget is None else as_positive(budget, name="budget")
    return _in_units(system, found.path.start, found=found, boundary=boundary, nodes=count, seconds=seconds)


@in_natural_units("minimum", "boundary", "found")
def _in_units(
    system: System, minimum: Array, *, found: ExitSolution, boundary: Domain | str, nodes: int | None, seconds: float
) -> ExitSolution:
    return held_against_field(system, found, boundary, seconds, nodes=nodes)


def held_against_field(
    system: System, found: ExitSolution, boundary: Domain | str, seconds: float, *, nodes: int | None = None
) -> ExitSolution:
    """The work of `check_exit`, in the units of the system as it is."""
    start, d = found.path.start, system.dimension
    lowest: Lowest
    if boundary == "basin":
        lowest = partial(lowest_way_out, system, start)
    else:
        lowest = partial(lowest_on_surfaces, surfaces(system, boundary, start))
    none = impossible(system) or ("" if np.isfinite(found.cost) else "fields are for finite costs")
    if none:
        return replace(found, field_reason=none)
    count = NODES[d] if nodes is None else nodes
    with spending(seconds):
        reading = field_reading(system, found, lowest, count)
        if reading.reason:
            # A real path that is cheaper is an answer, whatever showed the way.
            better = _from_field(system, found, boundary, reading)
            return replace(found if better is None else better, field_reason=reading.reason)
        if not _lower(reading, found):
            return _with_opinion(found, reading)
        better = _from_field(system, found, boundary, reading)
        if better is not None:
            return _with_opinion(better, reading)
        finer = field_reading(system, found, lowest, 2 * count - 1)
    if not finer.reason and not _lower(finer, found):
        return _with_opinion(found, finer)
    return _contradicted(found, reading if finer.reason else finer)


def _lower(reading: FieldReading, found: ExitSolution) -> bool:
    """Whether a field contradicts an exit."""
    return reading.cost + reading.error < found.cost - found.error


def _with_opinion(found: ExitSolution, reading: FieldReading) -> ExitSolution:
    return replace(found, field_cost=reading.cost, field_error=reading.error)


def _from_field(
    system: System, found: ExitSolution, boundary: Domain | str, reading: FieldReading
) -> ExitSolution | None:
    """The exit to which a search leads from where a field is lower; None where it is not cheaper."""
    if reading.field is None or not reading.cost < (1.0 - _WORTH) * found.cost - found.error:
        return None
    method = found.path.method if isinstance(found.path.method, GeometricAction) else GeometricAction()
    try:
        other = _searched(system, boundary, reading, method)
    except (NonFiniteError, SingularCovarianceError, SolveError):
        return None
    if other is None or not other.cost < found.cost - found.error:
        return None
    return with_cheaper(found, other)


def with_cheaper(found: ExitSolution, other: ExitSolution) -> ExitSolution:
    """A cheaper exit, with the one that was found before and its alternatives among those of its own."""
    best = cheapest_exit([other, replace(found, alternatives=()), *found.alternatives])
    # What was in doubt about the domain is so for the cheaper exit too.
    return replace(best, coverage=found.coverage, reason=best.reason or found.reason)


def _searched(
    system: System, boundary: Domain | str, reading: FieldReading, method: GeometricAction
) -> ExitSolution | None:
    assert reading.field is not None  # It was asked for before.
    start, point = np.atleast_2d(reading.field.source)[0], reading.point
    if isinstance(boundary, str):
        saddles = [p.point for p in reading.field.passages if np.array_equal(p.point, point)]
        return as_exit(method.up(system, start, point, uphill_direction(system, point))) if saddles else None
    with spending(_WALK * left()):
        # As much of the path as there is, and a straight piece for the rest.
        curve = reading.field.path_to(point, throw=False).points
    tail = curve[-1] - curve[-2] if len(curve) > 1 else point - start
    onward = _ONWARD * np.linalg.norm(point - start) * tail / max(float(np.linalg.norm(tail)), 1e-300)
    return exit_near(system, start, boundary, np.concatenate([start[None], curve[1:], (point + onward)[None]]), method)


def _contradicted(found: ExitSolution, reading: FieldReading) -> ExitSolution:
    """An exit that fields on three grids contradict, although no path to a lower one was found."""
    contradiction = (
        f"a field on a grid is {reading.cost:.4g} +- {reading.error:.1g} at {format_point(reading.point)} on the "
        "boundary, but no path was found there"
    )
    return contradicted(_with_opinion(found, reading), reading.cost - reading.error, contradiction)


def contradicted(found: ExitSolution, least: float, contradiction: str) -> ExitSolution:
    """An exit whose error reaches down to the least cost that something else tells, with a sentence about that."""
    return replace(
        found,
        error=max(found.error, found.cost - least),
        status=Status.NOT_CONVERGED,
        reason=f"{found.reason}; {contradiction}" if found.reason else contradiction,
    )
