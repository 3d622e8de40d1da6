"""One leg of a route: uphill between two fixed ends by the noise, or downhill along the drift for free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from qpot._arrays import Array, NonFiniteError, format_point
from qpot.distinct_paths import alike, cheapest, distinct
from qpot.hypoelliptic import hypoelliptic_leg, singular_at, uncontrollable
from qpot.infinite_costs import blocked_interval, infinite_leg, interpolating_minimum, no_feasible_path
from qpot.line_legs import hugs_the_hull, line_leg
from qpot.methods import GeometricAction
from qpot.reachable_directions import controllability, unreachable_reason
from qpot.solution import PathSolution, SolveError, Status
from qpot.solvers import action_minimization, path_refinement
from qpot.solvers.action import Lagrangian
from qpot.solvers.cumulant import CumulantLagrangian
from qpot.solvers.elements import ElementPath
from qpot.solvers.free_ends import FreeEnds
from qpot.solvers.initial_path import timed_path
from qpot.solvers.lagrangian import DiffusionLagrangian, SingularCovarianceError
from qpot.solvers.tails import spread
from qpot.system import System

# Elements of a coarse path; a focus makes it wind, which takes more.
_ELEMENTS, _ELEMENTS_FOCUS, _DEGREE = 24, 40, 4
# A coarse path is looked at after a few steps, so that one that runs into a known minimiser is not finished in vain;
# and it may creep along a soft mode for hundreds of steps, where the refinement does better from where it stands.
_FIRST_LOOK, _COARSE_ITERATIONS = 10, 50
_STATUS = {
    action_minimization.CONVERGED: Status.CONVERGED,
    action_minimization.MAX_ITERATIONS: Status.NOT_CONVERGED,
    action_minimization.UNSTABLE: Status.UNSTABLE,
    action_minimization.INFEASIBLE: Status.NOT_CONVERGED,
}

Report = Callable[[int, int, str], None]


def lagrangian_of(system: System) -> Lagrangian:
    """The Lagrangian of a system; a singular constant covariance is refused here."""
    if system.exact_noise is not None:
        return CumulantLagrangian(system.exact_noise.steps, system.exact_noise.scale)
    try:
        return DiffusionLagrangian(
            system.drift,
            system.jacobian,
            system.covariance,
            system.constant_covariance,
            None if system.finite_sum is None else system.moments,
        )
    except SingularCovarianceError as error:
        raise singular_covariance(error, anywhere=True) from error


def check_noise(system: System, points: Array) -> None:
    """Refuse a constant covariance that is singular and whose noise the drift does not carry everywhere."""
    if system.constant_covariance is not None and singular_at(system, points[0]):
        for point in points:
            found = controllability(system, point)
            if not found.complete and not any(unreachable_reason(system, found, point, q) for q in points):
                raise uncontrollable(found, point, everywhere=True)
    elif system.constant_covariance is not None:
        lagrangian_of(system)


def singular_covariance(error: SingularCovarianceError, *, anywhere: bool = False) -> ValueError:
    """The error that says where the covariance is singular, and the ways out."""
    where = "everywhere" if anywhere else f"at {format_point(error.point)}"
    return ValueError(
        f"covariance is singular {where} (eigenvalues {error.eigenvalues[0]:.3g} to {error.eigenvalues[-1]:.3g}): the "
        "noise cannot push in every direction, so the action is infinite for most curves. Ways out: reduce the system "
        "to the coordinates that carry noise, or add an explicit floor with qpot.covariance.with_floor (the costs are "
        "then those of the floored noise)"
    )


def slow_rate(system: System, point: Array, *, name: str) -> float:
    """Slowest linear rate at a hyperbolic fixed point; a flat direction is refused."""
    rates = np.abs(np.linalg.eigvals(system.jacobian(point[None])[0]).real)
    if rates.min() <= 1e-7 * rates.max():
        raise ValueError(
            f"{name}={format_point(point)} has a flat direction (rates {rates.min():.3g} to {rates.max():.3g}): it is "
            "not an isolated non-degenerate fixed point; remove the redundant parameter or add weight decay"
        )
    return float(rates.min())


def descent(system: System, start: Array, *, towards: Array, tolerance: float = 1e-4) -> tuple[Array, Array] | None:
    """The drift's trajectory from ``start`` to the fixed point ``towards``: times and points, or None if it misses it."""
    size = float(np.linalg.norm(start - towards))
    rate = float(np.abs(np.linalg.eigvals(system.jacobian(towards[None])[0]).real).min())

    def arrived(_: float, x: Array) -> float:
        return float(np.linalg.norm(x - towards)) - tolerance * size

    def gone(_: float, x: Array) -> float:
        return 100.0 * size - float(np.linalg.norm(x - towards))

    arrived.terminal = gone.terminal = True  # type: ignore[attr-defined]
    try:
        solution = solve_ivp(
            lambda _, x: system.drift(x[None])[0],
            (0.0, 200.0 / rate),
            start,
            method="LSODA",
            events=(arrived, gone),
            rtol=1e-7,
            atol=1e-9 * size,
        )
    except NonFiniteError:
        return None
    if solution.t_events[0].size == 0:
        return None
    return np.asarray(solution.t), np.asarray(solution.y.T)


