"""transition_costs: the legs between all minima over their saddles, put together to the costs V(i, j)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qpot._core.arrays import Array, BoundsLike
from qpot._core.parallel import check_executor, check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot.landscape.basins import attractor_points
from qpot.landscape.flatness import refuse_flat
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles
from qpot.paths.choice import leg_method
from qpot.paths.degenerate_pass import over_degenerate
from qpot.paths.joined import joined
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution, held
from qpot.prediction.costs import TransitionCosts, sums_of_legs
from qpot.problem.controllable import check_noise
from qpot.problem.natural_units import in_natural_units, natural_box
from qpot.problem.system import System


@in_natural_units("minima", "saddles")
def transition_costs(
    system: System,
    minima: Sequence[Minimum],
    *,
    saddles: Sequence[Saddle] | None = None,
    bounds: BoundsLike | None = None,
    method: LegMethod | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
) -> TransitionCosts:
    """Costs V(i, j) of all transitions between minima, over their saddles.

    Parameters
    ----------
    system : System
    minima : sequence of Minimum
        At least two minima, for example from `find_minima`.
    saddles : sequence of Saddle, optional
        Saddles whose ``connects`` refers to ``minima``; by default they are searched for within ``bounds``.
    bounds : (low, high) pair for each coordinate, optional
        The box of that search; by default the box around the minima, widened on each side by its longest edge, and if the
        saddles in it do not connect all minima, by lengths in the ratio of the noise's standard deviations.
    method : GeometricAction or LargeScaleAction, optional
        The path solver; by default `LargeScaleAction` above 12 dimensions if the covariance is constant or given in
        factors, and `GeometricAction` otherwise.
    executor : concurrent.futures.Executor, optional
        The legs are computed side by side in it; the result does not depend on it.
    progress : callable, True, "auto" or None
        Who is told about each finished leg.

    Returns
    -------
    TransitionCosts

    Raises
    ------
    ValueError
        If there are fewer than two minima, if some are repeated or do not attract, if saddles name unknown minima, or if
        the covariance is singular and the drift does not carry the noise into every direction.
    SolveError
        If a leg fails or the run is interrupted; ``.partial`` is a TransitionCosts with everything that was finished, and
        NaN where an answer is missing.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.separable_double_well(noise=(0.5, 2.0))
    >>> minima = qpot.find_minima(case.system, case.bounds)
    >>> qpot.transition_costs(case.system, minima).values.round(8)
    array([[0., 1.],
           [1., 0.]])
    """
    if isinstance(minima, Minimum):
        minima = (minima,)
    points = attractor_points(minima, dimension=system.dimension)
    k = points.shape[0]
    if k < 2:
        raise ValueError(
            "minima holds one minimum only; transitions need at least two: widen the bounds of find_minima"
        )
    if not all(isinstance(m, Minimum) for m in minima):
        raise ValueError("minima must be qpot.Minimum objects, as find_minima returns them")
    refuse_flat(system, minima)
    chosen = leg_method(system, method, points)
    check_executor(executor)
    check_noise(system, points)  # Noise that does not reach every direction is refused before any work is done.
    if saddles is None:
        saddles = find_saddles(system, minima, around(points) if bounds is None else bounds)
        wider = None if bounds is not None or _connected(saddles, k) else natural_box(system, points)
        if wider is not None:  # That box is too narrow where one coordinate has a smaller unit than the others.
            saddles = find_saddles(system, minima, wider)
    sides = _sides(saddles, k)
    tasks = [_leg(system, points, saddles[n], home, away, sign, chosen) for home, away, n, sign in sides]
    if executor is not None and tasks:
        check_sendable(tasks[0], executor, what="the system")
    finished: dict[int, PathSolution] = {}
    failures: dict[int, SolveError] = {}
    with reporting(progress, "transition costs") as report:
        try:
            for n, outcome in enumerate(run_in_order(_solve_leg, tasks, executor)):
                if isinstance(outcome, SolveError):
                    failures[n] = outcome
                else:
                    finished[n] = outcome
                home, away, _, _ = sides[n]
                report(n + 1, len(tasks), f"minimum {home} to {away}")
        except KeyboardInterrupt as error:
            partial = _assembled(k, sides, finished, tuple(minima), tuple(saddles))
            raise SolveError(
                f"transition_costs was interrupted after {len(finished)} of {len(tasks)} legs",
                status=Status.INTERRUPTED,
                partial=partial,
            ) from error
    costs = _assembled(k, sides, finished, tuple(minima), tuple(saddles))
    if failures:
        n, first = next(iter(failures.items()))
        home, away, s, _ = sides[n]
        raise SolveError(
            f"{len(failures)} of {len(tasks)} legs failed, first from minimum {home} to {away} over the saddle "
            f"{saddles[s]!r}: {first}; the others are in .partial",
            status=first.status,
            partial=costs,
        ) from first
    return costs


@dataclass(frozen=True, eq=False)
class _Leg:
    """The leg to one saddle from one of its sides; a plain value, so that it can be sent to another process."""

    system: System
    start: Array
    saddle: Saddle
    sign: float
    end: Array
    method: LegMethod


def _leg(
    system: System,
    points: Array,
    saddle: Saddle,
    home: int,
    away: int,
    sign: float,
    method: LegMethod,
) -> _Leg:
    """The leg from minimum ``home`` over a saddle to ``away``; the saddle's direction times ``sign`` points to ``away``."""
    view = None if saddle.views is None else saddle.views[saddle.connects.index(home)]
    if view is None:
        return _Leg(system, points[home], saddle, sign, points[away], method)
    # Modulo symmetries the leg runs over the saddle's copy next to this minimum, to the copy of the other one behind it.
    seen = replace(saddle, point=view.point, direction=view.direction, below=view.below)
    return _Leg(system, points[home], seen, -1.0, view.away, method)


