"""FixedTimeAction: minimum action in a given time, between two fixed ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, as_count, as_positive, format_point
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.paths.ends import initial_curve
from qpot.paths.finish import STATUS
from qpot.paths.infinite import blocked_interval, fastest_passage, infinite_leg, no_feasible_path
from qpot.paths.joined import uphill_path
from qpot.paths.methods import PathMethod, PathProblem
from qpot.paths.ranking import ranking
from qpot.paths.solution import PathSolution
from qpot.paths.starts import initial_curves, reversed_relaxations
from qpot.problem.noise import singular_covariance
from qpot.problem.system import System
from qpot.solvers.paths import action_minimization
from qpot.solvers.paths.elements import ElementPath, curve_distance
from qpot.solvers.paths.fixed_time import FixedTimePath, coarse_fixed_time, refine_fixed_time
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.problem.lagrangian import Lagrangian, SingularCovarianceError

# Coarse paths closer than this fraction of their length, and with actions as close as the next constant says, are one.
_SAME_CURVE = 0.02
# Actions of coarse paths are good to a few digits: they are the same if they differ by less than this fraction.
_SAME_ACTION = 5e-3
# Most coarse paths that are refined.
_KEPT = 2


@dataclass(frozen=True, kw_only=True)
class FixedTimeAction(PathMethod):
    """Minimum action over paths of a given duration, both ends fixed.

    The action S_T is the cost of being at ``end`` after the time T: the probability that SGD started at ``start`` is there
    after T / learning rate steps is exp(-S_T / epsilon) to leading order. The infimum of S_T over T is the cost that
    `qpot.GeometricAction` finds. Towards a fixed point of the drift S_T falls with T. The energy H is constant along the
    path, but not zero.

    Parameters
    ----------
    time : float
        The duration T, in units of the flow: learning rate times number of steps.
    tolerance : float
        Relative error asked of an action; between 1e-12 and 0.01.
    max_iterations : int
        Most Newton iterations on one mesh.
    max_elements : int
        Most elements in time; at least 16.
    starts : int
        Number of initial curves besides one that is given. Each is tried at constant speed and at the speed of the drift.

    Examples
    --------
    >>> import math, qpot
    >>> bowl = qpot.System(drift=lambda x: -x, covariance=1.0, dimension=1)
    >>> path = qpot.minimum_action_path(bowl, [0.0], [1.0], method=FixedTimeAction(time=2.0))
    >>> round(path.action * (1 - math.exp(-4.0)), 9)  # S_T = 1 / (1 - exp(-2 T)) exactly
    1.0
    """

    time: float
    tolerance: float = 1e-9
    max_iterations: int = 400
    max_elements: int = 400
    starts: int = 3

    def __post_init__(self) -> None:
        as_positive(self.time, name="time")
        if not 1e-12 <= as_positive(self.tolerance, name="tolerance") <= 1e-2:
            raise ValueError(f"tolerance must lie between 1e-12 and 0.01, got {self.tolerance!r}")
        as_count(self.max_iterations, name="max_iterations")
        as_count(self.max_elements, name="max_elements", minimum=16)
        as_count(self.starts, name="starts")

    def solve(self, problem: PathProblem) -> PathSolution:
        """The cheapest path between both ends as they are given.

        Raises
        ------
        ValueError
            If the ends are the same, the covariance is singular, or a user function returns NaN on every initial curve.
        """
        source, target = problem.start, problem.end
        if np.array_equal(source, target):
            raise ValueError(
                f"start and end are both {format_point(source)}; resting there costs T times L(x, 0), closed paths have "
                "no initial curve: pass ends that differ"
            )
        curves = [] if problem.initial is None else [initial_curve(problem.initial, source, target)]
        return fixed_time_path(problem.system, source, target, method=self, curves=curves, report=problem.report)


def fixed_time_path(
    system: System, start: Array, end: Array, *, method: FixedTimeAction, curves: list[Array], report: ProgressCallback
) -> PathSolution:
    """The cheapest path from ``start`` to ``end`` in exactly ``method.time``, over several initial curves.

    Raises
    ------
    ValueError
        If the covariance is singular, or a user function returns NaN on every initial curve.
    """
    lagrangian = system.noise.lagrangian(system.unchecked)
    blocked = blocked_interval(system, start, end)
    if blocked is not None:
        return infinite_leg(start, end, blocked, method)
    guesses: list[ElementPath] = []
    fastest = fastest_passage(system, start, end) if system.dimension == 1 else None
    if fastest is not None:
        if fastest[0][-1] > method.time * (1.0 + 1e-6):
            reason = (
                f"no steps of the noise lead from {format_point(start)} to {format_point(end)} within the time "
                f"{method.time:g}: at full speed it takes {fastest[0][-1]:.6g}; pass a longer time"
            )
            return infinite_leg(start, end, reason, method)
        guesses.append(_on_time(*fastest, method))
    relaxations = reversed_relaxations(system, start, end, np.zeros((0, start.size)))
    lines = [*curves, *initial_curves(system, start, end, relaxations, method.starts, attracting=False)]
    size = float(np.linalg.norm(end - start))
    rates = (_rate(system, start, size), _rate(system, end, size))
    coarse: list[action_minimization.Minimization] = []
    failure: Exception | None = None
    for curve in lines:
        guesses.append(_constant_speed(curve, method))
        try:
            guesses.append(_natural_speed(curve, lagrangian.speed, rates, method))
        except (NonFiniteError, SingularCovarianceError) as error:
            failure = error
    for k, guess in enumerate(guesses):
        report(k, len(guesses) + 1, "initial paths")
        try:
            found = coarse_fixed_time(lagrangian, guess)
        except (NonFiniteError, SingularCovarianceError) as error:
            failure = error
            continue
        if found.status != action_minimization.INFEASIBLE and not any(_alike(found, other) for other in coarse):
            coarse.append(found)
    if not coarse:
        if failure is None:
            reason = no_feasible_path(start, end, len(guesses)) + "; a longer time may allow one"
            return replace(infinite_leg(start, end, reason, method), status=Status.NOT_CONVERGED)
        if isinstance(failure, SingularCovarianceError):
            raise singular_covariance(failure) from failure
        raise failure
    coarse.sort(key=lambda m: m.action)
    refined = []
    for candidate in coarse[:_KEPT]:
        report(len(guesses), len(guesses) + 1, "refining")
        refined.append(
            refine_fixed_time(
                lagrangian,
                candidate.path,
                tolerance=method.tolerance,
                max_iterations=method.max_iterations,
                max_elements=method.max_elements,
            )
        )
    refined.sort(key=lambda r: r.action)
    ranked = ranking([r.action for r in refined], [r.error for r in refined], [STATUS[r.status].ok for r in refined])
    best = refined.pop(ranked.chosen)
    iterations = sum(m.iterations for m in coarse) + sum(r.iterations for r in (best, *refined))
    others: list[FixedTimePath] = []
    for other in refined:
        if all(curve_distance(other.path, known.path) > _SAME_CURVE for known in (best, *others)):
            others.append(other)
    alternatives = tuple(_solution(lagrangian, other, method, other.iterations, ()) for other in others)
    answer = _solution(lagrangian, best, method, iterations, alternatives)
    # A path that was cut off and may cost less widens the error.
    return replace(answer, error=ranked.error, status=Status.NOT_CONVERGED if ranked.doubtful else answer.status)


def _solution(
    lagrangian: Lagrangian,
    found: FixedTimePath,
    method: FixedTimeAction,
    iterations: int,
    others: tuple[PathSolution, ...],
) -> PathSolution:
    times = found.path.node_times()
    points, velocities = found.path.at(times)
    momenta = lagrangian.momentum(points, velocities)
    path = uphill_path(found, found.path.nodes, times, momenta, STATUS[found.status], method)
    return replace(path, iterations=iterations, alternatives=others)


def _constant_speed(curve: Array, method: FixedTimeAction) -> ElementPath:
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    kept = np.append(True, np.diff(lengths) > 0)
    times = method.time * lengths[kept] / max(lengths[-1], 1e-300)
    return ElementPath(times, curve[kept], 1).on(np.linspace(0.0, method.time, 17), 4)


def _on_time(times: Array, points: Array, method: FixedTimeAction) -> ElementPath:
    """The motion at the largest steps, stretched to the time that is given.

    It runs close to what bounded noise allows, so that it gets twice the elements of other guesses.
    """
    times = times * (method.time / times[-1])
    times[-1] = method.time
    return ElementPath(times, points, 1).on(np.linspace(0.0, method.time, 33), 4)


def _natural_speed(
    curve: Array, speed: Callable[[Array, Array], Array], rates: tuple[float, float], method: FixedTimeAction
) -> ElementPath:
    """The curve at the ``speed`` of a path of free duration.

    Time that is left over is spent at rest at ends that are fixed points; if there are none, or time is short, the motion
    is stretched or compressed.
    """
    free = timed_path(curve, speed, slow_start=rates[0], slow_end=rates[1], n_elements=16, degree=4)
    breaks, nodes, spare = free.breaks, free.nodes, method.time - free.breaks[-1]
    resting = (rates[0] > 0.0, rates[1] > 0.0)
    if spare <= 0.0 or not any(resting):
        breaks = breaks * (method.time / breaks[-1])
    else:
        share = spare / sum(resting)
        pieces = max(2, int(np.ceil(4 * share * max(rates))))
        rest = np.linspace(0.0, share, min(pieces, 12) + 1)
        if resting[0]:
            breaks = np.concatenate([rest[:-1], breaks + share])
            nodes = np.concatenate([np.repeat(nodes[:1], 4 * (rest.size - 1), axis=0), nodes])
        if resting[1]:
            breaks = np.concatenate([breaks, breaks[-1] + rest[1:]])
            nodes = np.concatenate([nodes, np.repeat(nodes[-1:], 4 * (rest.size - 1), axis=0)])
    breaks[-1] = method.time
    return ElementPath(breaks, nodes, 4)


def _rate(system: System, point: Array, size: float) -> float:
    """The slowest linear rate at an end that is a fixed point, and 0 at any other."""
    rates = np.abs(np.linalg.eigvals(system.unchecked.jacobian(point[None])[0]).real)
    speed = float(np.linalg.norm(system.unchecked.drift(point[None])[0]))
    return float(rates.min()) if speed <= 1e-6 * rates.max() * size and rates.min() > 1e-7 * rates.max() else 0.0


def _alike(first: action_minimization.Minimization, second: action_minimization.Minimization) -> bool:
    same = abs(first.action - second.action) <= _SAME_ACTION * abs(first.action)
    return bool(same and curve_distance(first.path, second.path) < _SAME_CURVE)
