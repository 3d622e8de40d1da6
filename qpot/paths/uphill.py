"""One uphill leg: the cheapest path of the noise between two fixed ends, over several initial curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.interrupts import keeping
from qpot._core.status import SolveError
from qpot.landscape.flow import slow_rate
from qpot.paths.degenerate import hypoelliptic_leg
from qpot.paths.finish import DEGREE, ELEMENTS_FOCUS, SAME_CURVE, Finish, answer, cheapest
from qpot.paths.free_passage import free_passage_leg, singular_pass, weak_pass
from qpot.paths.gradient_climb import gradient_climb
from qpot.paths.infinite import blocked_interval, infinite_leg, interpolating_minimum, no_feasible_path, no_return
from qpot.paths.invariant_subspace import leg_in_subspace
from qpot.paths.jumps import crosses, leg_over_jumps
from qpot.paths.large_leg import LatestPath
from qpot.paths.line import gaussian_line_leg, hugs_the_hull, line_leg
from qpot.paths.methods import LegMethod, Report
from qpot.paths.solution import PathSolution
from qpot.paths.starts import initial_curves, reversed_relaxations
from qpot.paths.vanishing_ridge import vanishing_ridge
from qpot.paths.vanishing_wall import vanishing_wall
from qpot.paths.weak_noise import with_weak_noise
from qpot.problem.noise import singular_covariance
from qpot.problem.system import System
from qpot.solvers.paths import action_minimization, path_refinement
from qpot.solvers.paths.elements import ElementPath, curve_distance
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.problem.lagrangian import Lagrangian, SingularCovarianceError

# Elements of a coarse path.
_ELEMENTS = 24
# A curve that winds has one for every such angle, in radians, and so many at most.
_TURN, _MOST_ELEMENTS = 1.5, 240
# Coarse paths are compared after so many iterations: one that runs into a known minimiser need not be finished.
_FIRST_LOOK = 10
# Most iterations for a coarse path. It may creep along the time-shift mode for hundreds of steps; the refinement, which
# adapts the mesh, does better from where it stands.
_COARSE_ITERATIONS = 50
# Actions of coarse paths are good to a few digits: they are the same if they differ by less than this fraction.
_SAME_ACTION = 5e-3
# Most coarse minimisers that are refined.
_KEPT = 4


def uphill_leg(
    system: System,
    start: Array,
    end: Array,
    *,
    method: LegMethod,
    curves: Sequence[Array] = (),
    directions: Array | None = None,
    relaxations: Sequence[Array] | None = None,
    end_is_fixed: bool,
    report: Report,
    below: float = np.inf,
) -> PathSolution | None:
    """The cheapest path from the fixed point ``start`` to ``end``, over several initial curves.

    Parameters
    ----------
    curves : sequence of arrays (n, d)
        Initial curves that are tried before the library's own.
    directions : array (m, d), optional
        Unit vectors along which to leave ``end`` when relaxing from it (the unstable direction of a saddle).
    relaxations : sequence of arrays (n, d), optional
        The `reversed_relaxations`, where they are known already.
    end_is_fixed : bool
        Whether ``end`` is a fixed point of the drift, which is reached in infinite time.
    below : float
        Paths whose coarse action is not below this are not refined. None is returned if there is no other.

    Raises
    ------
    ValueError
        If the covariance is singular, a user function returns NaN on every initial curve, or an end has a flat direction.
    """
    inside, found = leg_in_subspace(
        system,
        start,
        end,
        method,
        lambda reduced, x, y, into: uphill_leg(
            reduced,
            x,
            y,
            method=method,
            curves=[into(curve - start) for curve in curves],
            directions=None if directions is None else into(directions),
            end_is_fixed=end_is_fixed,
            report=report,
            below=below,
        ),
    )
    if inside:
        return found
    blocked = (
        no_return(system, start, end)
        or blocked_interval(system, start, end)
        or interpolating_minimum(system, start, end)
        or (vanishing_ridge(system, start, end) if end_is_fixed else None)
        or vanishing_wall(system, start, end)
    )
    if blocked is not None:
        return infinite_leg(start, end, blocked, method)
    report(0, 1, "quadrature" if start.size == 1 else "ends")
    line = gaussian_line_leg(system, start, end, method)
    if line is not None:
        return line if line.action < below or np.isinf(below) else None
    passage = weak_pass(system, start, end) if end_is_fixed else None
    beside: PathSolution | None = None
    if passage is not None:
        try:
            beside = free_passage_leg(
                system, start, passage.end, curves=curves, method=method, report=report, below=below
            )
        except SolveError as error:
            if passage.none:
                # Noise that vanishes on the whole ridge, but too slowly to stop a path, is refused with its ways out.
                raise singular_pass(system, end, error) from error
        if passage.none:
            return beside
    try:
        across = _over_the_saddle(
            system,
            start,
            end,
            method=method,
            curves=curves,
            directions=directions,
            relaxations=relaxations,
            end_is_fixed=end_is_fixed,
            report=report,
            below=below,
        )
    except (ValueError, SolveError):
        # With a fixed end a covariance that is singular somewhere on the way is refused.
        if beside is None or not beside.status.ok:
            raise
        return beside
    if beside is None or across is None:
        return across if beside is None else beside
    same = across.action >= beside.action - beside.error - method.tolerance * beside.action
    if beside.status.ok and same and not across.status.ok:
        return beside  # The other one is a worse account of the same path, or of a dearer one.
    return answer([beside, across])


def _over_the_saddle(
    system: System,
    start: Array,
    end: Array,
    *,
    method: LegMethod,
    curves: Sequence[Array],
    directions: Array | None,
    relaxations: Sequence[Array] | None,
    end_is_fixed: bool,
    report: Report,
    below: float,
) -> PathSolution | None:
    """The cheapest path whose end is fixed."""
    degenerate = system.noise.singular_at(start)
    lagrangian = None if degenerate else system.noise.lagrangian(system.unchecked)
    slow_start = slow_rate(system, start, name="start")
    slow_end = slow_rate(system, end, name="end") if end_is_fixed else 0.0
    if relaxations is None:
        no_directions = np.zeros((0, start.size))
        relaxations = reversed_relaxations(system, start, end, no_directions if directions is None else directions)
    if not curves:
        climb = gradient_climb(system, relaxations, method)
        if climb is not None:
            return climb if climb.action < below or np.isinf(below) else None
    own = initial_curves(system, start, end, relaxations, method.starts, attracting=True)
    if lagrangian is None:
        return hypoelliptic_leg(
            system,
            start,
            end,
            [*curves, *own],
            slow_start=slow_start,
            slow_end=slow_end,
            method=method,
            report=report,
            below=below,
        )
    guesses = [*curves, *own]
    if crosses(system, guesses):
        try:
            broken = leg_over_jumps(
                system, guesses, slow_start=slow_start, slow_end=slow_end, method=method, report=report, below=below
            )
        except SingularCovarianceError as error:
            raise singular_covariance(error) from error
        if broken is not None:
            return broken if broken.action < below else None
    winding = any(
        np.abs(np.linalg.eigvals(J).imag).max() > 0 for J in system.unchecked.jacobian(np.stack([start, end]))
    )
    report(0, len(guesses) + 1, "initial paths")
    least = ELEMENTS_FOCUS if winding else _ELEMENTS
    timed, failures = _timed(lagrangian, guesses, slow_start, slow_end, [_elements(curve, least) for curve in guesses])
    coarse, iterations = _coarse(lagrangian, timed, failures, report)
    bounded = lagrangian.bounded() if system.dimension == 1 else None
    if bounded is not None and hugs_the_hull(bounded, coarse):
        line = line_leg(bounded, start, end, method)
        return line if line.action < below else None
    if not coarse:
        if not failures:
            return infinite_leg(start, end, no_feasible_path(start, end, len(guesses)), method)
        failure = failures[-1]
        if isinstance(failure, SingularCovarianceError):
            raise singular_covariance(failure) from failure
        raise failure
    seen = [m for m in coarse if m.status == action_minimization.CONVERGED or path_refinement.resolved(lagrangian, m)]
    # Coarse actions are good to a few digits, so that one that is hardly higher may end below.
    candidates = [m for m in distinct(seen or coarse) if m.action < below + _SAME_ACTION * abs(m.action)]
    if not candidates:
        return None
    finish = Finish(system, lagrangian, slow_start, slow_end, method)
    report(len(guesses), len(guesses) + 1, f"refining {len(candidates)} paths")
    try:
        with keeping(lambda: _unfinished(candidates[0], start, end, method)):
            return with_weak_noise(system, cheapest(finish.all([m.path for m in candidates]), iterations))
    except SingularCovarianceError as error:
        raise singular_covariance(error) from error


def _unfinished(
    coarse: action_minimization.Minimization, start: Array, end: Array, method: LegMethod
) -> tuple[str, PathSolution | None]:
    """What is left of an interrupted leg: the coarse path of lowest action, whose error is not known."""
    latest = LatestPath()
    latest.update(coarse.iterations, coarse.action, coarse.path)
    told = (
        f"interrupted on the leg from {format_point(start)} to {format_point(end)}; a coarse path of it is in .partial"
    )
    return told, latest.solution(method)


def _timed(
    lagrangian: Lagrangian, curves: Sequence[Array], slow_start: float, slow_end: float, elements: Sequence[int]
) -> tuple[list[ElementPath], list[ValueError]]:
    """The curves as paths in time on coarse meshes, and the errors of those along which a user function fails."""
    timed: list[ElementPath] = []
    failures: list[ValueError] = []
    for curve, n_elements in zip(curves, elements, strict=True):
        try:
            timed.append(
                timed_path(
                    curve,
                    lagrangian.speed,
                    slow_start=slow_start,
                    slow_end=slow_end,
                    n_elements=n_elements,
                    degree=DEGREE,
                )
            )
        except (NonFiniteError, SingularCovarianceError) as error:
            failures.append(error)
    return timed, failures


def _elements(curve: Array, least: int) -> int:
    """How many elements follow a polyline that may wind round a focus many times."""
    pieces = np.diff(curve, axis=0)
    lengths = np.linalg.norm(pieces, axis=1)
    pieces = pieces[lengths > 0.0] / lengths[lengths > 0.0, None]
    turning = float(np.arccos(np.clip((pieces[1:] * pieces[:-1]).sum(axis=1), -1.0, 1.0)).sum())
    return int(np.clip(turning / _TURN, least, _MOST_ELEMENTS))


def _coarse(
    lagrangian: Lagrangian, guesses: Sequence[ElementPath], failures: list[ValueError], report: Report
) -> tuple[list[action_minimization.Minimization], int]:
    """Coarse minimisers from all guesses, and the iterations they took; errors are added to ``failures``."""

    def minimized(starts: Sequence[ElementPath], limit: int) -> list[action_minimization.Minimization]:
        outcomes = path_refinement.coarse_paths(lagrangian, starts, max_iterations=limit)
        for outcome in outcomes:
            if isinstance(outcome, (NonFiniteError, SingularCovarianceError)):
                failures.append(outcome)
            elif isinstance(outcome, ValueError):
                raise outcome
        return [m for m in outcomes if isinstance(m, action_minimization.Minimization)]

    first = minimized(guesses, _FIRST_LOOK)
    found = [m for m in first if m.status != action_minimization.MAX_ITERATIONS]
    slow: list[action_minimization.Minimization] = []
    for m in first:
        if m.status == action_minimization.MAX_ITERATIONS and not any(_alike(m, other) for other in found + slow):
            slow.append(m)
    if slow:
        report(len(guesses) // 2, len(guesses) + 1, f"{len(slow)} initial paths that creep")
    second = minimized([m.path for m in slow], _COARSE_ITERATIONS - _FIRST_LOOK)
    feasible = [m for m in found + second if m.status != action_minimization.INFEASIBLE]
    return feasible, sum(m.iterations for m in first + second)


def distinct(coarse: list[action_minimization.Minimization]) -> list[action_minimization.Minimization]:
    """The coarse minimiser of lowest action of every group of like curves, unstable ones last, and at most a few."""
    ordered = sorted(coarse, key=lambda m: (m.status == action_minimization.UNSTABLE, m.action))
    kept: list[action_minimization.Minimization] = []
    for candidate in ordered:
        if not any(_alike(candidate, other) for other in kept):
            kept.append(candidate)
    return kept[:_KEPT]


def _alike(first: action_minimization.Minimization, second: action_minimization.Minimization) -> bool:
    return bool(
        abs(first.action - second.action) < _SAME_ACTION * abs(first.action)
        and curve_distance(first.path, second.path) < SAME_CURVE
    )
