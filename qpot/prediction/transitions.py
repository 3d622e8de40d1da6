"""transition_costs: the legs between all minima over their saddles, put together to the costs V(i, j)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import Array, BoundsLike, format_point
from qpot._core.interrupts import interruptible, keeping
from qpot._core.parallel import check_executor, check_sendable, run_in_order
from qpot._core.progress import ProgressCallback, ProgressLike, reporting, within
from qpot._core.status import SolveError, Status
from qpot.landscape.basins import attractor_points
from qpot.landscape.flatness import refuse_flat
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.choice import leg_method, path_budget, timely
from qpot.paths.cycle_routes import route_with_cycles
from qpot.paths.degenerate_pass import between_kinks, by_descents, over_degenerate, resolved_between_kinks
from qpot.paths.geometric import GeometricAction
from qpot.paths.infinite import unknown_leg
from qpot.paths.joined import joined
from qpot.paths.large_scale import LargeScaleAction
from qpot.paths.methods import LegMethod
from qpot.paths.shared_descents import Trajectory
from qpot.paths.solution import PathSolution, held
from qpot.prediction.across_basins import legs_across
from qpot.prediction.assembled import Side, assembled, groups_of, sides_of
from qpot.prediction.costs import TransitionCosts, sums_of_legs
from qpot.prediction.crossings import searched_crossings
from qpot.prediction.leg_sharing import climb_of, copies_of_cycles, with_descents, with_shared_climbs
from qpot.prediction.routes import Route, by_exits, with_routes
from qpot.prediction.unfinished import lowest
from qpot.problem.arguments import a_box, a_budget, a_file, a_system, an_executor, checked, some_minima, some_saddles
from qpot.problem.checkpointed import checkpointed
from qpot.problem.controllable import check_noise
from qpot.problem.inverse_roots import SingularCovarianceError
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.solvers.common.spending import spending
from qpot.solvers.problem.lagrangian import SingularCovarianceError as SingularOnTheWay

# A leg that is dearer than the cheapest route between its ends by this factor is negligible: at noise weak enough for rates
# to mean anything, exp(-V / epsilon) < 1e-3, its own is a thirtieth of the other one.
_MARGIN = 1.5


@interruptible
@checked(
    system=a_system,
    minima=some_minima,
    saddles=some_saddles,
    bounds=a_box,
    executor=an_executor,
    budget=a_budget,
    checkpoint=a_file,
)
@checkpointed("minima", "saddles")
@in_natural_units("minima", "saddles")
def transition_costs(
    system: System,
    minima: Sequence[Minimum],
    *,
    saddles: Sequence[Saddle | LimitCycle] | None = None,
    bounds: BoundsLike | None = None,
    method: LegMethod | None = None,
    executor: Executor | None = None,
    budget: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: ProgressLike = None,
) -> TransitionCosts:
    """Costs V(i, j) of all transitions between minima, over their saddles.

    Parameters
    ----------
    system : System
    minima : sequence of Minimum
        At least two minima, for example from `find_minima`; stable limit cycles may be among them.
    saddles : sequence of Saddle, optional
        Saddles, and unstable limit cycles in the plane, whose ``connects`` refers to ``minima``; by
        default they are searched for within ``bounds``.
    bounds : (low, high) pair for each coordinate, optional
        The box of that search; by default the box around the minima, widened on each side by its longest edge, and if the
        saddles in it do not connect all minima, by lengths in the ratio of the noise's standard deviations.
    method : GeometricAction or LargeScaleAction, optional
        The path solver; by default `LargeScaleAction` above 12 dimensions if the covariance is constant or given in
        factors, and `GeometricAction` otherwise.
    executor : concurrent.futures.Executor, optional
        The legs are computed side by side in it; the result does not depend on it.
    budget : float, optional
        Seconds of CPU time for one leg, by default 60 and 20 more for each dimension.
    checkpoint : path, optional
        A folder in which every finished leg is kept, as for `predict`.
    progress : callable, True, "auto" or None
        Who is told about each finished leg.

    Returns
    -------
    TransitionCosts
        A leg that stops short keeps its value with an error that holds and a status that is not ok; it is named in
        ``unfinished``. Of such legs those that are too dear to enter any cheapest route get a fair try only (COARSE).

    Raises
    ------
    ValueError
        If there are fewer than two minima, if some are repeated or do not attract, if saddles name unknown minima, or if
        the covariance is singular and the drift does not carry the noise into every direction; for a ``checkpoint`` of
        another call, with what differs.
    SolveError
        If the run is interrupted; ``.partial`` is a TransitionCosts with everything that was finished, and NaN where an
        answer is missing.

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
    refuse_flat(system, [m for m in minima if not isinstance(m, LimitCycle)])
    _refuse_unstable(minima)
    chosen = leg_method(system, method, points)
    check_executor(executor)
    check_noise(system, points)  # Noise that does not reach every direction is refused before any work is done.
    if saddles is None:
        saddles = searched_crossings(system, minima, points, bounds)
    return _priced(system, minima, saddles, chosen, path_budget(system.dimension, budget), executor, progress)


