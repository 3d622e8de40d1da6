"""minimum_action_path: the cheapest way for the noise from an attractor to a point, a saddle or another attractor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np

from qpot._arrays import Array, as_bounds, as_point, as_points, format_point
from qpot.basins import basin_of
from qpot.critical_points import Minimum, Saddle, find_minima, polish_fixed_point
from qpot.hypoelliptic import certainly_no_path
from qpot.large_scale import AUTOMATIC, large_leg, products_suffice
from qpot.legs import downhill_leg, joined, uphill_leg
from qpot.methods import GeometricAction, LargeScaleAction
from qpot.progress import ProgressLike, reporting
from qpot.saddles import find_saddles
from qpot.solution import PathSolution, SolveError, Status
from qpot.system import System

# A given fixed point may be off by this much of the distance between the ends and is polished; farther off it is none.
_REACH = 1e-3


def minimum_action_path(
    system: System,
    start: Any,
    end: Any,
    *,
    method: GeometricAction | LargeScaleAction | None = None,
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
        A saddle: one uphill leg, reached in infinite time. Another attractor: uphill legs to saddles, each followed by
        the free descent; through a third attractor the legs' costs add. Any other point: an uphill leg of its own, or
        over a saddle if that is cheaper.
    method : GeometricAction or LargeScaleAction, optional
        By default the second above 30 dimensions where the covariance is constant or in factors: one leg from ``start``
        to a given saddle or point, from one initial curve.
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
        If ``start`` does not attract, a user function returns NaN, or the covariance is singular and the drift does
        not carry the noise into every direction. A singular covariance whose noise is carried everywhere (momentum,
        for example) is solved exactly; where certainly no path exists the action is inf and ``.reason`` tells why.
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
    if isinstance(method, LargeScaleAction) or (method is None and d > AUTOMATIC and products_suffice(system)):
        return _in_many_dimensions(system, source, target, method or LargeScaleAction(), initial, progress, throw)
    method = _as_method(method)
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
            fixed = polish_fixed_point(system, target, reach=_REACH * distance)
            if fixed is not None and np.linalg.norm(fixed - source) < 0.5 * distance:
                fixed = None
            if fixed is None:
                solution: PathSolution | None
                solution = partial = _to_point(system, source, target, method, curves, saddles, bounds, report)
            else:
                rates = np.linalg.eigvals(system.jacobian(fixed[None])[0]).real
                if (rates < 0).all():
                    solution = _to_attractor(system, source, fixed, method, saddles, bounds, report)
                else:
                    directions = _unstable_directions(system, fixed)
                    solution = partial = uphill_leg(
                        system,
                        source,
                        fixed,
                        method=method,
                        curves=curves,
                        directions=directions,
                        end_is_fixed=True,
                        report=report,
                    )
            assert solution is not None  # no limit was set
        except KeyboardInterrupt as error:
            raise SolveError(
                "minimum_action_path was interrupted", status=Status.INTERRUPTED, partial=partial
            ) from error
    return _checked(solution, throw)


def _checked(solution: PathSolution, throw: bool) -> PathSolution:
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
    progress: ProgressLike,
    throw: bool,
) -> PathSolution:
    if np.linalg.norm(target - source) <= 1e-9 * (1.0 + float(np.abs(source).max())):
        return _resting(source, method)
    curve = None if initial is None else _initial_curve(initial, source, target)
    with reporting(progress, "minimum action path") as report:
        try:
            solution = large_leg(system, source, target, method=method, curve=curve, report=report)
        except KeyboardInterrupt as error:
            raise SolveError("minimum_action_path was interrupted", status=Status.INTERRUPTED) from error
    return _checked(solution, throw)


def _as_method(method: Any) -> GeometricAction:
    if method is None:
        return GeometricAction()
    if not isinstance(method, GeometricAction):
        raise ValueError(f"method must be a qpot.GeometricAction, got {method!r}")
    return method


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
    fixed = polish_fixed_point(system, point, reach=_REACH * distance)
    if fixed is None:
        speed = float(np.linalg.norm(system.drift(point[None])[0]))
        raise ValueError(
            f"start={format_point(point)} is not a minimum: the drift there is {speed:.3g}, not zero; use a point from "
            "qpot.find_minima"
        )
    largest = float(np.linalg.eigvals(system.jacobian(fixed[None])[0]).real.max())
    if largest >= 0.0:
        raise ValueError(
            f"start={format_point(point)} does not attract: its Jacobian has an eigenvalue with real part {largest:.3g}; "
            "use a point from qpot.find_minima"
        )
    return fixed


def _resting(point: Array, method: GeometricAction | LargeScaleAction) -> PathSolution:
    points = np.stack([point, point])
    return PathSolution(
        points=points,
        action=0.0,
        error=0.0,
        status=Status.CONVERGED,
        residual=0.0,
        iterations=0,
        method=method,
        momenta=np.zeros_like(points),
        times=np.array([0.0, 1.0]),
        uphill=np.zeros(2, dtype=bool),
    )


def _unstable_directions(system: System, point: Array) -> Array:
    """Real unit vectors that span the unstable directions of a fixed point."""
    rates, vectors = np.linalg.eig(system.jacobian(point[None])[0])
    spanning = vectors[:, rates.real > 0]
    real = np.concatenate([spanning.real, spanning.imag], axis=1).T
    norms = np.linalg.norm(real, axis=1)
    kept: Array = real[norms > 1e-8] / norms[norms > 1e-8, None]
    return kept


def _surroundings(system: System, source: Array, target: Array, bounds: Any) -> list[tuple[float, float]]:
    if bounds is not None:
        lower, upper = as_bounds(bounds, dimension=system.dimension)
    else:
        margin = float(np.abs(target - source).max())
        lower, upper = np.minimum(source, target) - margin, np.maximum(source, target) + margin
    return list(zip(lower.tolist(), upper.tolist(), strict=True))


def _landscape(
    system: System, source: Array, target: Array, saddles: Sequence[Saddle] | None, bounds: Any, report: Any
) -> tuple[list[Array], list[Saddle]]:
    """The attractors (source first, then target if it is one) and the saddles between them."""
    box = _surroundings(system, source, target, bounds)
    report(0, 3, "minima around the path")
    points = [source]
    for minimum in find_minima(system, box):
        if min(np.linalg.norm(minimum.point - p) for p in points) > 1e-6 * np.linalg.norm(target - source):
            points.append(minimum.point)
    report(1, 3, "saddles around the path")
    if saddles is None:
        return points, list(find_saddles(system, [_bare(p) for p in points], box))
    # ids of given saddles refer to the caller's minima: find out anew which attractors they connect
    relabelled = []
    for saddle in saddles:
        shift = 1e-4 * np.linalg.norm(target - source) * saddle.direction
        sides = basin_of(system, np.array([saddle.point + shift, saddle.point - shift]), np.array(points))
        ids = [None if s < 0 else int(s) for s in sides]
        relabelled.append(replace(saddle, connects=(ids[0], ids[1])))
    return points, relabelled


def _bare(point: Array) -> Minimum:
    d = point.size
    return Minimum(point=point, loss=float("nan"), hessian=np.full((d, d), np.nan), rates=np.ones(d), residual=0.0)


def _to_attractor(
    system: System,
    source: Array,
    target: Array,
    method: GeometricAction,
    saddles: Sequence[Saddle] | None,
    bounds: Any,
    report: Any,
) -> PathSolution:
    """Shortest route over saddles and attractors; legs are solved as the search reaches them."""
    points, found = _landscape(system, source, target, saddles, bounds, report)
    goal = int(np.argmin([np.linalg.norm(p - target) for p in points]))
    if np.linalg.norm(points[goal] - target) > 1e-5 * np.linalg.norm(target - source):
        points.append(target)
        goal = len(points) - 1
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(len(points)))
    for saddle in found:
        i, j = saddle.connects
        if i is None or j is None or i == j:
            continue
        for home, away, sign in ((i, j, -1.0), (j, i, 1.0)):
            graph.add_edge(home, away, saddle=saddle, side=sign)
    reachable = nx.has_path(graph, 0, goal)
    if not reachable:
        raise SolveError(
            f"no route over saddles from {format_point(source)} to {format_point(target)}: {len(points)} attractors and "
            f"{len(found)} saddles are known; widen bounds or pass saddles=",
            status=Status.NO_ROUTE,
        )
    relevant = nx.descendants(graph, 0) | {0}
    for n, (home, away, key, data) in enumerate(graph.edges(keys=True, data=True)):
        if home not in relevant or home == goal:
            graph.edges[home, away, key]["weight"] = float("inf")
            continue
        report(n, graph.number_of_edges(), "uphill legs")
        leg = uphill_leg(
            system,
            points[home],
            data["saddle"].point,
            method=method,
            directions=data["saddle"].direction[None],
            end_is_fixed=True,
            report=lambda *_: None,
        )
        assert leg is not None  # no limit was set
        graph.edges[home, away, key].update(weight=leg.action, leg=leg)
    nodes = nx.shortest_path(graph, 0, goal, weight="weight")
    legs = []
    for home, away in itertools.pairwise(nodes):
        data = min(graph[home][away].values(), key=lambda e: e["weight"])
        legs.append(data["leg"])
        legs.append(
            downhill_leg(system, data["saddle"].point, data["side"] * data["saddle"].direction, points[away], method)
        )
    return joined(legs)


def _to_point(
    system: System,
    source: Array,
    target: Array,
    method: GeometricAction,
    curves: list[Array],
    saddles: Sequence[Saddle] | None,
    bounds: Any,
    report: Any,
) -> PathSolution:
    """A leg straight to an ordinary point, or over a saddle into its basin, whichever is cheaper."""

    def direct(below: float) -> PathSolution | None:
        return uphill_leg(
            system,
            source,
            target,
            method=method,
            curves=curves,
            end_is_fixed=False,
            report=report,
            below=below,
        )

    best: PathSolution | None = None
    if basin_of(system, target[None], source[None])[0] != 0:
        for saddle in _landscape(system, source, target, saddles, bounds, report)[1]:
            if 0 not in saddle.connects or saddle.connects == (0, 0):
                continue
            below = np.inf if best is None else best.action
            up = uphill_leg(
                system,
                source,
                saddle.point,
                method=method,
                directions=saddle.direction[None],
                end_is_fixed=True,
                report=report,
                below=below,
            )
            if up is None or up.action >= below:
                continue
            on = uphill_leg(
                system,
                saddle.point,
                target,
                method=method,
                end_is_fixed=False,
                report=report,
                below=below - up.action,
            )
            if on is not None and up.action + on.action < below:
                best = joined([up, on])
    straight = direct(np.inf if best is None else best.action)
    candidates = [s for s in (best, straight) if s is not None]
    return min(candidates, key=lambda s: (not s.status.ok, s.action))
