"""minimum_action_path: the cheapest way for the noise from an attractor to a point, a saddle or another attractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_point, as_points, format_point
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot.landscape.flatness import refuse_flat_point
from qpot.landscape.linear_rates import fixed_point_rates
from qpot.landscape.minima import polish_fixed_point
from qpot.landscape.points import Saddle
from qpot.landscape.saddles import SEARCHED
from qpot.paths.degenerate import certainly_no_path
from qpot.paths.fixed_time import fixed_time_path
from qpot.paths.joined import free_path
from qpot.paths.large_scale import LatestPath, attracting_rates, chosen_method, large_leg
from qpot.paths.methods import FixedTimeAction, GeometricAction, LargeScaleAction
from qpot.paths.multi_leg import REACH, to_attractor, to_point, to_saddle
from qpot.paths.solution import PathSolution
from qpot.problem.system import System

# Up to this dimension an ordinary end is looked at over saddles and through attractors too.
FEW = 30


def minimum_action_path(
    system: System,
    start: Any,
    end: Any,
    *,
    method: GeometricAction | FixedTimeAction | LargeScaleAction | None = None,
    initial: Any = None,
    saddles: Sequence[Saddle] | None = None,
    bounds: Any = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> PathSolution:
    r"""The cheapest path of the noise from an attractor to a point, and its cost V(start, end).

    Parameters
    ----------
    system : System
    start : array (d,) or Minimum
        An attracting fixed point; polished by Newton's method if it is one to about three digits.
    end : array (d,), Minimum or Saddle
        A saddle: one uphill leg, reached in infinite time, after others if it borders another basin only. Another
        attractor: uphill legs to saddles, each followed by the free descent; through a third attractor the legs' costs
        add. Any other point: an uphill leg of its own, or over a saddle or through an attractor if that is cheaper.
    method : GeometricAction, FixedTimeAction or LargeScaleAction, optional
        With `FixedTimeAction` both ends are taken as they are (``start`` need not attract), and ``residual`` is the
        largest deviation of H from its mean.
        By default `LargeScaleAction` above 12 dimensions where the covariance is constant or in factors: one leg from
        ``start`` to a given saddle or point, or over the cheapest of given ``saddles`` to another attractor.
    initial : array (n, d), optional
        An initial curve for a single leg, tried besides the library's own.
    saddles : sequence of Saddle, optional
        Saddles for a route to another basin; searched for within ``bounds`` otherwise.
    bounds : (low, high) pair for each coordinate, optional
        Box of that search; by default the box of the two ends, widened on each side by its longest edge.
    progress : callable, True, "auto" or None
    throw : bool
        Whether a failure raises `SolveError` or is returned as a status.

    Returns
    -------
    PathSolution

    Raises
    ------
    ValueError
        If ``start`` does not attract or has a flat direction (which is named), a user function returns NaN, or the
        covariance is singular and the drift does not carry the noise into every direction. A singular covariance whose
        noise is carried everywhere (momentum, for example) is solved exactly; where certainly no path exists the action
        is inf and ``.reason`` tells why.
    SolveError
        If the tolerance was not met (with the best path in ``.partial``), or there is no route.

    Notes
    -----
    The action is :math:`S = \tfrac12\int (x'-b)^T a^{-1}(x'-b)\,dt`, V its infimum over paths and times (Freidlin and
    Wentzell, Random Perturbations of Dynamical Systems, ch. 4 and 6). Errors are estimates around the minimiser found;
    that no lower one exists elsewhere is a matter of the initial curves, see ``PathSolution.alternatives``.

    Examples
    --------
    >>> import qpot
    >>> ms = qpot.gallery.maier_stein(beta=10.0)
    >>> path = qpot.minimum_action_path(ms.system, (-1, 0), (0, 0))
    >>> round(path.action, 9), path.error < 1e-9
    (0.340041403, True)
    """
    d = system.dimension
    source, target = as_point(start, dimension=d, name="start"), as_point(end, dimension=d, name="end")
    if isinstance(method, FixedTimeAction):
        return _in_fixed_time(system, source, target, method, initial, progress, throw)
    automatic = method is None
    if method is not None and not isinstance(method, (GeometricAction, LargeScaleAction)):
        raise ValueError(
            f"method must be a qpot.GeometricAction, qpot.LargeScaleAction or qpot.FixedTimeAction, got {method!r}"
        )
    method = chosen_method(system, method, np.stack([source, target]))
    if automatic and d <= FEW and isinstance(method, LargeScaleAction) and not _at_rest(system, target, source):
        method = GeometricAction()  # to an ordinary point there are several ways, over saddles too
    if isinstance(method, LargeScaleAction):
        return _in_many_dimensions(system, source, target, method, initial, saddles, bounds, progress, throw)
    distance = float(np.linalg.norm(target - source))
    source = _attractor(system, source, distance)
    if np.linalg.norm(target - source) <= 1e-9 * (1.0 + float(np.abs(source).max())):
        return _resting(source, method)
    nothing = certainly_no_path(system, source, target, method)
    if nothing is not None:
        return nothing
    curves = [] if initial is None else [_initial_curve(initial, source, target)]
    with reporting(progress, "minimum action path") as report:
        partial: PathSolution | None = None
        try:
            fixed = polish_fixed_point(system, target, reach=REACH * distance)
            if fixed is not None and np.linalg.norm(fixed - source) < 0.5 * distance:
                fixed = None
            if fixed is None:
                solution: PathSolution | None
                solution = partial = to_point(system, source, target, method, curves, saddles, bounds, report)
            else:
                rates = np.linalg.eigvals(system.unchecked.jacobian(fixed[None])[0]).real
                if (rates < 0).all():
                    solution = to_attractor(system, source, fixed, method, saddles, bounds, report)
                else:
                    solution = partial = to_saddle(system, source, fixed, method, curves, saddles, bounds, report)
            assert solution is not None  # no limit was set
        except KeyboardInterrupt as error:
            raise SolveError(
                "minimum_action_path was interrupted", status=Status.INTERRUPTED, partial=partial
            ) from error
    return _checked(solution, source, target, throw)


def _in_fixed_time(
    system: System,
    source: Array,
    target: Array,
    method: FixedTimeAction,
    initial: Any,
    progress: ProgressLike,
    throw: bool,
) -> PathSolution:
    if np.array_equal(source, target):
        raise ValueError(
            f"start and end are both {format_point(source)}; resting there costs T times L(x, 0), closed paths have no "
            "initial curve: pass ends that differ"
        )
    curves = [] if initial is None else [_initial_curve(initial, source, target)]
    with reporting(progress, "minimum action path") as report:
        try:
            solution = fixed_time_path(system, source, target, method=method, curves=curves, report=report)
        except KeyboardInterrupt as error:
            raise SolveError("minimum_action_path was interrupted", status=Status.INTERRUPTED) from error
    return _checked(solution, source, target, throw)


def _checked(solution: PathSolution, source: Array, target: Array, throw: bool) -> PathSolution:
    if throw and not solution.status.ok:
        raise SolveError(
            f"the path from {format_point(solution.start)} to {format_point(solution.end)}: {solution.status} (action "
            f"{solution.action:.6g}, error {solution.error:.2g})",
            status=solution.status,
            partial=solution,
        )
    return solution


def _in_many_dimensions(
    system: System,
    source: Array,
    target: Array,
    method: LargeScaleAction,
    initial: Any,
    saddles: Sequence[Saddle] | None,
    bounds: Any,
    progress: ProgressLike,
    throw: bool,
) -> PathSolution:
    if np.linalg.norm(target - source) <= 1e-9 * (1.0 + float(np.abs(source).max())):
        return _resting(source, method)
    curve = None if initial is None else _initial_curve(initial, source, target)
    latest = LatestPath()
    with reporting(progress, "minimum action path") as report:
        try:
            if curve is None and _attracts(system, target, source):
                if saddles is None and system.dimension > SEARCHED:
                    raise ValueError(
                        f"end={format_point(target)} attracts: in {system.dimension} dimensions pass the saddle between as "
                        "end, or saddles="
                    )
                attracting_rates(system, source, float(np.linalg.norm(target - source)))
                solution = to_attractor(system, source, target, method, saddles, bounds, report)
            else:
                solution = large_leg(system, source, target, method=method, curve=curve, report=report, latest=latest)
        except KeyboardInterrupt as error:
            partial = latest.solution(method)
            kept = "" if partial is None else f"; the best path so far, action {partial.action:.6g}, is in .partial"
            raise SolveError(
                f"minimum_action_path was interrupted{kept}", status=Status.INTERRUPTED, partial=partial
            ) from error
    return _checked(solution, source, target, throw)


def _at_rest(system: System, point: Array, source: Array) -> bool:
    """Whether a point is close to a fixed point, by the speed there against that between it and the source."""
    shares = np.array([1.0, 0.8, 0.6, 0.4, 0.2])[:, None]
    speeds = np.linalg.norm(system.unchecked.drift(shares * point + (1.0 - shares) * source), axis=1)
    return bool(speeds[0] <= REACH * speeds.max())


def _attracts(system: System, point: Array, source: Array) -> bool:
    return _at_rest(system, point, source) and not fixed_point_rates(system, point, name="end").unstable


def _initial_curve(initial: Any, source: Array, target: Array) -> Array:
    curve = as_points(initial, dimension=source.size, name="initial")
    if curve.shape[0] < 2:
        raise ValueError("initial must be a curve of at least two points (n, d)")
    size = np.linalg.norm(target - source)
    if np.linalg.norm(curve[0] - source) > 0.1 * size or np.linalg.norm(curve[-1] - target) > 0.1 * size:
        raise ValueError(
            f"initial runs from {format_point(curve[0])} to {format_point(curve[-1])}, but the path is from "
            f"{format_point(source)} to {format_point(target)}"
        )
    return np.concatenate([source[None], curve[1:-1], target[None]])


def _attractor(system: System, point: Array, distance: float) -> Array:
    """The attracting fixed point that ``start`` names, or an error that says what it is instead."""
    fixed = polish_fixed_point(system, point, reach=REACH * distance)
    if fixed is None:
        speed = float(np.linalg.norm(system.unchecked.drift(point[None])[0]))
        raise ValueError(
            f"start={format_point(point)} is not a minimum: the drift there is {speed:.3g}, not zero; use a point from "
            "qpot.find_minima"
        )
    refuse_flat_point(system, fixed, name="start")
    largest = float(np.linalg.eigvals(system.unchecked.jacobian(fixed[None])[0]).real.max())
    if largest >= 0.0:
        raise ValueError(
            f"start={format_point(point)} does not attract: its Jacobian has an eigenvalue with real part {largest:.3g}; "
            "use a point from qpot.find_minima"
        )
    return fixed


def _resting(point: Array, method: GeometricAction | LargeScaleAction) -> PathSolution:
    return free_path(np.stack([point, point]), np.array([0.0, 1.0]), method)
