"""Routes of several legs: uphill to saddles, free descents, and through the attractors between them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, as_bounds, format_point
from qpot._core.status import SolveError, Status
from qpot.landscape.attractor import attracts, unstable_directions
from qpot.landscape.basins import basin_of, runs_away
from qpot.landscape.minima import polish_fixed_point, rest_points
from qpot.landscape.points import Saddle
from qpot.paths.degenerate_pass import over_degenerate
from qpot.paths.ends import REACH
from qpot.paths.finish import answer
from qpot.paths.joined import joined
from qpot.paths.methods import LegMethod, PathProblem
from qpot.paths.ray_starts import ray_starts
from qpot.paths.solution import PathSolution
from qpot.paths.starts import reversed_relaxations
from qpot.paths.surroundings import surroundings
from qpot.paths.uphill import uphill_leg
from qpot.problem.system import System
from qpot.solvers.common.quiet_ivp import quiet_ivp
from qpot.solvers.common.spending import left, spending, spent

# A first guess must not take more than this share of the time that is left.
_SHARE = 0.1


def to_attractor(problem: PathProblem, method: LegMethod) -> PathSolution:
    """The cheapest route over saddles and attractors to the attractor at which the problem ends.

    Raises
    ------
    SolveError
        If the known saddles and attractors make no route.
    """
    import networkx as nx

    system, source, target = problem.system, problem.start, problem.end
    points, found = method.landscape(problem)
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
            graph.edges[home, away, key].update(weight=float("inf"), least=float("inf"))
            continue
        problem.report(n, graph.number_of_edges(), "uphill legs")
        saddle = data["saddle"]
        if saddle.below is not None:
            leg = over_degenerate(system, points[home], saddle, data["side"], points[away], method)
        else:
            leg = method.up(system, points[home], saddle.point, saddle.direction)
        least = leg.action if leg.status.ok else max(leg.action - leg.error, 0.0)
        graph.edges[home, away, key].update(weight=leg.action, least=least, leg=leg)
    nodes = nx.shortest_path(graph, 0, goal, weight="weight")
    legs = []
    for home, away in itertools.pairwise(nodes):
        data = min(graph[home][away].values(), key=lambda e: e["weight"])
        legs.append(data["leg"])
        if data["saddle"].below is not None:
            continue  # The leg over a degenerate pass has its descent already.
        legs.append(method.down(system, data["saddle"].point, data["side"] * data["saddle"].direction, points[away]))
    route = joined(legs)
    least = float(nx.shortest_path_length(graph, 0, goal, weight="least"))
    if least < route.action - route.error:  # A leg that was cut off may make another route cheaper.
        return replace(route, error=route.action - least, status=Status.NOT_CONVERGED)
    return route


def to_saddle(problem: PathProblem, method: LegMethod, curves: list[Array]) -> PathSolution:
    """The cheapest path to a saddle: one leg, or a route through the attractors below it if none of them is the start."""
    system, source, target, report = problem.system, problem.start, problem.end, problem.report
    directions = unstable_directions(system, target)
    relaxations = reversed_relaxations(system, source, target, directions)
    shift = 1e-4 * float(np.linalg.norm(target - source))
    sides = np.concatenate([target + shift * directions, target - shift * directions])
    best: PathSolution | None = None
    if not relaxations and not (basin_of(system, sides, source[None]) == 0).any():
        best = _through(problem, method, sides, directions=directions)
    straight = uphill_leg(
        system,
        source,
        target,
        method=method,
        curves=curves,
        directions=directions,
        relaxations=relaxations,
        end_is_fixed=True,
        report=report,
        below=np.inf if best is None else best.action,
    )
    candidates = [s for s in (best, straight) if s is not None]
    return answer(candidates)


def _through(
    problem: PathProblem, method: LegMethod, beginnings: Array, *, directions: Array | None = None
) -> PathSolution | None:
    """The cheapest sum of a route to an attractor and a leg from there to the target, or None if there is none.

    The attractors are those that the points ``beginnings`` (m, d), next to the target or the target itself, flow to. A
    cheapest path through an attractor stays there forever, so that a search for one leg could only approach it.
    """
    system, source, target = problem.system, problem.start, problem.end
    lower, upper = as_bounds(surroundings(system, source, target, problem.bounds), dimension=system.dimension)
    best: PathSolution | None = None
    known = [source]
    for end in rest_points(system, beginnings, lower, upper):
        attractor = polish_fixed_point(system, end, reach=REACH * float(np.linalg.norm(target - source)))
        if attractor is None or not attracts(system, attractor):
            continue
        if min(np.linalg.norm(attractor - p) for p in known) <= 1e-6 * np.linalg.norm(target - source):
            continue
        known.append(attractor)
        try:
            way = to_attractor(replace(problem, end=attractor), method)
        except SolveError as error:
            if error.status is Status.NO_ROUTE:
                continue
            raise
        below = np.inf if best is None else best.action
        on = uphill_leg(
            system,
            attractor,
            target,
            method=method,
            directions=directions,
            end_is_fixed=directions is not None,
            report=problem.report,
            below=below - way.action,
        )
        if on is not None and way.action + on.action < below:
            best = joined([way, on])
    return best


def past_the_target(system: System, saddle: Saddle, target: Array) -> list[Array]:
    """Curves down from a saddle that leave the free descent where it comes close to the target, closest first.

    A descent that turns on its way passes the target several times; the cheapest path leaves it at one of these passes.
    """
    rates = np.abs(np.linalg.eigvals(system.unchecked.jacobian(saddle.point[None])[0]).real)
    size = float(np.linalg.norm(target - saddle.point))
    curves: list[tuple[float, Array]] = []

    def motion(_: float, x: Array) -> Array:
        if spent():
            raise TimeoutError
        return np.asarray(system.unchecked.drift(x[None])[0], dtype=np.float64)

    for sign in (1.0, -1.0):
        try:
            with spending(_SHARE * left()):
                down = quiet_ivp(
                    motion,
                    (0.0, 40.0 / rates.min()),
                    saddle.point + sign * 1e-4 * size * saddle.direction,
                    method="LSODA",
                    rtol=1e-6,
                    atol=1e-9 * size,
                    max_step=0.05 / rates.min(),
                ).y.T
        except (NonFiniteError, TimeoutError):
            continue
        away = np.linalg.norm(down - target, axis=1)
        passes = np.flatnonzero((away[1:-1] <= away[:-2]) & (away[1:-1] < away[2:])) + 1
        curves += [
            (float(away[k]), np.concatenate([saddle.point[None], down[:k], target[None]]))
            for k in passes[np.argsort(away[passes], kind="stable")[:3]]
        ]
    return [curve for _, curve in sorted(curves, key=lambda item: item[0])[:4]]


def to_point(problem: PathProblem, method: LegMethod, curves: list[Array]) -> PathSolution:
    """The cheapest path to an ordinary point: one leg, or a route through an attractor or over a saddle into its basin.

    Raises
    ------
    ValueError
        If the drift carries the point off to infinity, so that it lies in the closure of no basin.
    """
    system, source, target, report = problem.system, problem.start, problem.end, problem.report

    best: PathSolution | None = None
    if basin_of(system, target[None], source[None])[0] != 0:
        if runs_away(system, target, float(np.linalg.norm(target - source))):
            raise ValueError(
                f"end={format_point(target)} lies in the closure of no basin: the drift carries it off to infinity, or to "
                "where it is not finite; end at a saddle on the way there, or see qpot.exit_cost for the cost of leaving"
            )
        best = _through(problem, method, target[None])
        for saddle in method.landscape(problem)[1]:
            # From a degenerate pass no leg starts; the route through the attractor behind it is among the candidates.
            if 0 not in saddle.connects or saddle.connects == (0, 0) or saddle.below is not None:
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
                curves=past_the_target(system, saddle, target),
                end_is_fixed=False,
                report=report,
                below=below - up.action,
            )
            if on is not None and up.action + on.action < below:
                # The descent costs next to nothing, so that its error is compared with the whole path's action.
                if up.status.ok and on.status is Status.NOT_CONVERGED and on.error <= method.tolerance * up.action:
                    on = replace(on, status=Status.CONVERGED)
                best = joined([up, on])
    straight = uphill_leg(
        system,
        source,
        target,
        method=method,
        # A cheaper leg may leave a route before it comes to rest, next to a saddle or an attractor.
        curves=[*curves, *([] if best is None else [best.points]), *ray_starts(system, source, target)],
        end_is_fixed=False,
        report=report,
        below=np.inf if best is None else best.action,
    )
    candidates = [s for s in (best, straight) if s is not None]
    return answer(candidates)
