"""FieldTask: V at the saddles around one minimum, from the rays of its own basin or from whole fields, on two grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.status import SolveError
from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.doors import faces_left, levels_at_doors
from qpot.fields.grid import Grid
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.landscape.periods import Periods
from qpot.problem.system import System
from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.common.spending import spending
from qpot.solvers.paths.curve_action import curve_action

if TYPE_CHECKING:
    from qpot.prediction.costs import TransitionCosts

# Nodes on each axis of the finer of the two grids, by dimension; they give five or six digits of V.
NODES = {1: 1025, 2: 129, 3: 49}
# A field is computed up to this multiple of the highest cost of a path out of its source.
_BEYOND = 1.1
# The error of an opinion contains this multiple of the difference between the two grids.
_SAFETY = 2.0
# The error also contains this fraction of V, because close to slow saddles at the end of narrow canyons two grids can agree
# better with each other than with the truth (by 0.6 % of V at worst over forty random landscapes, see docs/field.md).
_ALLOWANCE = 1e-2
# With an error above this part of it a value says nothing.
VAGUE = 0.2
# The grid covers the paths and the ellipses at the wanted level, widened by the first of these factors, and by the next one
# where V still leaves the grid below that level.
WIDENINGS = (1.2, 1.8, 3.0)
# The same for the rays of one basin, which need a grid about half as wide, and this part of the nodes at the first of these
# widenings; a wider grid has more of them.
_OWN_WIDENINGS = (1.4, 2.0)
_OWN_NODES = 0.6
# Where neighbouring rays disagree, it is tried once more with so many times as many nodes.
_DENSER = 1.4
# A field that ends above this part of the level that is wanted has reached it.
_REACHED = 0.999


@dataclass(frozen=True, eq=False)
class FieldTask:
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


def field_task(
    system: System, costs: TransitionCosts, i: int, nodes: int, box: tuple[Array, Array] | None
) -> FieldTask:
    """The task of minimum i: its doors, and the box around its paths and the level sets that they reach."""
    source = costs.minima[i].point
    legs = {
        pair: path
        for pair, path in costs.paths.items()
        if pair[0] == i and np.isfinite(path.action) and not costs.over_cycle(*pair) and pair not in costs.across
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
    return FieldTask(system, i, source, doors, actions, climbs, highest, *corners, box, nodes, periods=periods)


def _corners(points: Array) -> tuple[Array, Array]:
    return points.min(axis=0), points.max(axis=0)


def _ellipse(system: System, minimum: Array, level: float) -> Array:
    """Corners ``(2, d)`` of the box around {V <= level}, where V is the quadratic approximation at a minimum."""
    try:
        spread = stationary_covariance(
            system.unchecked.jacobian(minimum[None])[0], system.unchecked.covariance(minimum[None])[0]
        )
    except np.linalg.LinAlgError:
        return minimum[None]
    reach = np.sqrt(2.0 * level * np.maximum(np.diag(spread), 0.0))
    return np.array([minimum - reach, minimum + reach])


def impossible(system: System) -> str:
    """Why there can be no field of this system, or an empty string."""
    if system.dimension > 3:
        return f"fields are for one to three dimensions, this system has {system.dimension}"
    if not system.noise.gaussian:
        return f"fields are for Gaussian noise; this system has exact noise of its own ({type(system.noise).__name__})"
    return ""


def answers_of(task: FieldTask) -> list[tuple[int, float, float, str]]:
    """(neighbour, value, error, reason) for every neighbour of one minimum; the reason is empty if there is a value."""
    with spending(task.seconds):
        return _answers(task)


def _answers(task: FieldTask) -> list[tuple[int, float, float, str]]:
    """The same without a limit of time of its own."""
    answers = _from_own_basin(task)
    doors = {j: x for j, x in task.doors.items() if j not in answers}
    for widening in WIDENINGS:
        if not doors:
            break
        try:
            fine, coarse = _on_two_grids(task, widening, doors)
        except (ValueError, SolveError) as error:
            answers.update({j: (j, np.nan, np.nan, str(error)) for j in doors})
            break
        answers.update({j: (j, *_resolved(task, j, *_compared(fine, coarse, j, task.highest))) for j in doors})
        doors = {j: x for j, x in doors.items() if answers[j][3]}
        if not any(fine.says(j, task.highest) for j in doors) and _ends_at_box(task, fine.field):
            break  # A wider grid ends at the same face.
    return list(answers.values())


class _Reading(NamedTuple):
    """A field, and the least V in it over the doors to each neighbour; inf where it reaches none."""

    field: FieldSolution
    levels: Mapping[int, float]

    def says(self, j: int, highest: float) -> bool:
        """Whether V at the doors to neighbour j is known, or known to be above the level that is wanted."""
        return bool(np.isfinite(self.levels[j])) or self.field.level >= _REACHED * highest


def _on_two_grids(task: FieldTask, widening: float, doors: Mapping[int, Array]) -> tuple[_Reading, _Reading | None]:
    """A field and one on a coarser grid to check it; no second one where the first says nothing about any of the doors."""
    fine = _read(_field(task, widening, task.nodes), doors)
    if not any(fine.says(j, task.highest) for j in doors):
        return fine, None
    try:
        return fine, _read(_field(task, widening, (task.nodes + 1) // 2), doors)
    except (ValueError, SolveError):  # The grid is too coarse; both grids are made finer once.
        return _read(_field(task, widening, 2 * task.nodes - 1), doors), fine


def _ends_at_box(task: FieldTask, field: FieldSolution) -> bool:
    """Whether V leaves the grid of a field at a face that the box sets."""
    return bool((faces_left(field.values, field.grid) & _box_faces(task, field.grid)).any())


def _box_faces(task: FieldTask, grid: Grid) -> NDArray[np.bool_]:
    """Which faces of a grid lie in those of the box, ``(d, 2)``; there a grid is no wider for any widening."""
    if task.box is None:
        return np.zeros((grid.dimension, 2), dtype=bool)
    closed = np.zeros(grid.dimension, dtype=bool) if task.periods is None else task.periods.closed
    at = np.stack([grid.lower == task.box[0], grid.upper == task.box[1]], axis=1)
    return np.asarray(at & ~closed[:, None])


def _resolved(task: FieldTask, j: int, value: float, error: float, reason: str) -> tuple[float, float, str]:
    """The same answer, or none where the field is seen not to be resolved at the saddle."""
    if not np.isfinite(value) or len(task.source) == 1:
        return value, error, reason
    if error > VAGUE * value:
        return np.nan, np.nan, f"two grids differ too much at the saddle: V is {value:.4g} +- {error:.1g} there"
    if value - error > task.actions[j]:
        # The quadrature of a curve that ends there is no method for paths.
        f = task.system.unchecked
        bound, uncertain = curve_action(f.drift, f.covariance, task.climbs[j])
        if value - error > bound + uncertain:
            return np.nan, np.nan, f"the field is not resolved there: it is {value:.4g}, and a curve costs {bound:.4g}"
    return value, error, reason


def _from_own_basin(task: FieldTask) -> dict[int, tuple[int, float, float, str]]:
    """The answers that the rays of the minimum's own basin can give, for the neighbours all of whose doors they reach.

    This takes a small part of the time of a whole field where there are many basins.
    """
    answers: dict[int, tuple[int, float, float, str]] = {}
    if len(task.source) == 1:
        return answers  # V on a line is a quadrature.
    density = _OWN_NODES / _OWN_WIDENINGS[0]
    doors = dict(task.doors)
    for widening in _OWN_WIDENINGS:
        points = np.concatenate(list(doors.values()))
        found = _levels(task, points, widening, density * widening)
        if found is None and widening == _OWN_WIDENINGS[0]:
            density *= _DENSER
            found = _levels(task, points, widening, density * widening)
        if found is None or not np.isfinite(found.fine).any():
            break
        first, beyond = 0, {}
        for j, x in doors.items():
            values, others = (levels[first : first + len(x)] for levels in (found.fine, found.coarse))
            first += len(x)
            if not (np.isfinite(values).all() and np.isfinite(others).all()):
                beyond[j] = x
                continue
            value = float(values.min())
            error = error_of_two_grids(value, float(others.min()))
            # The cheapest path may come to rest at another saddle and leave the basin there, which the whole field tells.
            if value <= task.actions[j] + error:
                answers[j] = (j, value, error, "")
        doors = beyond
        # Where the box ends the grid, a wider one can only help the coarser grid to what the finer one knows already.
        if not doors or not (found.widens or (np.isfinite(found.fine) & ~np.isfinite(found.coarse)).any()):
            break
    return answers


class _Found(NamedTuple):
    """V at doors on two grids, and whether V leaves the finer one where a wider one would go on."""

    fine: Array
    coarse: Array
    widens: bool


def _levels(task: FieldTask, doors: Array, widening: float, share: float) -> _Found | None:
    """V at the doors on two grids with a share of the nodes; None where rays disagree, or do not get under way."""
    count = round(share * task.nodes)
    # On half as many nodes rays cannot be told apart in 3-D.
    coarser = (count + 1) // 2 if len(task.source) == 2 else (3 * count + 3) // 4
    grid = _grid(task, task.own, widening, count)
    try:
        fine = levels_at_doors(task.system, task.source, doors, grid, highest=task.highest)
        if not fine.trusted:
            return None
        # If rays disagree on this grid, its values are off, and the error says so.
        coarse = levels_at_doors(
            task.system, task.source, doors, _grid(task, task.own, widening, coarser), highest=task.highest
        )
    except (ValueError, SolveError):
        return None  # The whole field says what is wrong, or copes with it.
    return _Found(fine.levels, coarse.levels, not (fine.left & _box_faces(task, grid)).any())


def error_of_two_grids(value: float, other: float) -> float:
    """The error of a value, from that on the coarser grid."""
    return _SAFETY * abs(value - other) + _ALLOWANCE * value


def _compared(fine: _Reading, coarse: _Reading | None, j: int, highest: float) -> tuple[float, float, str]:
    """The least V over the doors to neighbour j, its error from the difference of the two grids, and why there is none."""
    value = fine.levels[j]
    if coarse is not None and np.isfinite(value):
        if not np.isfinite(coarse.levels[j]):
            return np.nan, np.nan, f"the {coarse.field.grid} is too coarse to check its field at the saddle"
        return value, error_of_two_grids(value, coarse.levels[j]), ""
    if fine.says(j, highest):
        return np.inf, 0.0, ""
    field = fine.field
    return np.nan, np.nan, f"V leaves the {field.grid} at level {field.level:.6g}, before it reaches the saddle"


def _read(field: FieldSolution, doors: Mapping[int, Array]) -> _Reading:
    """The least V over the doors to each neighbour, inf if the field reaches none.

    A door that is among the field's passages takes its value from the ray that reached it, not from interpolation.
    """
    near = 0.1 * field.grid.spacing.min()
    levels = {}
    for j, points in doors.items():
        inside = points[field.grid.contains(points)]
        values = field.at(inside) if len(inside) else np.zeros(0)
        for n, x in enumerate(inside):
            known = [at.level for at in field.passages if np.linalg.norm(field.grid.offset(x, at.point)) < near]
            values[n] = known[0] if known else values[n]
        levels[j] = float(values[np.isfinite(values)].min(initial=np.inf))
    return _Reading(field, levels)


def _whole_grid(task: FieldTask, widening: float, nodes: int) -> Grid:
    """The grid of a whole field, which goes round along periodic axes."""
    grid = _grid(task, task.corners, widening, nodes)
    if task.periods is None:
        return grid
    closed = task.periods.closed
    lower = np.where(closed, task.periods.lower, grid.lower)
    upper = np.where(closed, task.periods.upper, grid.upper)
    # Both ends of a periodic axis are one node, of which a coarser grid needs an even number.
    return Grid(lower, upper, tuple(nodes - nodes % 2 if c else nodes for c in closed), periodic=closed.tolist())


def _grid(task: FieldTask, corners: tuple[Array, Array], widening: float, nodes: int) -> Grid:
    """The grid that holds two corners, widened; the box has no say along periodic axes, which go on."""
    lower, upper = corners
    centre, half = (lower + upper) / 2.0, widening * (upper - lower) / 2.0
    lower, upper = centre - half, centre + half
    if task.box is not None:
        bounded = np.ones(lower.size, dtype=bool) if task.periods is None else ~task.periods.closed
        lower = np.where(bounded, np.maximum(lower, task.box[0]), lower)
        upper = np.where(bounded, np.minimum(upper, task.box[1]), upper)
    return Grid(lower, upper, (nodes,) * len(lower))


def _field(task: FieldTask, widening: float, nodes: int) -> FieldSolution:
    """The field of one minimum on the widened grid."""
    method = CharacteristicJets(estimate_error=False, highest=task.highest, kinks="refuse")
    return quasipotential(task.system, task.source, _whole_grid(task, widening, nodes), method=method)