def costs_of_routes(
    system: System,
    minima: Sequence[Minimum],
    saddles: Sequence[Saddle],
    routes: Sequence[Route],
    method: LegMethod,
    *,
    seconds: float,
    executor: Executor | None,
    progress: ProgressLike = None,
    noise_at: Callable[[Array], System] | None = None,
) -> TransitionCosts:
    """The costs of `transition_costs` over the saddles and, besides, over the routes on which noise was seen to leave.

    Legs over which no noise was seen to leave are priced only where no route leads from the same minimum to the same one.
    ``noise_at`` is the system under the noise of legs over a pass (d,), where that is one for each pass.
    """
    check_executor(executor)
    return _priced(system, minima, saddles, method, seconds, executor, progress, routes, noise_at)


def _priced(
    system: System,
    minima: Sequence[Minimum],
    saddles: Sequence[Saddle | LimitCycle],
    chosen: LegMethod,
    seconds: float,
    executor: Executor | None,
    progress: ProgressLike,
    routes: Sequence[Route] = (),
    noise_at: Callable[[Array], System] | None = None,
) -> TransitionCosts:
    """The costs from the legs over both sides of all saddles and over the routes."""
    k, quick = len(minima), chosen.quick()
    sides = sides_of(saddles, k)
    tasks = [
        _leg(system, minima, _beside_kinks(saddles[n], minima[home], minima[away]), home, away, sign, quick, seconds)
        for home, away, n, sign in sides
    ]
    if noise_at is not None:
        tasks = [replace(task, system=noise_at(task.saddle.point)) for task in tasks]
    if routes:
        sides, tasks = with_routes(sides, tasks, routes, minima)
    # Legs with cycles have an accuracy of their own, and are not tried twice.
    cyclic = {n for n, task in enumerate(tasks) if task.cyclic}
    tasks = [replace(task, method=chosen) if n in cyclic else task for n, task in enumerate(tasks)]
    if executor is not None and tasks:
        check_sendable(tasks[0], executor, what="the system")
    finished: dict[int, PathSolution] = {}

    def known() -> tuple[str, TransitionCosts]:
        partial = assembled(k, sides, finished, tuple(minima), tuple(saddles))
        return f"transition_costs was interrupted after {len(finished)} of {len(tasks)} legs", partial

    if isinstance(chosen, GeometricAction) and system.dimension > 1:
        with keeping(known):
            tasks = with_descents(tasks, executor)
    with reporting(progress, "transition costs") as report, keeping(known):
        tasks, climbs = with_shared_climbs(tasks)
        copies = {**climbs, **copies_of_cycles(tasks)}
        own = [n for n in range(len(tasks)) if n not in copies]
        rounds = by_exits(own, tasks)
        for order in (*rounds, list(copies)):
            # What leads up to a saddle or a cycle is known where the route goes on to another state only.
            given = [replace(tasks[n], known=finished.get(copies.get(n, -1))) for n in order]
            if finished and rounds[1:]:
                # Legs that fewer exits take are solved as far as they may be cheap.
                ceilings = _MARGIN * _cheapest(k, sides, finished)
                given = [replace(leg, ceiling=ceilings[sides[n][:2]]) for n, leg in zip(order, given, strict=True)]
            said = _announced(order, len(finished), len(tasks), sides, report)
            for n, leg in zip(said, run_in_order(_solve_leg, given, executor), strict=True):
                finished[n] = replace(leg, method=chosen)
        # Only a leg that may be part of a cheapest route is worth more than a fair try.
        again = _mattering(k, sides, finished) if quick is not chosen else []
        again = [n for n in again if n not in cyclic]
        longer = [replace(tasks[n], method=chosen) for n in again]
        said = _announced(again, 0, len(again), sides, within(report, len(tasks), len(tasks), "to the end"))
        for n, leg in zip(said, run_in_order(_solve_leg, longer, executor), strict=True):
            finished[n] = _better(leg, finished[n])
        report(len(tasks), len(tasks), "legs across other basins")
        # Paths that pass by a minimum have no pass whose noise would be theirs.
        groups = groups_of(sides, finished)
        across = legs_across(system, minima, saddles, groups, seconds=seconds) if noise_at is None else None
    if quick is not chosen:
        for n, leg in finished.items():
            if n not in again and n not in cyclic and leg.status is Status.NOT_CONVERGED and leg.error < leg.action:
                finished[n] = replace(leg, status=Status.COARSE)
    return assembled(k, sides, finished, tuple(minima), tuple(saddles), across)


