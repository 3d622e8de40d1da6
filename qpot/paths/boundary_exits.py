"""Exits through a boundary: the local minimisers that the global search finds, refined as far as they matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.paths.boundaries import Domain, surfaces
from qpot.paths.boundary_basin import beyond, doubt_of_basin, doubt_of_passes, sides_of
from qpot.paths.boundary_descent import exit_at
from qpot.paths.boundary_fixed_ends import exits_at_fixed_ends
from qpot.paths.boundary_samples import boundary_samples, first_hits
from qpot.paths.boundary_search import (
    SLACK,
    BoundaryProblem,
    CoarseExit,
    ExitSearch,
    coarse_exit,
    in_order,
    searched,
)
from qpot.paths.boundary_surfaces import Surface, ZeroSet, first_exit
from qpot.paths.exit_line import exit_on_a_line
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.finish import refined
from qpot.paths.geometric import GeometricAction
from qpot.paths.infinite import blocked_interval, infinite_leg, interpolating_minimum
from qpot.paths.jumps import crosses, leg_over_jumps
from qpot.paths.methods import quiet
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import uphill_leg
from qpot.problem.noise import singular_covariance
from qpot.problem.system import System
from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.problem.lagrangian import DiffusionLagrangian, Lagrangian, SingularCovarianceError

# Exits whose coarse cost exceeds the lowest by less than this fraction may be the cheapest.
_CLOSE = 0.02
# So many of them are refined to the method's tolerance.
_REFINED = 3
# So many others are kept, solved to this tolerance.
_KEPT = 3
_ROUGH = 1e-3
# A cost that is higher than a bound by less than this fraction agrees with it.
_ROUNDING = 1e-9
# A refined path may leave the domain before its end so many times.
_CUTS = 3


def exits_over(
    system: System,
    start: Array,
    pieces: list[Surface],
    boundary: Domain | str,
    method: GeometricAction,
    shape: Array,
    budget: float,
    rng: np.random.Generator,
    report: ProgressCallback,
) -> list[ExitSolution]:
    """Local minimisers of V over the boundary, with the coverage of the search in each."""
    lagrangian = _lagrangian(system, start)
    if system.dimension == 1:
        return _on_a_line(system, start, pieces, boundary, method)
    samples = boundary_samples(system, lagrangian, pieces, start, shape, rng)
    if not len(samples.points):
        return []
    for k in {int(k) for k in samples.pieces}:
        piece = pieces[k]
        if isinstance(piece, ZeroSet):
            piece.check(samples.points[samples.pieces == k][0])
    nearest = samples.points[int(np.argmin(samples.costs))]
    reason = interpolating_minimum(system, start, nearest)
    if reason is not None:
        return [as_exit(infinite_leg(start, nearest, reason, method))]
    problem = BoundaryProblem.of(system, lagrangian, start, pieces)
    order = in_order(problem, samples, rng)
    sides = sides_of(system, start, samples, order)
    # What is not known to lie elsewhere is searched too, after what lies in the basin.
    inside = [*sides.home, *sides.undecided]
    if not inside:
        raise beyond(start, samples.points[sides.elsewhere[0]], boundary)
    if system.noise.singular_at(start):
        return exits_at_fixed_ends(problem, samples, inside, [], method, shape, budget, report)
    problem = replace(problem, jumps=crosses(system, list(samples.curves[inside])))
    search = searched(problem, samples, inside, budget, report)
    if not search.exits:
        return exits_at_fixed_ends(problem, samples, inside, search.failures, method, shape, budget, report)
    found = _refined(problem, search, method, shape, report)
    best = min(found, key=lambda e: e.cost)
    doubt = doubt_of_basin(system, start, best.point, boundary) or doubt_of_passes(
        system, lagrangian, start, samples, sides, boundary, best.cost, method
    )
    found = [with_doubt(e, doubt) for e in found]
    bound = _bound_by_the_loss(system, start, samples.points[sides.home])
    if bound < best.cost - best.error - _ROUNDING * abs(best.cost):
        reason = f"a sample of the boundary costs at most {bound:.6g}, so that a cheaper exit was missed"
        found = [with_doubt(e, reason) for e in found]
    return found


def _lagrangian(system: System, start: Array) -> Lagrangian:
    """The Lagrangian, also where a constant covariance is singular: then it is defined for no curve, and paths need none."""
    f = system.unchecked
    if system.noise.constant is not None and system.noise.singular_at(start):
        return DiffusionLagrangian(f.drift, f.jacobian, f.covariance, None, f.moments)
    return system.noise.lagrangian(f)


def exit_near(
    system: System, start: Array, boundary: Domain, curve: Array, method: GeometricAction
) -> ExitSolution | None:
    """The local minimiser over the boundary that a search finds from a curve (n, d) that leaves the domain, or None."""
    pieces = surfaces(system, boundary, start)
    left = first_exit(pieces, curve, slack=0.0)
    if left is None:
        return None
    piece, point, count = left
    inside = np.concatenate([curve[:count], point[None]])
    problem = BoundaryProblem.of(system, system.noise.lagrangian(system.unchecked), start, pieces)
    problem = replace(problem, jumps=crosses(system, [inside]))
    coarse = coarse_exit(problem, piece, inside)
    shape = stationary_covariance(
        system.unchecked.jacobian(start[None])[0], system.unchecked.covariance(start[None])[0]
    )
    return None if coarse is None else refined_exit(problem, coarse, method, np.asarray(shape, dtype=np.float64))


def _bound_by_the_loss(system: System, start: Array, points: Array) -> float:
    """Twice the least rise of the loss to points (n, d) of the basin, over the noise, where that is V; inf elsewhere.

    Under isotropic noise the descent from a point, followed backwards, costs that much and leaves the domain no later.
    """
    a = system.noise.constant
    isotropic = a is not None and np.array_equal(a, a[0, 0] * np.eye(len(a)))
    if not (system.gradient_drift and isotropic and system.noise.gaussian and system.loss is not None and len(points)):
        return np.inf
    try:
        losses = system.unchecked.loss(np.concatenate([start[None], points]))
    except NonFiniteError:
        return np.inf
    assert a is not None  # It is isotropic.
    return float(2.0 * (losses[1:].min() - losses[0]) / a[0, 0])


def as_exit(path: PathSolution) -> ExitSolution:
    """The exit at the end of a path."""
    return ExitSolution(cost=path.action, error=path.error, point=path.end, path=path, status=path.status)


def with_doubt(found: ExitSolution, doubt: str) -> ExitSolution:
    """An exit whose reason also gives a ``doubt``; an empty one changes nothing."""
    return replace(found, reason="; ".join(filter(None, [found.reason, doubt])))


def _on_a_line(
    system: System, start: Array, pieces: list[Surface], boundary: Domain | str, method: GeometricAction
) -> list[ExitSolution]:
    """The two exits of an interval, or one where the other side is open."""
    a = system.unchecked.covariance(start[None])[0, 0, 0]
    rate = abs(float(system.unchecked.jacobian(start[None])[0, 0, 0]))
    reach = float(np.sqrt(a / (2.0 * rate))) or 1.0
    directions = np.array([[-1.0], [1.0]])
    owner, points = first_hits(pieces, np.stack([start, start]), directions, reach)
    ends = [point for k, point in zip(owner, points, strict=True) if k >= 0]
    doubt = "; ".join(filter(None, [doubt_of_basin(system, start, end, boundary) for end in ends]))
    found = []
    for end in ends:
        blocked = blocked_interval(system, start, end) or interpolating_minimum(system, start, end)
        if blocked is not None:
            path: PathSolution | None = infinite_leg(start, end, blocked, method)
        elif system.noise.gaussian:
            path = exit_on_a_line(system, start, end, method)
        else:
            path = uphill_leg(system, start, end, method=method, end_is_fixed=False, report=quiet)
        assert path is not None  # No limit was set.
        found.append(with_doubt(as_exit(path), doubt))
    return found


def _refined(
    problem: BoundaryProblem, search: ExitSearch, method: GeometricAction, shape: Array, report: ProgressCallback
) -> list[ExitSolution]:
    """The exits that may be the cheapest to the method's tolerance, and some of the others to a few digits."""
    lowest = min(e.action for e in search.exits)
    close = [e for e in search.exits if e.action <= (1.0 + _CLOSE) * lowest]
    open_ = [e for e in search.exits if not e.settled and e not in close]
    rough = replace(method, tolerance=max(_ROUGH, method.tolerance))
    plan = [(e, method) for e in close[:_REFINED]] + [(e, rough) for e in close[_REFINED : _REFINED + _KEPT]]
    plan += [(e, rough) for e in search.exits if e not in close and e.settled][:_KEPT]
    plan += [(e, rough) for e in open_]
    found: list[ExitSolution] = []
    for k, (candidate, how) in enumerate(plan):
        report(k, len(plan), "refining exits")
        exit_ = refined_exit(problem, candidate, how, shape)
        if exit_.cost < min((e.cost for e in found if e.path.method is method), default=np.inf) and how is rough:
            exit_ = refined_exit(problem, candidate, method, shape)
        if not any(_same(exit_, other, problem.start) for other in found):
            found.append(exit_)
    return [replace(e, coverage=search.coverage(), reason=search.doubt()) for e in found]


