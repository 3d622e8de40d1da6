"""escape_cost: what it costs to leave a minimum, from the minimum itself or from a level of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array, BoundsLike, NonFiniteError, as_point, as_rng, format_point
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible, keeping
from qpot._core.progress import ProgressLike, reporting
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike, SeedLike
from qpot.landscape.flow import descent, slow_rate
from qpot.landscape.points import Saddle
from qpot.paths.boundaries import LossLevel, surfaces
from qpot.paths.boundary_basin import check_basin
from qpot.paths.boundary_surfaces import Surface
from qpot.paths.escape_targets import Target, crossings, curves_to, rays, targets_of
from qpot.paths.exits import boundary_exit, named_minimum
from qpot.paths.finish import cheapest, refined
from qpot.paths.geometric import GeometricAction
from qpot.paths.infinite import blocked_interval, infinite_leg, interpolating_minimum, no_feasible_path
from qpot.paths.joined import free_path
from qpot.paths.minimum_action import minimum_action_path
from qpot.paths.ranking import ranking
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import distinct
from qpot.problem.arguments import a_box, a_flag, a_point, a_seed, a_system, checked, some_saddles
from qpot.problem.natural_units import in_natural_units
from qpot.problem.noise import singular_covariance
from qpot.problem.system import System
from qpot.problem.units import Units
from qpot.solvers.paths import action_minimization, path_refinement
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.problem.lagrangian import Lagrangian, SingularCovarianceError

# Elements of a coarse path.
_ELEMENTS = 16
# Their polynomial degree.
_DEGREE = 4
# Most Newton iterations for a coarse path.
_COARSE_ITERATIONS = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class EscapeSolution(Drawn, Saved, figure="plot_exit"):
    """What leaving a minimum costs.

    Attributes
    ----------
    cost : float
        The cost without epsilon: escape times grow like exp(cost / epsilon). It is inf from a minimum where the covariance
        vanishes.
    error : float
        Estimate of the cost's error.
    start, end : array (d,)
        Where the cheapest path leaves the level and where it arrives.
    path : PathSolution
        The cheapest path; ``path.reason`` tells why the cost is infinite, where it is.
    status : Status
        Whether the error meets the tolerance, and if not, why.
    alternatives : tuple of EscapeSolution
        Other local minimisers of the same or higher cost, on another side or over another saddle.
    """

    cost: float
    error: float
    start: Array
    end: Array
    path: PathSolution
    status: Status
    alternatives: tuple[EscapeSolution, ...] = ()

    def in_units(self, units: Units) -> EscapeSolution:
        """The same solution in the coordinates to which the units lead."""
        return replace(
            self,
            cost=units.noise * self.cost,
            error=units.noise * self.error,
            start=units.points(self.start),
            end=units.points(self.end),
            path=units.read(self.path),
            alternatives=units.read(self.alternatives),
        )

    def __repr__(self) -> str:
        more = f", {len(self.alternatives)} others" if self.alternatives else ""
        why = f": {self.path.reason}" if self.path.reason else ""
        return (
            f"EscapeSolution(cost {self.cost:.10g} +- {self.error:.1g} from {format_point(self.start)} to "
            f"{format_point(self.end)}{more}{why})"
        )


@interruptible
@checked(system=a_system, minimum=a_point, end=a_point, saddles=some_saddles, bounds=a_box, rng=a_seed, throw=a_flag)
@in_natural_units("minimum", "end", "saddles")
def escape_cost(
    system: System,
    minimum: PointLike,
    *,
    from_loss: float | None = None,
    to_loss: float | None = None,
    end: PointLike | None = None,
    saddles: Sequence[Saddle] | None = None,
    bounds: BoundsLike | None = None,
    method: GeometricAction | None = None,
    rng: SeedLike = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> EscapeSolution:
    r"""The cost of leaving a minimum, from the minimum or from the level set where the loss is ``from_loss``.

    Where every sample is fitted the covariance vanishes and SGD never leaves: the cost from the minimum is infinite.
    From a level of the loss it is finite, and typically a logarithm of the ratio of losses.

    Parameters
    ----------
    system : System
        A system with a loss.
    minimum : Minimum or array (d,)
        An attracting fixed point.
    from_loss : float, optional
        The level around the minimum from which the path starts, at its cheapest point. None is the minimum itself.
    to_loss : float, optional
        A level of the loss at which the path ends, at its cheapest point. Excludes ``end``.
    end : Saddle or array (d,), optional
        A saddle or another point at which the path ends. Without ``to_loss`` and ``end`` it ends at the cheapest saddle
        that leads out of the minimum's basin.
    saddles : sequence of Saddle, optional
        Known saddles, for leaving the basin.
    bounds : (low, high) pair for each coordinate, optional
        The box to search for saddles, where they are not given.
    method : GeometricAction, optional
        The method with its options; None is `GeometricAction` with the defaults.
    rng : numpy.random.Generator or seed, optional
        Generator of the directions of first guesses in more than two dimensions. None is seed 0.
    progress : callable, True, "auto" or None
        Receives the progress; True shows a bar.
    throw : bool
        Whether a failure raises `SolveError` or is returned as a status.

    Returns
    -------
    EscapeSolution

    Raises
    ------
    ValueError
        If the system has no loss, a level is no number, not above the minimum's loss or not below that of the end, or a
        level set reaches beyond the basin.
    SolveError
        If the tolerance was not met or no saddle leads out of the basin.

    Notes
    -----
    The action (Freidlin and Wentzell, Random Perturbations of Dynamical Systems, ch. 4) is minimised over paths, their
    duration, and their ends on the level sets. At the answer the momentum there is normal to the level set and H = 0. For
    a covariance a = 2 h L(x) I, the shape that the mean squared error gives it (Mori et al., Power-law escape rate of SGD,
    ICML 2022), the cost is log(to_loss / from_loss) / h.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> fitted = qpot.System.from_loss(
    ...     lambda x: 0.75 * x[:, 0] ** 2, lambda x: 1.5 * x, lambda x: 0.64 * x[:, :, None] ** 2, dimension=1)
    >>> qpot.escape_cost(fitted, [0.0], to_loss=6.75).cost
    inf
    >>> found = qpot.escape_cost(fitted, [0.0], from_loss=0.75, to_loss=6.75)
    >>> round(found.cost, 9), round(float(2 * 1.5 / 0.64 * np.log(3.0)), 9)
    (5.149745103, 5.149745103)
    """
    chosen = GeometricAction() if method is None else method
    if not isinstance(chosen, GeometricAction):
        raise ValueError(f"method must be a qpot.GeometricAction, got {method!r}")
    if system.loss is None:
        raise ValueError(
            "escape_cost needs levels of the loss, but the system has none; build it with System.from_loss"
        )
    if to_loss is not None and end is not None:
        raise ValueError(f"to_loss={to_loss!r} and end={end!r} both say where to; pass one of them")
    start = named_minimum(system, minimum)
    lowest = float(system.unchecked.loss(start[None])[0])
    high = None if to_loss is None else _level(to_loss, lowest, name="to_loss")
    if from_loss is None:
        return _from_the_minimum(system, start, high, end, chosen, saddles, bounds, rng, progress, throw)
    low = _level(from_loss, lowest, name="from_loss")
    inner = surfaces(system, LossLevel(level=low), start)[0]
    directions = rays(start.size, as_rng(rng))
    with reporting(progress, "escape cost") as report:
        found: list[EscapeSolution] = []
        told = "escape_cost was interrupted with {} escapes found"
        try:
            with keeping(lambda: (told.format(len(found)), tuple(found))):
                lagrangian = system.noise.lagrangian(system.unchecked)
                inside = crossings(inner, start, directions)
                if high is not None and high <= low:
                    return _downhill(system, start, inside, inner, high, chosen)
                for point in inside:
                    check_basin(system, start, point, LossLevel(level=low))
                targets = targets_of(system, start, low, high, end, saddles, bounds)
                for k, target in enumerate(targets):
                    report(k, len(targets), "escapes")
                    outer = [] if target.surface is None else crossings(target.surface, start, directions)
                    for point in outer:
                        check_basin(system, start, point, f"to_loss={high:g}")
                    found += _leg(system, lagrangian, start, inner, inside, target, outer, chosen)
        except SingularCovarianceError as error:
            raise singular_covariance(error) from error
    best = _cheapest_escape(found)
    if throw and not best.status.ok:
        raise SolveError(
            f"the escape from the level {low:g} around {format_point(start)}: {best.status} (cost {best.cost:.6g}, error "
            f"{best.error:.2g})",
            status=best.status,
            partial=best,
        )
    return best


def _cheapest_escape(found: list[EscapeSolution]) -> EscapeSolution:
    """The cheapest escape with the others as alternatives, not converged where one that was cut off may cost less."""
    finished = min((e.cost for e in found if e.status.ok), default=np.inf)
    known = [e for e in found if e.status is not Status.UNSTABLE or e.cost < finished]
    rank = ranking([e.cost for e in known], [e.error for e in known], [e.status.ok for e in known])
    best = known[rank.chosen]
    others = sorted((e for e in found if e is not best), key=lambda e: e.cost)
    return replace(
        best,
        alternatives=tuple(others),
        error=rank.error,
        status=Status.NOT_CONVERGED if rank.doubtful else best.status,
    )


def _level(value: Any, lowest: float, *, name: str) -> float:
    if isinstance(value, bool) or not np.isscalar(value) or not np.isreal(value) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    level = float(value)  # type: ignore[arg-type]
    if not level > lowest:
        raise ValueError(f"{name}={level:g} must lie above the minimum's loss, {lowest:.6g}")
    return level


def _from_the_minimum(
    system: System,
    start: Array,
    high: float | None,
    end: PointLike | None,
    method: GeometricAction,
    saddles: Sequence[Saddle] | None,
    bounds: BoundsLike | None,
    rng: SeedLike,
    progress: ProgressLike,
    throw: bool,
) -> EscapeSolution:
    """The escape from the minimum itself: infinite where the covariance vanishes there, else a path or an exit."""
    if end is not None:
        aim = as_point(end, dimension=system.dimension, name="end")
    elif high is not None:
        aim = crossings(surfaces(system, LossLevel(level=high), start)[0], start, rays(start.size, as_rng(rng)))[0]
    elif saddles:
        aim = saddles[0].point
    else:
        aim = start + 0.1 * (1.0 + np.abs(start))
    reason = interpolating_minimum(system, start, aim)
    if reason is not None:
        return _as_escape(infinite_leg(start, aim, reason, method))
    if end is not None:
        return _as_escape(
            minimum_action_path(
                system, start, end, method=method, saddles=saddles, bounds=bounds, progress=progress, throw=throw
            )
        )
    found = boundary_exit(
        system,
        start,
        boundary="basin" if high is None else LossLevel(level=high),
        method=method,
        saddles=saddles,
        bounds=bounds,
        rng=rng,
        progress=progress,
        throw=throw,
    )
    others = tuple(replace(_as_escape(e.path), error=e.error, status=e.status) for e in found.alternatives)
    return replace(_as_escape(found.path), error=found.error, status=found.status, alternatives=others)


def _as_escape(path: PathSolution) -> EscapeSolution:
    return EscapeSolution(
        cost=path.action, error=path.error, start=path.start, end=path.end, path=path, status=path.status
    )


def _downhill(
    system: System, start: Array, inside: list[Array], inner: Surface, high: float, method: GeometricAction
) -> EscapeSolution:
    """The escape to a level that is not above the first, along the drift, which costs nothing."""
    assert system.loss is not None
    for point in inside:
        down = descent(system, point, towards=start)
        if down is None:
            continue
        times, points = down
        below = np.flatnonzero(system.unchecked.loss(points) <= high)
        last = int(below[0]) + 1 if below.size else len(times)
        last = max(last, 2)
        return _as_escape(free_path(points[:last], times[:last], method))
    raise SolveError(
        f"the flow from the level around {format_point(start)} does not reach it: no descent was found",
        status=Status.NO_ROUTE,
    )


def _leg(
    system: System,
    lagrangian: Lagrangian,
    start: Array,
    inner: Surface,
    inside: list[Array],
    target: Target,
    outer: list[Array],
    method: GeometricAction,
) -> list[EscapeSolution]:
    """All distinct local minimisers from the inner level to one target."""
    surface, timed = target.free_ends
    ends = FreeEnds(inner, surface, timed)
    slow_end = 0.0 if target.point is None or not target.fixed else slow_rate(system, target.point, name="end")
    curves = curves_to(system, lagrangian, start, inner, inside, target, outer)
    reasons = [blocked_interval(system, curve[0], curve[-1]) for curve in curves]
    if all(reason is not None for reason in reasons):
        return [_as_escape(infinite_leg(curves[0][0], curves[0][-1], reasons[0] or "", method))]
    curves = [c for c, reason in zip(curves, reasons, strict=True) if reason is None][: max(method.starts, 1)]
    coarse: list[action_minimization.Minimization] = []
    failure: Exception | None = None
    for curve in curves:
        try:
            guess = timed_path(
                curve, lagrangian.speed, slow_start=0.0, slow_end=slow_end, n_elements=_ELEMENTS, degree=_DEGREE
            )
            found = path_refinement.coarse_path(lagrangian, guess, max_iterations=_COARSE_ITERATIONS, ends=ends)
        except (NonFiniteError, SingularCovarianceError) as error:
            failure = error
            continue
        if found.status != action_minimization.INFEASIBLE:
            coarse.append(found)
    if not coarse and failure is not None:
        raise failure
    if not coarse:
        first, last = curves[0][0], curves[0][-1]
        return [_as_escape(infinite_leg(first, last, no_feasible_path(first, last, len(curves)), method))]
    solutions = [refined(system, lagrangian, m.path, 0.0, slow_end, method, ends) for m in distinct(coarse)]
    best = cheapest(solutions, sum(m.iterations for m in coarse))
    return [_as_escape(path) for path in (replace(best, alternatives=()), *best.alternatives)]