def initial_curves(system: System, start: Array, end: Array, directions: Array, count: int) -> list[Array]:
    """Polylines from start to end: reversed relaxations, the straight line, and bows to different sides."""
    curves = []
    offset = end - start
    length = float(np.linalg.norm(offset))
    for nudge in (*directions, *(-directions)) if directions.size else (np.zeros_like(end),):
        down = descent(system, end + 1e-3 * length * nudge, towards=start)
        if down is not None:
            curves.append(np.concatenate([start[None], down[1][::-1], end[None]]))
    s = np.linspace(0.0, 1.0, 81)[:, None]
    straight = start + s * offset
    curves.append(straight)
    # orthonormal complement of the chord, in a fixed order, so that the same call makes the same curves
    basis = np.linalg.svd(offset[None], full_matrices=True)[2][1:]
    bows = [sign * height * direction for height in (0.25, 0.5) for direction in basis for sign in (1.0, -1.0)]
    curves += [straight + length * np.sin(np.pi * s) * bow for bow in bows]
    return curves[: max(count, 1)]


def uphill_leg(
    system: System,
    start: Array,
    end: Array,
    *,
    method: GeometricAction,
    curves: Sequence[Array] = (),
    directions: Array | None = None,
    end_is_fixed: bool,
    report: Report,
    below: float = np.inf,
) -> PathSolution | None:
    """The cheapest path from the fixed point ``start`` to ``end``, over several initial curves.

    Parameters
    ----------
    curves : sequence of arrays (n, d)
        Initial curves tried before the library's own.
    directions : array (m, d), optional
        Unit vectors along which to leave ``end`` when relaxing from it (the unstable direction of a saddle).
    below : float
        Paths whose coarse action is not below this are not worth refining; None is returned if there is no other.

    Raises
    ------
    ValueError
        Singular covariance, NaN from a user function on every initial curve, a flat direction at an end.
    """
    blocked = blocked_interval(system, start, end) or interpolating_minimum(system, start, end)
    if blocked is not None:
        return infinite_leg(start, end, blocked, method)
    degenerate = singular_at(system, start)
    lagrangian = None if degenerate else lagrangian_of(system)
    slow_start = slow_rate(system, start, name="start")
    slow_end = slow_rate(system, end, name="end") if end_is_fixed else 0.0
    no_directions = np.zeros((0, start.size))
    own = initial_curves(system, start, end, no_directions if directions is None else directions, method.starts)
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
    iterations = 0
    coarse: list[action_minimization.Minimization] = []
    failure: Exception | None = None
    guesses = [*curves, *own]
    winding = any(np.abs(np.linalg.eigvals(J).imag).max() > 0 for J in system.jacobian(np.stack([start, end])))
    elements = _ELEMENTS_FOCUS if winding else _ELEMENTS
    for k, curve in enumerate(guesses):
        report(k, len(guesses) + 1, "initial paths")
        try:
            guess = timed_path(
                curve,
                lagrangian.speed,
                slow_start=slow_start,
                slow_end=slow_end,
                n_elements=elements,
                degree=_DEGREE,
            )
            found = path_refinement.coarse_path(lagrangian, guess, max_iterations=_FIRST_LOOK)
            iterations += found.iterations
            if found.status == action_minimization.MAX_ITERATIONS:
                if any(alike(found, other) for other in coarse):
                    continue
                found = path_refinement.coarse_path(
                    lagrangian, found.path, max_iterations=_COARSE_ITERATIONS - _FIRST_LOOK
                )
                iterations += found.iterations
        except (NonFiniteError, SingularCovarianceError) as error:
            failure = error
            continue
        if found.status != action_minimization.INFEASIBLE:
            coarse.append(found)
    if isinstance(lagrangian, CumulantLagrangian) and system.dimension == 1 and hugs_the_hull(lagrangian, coarse):
        line = line_leg(lagrangian, start, end, method)
        return line if line.action < below else None
    if not coarse:
        if failure is None:
            return infinite_leg(start, end, no_feasible_path(start, end, len(guesses)), method)
        if isinstance(failure, SingularCovarianceError):
            raise singular_covariance(failure) from failure
        raise failure
    solutions = []
    candidates = [m for m in distinct(coarse) if m.action < below]
    if not candidates:
        return None
    for k, candidate in enumerate(candidates):
        report(len(guesses), len(guesses) + 1, f"refining path {k + 1} of {len(candidates)}")
        try:
            solutions.append(refined(system, lagrangian, candidate.path, slow_start, slow_end, method))
        except SingularCovarianceError as error:
            raise singular_covariance(error) from error
    return cheapest(solutions, iterations)


