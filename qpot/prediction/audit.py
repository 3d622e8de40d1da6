"""The audit of costs: paths between minima that know of no saddle, held against the costs over the saddles."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, BoundsLike, NonFiniteError, as_bounds
from qpot._core.checkpoint import remembered
from qpot._core.interrupts import interruptible
from qpot._core.status import SolveError
from qpot.landscape.basins import attractor_points
from qpot.landscape.classified import Labels, labels_of, lifted_labels, saddles_near
from qpot.landscape.lifts import LiftedLabels, in_the_cell
from qpot.landscape.passes import bands_between, passes_on
from qpot.landscape.periods import Periods
from qpot.landscape.points import SAME, Saddle
from qpot.landscape.scaled_loss import ScaledLoss
from qpot.paths.infinite import faces_at
from qpot.paths.methods import LegMethod
from qpot.prediction.costs import Hole, TransitionCosts
from qpot.prediction.crossings import around
from qpot.prediction.cut_corners import cuts_corners, weightless
from qpot.prediction.transitions import transition_costs
from qpot.problem.arguments import a_box, a_system, an_executor, checked, instance_of
from qpot.problem.system import System
from qpot.solvers.landscape.band import bowed
from qpot.solvers.paths.curve_action import curve_action, shortened, smooth

# Above this dimension no covariance is inverted along curves, and nothing is audited.
_LARGEST = 60
# At most so many pairs of minima are audited: those with a leg between them, and the nearest ones without a route.
_PAIRS, _UNCONNECTED = 24, 12
# A band is bowed off the segment between its minima by this part of the distance; other curves by these.
_BOW = (0.15,)
_BOWS = (0.0, 0.3, -0.3)
# Nodes of a curve whose action is minimised, and the iterations.
_NODES, _ITERATIONS = 25, 40
# Actions that differ by this part are the same.
_SAME_ACTION = 1e-2
# So many times finer a curve is drawn that is to show that an infinite cost is finite.
_FINER = 16
# A curve that costs more than this multiple of V is not minimised: it leads another way.
_HOPELESS = 5.0


@interruptible
@checked(
    system=a_system,
    costs=instance_of(TransitionCosts, "qpot.transition_costs"),
    bounds=a_box,
    method=instance_of(LegMethod, "the wing paths, such as qpot.GeometricAction()"),
    executor=an_executor,
)
@remembered
def audited_costs(
    system: System,
    costs: TransitionCosts,
    *,
    bounds: BoundsLike | None = None,
    method: LegMethod | None = None,
    executor: Executor | None = None,
) -> TransitionCosts:
    """The costs, held against paths between the minima that know of no saddle.

    Parameters
    ----------
    system : System
    costs : TransitionCosts
        Costs from `transition_costs`.
    bounds : (low, high) pair for each coordinate, optional
        The box in which missing saddles are searched for; by default that around the minima, widened by its longest edge.
    method : LegMethod, optional
        The path solver for legs over saddles that the audit finds.
    executor : concurrent.futures.Executor, optional
        As for `transition_costs`.

    Returns
    -------
    TransitionCosts
        A copy whose ``audited`` says what was done. Where a path was cheaper than V by more than the errors, the saddle that
        it crosses is searched for, and the costs are solved anew with it. If the path stays cheaper it is kept in ``holes``,
        or named in ``notes`` where it only cuts a corner, see `qpot.prediction.cut_corners`.

    Notes
    -----
    Under a gradient drift the path is a band that has descended between the two minima, and otherwise a curve whose geometric
    action is minimised over all its nodes. Either is a true path, so that its cost is an upper bound for V. An audit that
    fails raises nothing; ``audited`` then begins with "not audited" and says why.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.separable_double_well()
    >>> costs = qpot.transition_costs(case.system, qpot.find_minima(case.system, case.bounds))
    >>> audited_costs(case.system, costs).audited
    'audited: no path between 1 pair of minima is cheaper than its cost'
    """
    reason = _impossible(system)
    if reason:
        return replace(costs, audited=f"not audited: {reason}")
    try:
        return _audited(system, costs, bounds, method, executor)
    except (SolveError, ValueError, NonFiniteError, np.linalg.LinAlgError) as error:
        return replace(costs, audited=f"not audited: {error}")


def _impossible(system: System) -> str:
    if not system.noise.gaussian:
        return "the action of a curve in space is known for Gaussian noise only"
    if system.dimension > _LARGEST or not system.noise.matrices:
        return f"in {system.dimension} dimensions the noise is not inverted along curves"
    return ""


def _audited(
    system: System,
    costs: TransitionCosts,
    bounds: BoundsLike | None,
    method: LegMethod | None,
    executor: Executor | None,
) -> TransitionCosts:
    points = attractor_points(costs.minima, dimension=system.dimension)
    lower, upper = as_bounds(around(points) if bounds is None else bounds, dimension=system.dimension)
    pairs = [pair for pair in _pairs(costs, points / (upper - lower)) if costs.cycles.isdisjoint(pair)]
    if not pairs:
        why = "there is no pair of minima with a finite cost or without a route"
        if costs.cycles:
            why = "every leg begins or ends on a limit cycle, and the audit draws paths between points of rest only"
        return replace(costs, audited=f"not audited: {why}")
    if costs.minima[0].periods is not None:
        lower, upper = costs.minima[0].periods.cell_of(lower, upper)
    curves = _curves(system, points, pairs, lower, upper, costs.minima[0].periods)
    holes, corners = _holes(system, costs, pairs, curves), []
    if holes:
        periods = costs.minima[0].periods
        lifted = None if periods is None else lifted_labels(system, points, lower, upper, periods)
        label = labels_of(system, points, lower, upper) if lifted is None else lifted
        new = _missed(system, costs, holes, lower, upper, label)
        if new:
            costs = transition_costs(
                system, costs.minima, saddles=[*costs.saddles, *new], method=method, executor=executor
            )
            holes = _holes(system, costs, pairs, curves)
        # A path where V is infinite crosses a border for which no cost is known, and cuts no corner.
        finite = [h for h in holes if np.isfinite(h.known)]
        corners = weightless(costs, [h for h in finite if cuts_corners(system, costs, h, label, points)])
        holes = [h for h in holes if h not in corners]
    many = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''} of minima"
    many += " (pairs with a limit cycle are left out)" if costs.cycles else ""
    found = f"{len(holes)} paths between {many} are cheaper than their costs" if holes else ""
    return replace(
        costs,
        holes=tuple(holes),
        corners=tuple(corners),
        audited=f"audited: {found or f'no path between {many} is cheaper than its cost'}",
        notes=(*costs.notes, *_named(corners)),
    )


def _named(corners: Sequence[Hole]) -> list[str]:
    if not corners:
        return []
    paths = "; ".join(f"from minimum {h.start} to {h.end} for {h.value:.6g}, where V = {h.known:.6g}" for h in corners)
    return [
        f"V is the cheapest sum of climbs. There are cheaper paths that turn off before they reach a minimum on their way "
        f"({paths}); they cross no missing pass, and what they change is in the errors of W."
    ]


def _pairs(costs: TransitionCosts, scaled: Array) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, that a leg connects, and the nearest pairs that no route connects in one direction."""
    legs, apart = [], []
    for i, j in _by_distance(scaled):
        if np.isfinite(costs.direct[i, j]) or np.isfinite(costs.direct[j, i]):
            legs.append((i, j))
        elif np.isinf(costs.values[i, j]) or np.isinf(costs.values[j, i]):
            apart.append((i, j))
    return [*legs[:_PAIRS], *apart[:_UNCONNECTED]]