def _solve_leg(task: _Leg) -> PathSolution | SolveError:
    """Uphill from the minimum to the saddle, then down its other side."""
    direction = task.saddle.direction
    try:
        if task.saddle.below is not None:
            return over_degenerate(task.system, task.start, task.saddle, task.sign, task.end, task.method)
        leg = task.method.up(task.system, task.start, task.saddle.point, direction)
        held(leg, task.method, task.start, task.saddle.point)
        if not leg.status.ok:
            return SolveError(
                f"{leg.status} (action {leg.action:.6g}, error {leg.error:.2g})", status=leg.status, partial=leg
            )
        if leg.reason:  # The cost is infinite, and the leg says why.
            return leg
        descent = task.method.down(task.system, task.saddle.point, task.sign * direction, task.end)
    except SolveError as error:
        return error
    return joined([leg, descent])


def _connected(saddles: Sequence[Saddle], k: int) -> bool:
    """Whether the saddles connect all minima."""
    pairs = np.array([s.connects for s in saddles if None not in s.connects], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(k, k))
    return int(connected_components(graph, directed=False)[0]) == 1


def around(points: Array) -> list[tuple[float, float]]:
    """The box around points, widened on each side by its longest edge."""
    lower, upper = points.min(axis=0), points.max(axis=0)
    margin = float((upper - lower).max())
    return list(zip((lower - margin).tolist(), (upper + margin).tolist(), strict=True))


def _sides(saddles: Sequence[Saddle], k: int) -> list[tuple[int, int, int, float]]:
    """(home, away, saddle, sign of the saddle's direction towards away) for both sides of every saddle."""
    sides = []
    for n, saddle in enumerate(saddles):
        i, j = saddle.connects
        for minimum in (i, j):
            if minimum is not None and not 0 <= minimum < k:
                raise ValueError(f"saddles[{n}] connects minimum {minimum}, but there are only {k} minima")
        if i is None or j is None or i == j:
            continue
        sides += [(i, j, n, -1.0), (j, i, n, 1.0)]
    return sides


def _assembled(
    k: int,
    sides: Sequence[tuple[int, int, int, float]],
    finished: Mapping[int, PathSolution],
    minima: tuple[Minimum, ...],
    saddles: tuple[Saddle, ...],
) -> TransitionCosts:
    """The costs from the legs that are finished; those that are not leave NaN."""
    direct = np.full((k, k), np.inf)
    leg_errors = np.zeros((k, k))
    groups: dict[tuple[int, int], list[PathSolution]] = {}
    missing = []
    for n, (home, away, _, _) in enumerate(sides):
        if n in finished:
            groups.setdefault((home, away), []).append(finished[n])
        else:
            missing.append((home, away))
    paths = {}
    for pair, solutions in groups.items():
        solutions.sort(key=lambda s: s.action)
        paths[pair] = solutions[0]
        direct[pair], leg_errors[pair] = solutions[0].action, solutions[0].error
    values, errors = sums_of_legs(direct, leg_errors)
    np.fill_diagonal(direct, 0.0)
    for pair in missing:
        values[pair] = errors[pair] = np.nan
    return TransitionCosts(
        values=values,
        errors=errors,
        direct=direct,
        paths=paths,
        minima=minima,
        saddles=saddles,
        parallel={pair: tuple(s) for pair, s in groups.items() if len(s) > 1},
    )
