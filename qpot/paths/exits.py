"""boundary_exit: the search for the cheapest point of a boundary, and what it costs the noise to get there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, BoundsLike, as_point, as_positive, as_rng, format_point
from qpot._core.progress import ProgressCallback, ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike, SeedLike
from qpot.landscape.attractor import attracting_point
from qpot.landscape.basins import basin_of
from qpot.landscape.minima import find_minima
from qpot.landscape.points import Saddle
from qpot.landscape.saddles import find_saddles
from qpot.paths.boundaries import Domain, surfaces
from qpot.paths.boundary_exits import exits_over
from qpot.paths.cycle_exit import exit_onto_cycle
from qpot.paths.degenerate_pass import climb_to_degenerate
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.geometric import GeometricAction
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.solvers.common.held import stationary_covariance

# CPU seconds of the search over a boundary where no budget is given: so many, and so many more for each dimension.
_BUDGET = 20.0
_BUDGET_PER_DIMENSION = 5.0


@in_natural_units("minimum", "boundary", "saddles")
def boundary_exit(
    system: System,
    minimum: PointLike,
    *,
    boundary: Domain | str,
    method: GeometricAction | None = None,
    saddles: Sequence[Saddle] | None = None,
    bounds: BoundsLike | None = None,
    budget: float | None = None,
    rng: SeedLike = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> ExitSolution:
    """The search of `qpot.exit_cost`, which holds its answer against a field; same arguments, errors and result."""
    chosen = GeometricAction() if method is None else method
    if not isinstance(chosen, GeometricAction):
        raise ValueError(f"method must be a qpot.GeometricAction, got {method!r}")
    start = named_minimum(system, minimum)
    d = system.dimension
    seconds = _BUDGET + _BUDGET_PER_DIMENSION * d if budget is None else as_positive(budget, name="budget")
    with reporting(progress, "exit cost") as report:
        if isinstance(boundary, str):
            if boundary != "basin":
                raise ValueError(f"boundary={boundary!r}; the only named boundary is 'basin'")
            found = _over_saddles(system, start, chosen, saddles, bounds, report)
            if bounds is not None:
                shape = local_covariance(system, start)
                found += exit_onto_cycle(system, start, bounds, chosen, shape, seconds, as_rng(rng), report)
        else:
            pieces = surfaces(system, boundary, start)
            found = exits_over(
                system,
                start,
                pieces,
                boundary,
                chosen,
                local_covariance(system, start),
                seconds,
                as_rng(rng),
                report,
            )
    if not found:
        raise SolveError(
            f"no way from {format_point(start)} to the boundary {boundary!r} was found; enlarge bounds or pass saddles",
            status=Status.NO_ROUTE,
        )
    return solved(cheapest_exit(found), throw)


def solved(found: ExitSolution, throw: bool) -> ExitSolution:
    """An exit as it is; with ``throw`` one that is not solved is raised as an error."""
    if throw and not found.status.ok:
        raise SolveError(
            f"the exit from {format_point(found.path.start)}: {found.status} (cost {found.cost:.6g}, "
            f"error {found.error:.2g})",
            status=found.status,
            partial=found,
        )
    return found


def cheapest_exit(found: Sequence[ExitSolution]) -> ExitSolution:
    """The cheapest exit, with the others as alternatives.

    Where another one did not converge and may cost less, the error covers that, and the status says so.
    """
    ordered = sorted(found, key=lambda e: (e.cost, not e.status.ok))
    best = ordered[0]
    if not best.status.ok:
        # A converged exit that costs the same within the errors is as good an answer.
        equal = [e for e in ordered if e.status.ok and e.cost - e.error <= best.cost]
        best = equal[0] if equal else best
    others = [e for e in ordered if e is not best]
    lower = [e.cost - e.error for e in others if not e.status.ok]
    possible = min(lower, default=np.inf)
    status, error, reason = best.status, best.error, best.reason
    if best.status.ok and possible < best.cost - best.error:
        error, status = best.cost - possible, Status.NOT_CONVERGED
        reason = "another exit did not converge and may cost less" + (f"; {reason}" if reason else "")
    return replace(best, alternatives=tuple(others), status=status, error=error, reason=reason)


def named_minimum(system: System, minimum: PointLike) -> Array:
    """The attracting fixed point at ``minimum``, polished by Newton's method."""
    point = as_point(minimum, dimension=system.dimension, name="minimum")
    return attracting_point(system, point, reach=1e-4 * (1.0 + float(np.abs(point).max())), name="minimum")


def _over_saddles(
    system: System,
    start: Array,
    method: GeometricAction,
    saddles: Sequence[Saddle] | None,
    bounds: BoundsLike | None,
    report: ProgressCallback,
) -> list[ExitSolution]:
    if saddles is None:
        if bounds is None:
            raise ValueError("boundary='basin' needs bounds= to search for saddles in, or saddles=")
        saddles = find_saddles(system, find_minima(system, bounds), bounds)
    found = []
    out = leading_out(system, start, saddles)
    for k, saddle in enumerate(out):
        report(k, len(out), "saddles")
        if saddle.below is not None:
            inside = basin_of(system, np.array(saddle.below), start[None]) == 0
            path = climb_to_degenerate(system, start, saddle, -1.0 if inside[0] else 1.0, method)
        else:
            path = method.up(system, start, saddle.point, saddle.direction)
        found.append(
            ExitSolution(cost=path.action, error=path.error, point=saddle.point, path=path, status=path.status)
        )
    return found


def leading_out(system: System, start: Array, saddles: Sequence[Saddle]) -> list[Saddle]:
    """The saddles that have the basin of ``start`` on one side only, so that the way over them leads out of it."""
    kept = []
    for saddle in saddles:
        beside = saddle.below or beside_saddle(start, saddle.point, saddle.direction)
        if on_one_side(system, start, np.array(beside)):
            kept.append(saddle)
    return kept


def beside_saddle(start: Array, point: Array, direction: Array) -> tuple[Array, Array]:
    """The points next to a saddle on both of its sides."""
    shift = 1e-4 * np.linalg.norm(point - start) * direction
    return point + shift, point - shift


def on_one_side(system: System, start: Array, beside: Array) -> bool:
    """Whether exactly one of the points (2, d) on the sides of a saddle lies in the basin of ``start``."""
    return int((basin_of(system, beside, start[None]) == 0).sum()) == 1


def local_covariance(system: System, point: Array) -> Array:
    """The solution S (d, d) of J S + S J^T + a = 0, with which V = dx^T S^{-1} dx / 2 to second order at a minimum."""
    J, a = system.unchecked.jacobian(point[None])[0], system.unchecked.covariance(point[None])[0]
    return np.asarray(stationary_covariance(J, a), dtype=np.float64)