def _same(first: ExitSolution, second: ExitSolution, start: Array) -> bool:
    return bool(np.linalg.norm(first.point - second.point) <= 1e-4 * np.linalg.norm(second.point - start))


def refined_exit(problem: BoundaryProblem, coarse: CoarseExit, method: GeometricAction, shape: Array) -> ExitSolution:
    """One exit refined to the method's tolerance, by a path with a free end, or else by one with a fixed end."""
    system, start = problem.system, problem.start
    for _ in range(_CUTS):
        piece = problem.pieces[coarse.piece]
        ends = FreeEnds(None, piece, False)
        if problem.jumps:
            broken = leg_over_jumps(
                system,
                [coarse.path.nodes],
                slow_start=problem.slow,
                slow_end=0.0,
                method=method,
                report=quiet,
                surface=piece,
            )
            if broken is not None:
                return exit_at(broken, piece, method, shape)
        try:
            path = refined(system, problem.lagrangian, coarse.path, problem.slow, 0.0, method, ends)
        except SingularCovarianceError as error:
            raise singular_covariance(error) from error
        span = float(np.linalg.norm(path.end - start))
        left = first_exit(problem.pieces, path.points, slack=SLACK * span)
        if left is None:
            break
        shorter = coarse_exit(problem, left[0], np.concatenate([path.points[: left[2]], left[1][None]]))
        if shorter is None:
            break
        coarse = shorter
    if not path.status.ok:
        # With its end held the path may converge where the end slides to and fro.
        fixed = uphill_leg(
            system,
            start,
            path.end,
            method=replace(method, starts=1),
            curves=[path.points],
            end_is_fixed=False,
            report=quiet,
        )
        assert fixed is not None  # No limit was set.
        if fixed.status is Status.CONVERGED and fixed.action <= path.action + fixed.error:
            path = fixed
    return exit_at(path, piece, method, shape)
