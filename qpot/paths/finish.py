"""The last part of an uphill leg: coarse paths refined until they meet the tolerance, and the cheapest of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot.landscape.flow import slow_rate
from qpot.paths.broken import CREEPS, TOUCH, pieces, resting_points
from qpot.paths.ends import rest_spread
from qpot.paths.joined import joined, uphill_path
from qpot.paths.methods import LegMethod
from qpot.paths.ranking import MUCH_DEARER, ranking
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.spending import spent
from qpot.solvers.paths import action_minimization, path_refinement
from qpot.solvers.paths.action import action_value
from qpot.solvers.paths.curve_action import curve_action, smooth
from qpot.solvers.paths.elements import ElementPath, curve_distance
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.paths.limits import Limits
from qpot.solvers.problem.lagrangian import Lagrangian

# Elements of a coarse path that winds, because an end is a focus.
ELEMENTS_FOCUS = 40
# The polynomial degree of coarse elements.
DEGREE = 4
# Curves closer than this fraction of their length are one.
SAME_CURVE = 0.02
# Ends of pieces closer than this part of their extent are one fixed point.
SAME_END = 1e-6
# Iterations that every path gets before any gets more: it may have no minimum in finite time, and another one may lead to
# the same minimum at once. Between these tries the path gets new times, which are worth more than further iterations.
TRIES = (40, 80, 150)
# So many times finer a curve is drawn whose action shall show that it is cheaper than another.
_FINELY = 16
FAIR_TRY = TRIES[-1]
# A path that rests is cut, and its pieces again, so many times.
_DEPTH = 4
# A path whose action is higher than the lowest by more than this fraction gets no more than that.
_DEARER = 0.01
# After a fair try to the end a path that is dearer by this factor is no candidate for the cheapest.
_TRIED_AND_DEARER = 1.05
# The solver's integer status as the library's.
STATUS = {
    action_minimization.CONVERGED: Status.CONVERGED,
    action_minimization.MAX_ITERATIONS: Status.NOT_CONVERGED,
    action_minimization.UNSTABLE: Status.UNSTABLE,
    action_minimization.INFEASIBLE: Status.NOT_CONVERGED,
}


class _Piece(NamedTuple):
    """A guess of a piece between two fixed points, and what it led to: converged legs, or None."""

    guess: ElementPath
    found: list[PathSolution] | None


@dataclass(frozen=True, eq=False)
class Finish:
    """Refines the coarse paths of one leg.

    Attributes
    ----------
    system : System
    lagrangian : Lagrangian
    slow_start, slow_end : float
        Slowest linear rates at the ends; 0 where an end is no fixed point.
    method : LegMethod
    """

    system: System
    lagrangian: Lagrangian
    slow_start: float
    slow_end: float
    method: LegMethod
    # Pieces between fixed points that were followed already: curves of many shapes share them.
    _pieces: list[_Piece] = field(default_factory=list, init=False)

    def all(self, paths: Sequence[ElementPath]) -> list[PathSolution]:
        """The refined paths: all get a fair try, and those that may still be the cheapest are then followed to the end."""
        tried: list[PathSolution] = []
        for path in paths:
            if tried and spent():
                break
            tried.append(self._tried(path, tried))
        if self.method.max_iterations <= FAIR_TRY:
            return tried
        for k in np.argsort([s.action for s in tried], kind="stable"):
            if not tried[k].status.ok and not spent() and self._matters(tried[k], tried):
                longer = self._refined(self._timed_again(tried[k].points))
                if longer.status.ok or longer.action - longer.error >= tried[k].action - tried[k].error:
                    tried[k] = longer
        return self._without_detours(tried)

    def _without_detours(self, tried: list[PathSolution]) -> list[PathSolution]:
        """The paths without those that rest at points past which another one leads on the same curve for less."""
        cut_off = [s for s in tried if not s.status.ok and np.isfinite(s.action)]
        return [
            c
            for c in tried
            if not (c.status.ok and c.via and any(self._passes_by(s, c) and not _apart(s, c) for s in cut_off))
        ]

    def _matters(self, path: PathSolution, others: Sequence[PathSolution]) -> bool:
        """Whether a path that did not converge may be cheaper than the converged ones, and is none of them."""
        known = [s for s in others if s.status.ok]
        if any(path.action > (1.0 + _DEARER) * s.action for s in known):
            return False
        return all(_apart(path, s) or path.action < s.action - s.error for s in known)

    def _tried(self, path: ElementPath, known: Sequence[PathSolution]) -> PathSolution:
        """A path after a fair try: as a whole, or in pieces where it rests at fixed points and that costs no more."""
        ends = (self.slow_start, self.slow_end)
        action = action_value(self.lagrangian, path, path.degree + 3)
        broken = self._broken(path, ends, action, _DEPTH)
        if broken is not None:
            # Many curves come to rest at the same points, and are one path then.
            if any(s.status.ok and s.via and abs(s.action - broken.action) <= s.error + broken.error for s in known):
                return broken
            # A path that only passes by is found within a few meshes; one that rests never is.
            whole = refined(self.system, self.lagrangian, path, *ends, self.method, most=TRIES[0])
            if broken.action <= whole.action + (0.0 if whole.status.ok else broken.error):
                return broken
        found, whole = self._followed(path, ends, 0.0, _DEPTH)
        if found is not None:
            whole = joined(found) if len(found) > 1 else found[0]
        # Both are true paths, so that the one of lower action is nearer to the minimum.
        if broken is not None and broken.action <= whole.action + (0.0 if whole.status.ok else whole.error):
            return whole if self._passes_by(whole, broken) else broken
        return whole

    def _passes_by(self, whole: PathSolution, broken: PathSolution) -> bool:
        """Whether a path that was cut off is cheaper than the one in pieces, so that it does not rest where that does."""
        gain = broken.action - broken.error - whole.action
        if whole.status.ok or not gain > 0.0:
            return False
        f = self.system.unchecked
        action, error = curve_action(f.drift, f.covariance, smooth(whole.points[whole.uphill], _FINELY))
        return action + error < broken.action - broken.error

    def _broken(
        self, path: ElementPath, ends: tuple[float, float], action: float, depth: int, within: float = TOUCH
    ) -> PathSolution | None:
        """The path in pieces between the fixed points on it, or None if there are none or the pieces do not converge.

        ``ends`` are the slowest rates at its ends, and ``action`` is the size of that of the whole path.
        """
        rests = resting_points(self.system, path, within=within) if ends[0] > 0.0 and depth > 0 else []
        if not rests:
            return None
        rates = [ends[0], *(slow_rate(self.system, x, name="fixed point on the path") for _, x in rests), ends[1]]
        legs: list[PathSolution] = []
        for piece, pair in zip(pieces(path, rests), itertools.pairwise(rates), strict=True):
            found = self._piece(self._timed(piece, *pair), pair, action, depth - 1)
            if found is None:
                return None
            legs += found
        return joined(legs)

    def _piece(
        self, guess: ElementPath, ends: tuple[float, float], action: float, depth: int
    ) -> list[PathSolution] | None:
        """The legs of a piece that converged, or None; those of a like piece, where one was followed before."""
        for other in self._pieces:
            apart = np.abs(other.guess.nodes[[0, -1]] - guess.nodes[[0, -1]]).max()
            if apart <= SAME_END * np.ptp(guess.nodes, axis=0).max() and (
                curve_distance(guess, other.guess) < SAME_CURVE
            ):
                return other.found
        found, _ = self._followed(guess, ends, action, depth)
        self._pieces.append(_Piece(guess, found))
        return found

    def _followed(
        self, path: ElementPath, ends: tuple[float, float], scale: float, depth: int
    ) -> tuple[list[PathSolution] | None, PathSolution]:
        """The converged path, whole or in pieces, and None where there is none; and the best whole path that was found."""
        best: PathSolution | None = None
        for most in TRIES:  # There is at least one.
            # A piece may cost next to nothing, and its error counts against the whole.
            found = refined(self.system, self.lagrangian, path, *ends, self.method, most=most, scale=scale)
            if best is None or found.status.ok or found.action + found.error < best.action + best.error:
                best = found
            if found.status.ok:
                return [found], found
            if not np.isfinite(found.action) or spent():
                break
            # The path may have begun to linger at a fixed point only during its refinement.
            curve = ElementPath(np.asarray(found.times), found.points, 1)
            for within in (TOUCH, CREEPS) if most == TRIES[-1] else (TOUCH,):
                broken = self._broken(curve, ends, max(scale, found.action), depth, within)
                if broken is not None and broken.action <= found.action + broken.error:
                    return [broken], found
            # The path has crept along itself in time; with new times the same curve starts close to the minimum.
            path = self._timed(found.points, *ends)
        assert best is not None
        return None, best

    def _refined(self, path: ElementPath, most: int | None = None) -> PathSolution:
        return refined(self.system, self.lagrangian, path, self.slow_start, self.slow_end, self.method, most=most)

    def _timed_again(self, points: Array) -> ElementPath:
        return self._timed(points, self.slow_start, self.slow_end)

    def _timed(self, points: Array, slow_start: float, slow_end: float) -> ElementPath:
        """A curve at the speed of an optimal path."""
        return timed_path(
            points,
            self.lagrangian.speed,
            slow_start=slow_start,
            slow_end=slow_end,
            n_elements=ELEMENTS_FOCUS,
            degree=DEGREE,
        )


def refined(
    system: System,
    lagrangian: Lagrangian,
    path: ElementPath,
    slow_start: float,
    slow_end: float,
    method: LegMethod,
    ends: FreeEnds | None = None,
    most: int | None = None,
    scale: float = 0.0,
) -> PathSolution:
    """A coarse path refined by itself, until its action meets the method's tolerance.

    ``most`` limits the iterations, and an action below ``scale`` needs no more digits than one of that size.
    """
    leg = path_refinement.refine_path(
        lagrangian,
        path,
        Limits(method.tolerance, method.max_iterations, method.max_elements, most, scale),
        slow_start=slow_start,
        slow_end=slow_end,
        spreads=(
            rest_spread(system, path.nodes[0]) if slow_start > 0.0 else None,
            rest_spread(system, path.nodes[-1]) if slow_end > 0.0 else None,
        ),
        ends=ends,
    )
    times = leg.path.node_times()
    points = leg.path.nodes
    _, velocities = leg.path.at(times)
    return uphill_path(leg, points, times, lagrangian.momentum(points, velocities), STATUS[leg.status], method)


def cheapest(solutions: list[PathSolution], iterations: int) -> PathSolution:
    """The cheapest path, with the other distinct ones as alternatives.

    A path that did not converge is a true path nevertheless: where it costs less than the converged ones, these are not the
    minimum, and the path that did not converge is the answer; where it may cost less, the error says so.
    """
    best = answer(solutions)
    ordered = [best, *(s for s in sorted(solutions, key=lambda s: s.action) if s.points is not best.points)]
    others: list[PathSolution] = []
    for other in ordered[1:]:
        known = [best, *others]
        if all(abs(other.action - k.action) > 10 * (other.error + k.error) or _apart(other, k) for k in known):
            others.append(other)
    total = iterations + sum(s.iterations for s in solutions)
    return replace(best, iterations=total, alternatives=tuple(others))


def answer(solutions: Sequence[PathSolution]) -> PathSolution:
    """The cheapest of some paths by `qpot.paths.ranking.ranking`, not converged where one that was cut off may cost less."""
    converged = [s for s in solutions if s.status.ok and np.isfinite(s.action)]

    def counts(s: PathSolution) -> bool:
        """Whether a path is more than one on its way to a converged one, or at a saddle of the action above it."""
        if s.status.ok:
            return True
        if s.status is Status.UNSTABLE:
            return not any(s.action >= c.action - c.error for c in converged)
        if any(s.action + s.error >= c.action - c.error and not _apart(s, c) for c in converged):
            return False
        # Of two that were cut off on one curve, the one whose error is known speaks for both.
        rivals = [o for o in solutions if o is not s and o.error < s.error and s.action >= o.action - o.error]
        return not any(np.isfinite(o.action) and not _apart(s, o) for o in rivals)

    kept = [s for s in solutions if counts(s)]
    found = ranking(
        [s.action for s in kept],
        [s.error for s in kept],
        [s.status.ok for s in kept],
        much_dearer=MUCH_DEARER if spent() else _TRIED_AND_DEARER,
    )
    best = kept[found.chosen]
    return replace(best, error=found.error, status=Status.NOT_CONVERGED if found.doubtful else best.status)


def _apart(first: PathSolution, second: PathSolution) -> bool:
    a, b = (ElementPath(np.asarray(s.times), s.points, 1) for s in (first, second))
    return curve_distance(a, b) > SAME_CURVE
