"""The second opinion: costs between minima from quasi-potential fields, compared with those of paths.

The two computations share nothing but the system. The minimisation of a path may end in a local minimum of the action; a
field takes the infimum over all paths within its grid. Agreement therefore says that no cheaper path was missed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from qpot._core.arrays import Array, BoundsLike, as_bounds, as_count, as_positive
from qpot._core.parallel import check_executor, check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.doors import levels_at_doors
from qpot.fields.grid import Grid
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.landscape.periods import Periods
from qpot.prediction.costs import FieldOpinion
from qpot.problem.system import System
from qpot.solvers.common.spending import spending
from qpot.solvers.paths.curve_action import curve_action

if TYPE_CHECKING:
    from qpot.prediction.costs import TransitionCosts

# Nodes on each axis of the finer of the two grids, by dimension; they give five or six digits of V.
NODES = {1: 1025, 2: 129, 3: 49}
# Seconds of CPU time for the fields of one minimum.
_SECONDS = 20.0
# A field is computed up to this multiple of the highest cost of a path out of its source.
_BEYOND = 1.1
# The error of an opinion contains this multiple of the difference between the two grids.
_SAFETY = 2.0
# The error also contains this fraction of V, because close to slow saddles at the end of narrow canyons two grids can agree
# better with each other than with the truth (by 0.6 % of V at worst over forty random landscapes, see docs/field.md).
_ALLOWANCE = 1e-2
# With an error above this part of it a value says nothing.
_VAGUE = 0.2
# The grid covers the paths and the ellipses at the wanted level, widened by the first of these factors, and by the next one
# where V still leaves the grid below that level.
_WIDENINGS = (1.2, 1.8, 3.0)
# The same for the rays of one basin, which need a grid about half as wide, and this part of the nodes at the first of these
# widenings; a wider grid has more of them.
_OWN_WIDENINGS = (1.4, 2.0)
_OWN_NODES = 0.6
# Where neighbouring rays disagree, it is tried once more with so many times as many nodes.
_DENSER = 1.4

_OUTSIDE = "the minimum lies outside the box, where no field is computed"


def with_field_opinion(
    system: System,
    costs: TransitionCosts,
    *,
    nodes: int | None = None,
    bounds: BoundsLike | None = None,
    executor: Executor | None = None,
    budget: float | None = None,
    progress: ProgressLike = None,
) -> TransitionCosts:
    """The same costs with a second opinion in ``.field``, computed from quasi-potential fields instead of paths.

    Parameters
    ----------
    system : System
        A system of dimension 1, 2 or 3 with non-singular Gaussian noise; for others the opinion is empty and says why.
    costs : TransitionCosts
        Costs from `transition_costs`.
    nodes : int, optional
        Nodes on each axis of the grids; by default 1025 in 1-D, 129 in 2-D and 49 in 3-D. A second grid has half as
        many.
    bounds : (low, high) pair for each coordinate, optional
        A box that the grids must not leave. Each grid holds the paths out of one minimum and the set where V is below the
        highest cost out of it, as far as the curvature of V at the minima tells; it is widened where that is too small.
    executor : concurrent.futures.Executor, optional
        The fields are computed side by side in it.
    budget : float, optional
        Seconds of CPU time for the fields of one minimum, by default 20. Where they do not suffice there is no opinion.
    progress : callable, True, "auto" or None
        Who is told about each finished field.

    Returns
    -------
    TransitionCosts
        A copy; ``.field`` is a `FieldOpinion` and ``.disagreements`` compares the two. Legs from minima outside the box
        (``inside`` is False) get no opinion, and ``.field.reasons`` says so.

    Raises
    ------
    ValueError
        If ``nodes`` is less than 33, or for bad bounds.
    SolveError
        If the run is interrupted; ``.status`` is INTERRUPTED, and ``.partial`` holds the costs with the opinions that were
        finished.

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
    cyclic = [pair for pair in routes if costs.over_cycle(*pair)]
    reasons.update(dict.fromkeys(cyclic, "fields are not read at limit cycles"))
    routes = [pair for pair in routes if pair not in reasons]
    count = NODES[d] if nodes is None else as_count(nodes, name="nodes", minimum=33)
    box = None if bounds is None else as_bounds(bounds, dimension=d)
    seconds = _SECONDS if budget is None else as_positive(budget, name="budget")
    inside = [getattr(m, "inside", True) for m in costs.minima]
    if any(inside):
        # What lies outside the box limits the answer already, and its fields would leave the box that is searched.
        reasons.update({(i, j): _OUTSIDE for i, j in routes if not inside[i]})
    sources = sorted({i for i, j in routes if (i, j) not in reasons})
    tasks = [replace(_task(system, costs, i, count, box), seconds=seconds) for i in sources]
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
    """Why there can be no field of this system, or an empty string."""
    if system.dimension > 3:
        return f"fields are for one to three dimensions, this system has {system.dimension}"
    if not system.noise.gaussian:
        return f"fields are for Gaussian noise; this system has exact noise of its own ({type(system.noise).__name__})"
    return ""