def _by_distance(points: Array) -> list[tuple[int, int]]:
    i, j = np.triu_indices(len(points), 1)
    order = np.argsort(np.linalg.norm(points[i] - points[j], axis=1), kind="stable")
    return [(int(i[n]), int(j[n])) for n in order]


def _curves(
    system: System,
    points: Array,
    pairs: Sequence[tuple[int, int]],
    lower: Array,
    upper: Array,
    periods: Periods | None,
) -> list[list[Array]]:
    """For every pair the curves (n, d) from i to j, or to images of j on periodic axes, that are tried."""
    ways = [
        (n, points[i], end) for n, (i, j) in enumerate(pairs) for end in _ends(points, i, j, upper - lower, periods)
    ]
    curves: list[list[Array]] = [[] for _ in pairs]
    if system.gradient_drift and system.loss is not None:
        scaled = ScaledLoss(system, lower, upper - lower)
        both = np.array([x for _, start, end in ways for x in (start, end)])
        bands = bands_between(scaled, both, [(2 * m, 2 * m + 1) for m in range(len(ways))], _BOW, seed=1)
        for (n, *_), band in zip(ways, bands, strict=True):
            curves[n].append(scaled.points(band))
        return curves
    rng = np.random.default_rng(1)
    for n, start, end in ways:
        # The way to the nearest image is tried with all bows, and those round the other side as they are.
        bows = _BOWS[:1] if curves[n] else _BOWS
        along = end - start
        bow = rng.standard_normal(along.size) * (upper - lower)
        bow -= (bow @ along) * along / (along @ along)
        bow *= np.linalg.norm(along) / max(float(np.linalg.norm(bow)), 1e-300)
        curves[n] += [bowed(start, end, _NODES, height * bow) for height in bows]
    return curves