def _announced(
    order: Sequence[int], done: int, total: int, sides: Sequence[Side], report: ProgressCallback
) -> Iterator[int]:
    """The legs, each reported when it is asked for, which is before it is solved."""
    for n in order:
        report(done, total, f"leg {done + 1} of {total}: {sides[n][0]} -> {sides[n][1]}")
        yield n
        done += 1


def _mattering(k: int, sides: Sequence[Side], legs: Mapping[int, PathSolution]) -> list[int]:
    """The legs that stopped short and may be part of a cheapest route, or of a rate that is not negligible."""
    values = _cheapest(k, sides, legs)
    return [
        n
        for n, leg in legs.items()
        if not leg.status.ok and not lowest([leg]) > _MARGIN * values[sides[n][0], sides[n][1]]
    ]


def _cheapest(k: int, sides: Sequence[Side], legs: Mapping[int, PathSolution]) -> Array:
    """The costs (k, k) of the cheapest routes along the legs that are known."""
    direct = np.full((k, k), np.inf)
    for n, leg in legs.items():
        home, away, _, _ = sides[n]
        direct[home, away] = min(direct[home, away], leg.action)
    return sums_of_legs(direct, np.zeros((k, k)), direct)[0]


def _better(leg: PathSolution, other: PathSolution) -> PathSolution:
    """Of two solutions of one leg the one that says more."""
    if leg.status.ok or not np.isfinite(other.action):
        return leg
    return leg if leg.action + leg.error <= other.action + other.error else other


@dataclass(frozen=True, eq=False)
class _Leg:
    """The leg to one saddle from one of its sides; a plain value, so that it can be sent to another process."""

    system: System
    start: Array
    saddle: Saddle | LimitCycle
    sign: float
    end: Array
    method: LegMethod
    # The budget in seconds of CPU time.
    seconds: float
    # The states at both ends, which are cycles or points.
    home: Minimum
    away: Minimum
    # The free descents into both of them from their sides of the saddle, where they have been followed already.
    behind: Trajectory | None = None
    ahead: Trajectory | None = None
    # A route from the same state up to the same saddle or cycle, which goes on to another state.
    known: PathSolution | None = None
    # Curves from the start to the saddle, with which the search for the path begins.
    curves: tuple[Array, ...] = ()
    # The cost above which it need not be solved.
    ceiling: float = np.inf

    @property
    def cyclic(self) -> bool:
        """Whether a limit cycle is part of the leg."""
        return any(isinstance(x, LimitCycle) for x in (self.home, self.saddle, self.away))


def _beside_kinks(saddle: Saddle | LimitCycle, home: Minimum, away: Minimum) -> Saddle | LimitCycle:
    return saddle if isinstance(saddle, LimitCycle) else resolved_between_kinks(saddle, home, away)


