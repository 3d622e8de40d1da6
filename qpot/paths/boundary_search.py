"""The global search over a boundary: cheapest paths with a free end, from many starts that cover it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import betaincinv

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.progress import ProgressCallback
from qpot.landscape.flow import slow_rate
from qpot.paths.boundary_samples import BoundarySamples, curve_costs
from qpot.paths.boundary_surfaces import Surface, first_exit
from qpot.paths.exit_solution import ExitCoverage
from qpot.paths.jumps import coarse_curve
from qpot.problem.system import System
from qpot.solvers.common.compiling import process_working_time
from qpot.solvers.common.polyline import lengths_along
from qpot.solvers.paths import action_minimization, path_refinement
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.problem.lagrangian import Lagrangian, SingularCovarianceError

# Elements of a coarse path, more of them where it winds because the minimum is a focus, and most of them.
_ELEMENTS = 10
_ELEMENTS_FOCUS = 20
_ELEMENTS_MOST = 40
# Their polynomial degree.
_DEGREE = 4
# Most Newton iterations of a coarse path.
_ITERATIONS = 60
# The same on the finest mesh.
_ITERATIONS_MOST = 200
# Starts: so many, and so many more for each dimension.
_STARTS = 12
_STARTS_PER_DIMENSION = 6
# The search goes on up to this multiple of those starts.
_MOST = 3
# The search ends where the share of starts that would lead to a new exit is below this, ...
UNSEEN = 0.15
# ... with this confidence.
_CONFIDENCE = 0.95
# Coarse exits whose costs differ by less than this fraction may be one exit.
_SAME_COST = 0.01
# They are one if their points also are closer than this part of their distance from the minimum.
_SAME_POINT = 0.05
# A path may leave the domain before its end so many times and is cut off there.
_CUTS = 6
# Excursions shorter than this part of the way are rounding.
SLACK = 1e-7
# The same for curves that end on a patch of the boundary that is known to a few digits.
_SLACK_COARSE = 1e-3
# An end where the action is stationary but not least is moved sideways by these parts of its distance.
_SIDEWAYS = (0.02, 0.1, 0.3)


@dataclass(frozen=True, eq=False)
class CoarseExit:
    """A local minimum of the action over paths to the boundary, good to a few digits.

    Attributes
    ----------
    piece : int
        The piece of the boundary on which it ends.
    path : ElementPath
    action : float
    settled : bool
        Whether the minimisation converged to a minimum.
    """

    piece: int
    path: ElementPath
    action: float
    settled: bool

    @property
    def point(self) -> Array:
        """The exit point (d,)."""
        return np.asarray(self.path.nodes[-1], dtype=np.float64)


@dataclass(kw_only=True, eq=False)
class ExitSearch:
    """What a search over a boundary has found, and what it may have missed.

    Attributes
    ----------
    exits : list of CoarseExit
        The distinct local minima, cheapest first.
    levels : list of float
        Their costs, where equal costs count once, ...
    hits : list of int
        ... and how many starts led to each.
    starts : int
        How many starts there were.
    failures : list of ValueError
        Errors of starts that led nowhere.
    out_of_time : bool
        Whether the budget ended the search.
    """

    exits: list[CoarseExit] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    starts: int = 0
    failures: list[ValueError] = field(default_factory=list)
    out_of_time: bool = False

    @property
    def unseen(self) -> float:
        """The upper end of the interval for the share of starts that would lead to a cost not seen yet (Good-Turing)."""
        once = sum(h == 1 for h in self.hits)
        n = max(sum(self.hits), 1)
        return 1.0 if once >= n else float(betaincinv(once + 1, n - once, _CONFIDENCE))

    def coverage(self) -> ExitCoverage:
        """How well the boundary was covered."""
        return ExitCoverage(starts=self.starts, costs=tuple(self.levels), hits=tuple(self.hits), unseen=self.unseen)

    def doubt(self) -> str:
        """Why an answer is in doubt, as far as the coverage tells; empty where it is not."""
        if self.out_of_time:
            return f"the budget ended the search over the boundary: {self.coverage()}; raise budget"
        return f"a cheaper exit may have been missed: {self.coverage()}" if self.unseen > UNSEEN else ""

    def tally(self, cost: float) -> None:
        """Count one more start that led to this cost."""
        for k, level in enumerate(self.levels):
            if cost == level or abs(cost - level) <= _SAME_COST * max(abs(level), abs(cost)):
                self.hits[k] += 1
                return
        self.levels.append(cost)
        self.hits.append(1)

    def add(self, found: CoarseExit) -> None:
        """Count one more start that led to an exit."""
        self.tally(found.action)
        for k, known in enumerate(self.exits):
            if same_exit(found, known):
                if (found.settled, -found.action) > (known.settled, -known.action):
                    self.exits[k] = found
                return
        self.exits.append(found)


def same_exit(first: CoarseExit, second: CoarseExit) -> bool:
    """Whether two coarse exits lie in one place at one cost."""
    span = float(np.linalg.norm(first.point - first.path.nodes[0]))
    near = np.linalg.norm(first.point - second.point) <= _SAME_POINT * span
    return bool(near and abs(first.action - second.action) <= _SAME_COST * max(abs(first.action), abs(second.action)))


@dataclass(frozen=True, eq=False)
class BoundaryProblem:
    """What the paths to a boundary need to know.

    Attributes
    ----------
    system : System
    lagrangian : Lagrangian
    start : array (d,)
        The minimum.
    pieces : list of Surface
    slow : float
        The slowest rate at the minimum.
    winding : bool
        Whether the minimum is a focus.
    jumps : bool
        Whether the covariance jumps inside the domain, so that paths come in pieces.
    """

    system: System
    lagrangian: Lagrangian
    start: Array
    pieces: list[Surface]
    slow: float
    winding: bool
    jumps: bool = False

    @classmethod
    def of(cls, system: System, lagrangian: Lagrangian, start: Array, pieces: list[Surface]) -> BoundaryProblem:
        """The problem of leaving the domain inside the ``pieces`` from the minimum ``start``."""
        rates = np.linalg.eigvals(system.unchecked.jacobian(start[None])[0])
        winding = bool(np.abs(rates.imag).max() > 0.0)
        return cls(system, lagrangian, start, pieces, slow_rate(system, start, name="minimum"), winding)


def searched(
    problem: BoundaryProblem, samples: BoundarySamples, order: list[int], budget: float, report: ProgressCallback
) -> ExitSearch:
    """Local minima over the boundary from samples in ``order``, until few unseen ones are to be expected.

    ``budget`` is CPU time in seconds.
    """
    search = ExitSearch()
    least = starts_at_least(problem.start.size)
    began = process_working_time()
    for n, k in enumerate(order):
        if n >= least and search.exits and search.unseen <= UNSEEN:
            break
        if n and process_working_time() - began > budget:
            search.out_of_time = True
            break
        report(min(n, least), least, "exits from all over the boundary")
        search.starts += 1
        try:
            found = coarse_exit(problem, int(samples.pieces[k]), samples.curves[k])
        except (NonFiniteError, SingularCovarianceError) as error:
            search.failures.append(error)
            continue
        if found is not None:
            search.add(found)
    for k, known in enumerate(search.exits):
        if not known.settled:
            search.exits[k] = again(problem, known)
    search.exits.sort(key=lambda e: e.action)
    return search


def starts_at_least(d: int) -> int:
    """How many points of the boundary the search starts from before it may end."""
    return _STARTS + _STARTS_PER_DIMENSION * d


def in_order(problem: BoundaryProblem, samples: BoundarySamples, rng: np.random.Generator) -> list[int]:
    """Samples to start from: the cheapest of their neighbourhoods by two measures in turn, then others at random."""
    count = starts_at_least(problem.start.size)
    rankings = [samples.lowest(samples.costs)]
    if problem.system.gradient_drift and problem.system.loss is not None:
        # Under isotropic noise the quasi-potential is a multiple of the loss.
        rankings.insert(0, samples.lowest(_losses(problem.system, samples.points)))
    order: list[int] = []
    for rank in range(count):
        for ranking in rankings:
            if rank < len(ranking) and ranking[rank] not in order and len(order) < count // 2:
                order.append(ranking[rank])
    usable = np.isfinite(samples.costs)
    others = np.setdiff1d(np.flatnonzero(usable if usable.any() else ~usable), order)
    return [*order, *(int(k) for k in rng.permutation(others))][: _MOST * count]


def _losses(system: System, points: Array) -> Array:
    try:
        return np.asarray(system.unchecked.loss(points))
    except NonFiniteError:
        if len(points) == 1:
            return np.array([np.inf])
        half = len(points) // 2
        return np.concatenate([_losses(system, points[:half]), _losses(system, points[half:])])


def again(problem: BoundaryProblem, exit_: CoarseExit) -> CoarseExit:
    """A coarse exit that did not settle, minimised further on a finer mesh."""
    try:
        finer = coarse_exit(problem, exit_.piece, exit_.path.sampled(4), finer=True)
    except (NonFiniteError, SingularCovarianceError):
        return exit_
    return exit_ if finer is None or finer.action > exit_.action * (1.0 + _SAME_COST) else finer


def coarse_exit(problem: BoundaryProblem, piece: int, curve: Array, *, finer: bool = False) -> CoarseExit | None:
    """The local minimum that is found from a curve to a piece of the boundary; None where bounded noise cannot follow.

    A path that leaves the domain before its end is cut off there, which lowers its cost, and minimised again.
    """
    if problem.jumps:
        return broken_exit(problem, piece, curve)
    best: CoarseExit | None = None
    for _ in range(_CUTS):
        best = _minimized(problem, piece, curve, finer)
        if best is None:
            return None
        left = first_exit(problem.pieces, best.path.sampled(4), slack=SLACK * _span(problem, best.point))
        if left is None:
            return best
        piece, point, count = left
        curve = np.concatenate([best.path.sampled(4)[:count], point[None]])
    return None if best is None else CoarseExit(best.piece, best.path, best.action, False)


def broken_exit(problem: BoundaryProblem, piece: int, curve: Array) -> CoarseExit | None:
    """The same across jumps of the covariance, by curves in pieces; None where the interfaces are not smooth."""
    for _ in range(_CUTS):
        found = coarse_curve(problem.system, curve, problem.pieces[piece])
        if found is None or not np.isfinite(found.action):
            return None
        curve = found.whole
        best = CoarseExit(piece, ElementPath(lengths_along(curve), curve, 1), found.action, found.settled)
        left = first_exit(problem.pieces, curve, slack=_SLACK_COARSE * _span(problem, curve[-1]))
        if left is None:
            return best
        piece, point, count = left
        curve = np.concatenate([curve[:count], point[None]])
    return CoarseExit(best.piece, best.path, best.action, False)


def _span(problem: BoundaryProblem, point: Array) -> float:
    return float(np.linalg.norm(point - problem.start))


def _minimized(problem: BoundaryProblem, piece: int, curve: Array, finer: bool) -> CoarseExit | None:
    """The minimum on a coarse mesh with the end free on one piece, left sideways where it is only a saddle."""
    n_elements = _ELEMENTS_MOST if finer else _ELEMENTS_FOCUS if problem.winding else _ELEMENTS
    while True:
        found = _free_end(problem, piece, curve, n_elements)
        if found.status == action_minimization.INFEASIBLE:
            return None
        if path_refinement.resolved(problem.lagrangian, found) or n_elements >= _ELEMENTS_MOST:
            break
        n_elements *= 2
    if found.status == action_minimization.UNSTABLE:
        found = _left_sideways(problem, piece, found)
    settled = found.status == action_minimization.CONVERGED
    return CoarseExit(piece, found.path, found.action, settled)


def _free_end(problem: BoundaryProblem, piece: int, curve: Array, n_elements: int) -> action_minimization.Minimization:
    guess = timed_path(
        curve, problem.lagrangian.speed, slow_start=problem.slow, slow_end=0.0, n_elements=n_elements, degree=_DEGREE
    )
    ends = FreeEnds(None, problem.pieces[piece], False)
    return path_refinement.coarse_path(
        problem.lagrangian,
        guess,
        max_iterations=_ITERATIONS if n_elements < _ELEMENTS_MOST else _ITERATIONS_MOST,
        ends=ends,
    )


def _left_sideways(
    problem: BoundaryProblem, piece: int, found: action_minimization.Minimization
) -> action_minimization.Minimization:
    """The minimum that is reached from a saddle of the action by moving the end along the boundary, if one is lower."""
    surface, end = problem.pieces[piece], found.path.nodes[-1]
    normal = surface.normal(end)
    tangents = np.linalg.svd(normal[None], full_matrices=True)[2][1:]
    curves = []
    for distance in _SIDEWAYS:
        for tangent in np.concatenate([tangents, -tangents]):
            try:
                moved = surface.projected(end + distance * _span(problem, end) * tangent)
            except ValueError:
                continue
            share = np.linspace(0.0, 1.0, found.path.nodes.shape[0])[:, None] ** 2
            curves.append(found.path.nodes + share * (moved - end))
    if not curves:
        return found
    costs = curve_costs(problem.lagrangian, np.stack(curves))
    for k in np.argsort(costs)[:2]:
        if not np.isfinite(costs[k]):
            continue
        lower = _free_end(problem, piece, curves[int(k)], found.path.n_elements)
        if lower.status != action_minimization.INFEASIBLE and lower.action < found.action:
            found = lower
        if found.status == action_minimization.CONVERGED:
            break
    return found