def downhill_leg(
    system: System, saddle: Array, direction: Array, minimum: Array, method: GeometricAction
) -> PathSolution:
    """The free descent from a saddle along one side of its unstable direction to a minimum."""
    shift = 1e-4 * float(np.linalg.norm(minimum - saddle))
    trajectory = descent(system, saddle + shift * direction, towards=minimum)
    if trajectory is None:
        raise SolveError(
            f"the flow from the saddle {format_point(saddle)} misses the minimum {format_point(minimum)}",
            status=Status.NO_ROUTE,
        )
    times, points = trajectory
    points = np.concatenate([saddle[None], points, minimum[None]])
    rate = slow_rate(system, saddle, name="saddle")
    times = np.concatenate([[0.0], times + 1.0 / rate, [times[-1] + 2.0 / rate]])
    return free_path(points, times, method)


def free_path(points: Array, times: Array, method: Any) -> PathSolution:
    """A path along the drift, or at rest: it costs nothing."""
    return PathSolution(
        points=points,
        action=0.0,
        error=0.0,
        status=Status.CONVERGED,
        residual=0.0,
        iterations=0,
        method=method,
        momenta=np.zeros_like(points),
        times=times,
        uphill=np.zeros(times.size, dtype=bool),
    )


def joined(legs: Sequence[PathSolution]) -> PathSolution:
    """Legs one after the other: costs and errors add."""
    points, momenta, times, uphill, clock = [], [], [], [], 0.0
    for k, leg in enumerate(legs):
        skip = 1 if k else 0  # the joint is the last point of the leg before
        points.append(leg.points[skip:])
        momenta.append(leg.momenta[skip:])
        times.append(leg.times[skip:] - leg.times[0] + clock)
        uphill.append(leg.uphill[skip:])
        clock = float(times[-1][-1])
    statuses = [leg.status for leg in legs if not leg.status.ok]
    reasons = [leg.reason for leg in legs if leg.reason]
    return PathSolution(
        points=np.concatenate(points),
        action=float(sum(leg.action for leg in legs)),
        error=float(sum(leg.error for leg in legs)),
        status=statuses[0] if statuses else Status.INFINITE if reasons else Status.CONVERGED,
        residual=max(leg.residual for leg in legs),
        iterations=sum(leg.iterations for leg in legs),
        method=legs[0].method,
        momenta=np.concatenate(momenta),
        times=np.concatenate(times),
        uphill=np.concatenate(uphill),
        via=tuple(
            x for k, leg in enumerate(legs) for x in (*leg.via, *((leg.points[-1],) if k + 1 < len(legs) else ()))
        ),
        alternatives=legs[0].alternatives if sum(leg.uphill.any() for leg in legs) == 1 else (),
        reason="; ".join(reasons),
    )


def refined(
    system: System,
    lagrangian: Lagrangian,
    path: ElementPath,
    slow_start: float,
    slow_end: float,
    method: GeometricAction,
    ends: FreeEnds | None = None,
) -> PathSolution:
    """A coarse path on its own mesh, taken to the tolerance."""
    leg = path_refinement.refine_path(
        lagrangian,
        path,
        slow_start=slow_start,
        slow_end=slow_end,
        tolerance=method.tolerance,
        max_iterations=method.max_iterations,
        max_elements=method.max_elements,
        spreads=(
            _spread(system, path.nodes[0]) if slow_start > 0.0 else None,
            _spread(system, path.nodes[-1]) if slow_end > 0.0 else None,
        ),
        ends=ends,
    )
    times = leg.path.node_times()
    points = leg.path.nodes
    _, velocities = leg.path.at(times)
    return PathSolution(
        points=points,
        action=leg.action,
        error=leg.error,
        status=_STATUS[leg.status],
        residual=leg.residual,
        iterations=leg.iterations,
        method=method,
        momenta=lagrangian.momentum(points, velocities),
        times=times,
        uphill=np.ones(times.size, dtype=bool),
    )


def _spread(system: System, point: Array) -> Array | None:
    """The stationary spread at a focus, where the energy alone misjudges the cost of the finite time."""
    drift, covariance = system.jacobian(point[None])[0], system.covariance(point[None])[0]
    if np.isrealobj(np.linalg.eigvals(drift)):
        return None
    return spread(drift, covariance)