@dataclass(frozen=True, eq=False)
class _Task:
    """What the fields of one minimum need; a plain value, so that it can be sent to another process."""

    system: System
    minimum: int
    source: Array
    # The doors: saddles (m, d) towards each neighbouring minimum.
    doors: Mapping[int, Array]
    # The costs of the paths to the neighbours.
    actions: Mapping[int, float]
    # The uphill parts of these paths, (n, d) each.
    climbs: Mapping[int, Array]
    # The level of V up to which the field is computed.
    highest: float
    # Lower and upper corner of what the grid must hold, and of what one must hold for the rays of this basin alone.
    corners: tuple[Array, Array]
    own: tuple[Array, Array]
    # The box that the grid must not leave.
    box: tuple[Array, Array] | None
    nodes: int
    # The budget in seconds of CPU time.
    seconds: float = np.inf
    # The lattice of periodic axes, along which the grid is one whole period.
    periods: Periods | None = None


def _task(system: System, costs: TransitionCosts, i: int, nodes: int, box: tuple[Array, Array] | None) -> _Task:
    """The task of minimum i: its doors, and the box around its paths and the level sets that they reach."""
    source = costs.minima[i].point
    legs = {
        pair: path
        for pair, path in costs.paths.items()
        if pair[0] == i and np.isfinite(path.action) and not costs.over_cycle(*pair)
    }
    doors = {j: np.array([s.seen_from(i) for s in costs.saddles if set(s.connects) == {i, j}]) for _, j in legs}
    highest = _BEYOND * max(path.action for path in legs.values())
    points = [_ellipse(system, source, highest)]
    own = np.concatenate([*points, *doors.values(), *(path.points[path.uphill] for path in legs.values())])
    for (_, j), path in legs.items():
        points.append(path.points)  # The descent belongs to it: V does not grow on the way down to the neighbour.
        points.append(_ellipse(system, costs.minima[j].point, max(highest - path.action, 0.0)))
    hull = np.concatenate(points)
    actions = {j: path.action for (_, j), path in legs.items()}
    periods = costs.minima[i].periods
    climbs = {j: path.points[path.uphill] for (_, j), path in legs.items()}
    corners = _corners(hull), _corners(own)
    return _Task(system, i, source, doors, actions, climbs, highest, *corners, box, nodes, periods=periods)


def _corners(points: Array) -> tuple[Array, Array]:
    return points.min(axis=0), points.max(axis=0)


def _ellipse(system: System, minimum: Array, level: float) -> Array:
    """Corners ``(2, d)`` of the box around {V <= level}, where V is the quadratic approximation at a minimum."""
    try:
        spread = solve_continuous_lyapunov(
            system.unchecked.jacobian(minimum[None])[0], -system.unchecked.covariance(minimum[None])[0]
        )
    except np.linalg.LinAlgError:
        return minimum[None]
    reach = np.sqrt(2.0 * level * np.maximum(np.diag(spread), 0.0))
    return np.array([minimum - reach, minimum + reach])