def _leg(
    system: System,
    minima: Sequence[Minimum],
    saddle: Saddle | LimitCycle,
    home: int,
    away: int,
    sign: float,
    method: LegMethod,
    seconds: float,
) -> _Leg:
    """The leg from minimum ``home`` over a saddle to ``away``; the saddle's direction times ``sign`` points to ``away``."""
    start, end = minima[home], minima[away]
    views = None if isinstance(saddle, LimitCycle) else saddle.views
    view = None if views is None else views[saddle.connects.index(home)]
    if view is None or isinstance(saddle, LimitCycle):
        return _Leg(system, start.point, saddle, sign, end.point, method, seconds, start, end)
    # Modulo symmetries the leg runs over the saddle's copy next to this minimum, to the copy of the other one behind it.
    seen = replace(saddle, point=view.point, direction=view.direction, below=view.below)
    return _Leg(system, start.point, seen, -1.0, view.away, method, seconds, start, end)


def _solve_leg(task: _Leg) -> PathSolution:
    """Uphill from the minimum to the saddle, then down its other side.

    A failure is a leg too: its cost is inf, and it says why.
    """
    via = (task.saddle.point,)
    least = 0.0
    try:
        if isinstance(task.saddle, LimitCycle) or task.cyclic:
            with spending(task.seconds):
                return timely(
                    route_with_cycles(
                        task.system, task.home, task.saddle, task.away, task.sign, task.method, known=task.known
                    )
                )
        known = between_kinks(task.system, task.start, task.saddle, task.sign, task.end, task.method)
        if known is not None:
            return known
        direction = task.saddle.direction
        # On a line a cost is an integral, whatever the pass is like.
        if task.saddle.below is not None and task.system.dimension > 1:
            with spending(task.seconds):
                return timely(over_degenerate(task.system, task.start, task.saddle, task.sign, task.end, task.method))
        with spending(task.seconds):
            shared = None if task.known is None else climb_of(task.known)
            leg = shared or timely(_up(task, task.saddle.point, direction))
        held(leg, task.method, task.start, task.saddle.point)
        if not np.isfinite(leg.action):  # The leg says why.
            return replace(leg, via=via)
        # Where the descent is not found, the climb is what the leg costs at least.
        least = lowest([leg])
        with spending(task.seconds):
            descent = _down(task, task.saddle.point, task.sign * direction)
    except (SingularCovarianceError, SingularOnTheWay) as error:
        reason = f"no path was found over the saddle {format_point(task.saddle.point)}: {error}"
        return replace(unknown_leg(task.start, task.end, reason, task.method, Status.SINGULAR, least), via=via)
    except SolveError as error:
        if not (isinstance(task.saddle, LimitCycle) or task.cyclic):
            known = by_descents(task.system, task.start, task.saddle, task.sign, task.end, task.method)
            if known is not None:
                return known
        reason = f"no path was found over the saddle {format_point(task.saddle.point)}: {error}"
        if isinstance(error.partial, PathSolution) and not np.isfinite(error.partial.action):
            least = max(least, error.partial.least)
        return replace(unknown_leg(task.start, task.end, reason, task.method, error.status, least), via=via)
    found = joined([leg, descent])
    if found.status.ok:
        return found
    return by_descents(task.system, task.start, task.saddle, task.sign, task.end, task.method) or found


def _up(task: _Leg, saddle: Array, direction: Array) -> PathSolution:
    """The uphill leg, with the free descent against it as a first guess where that is known."""
    if isinstance(task.method, GeometricAction) and task.behind is not None:
        return task.method.up(task.system, task.start, saddle, direction, descent=task.behind[1])
    if isinstance(task.method, LargeScaleAction):
        return task.method.up(task.system, task.start, saddle, direction, curves=task.curves, ceiling=task.ceiling)
    return task.method.up(task.system, task.start, saddle, direction)


def _down(task: _Leg, saddle: Array, direction: Array) -> PathSolution:
    if isinstance(task.method, GeometricAction) and task.ahead is not None:
        return task.method.down(task.system, saddle, direction, task.end, descent=task.ahead)
    return task.method.down(task.system, saddle, direction, task.end)


def _refuse_unstable(minima: Sequence[Minimum]) -> None:
    for k, state in enumerate(minima):
        if isinstance(state, LimitCycle) and not state.stable:
            raise ValueError(f"minima[{k}] = {state!r} does not attract; an unstable cycle belongs among the saddles")