def _ends(points: Array, i: int, j: int, size: Array, periods: Periods | None) -> Array:
    """The point j, or those of its images that are nearest to the point i: one, and one more for each periodic axis."""
    if periods is None:
        return points[j : j + 1]
    images = points[j] + periods.turns(points[i] - points[j]) + periods.cells()
    nearest = np.argsort(np.linalg.norm((images - points[i]) / size, axis=1), kind="stable")
    return np.asarray(images[nearest[: 1 + int(periods.closed.sum())]])


def _holes(
    system: System, costs: TransitionCosts, pairs: Sequence[tuple[int, int]], curves: Sequence[Sequence[Array]]
) -> list[Hole]:
    """The paths that are cheaper than V by more than the errors of both, at most one for each ordered pair."""
    f = system.unchecked
    holes = []
    for (i, j), tried in zip(pairs, curves, strict=True):
        for a, b, step in ((i, j, 1), (j, i, -1)):
            V, error = float(costs.values[a, b]), float(costs.errors[a, b])
            if np.isnan(V) or (np.isinf(V) and faces_at(system, costs.minima[a].point)):
                continue  # The curves that are tried do not know that nothing leaves such a side.
            best: tuple[float, float, Array] | None = None
            for curve in tried:
                for candidate in _candidates(system, curve[::step], V):
                    action, uncertain = curve_action(f.drift, f.covariance, candidate)
                    if np.isfinite(action) and (best is None or action < best[0]):
                        best = (action, uncertain, candidate)
            if best is not None and np.isinf(V) and not _settled(system, best[0], best[2]):
                continue
            if best is not None and best[0] + best[1] < V - error:
                holes.append(Hole(start=a, end=b, value=best[0], error=best[1], known=V, path=best[2]))
    return holes


def _settled(system: System, action: float, curve: Array) -> bool:
    """Whether the action of a curve stays the same when it is drawn finer: the sum over an integral that diverges grows."""
    finer = curve_action(system.unchecked.drift, system.unchecked.covariance, smooth(curve, _FINER))[0]
    return bool(abs(finer - action) <= _SAME_ACTION * action)


def _candidates(system: System, curve: Array, V: float) -> list[Array]:
    """A curve as a smooth one and, where that may lead below V, the one to which its action descends."""
    f = system.unchecked
    drawn = smooth(curve, 4)
    simple = system.gradient_drift and system.noise.constant is not None and _isotropic(system.noise.constant)
    action = curve_action(f.drift, f.covariance, drawn)[0]
    if simple or not np.isfinite(action) or action > _HOPELESS * V:
        return [drawn]
    shorter = shortened(f.drift, f.jacobian, f.covariance, curve, _NODES, iterations=_ITERATIONS)
    return [drawn, smooth(shorter, 4)]


def _isotropic(matrix: Array) -> bool:
    return bool(np.array_equal(matrix, matrix[0, 0] * np.eye(len(matrix))))


def _missed(
    system: System,
    costs: TransitionCosts,
    holes: Sequence[Hole],
    lower: Array,
    upper: Array,
    label: Labels | LiftedLabels,
) -> list[Saddle]:
    """The saddles that the search from paths that are too cheap finds, without those that are known."""
    lifted = label if isinstance(label, LiftedLabels) else None
    found: list[Saddle] = []
    for path in (hole.path for hole in holes):
        known = [*(s for s in costs.saddles if isinstance(s, Saddle)), *found]
        if system.gradient_drift and system.loss is not None:
            scaled = ScaledLoss(system, lower, upper - lower)
            found += passes_on(scaled, ((path - lower) / (upper - lower))[None], known, label)
        else:
            low, high = np.minimum(lower, path.min(axis=0)), np.maximum(upper, path.max(axis=0))
            box = (lower, upper) if lifted is None else (low, high)
            near = saddles_near(system, path, label, *box)
            near = near if lifted is None else in_the_cell(near, lifted, upper - lower)
            found += _new(near, known, upper - lower)
    return found if lifted is None else in_the_cell(found, lifted, upper - lower)


def _new(saddles: Sequence[Saddle], known: Sequence[Saddle], size: Array) -> list[Saddle]:
    return [
        s
        for s in saddles
        if None not in s.connects and all(np.linalg.norm((s.point - k.point) / size) > 10 * SAME for k in known)
    ]