def _opinion_on(task: _Task) -> list[tuple[int, float, float, str]]:
    """(neighbour, value, error, reason) for every neighbour of one minimum; the reason is empty if there is a value."""
    with spending(task.seconds):
        return _answers(task)


def _answers(task: _Task) -> list[tuple[int, float, float, str]]:
    """The same without a limit of time of its own."""
    answers = _from_own_basin(task)
    if len(answers) == len(task.doors):
        return list(answers.values())
    for widening in _WIDENINGS:
        open_doors = {j: x for j, x in task.doors.items() if not (j in answers and not answers[j][3])}
        try:
            fine = _field(task, widening, task.nodes)
            try:
                coarse = _field(task, widening, (task.nodes + 1) // 2)
            except (ValueError, SolveError):  # The grid is too coarse; both grids are made finer once.
                fine, coarse = _field(task, widening, 2 * task.nodes - 1), fine
        except (ValueError, SolveError) as error:
            answers.update({j: (j, np.nan, np.nan, str(error)) for j in open_doors})
            break
        for j, x in open_doors.items():
            answers[j] = (j, *_resolved(task, j, *_read(fine, coarse, x, task.highest)))
        if not any(reason for *_, reason in answers.values()):
            break
    return list(answers.values())


def _resolved(task: _Task, j: int, value: float, error: float, reason: str) -> tuple[float, float, str]:
    """The same answer, or none where the field is seen not to be resolved at the saddle."""
    if not np.isfinite(value) or len(task.source) == 1:
        return value, error, reason
    if error > _VAGUE * value:
        return np.nan, np.nan, f"two grids differ too much at the saddle: V is {value:.4g} +- {error:.1g} there"
    if value - error > task.actions[j]:
        # The quadrature of a curve that ends there is no method for paths.
        f = task.system.unchecked
        bound, uncertain = curve_action(f.drift, f.covariance, task.climbs[j])
        if value - error > bound + uncertain:
            return np.nan, np.nan, f"the field is not resolved there: it is {value:.4g}, and a curve costs {bound:.4g}"
    return value, error, reason


def _from_own_basin(task: _Task) -> dict[int, tuple[int, float, float, str]]:
    """The answers that the rays of the minimum's own basin can give, for the neighbours all of whose doors they reach.

    This takes a small part of the time of a whole field where there are many basins.
    """
    answers: dict[int, tuple[int, float, float, str]] = {}
    if len(task.source) == 1:
        return answers  # V on a line is a quadrature.
    density = _OWN_NODES / _OWN_WIDENINGS[0]
    for widening in _OWN_WIDENINGS:
        doors = {j: x for j, x in task.doors.items() if j not in answers}
        points = np.concatenate(list(doors.values()))
        found = _levels(task, points, widening, density * widening)
        if found is None and widening == _OWN_WIDENINGS[0]:
            density *= _DENSER
            found = _levels(task, points, widening, density * widening)
        if found is None or not np.isfinite(found[0]).any():
            break
        first = 0
        for j, x in doors.items():
            values, others = (levels[first : first + len(x)] for levels in found)
            first += len(x)
            if not (np.isfinite(values).all() and np.isfinite(others).all()):
                continue
            value = float(values.min())
            error = _error(value, float(others.min()))
            # The cheapest path may come to rest at another saddle and leave the basin there, which the whole field tells.
            if value <= task.actions[j] + error:
                answers[j] = (j, value, error, "")
        if len(answers) == len(task.doors):
            break
    return answers


def _levels(task: _Task, doors: Array, widening: float, share: float) -> tuple[Array, Array] | None:
    """V at the doors on two grids with a share of the nodes; None where rays disagree, or do not get under way."""
    count = round(share * task.nodes)
    # On half as many nodes rays cannot be told apart in 3-D.
    coarser = (count + 1) // 2 if len(task.source) == 2 else (3 * count + 3) // 4
    try:
        fine, trusted = levels_at_doors(
            task.system, task.source, doors, _grid(task, task.own, widening, count), highest=task.highest
        )
        if not trusted:
            return None
        # If rays disagree on this grid, its values are off, and the error says so.
        coarse, _ = levels_at_doors(
            task.system, task.source, doors, _grid(task, task.own, widening, coarser), highest=task.highest
        )
    except (ValueError, SolveError):
        return None  # The whole field says what is wrong, or copes with it.
    return fine, coarse


def _error(value: float, other: float) -> float:
    """The error of a value, from that on the coarser grid."""
    return _SAFETY * abs(value - other) + _ALLOWANCE * value


def _read(fine: FieldSolution, coarse: FieldSolution, doors: Array, highest: float) -> tuple[float, float, str]:
    """The least V over the doors, its error from the difference of the two grids, and why there is none."""
    doors = doors[fine.grid.contains(doors)]
    value, other = _lowest(fine, doors), _lowest(coarse, doors)
    if np.isfinite(value):
        if not np.isfinite(other):
            return np.nan, np.nan, f"the {coarse.grid} is too coarse to check its field at the saddle"
        return value, _error(value, other), ""
    if fine.level >= 0.999 * highest:
        return np.inf, 0.0, ""
    return np.nan, np.nan, f"V leaves the {fine.grid} at level {fine.level:.6g}, before it reaches the saddle"


def _lowest(field: FieldSolution, doors: Array) -> float:
    """The least V over the doors, inf if the field reaches none.

    A door that is among the field's passages takes its value from the ray that reached it, not from interpolation.
    """
    values = [np.inf]
    for x in doors:
        near = 0.1 * field.grid.spacing.min()
        known = [at.level for at in field.passages if np.linalg.norm(field.grid.offset(x, at.point)) < near]
        V = known[0] if known else float(field.at(x)[0])
        if np.isfinite(V):
            values.append(V)
    return min(values)


def _whole_grid(task: _Task, widening: float, nodes: int) -> Grid:
    """The grid of a whole field, which goes round along periodic axes."""
    grid = _grid(task, task.corners, widening, nodes)
    if task.periods is None:
        return grid
    closed = task.periods.closed
    lower = np.where(closed, task.periods.lower, grid.lower)
    upper = np.where(closed, task.periods.upper, grid.upper)
    # Both ends of a periodic axis are one node, of which a coarser grid needs an even number.
    return Grid(lower, upper, tuple(nodes - nodes % 2 if c else nodes for c in closed), periodic=closed.tolist())


def _grid(task: _Task, corners: tuple[Array, Array], widening: float, nodes: int) -> Grid:
    """The grid that holds two corners, widened; the box has no say along periodic axes, which go on."""
    lower, upper = corners
    centre, half = (lower + upper) / 2.0, widening * (upper - lower) / 2.0
    lower, upper = centre - half, centre + half
    if task.box is not None:
        bounded = np.ones(lower.size, dtype=bool) if task.periods is None else ~task.periods.closed
        lower = np.where(bounded, np.maximum(lower, task.box[0]), lower)
        upper = np.where(bounded, np.minimum(upper, task.box[1]), upper)
    return Grid(lower, upper, (nodes,) * len(lower))


def _field(task: _Task, widening: float, nodes: int) -> FieldSolution:
    """The field of one minimum on the widened grid."""
    method = CharacteristicJets(estimate_error=False, highest=task.highest, kinks="refuse")
    try:
        return quasipotential(task.system, task.source, _whole_grid(task, widening, nodes), method=method)
    except SolveError as error:
        if error.status is Status.INTERRUPTED:
            raise KeyboardInterrupt from error
        raise
