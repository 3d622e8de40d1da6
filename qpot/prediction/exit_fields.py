"""The least quasi-potential over a boundary, read off fields on two grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import SolveError, Status
from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.grid import Grid
from qpot.fields.methods import FieldMethod
from qpot.fields.ordered_line_integral import OrderedLineIntegral
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.exits import local_covariance
from qpot.prediction.field_answers import VAGUE, WIDENINGS, error_of_two_grids
from qpot.problem.system import System

# A field is computed up to this multiple of the cost.
_BEYOND = 1.05

# The point of the boundary at which a field is least, and its value there; inf where the field does not reach it.
Lowest = Callable[[FieldSolution], tuple[Array, float]]


class FieldReading(NamedTuple):
    """What fields say about an exit.

    ``cost`` is the least V over the boundary, at ``point``, within ``error``; ``field`` is that on the finer grid. Where
    there is no opinion ``reason`` tells why and the error is NaN. A field that cannot be trusted may still show where to
    search; it is None where there is none at all.
    """

    point: Array
    cost: float
    error: float
    field: FieldSolution | None
    reason: str = ""


def field_reading(system: System, found: ExitSolution, lowest: Lowest, nodes: int) -> FieldReading:
    """The least V over a boundary by fields with ``nodes`` on each axis and with half as many, up to the cost of an exit."""
    highest = _BEYOND * found.cost
    methods: list[FieldMethod] = [CharacteristicJets(estimate_error=False, highest=highest, kinks="refuse")]
    if system.dimension == 2:
        # Where rays disagree or leave nodes open, as where rates are far apart, straight pieces still give a first-order
        # answer, and the two grids its error. In 3-D they take longer than the search, and such grids do not resolve V.
        methods.append(OrderedLineIntegral(highest=highest))
    hint = _hint("", None, lowest)
    for method in methods:
        try:
            return _read(found, lowest, *_fields(system, found, nodes, method))
        except ValueError as failure:
            return hint._replace(reason=hint.reason or str(failure))
        except SolveError as failure:
            if failure.status is not Status.NOT_CONVERGED:
                return hint._replace(reason=str(failure))
            if hint.field is None:
                hint = _hint(str(failure), failure.partial, lowest)
    return hint


def _hint(reason: str, field: FieldSolution | None, lowest: Lowest) -> FieldReading:
    """What a field that is no opinion, for this reason, shows of where to search."""
    point, cost = (np.zeros(0), np.inf) if field is None else lowest(field)
    return FieldReading(point, cost, np.nan, field if np.isfinite(cost) else None, reason)


def _fields(
    system: System, found: ExitSolution, nodes: int, method: FieldMethod
) -> tuple[FieldSolution, FieldSolution]:
    """The field up to the cost of the exit on a finer and a coarser grid that hold its sublevel set, if that is possible.

    Raises
    ------
    ValueError, SolveError
        As `qpot.quasipotential`.
    """
    start = found.path.start
    spread = local_covariance(system, start)
    reach = np.sqrt(2.0 * found.cost * np.maximum(np.diag(spread), 0.0))
    hull = np.concatenate([found.path.points, [start - reach, start + reach]])
    centre, half = 0.5 * (hull.max(axis=0) + hull.min(axis=0)), 0.5 * np.ptp(hull, axis=0)
    for widening in WIDENINGS:
        lower, upper = centre - widening * half, centre + widening * half
        coarse, fine = (Grid(lower, upper, (n,) * start.size) for n in ((nodes + 1) // 2, nodes))
        # The coarser grid is the quicker one to show that both are too small, or that rays disagree.
        coarse_field = quasipotential(system, start, coarse, method=method)
        if coarse_field.level < found.cost and widening != WIDENINGS[-1]:
            continue
        fine_field = quasipotential(system, start, fine, method=method)
        if fine_field.level >= found.cost:
            break
    return fine_field, coarse_field


def _read(found: ExitSolution, lowest: Lowest, fine: FieldSolution, coarse: FieldSolution) -> FieldReading:
    """The lower of what two fields say, with the error that their difference tells."""
    point, cost = lowest(fine)
    _, other = lowest(coarse)
    error = error_of_two_grids(cost, other) if np.isfinite([cost, other]).all() else np.nan
    reason = ""
    if not np.isfinite(cost) and fine.level < found.cost:
        reason = f"V leaves the {fine.grid} at level {fine.level:.6g}, before it reaches the boundary"
    elif not np.isfinite(cost):
        reason = f"the field is not resolved: it reaches no boundary below {fine.level:.6g}, and a path does"
    elif not np.isfinite(other):
        reason = f"the {coarse.grid} is too coarse to check the field at the boundary"
    elif error > VAGUE * cost:
        reason = f"two grids differ too much at the boundary: V is {cost:.4g} +- {error:.1g} there"
    elif cost - error > found.cost + found.error:
        reason = f"the field is not resolved: it is {cost:.4g} at the boundary, and a path costs {found.cost:.4g}"
    return _hint(reason, fine, lowest) if reason else FieldReading(point, cost, error, fine)
