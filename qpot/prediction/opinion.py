"""The second opinion: the costs between minima read off quasi-potential fields, held against those of the paths.

The two have nothing in common but the system. A path minimiser may sit in a local minimum; a field takes the infimum
over all paths within its grid, so that agreement says that no cheaper path was missed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from qpot._core.arrays import Array, as_bounds, as_count
from qpot._core.parallel import check_executor, check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.grid import Grid
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.prediction.costs import FieldOpinion
from qpot.problem.system import System

if TYPE_CHECKING:
    from qpot.prediction.costs import TransitionCosts

# Nodes on an axis of the finer of the two grids of an opinion: five or six digits.
NODES = {1: 1025, 2: 129, 3: 49}
# The field is wanted up to this multiple of the highest cost over a saddle of the source's basin.
_BEYOND = 1.1
# Times the difference between the grids; plus this fraction of V, since close to slow saddles at the end of narrow canyons
# two grids can agree better than either is right: 0.6 % at worst over forty random landscapes (docs/field.md).
_SAFETY, _ALLOWANCE = 2.0, 1e-2
# The box: path and ellipse at that level, widened; the next where V leaves it before the level.
_WIDENINGS = (1.2, 1.8, 3.0)


def with_field_opinion(
    system: System,
    costs: TransitionCosts,
    *,
    nodes: int | None = None,
    bounds: Any = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
) -> TransitionCosts:
    """The same costs with an independent second opinion from quasi-potential fields in ``.field``.

    Parameters
    ----------
    system : System
        Of dimension 1, 2 or 3 with non-singular covariance; otherwise the opinion is empty and says why.
    costs : TransitionCosts
    nodes : int, optional
        On each axis; by default 1025 in 1-D, 129 in 2-D and 49 in 3-D. A second grid has half as many.
    bounds : (low, high) pair for each coordinate, optional
        Box that the grids must not leave. Each holds the paths out of one minimum and the level set of V through the
        highest of its saddles, as far as that can be told from the curvature of V; it grows where it is too small.
    executor : concurrent.futures.Executor, optional
        The fields run side by side in it.
    progress : callable, True, "auto" or None

    Returns
    -------
    TransitionCosts
        A copy; ``.field`` is a `FieldOpinion` and ``.disagreements`` compares the two.

    Raises
    ------
    ValueError
        If ``nodes`` is less than 33.
    SolveError
        If interrupted (INTERRUPTED); ``.partial`` is the costs with the opinions that were finished.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.double_well()
    >>> costs = qpot.transition_costs(case.system, qpot.find_minima(case.system, case.bounds))
    >>> checked = qpot.with_field_opinion(case.system, costs)
    >>> checked.field.values.round(3), checked.disagreements
    (array([[0. , 0.5],
           [0.5, 0. ]]), ())
    """
    check_executor(executor)
    d, k = system.dimension, len(costs.minima)
    routes = [(int(i), int(j)) for i, j in np.argwhere(np.isfinite(costs.direct)) if i != j]
    values, errors = np.full((k, k), np.nan), np.full((k, k), np.nan)
    np.fill_diagonal(values, 0.0)
    np.fill_diagonal(errors, 0.0)
    reasons: dict[tuple[int, int], str] = {}
    impossible = _impossible(system)
    if impossible:
        reasons.update(dict.fromkeys(routes, impossible))
        return replace(costs, field=FieldOpinion(values=values, errors=errors, reasons=reasons))
    count = NODES[d] if nodes is None else as_count(nodes, name="nodes", minimum=33)
    box = None if bounds is None else as_bounds(bounds, dimension=d)
    tasks = [_task(system, costs, i, count, box) for i in sorted({i for i, _ in routes})]
    if tasks and executor is not None:
        check_sendable(tasks[0], executor, what="the system")
    done = 0
    try:
        with reporting(progress, "second opinion") as report:
            for task, outcome in zip(tasks, run_in_order(_opinion_on, tasks, executor), strict=True):
                done += 1
                i = task.minimum
                for j, value, error, reason in outcome:
                    values[i, j], errors[i, j] = value, error
                    if reason:
                        reasons[i, j] = reason
                report(done, len(tasks), f"field of minimum {i}")
    except KeyboardInterrupt as error:
        raise SolveError(
            f"the second opinion was interrupted after {done} of {len(tasks)} fields; the costs are in .partial",
            status=Status.INTERRUPTED,
            partial=replace(costs, field=FieldOpinion(values=values, errors=errors, reasons=reasons)),
        ) from error
    return replace(costs, field=FieldOpinion(values=values, errors=errors, reasons=reasons))


def _impossible(system: System) -> str:
    if system.dimension > 3:
        return f"fields are for one to three dimensions, this system has {system.dimension}"
    if not system.noise.gaussian:
        return f"fields are for Gaussian noise; this system has exact noise of its own ({type(system.noise).__name__})"
    return ""


@dataclass(frozen=True, eq=False)
class _Task:
    """Fields of one minimum; a value, so that it can be sent to another process."""

    system: System
    minimum: int
    source: Array
    doors: Mapping[int, Array]  # saddles towards each neighbour
    highest: float
    corners: tuple[Array, Array]  # of what the grid must hold
    box: tuple[Array, Array] | None
    nodes: int


def _task(system: System, costs: TransitionCosts, i: int, nodes: int, box: tuple[Array, Array] | None) -> _Task:
    source = costs.minima[i].point
    legs = {pair: path for pair, path in costs.paths.items() if pair[0] == i and np.isfinite(path.action)}
    doors = {j: np.array([s.seen_from(i) for s in costs.saddles if set(s.connects) == {i, j}]) for _, j in legs}
    highest = _BEYOND * max(path.action for path in legs.values())
    points = [_ellipse(system, source, highest)]
    for (_, j), path in legs.items():
        points.append(path.points)  # down to the neighbour too: V is flat along the descent
        points.append(_ellipse(system, costs.minima[j].point, max(highest - path.action, 0.0)))
    hull = np.concatenate(points)
    corners = hull.min(axis=0), hull.max(axis=0)
    return _Task(system, i, source, doors, highest, corners, box, nodes)


def _ellipse(system: System, minimum: Array, level: float) -> Array:
    """Corners of the box around {V <= level} by the quadratic approximation of V at a minimum, (2, d)."""
    try:
        spread = solve_continuous_lyapunov(
            system.unchecked.jacobian(minimum[None])[0], -system.unchecked.covariance(minimum[None])[0]
        )
    except np.linalg.LinAlgError:
        return minimum[None]
    reach = np.sqrt(2.0 * level * np.maximum(np.diag(spread), 0.0))
    return np.array([minimum - reach, minimum + reach])


def _opinion_on(task: _Task) -> list[tuple[int, float, float, str]]:
    """(neighbour, value, error, reason) for the routes out of one minimum."""
    answers: dict[int, tuple[int, float, float, str]] = {}
    for widening in _WIDENINGS:
        open_doors = {j: x for j, x in task.doors.items() if not (j in answers and not answers[j][3])}
        try:
            fine = _field(task, widening, task.nodes)
            try:
                coarse = _field(task, widening, (task.nodes + 1) // 2)
            except (ValueError, SolveError):  # refused as too coarse: one step finer, once
                fine, coarse = _field(task, widening, 2 * task.nodes - 1), fine
        except (ValueError, SolveError) as error:
            answers.update({j: (j, np.nan, np.nan, str(error)) for j in open_doors})
            break
        for j, x in open_doors.items():
            answers[j] = (j, *_read(fine, coarse, x, task.highest))
        if not any(reason for *_, reason in answers.values()):
            break
    return list(answers.values())


def _read(fine: FieldSolution, coarse: FieldSolution, doors: Array, highest: float) -> tuple[float, float, str]:
    """The least V over the doors on the finer grid, its difference to the coarser one, and why there is none."""
    doors = doors[fine.grid.contains(doors)]
    value, other = _lowest(fine, doors), _lowest(coarse, doors)
    if np.isfinite(value):
        if not np.isfinite(other):
            return np.nan, np.nan, f"the {coarse.grid} is too coarse to check its field at the saddle"
        return value, _SAFETY * abs(value - other) + _ALLOWANCE * value, ""
    if fine.level >= 0.999 * highest:
        return np.inf, 0.0, ""
    return np.nan, np.nan, f"V leaves the {fine.grid} at level {fine.level:.6g}, before it reaches the saddle"


def _lowest(field: FieldSolution, doors: Array) -> float:
    """The least V over the saddles, from the rays that reached them where there are any; inf if none was reached."""
    values = [np.inf]
    for x in doors:
        known = [at.level for at in field.passages if np.linalg.norm(x - at.point) < 0.1 * field.grid.spacing.min()]
        V = known[0] if known else float(field.at(x)[0])
        if np.isfinite(V):
            values.append(V)
    return min(values)


def _field(task: _Task, widening: float, nodes: int) -> FieldSolution:
    lower, upper = task.corners
    centre, half = (lower + upper) / 2.0, widening * (upper - lower) / 2.0
    lower, upper = centre - half, centre + half
    if task.box is not None:
        lower, upper = np.maximum(lower, task.box[0]), np.minimum(upper, task.box[1])
    method = CharacteristicJets(estimate_error=False, highest=task.highest, kinks="refuse")
    try:
        return quasipotential(task.system, task.source, Grid(lower, upper, (nodes,) * len(lower)), method=method)
    except SolveError as error:
        if error.status is Status.INTERRUPTED:
            raise KeyboardInterrupt from error
        raise
