"""Legs that start on a limit cycle, or cross one: the phases are free, and the infinitely many turns are cut at tubes.

A path winds off a stable cycle, and on to an unstable one, in infinitely many turns. It is solved between a surface beside
the first cycle and one beside the second, on which its ends may move; between surface and cycle the periodic Riccati
equations have the cost. The same from surfaces at twice the distance tells the error, which is of fourth order in it in the
plane, and of third order above.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.status import SolveError, Status
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.cycle_ends import CycleEnd, PointEnd, TubeSurface
from qpot.paths.cycle_guesses import Guess, approach, elements, guesses
from qpot.paths.finish import answer, refined
from qpot.paths.geometric import GeometricAction
from qpot.paths.infinite import infinite_leg
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.free_end_model import FreeEnds

# Relative tolerance of the paths between the surfaces, which leave out more than this beside the cycles.
_TOLERANCE = 1e-6
# Where the noise hardly tells the phases apart, paths are not followed for a smaller relative decrease of the action.
_LEVEL = 1e-6
# The answer has converged where its relative error is below this.
_GOOD = 1e-4
# The surfaces of the first solution are further from the cycles by this factor.
_RATIO = 2.0
# Newton iterations on one mesh.
_ITERATIONS = 40
# So many of the paths that shots find are refined, and iterations for those but the first.
_REFINED, _FAIR = 3, 25


def leg_with_cycles(
    system: System, state: Minimum, target: Saddle | LimitCycle, side: float, method: LegMethod
) -> PathSolution:
    """The cheapest leg from a state to a saddle or to an unstable cycle, where at least one of the two is a cycle.

    Parameters
    ----------
    state : Minimum or LimitCycle
    target : Saddle or LimitCycle
        A cycle with one unstable direction.
    side : float
        The sign of the unstable coordinate of a target cycle on the side of the state.

    Returns
    -------
    PathSolution
        From a point of the starting cycle, or from the minimum, to a point of the target. A leg that was not found costs inf
        and has a status that is not ok.
    """
    where = format_point(target.point)
    try:
        start = CycleEnd.of(system, state) if isinstance(state, LimitCycle) else PointEnd.minimum(system, state)
        end = CycleEnd.of(system, target) if isinstance(target, LimitCycle) else PointEnd.saddle(system, target)
        if start is None or end is None:
            return _failed(
                state, target, f"the limit cycle on the leg to {where} is not hyperbolic, or too stiff", method
            )
        found = guesses(system, start, end, side)
        own = method if isinstance(method, GeometricAction) else GeometricAction()
        own = replace(
            own, tolerance=max(own.tolerance, _TOLERANCE), max_iterations=min(own.max_iterations, _ITERATIONS)
        )
        far = [
            (_between(system, start, end, guess, None, own, most=_FAIR if k else None), guess)
            for k, guess in enumerate(found[:_REFINED])
        ]
        far.sort(key=lambda item: (not item[0].status.ok, item[0].action))
        solved: list[PathSolution] = []
        for leg, guess in far:
            # Paths that tie are one, or images of one another; of the dearer ones none is finished.
            least = far[0][0].action - far[0][0].error - _LEVEL * far[0][0].action
            if solved and leg.action - leg.error >= least:
                continue
            solved.append(_extrapolated(leg, _between(system, start, end, guess, leg, own), start, end))
    except (SolveError, NonFiniteError, np.linalg.LinAlgError, ValueError) as error:
        return _failed(state, target, f"no path was found to {where}: {error}", method)
    if not solved:
        return _failed(state, target, f"no extremal from {format_point(state.point)} comes close to {where}", method)
    best = answer(solved)
    return replace(best, method=method, via=(best.points[-1],))


def _failed(state: Minimum, target: Saddle | LimitCycle, reason: str, method: LegMethod) -> PathSolution:
    leg = infinite_leg(state.point, target.point, reason, method)
    return replace(leg, status=Status.NOT_CONVERGED, via=(target.point,))


def _between(
    system: System,
    start: CycleEnd | PointEnd,
    end: CycleEnd | PointEnd,
    guess: Guess,
    far: PathSolution | None,
    method: GeometricAction,
    most: int | None = None,
) -> PathSolution:
    """A guess refined between the far surfaces or, given that solution, between the near ones."""
    lagrangian = system.noise.lagrangian(system.unchecked)
    slow = tuple(e.slow if isinstance(e, PointEnd) else 0.0 for e in (start, end))
    factor = _RATIO if far is None else 1.0
    first = None if guess.leaves is None else replace_height(guess.leaves, factor)
    last = None if guess.arrives is None else replace_height(guess.arrives, factor)
    path = guess.path
    if far is not None:
        path = _longer(np.asarray(far.times), far.points, first, last, start, end)
    # Between two surfaces the duration is finite, and the best one is found together with the path.
    ends = FreeEnds(first, last, first is not None and last is not None, _LEVEL)
    leg = refined(system, lagrangian, path, slow[0], slow[1], method, ends, most=most)
    rest = sum(s.rest for s in (first, last) if s is not None)
    return replace(leg, action=leg.action + rest)


def _extrapolated(
    far: PathSolution, near: PathSolution, start: CycleEnd | PointEnd, end: CycleEnd | PointEnd
) -> PathSolution:
    """The path between the near surfaces, whose difference from that between the far ones tells the error."""
    change = near.action - far.action
    order = min(e.tube.order for e in (start, end) if isinstance(e, CycleEnd))
    cost = near.action + change / (_RATIO**order - 1.0)
    error = near.error + far.error + abs(change)
    # Phases are free where the noise does not tell them apart, and Newton's method wanders among paths of one cost; what
    # counts is the error that is left.
    unstable = Status.UNSTABLE in (near.status, far.status)
    solved = not unstable and error <= _GOOD * cost
    status = Status.CONVERGED if solved else Status.UNSTABLE if unstable else Status.NOT_CONVERGED
    return _whole(replace(near, action=cost, error=error, status=status), start, end)


def replace_height(surface: TubeSurface, factor: float) -> TubeSurface:
    """The surface at another multiple of the nearer one's distance."""
    return TubeSurface(surface.tube, factor * surface.height, surface.side)


def _longer(
    times: Array,
    points: Array,
    first: TubeSurface | None,
    last: TubeSurface | None,
    start: CycleEnd | PointEnd,
    end: CycleEnd | PointEnd,
) -> ElementPath:
    """A path between the far surfaces, continued along the cycles to the near ones."""
    if last is not None and isinstance(end, CycleEnd):
        t, x = approach(end, points[-1], last.height)
        times, points = np.concatenate([times, times[-1] + t[1:]]), np.concatenate([points, x[1:]])
        points[-1] = last.projected(points[-1])
    if first is not None and isinstance(start, CycleEnd):
        t, x = approach(start, points[0], first.height, backwards=True)
        times, points = np.concatenate([t[:-1] - t[-1] + times[0], times]), np.concatenate([x[:-1], points])
        points[0] = first.projected(points[0])
    return elements(times, points)


def _whole(leg: PathSolution, start: CycleEnd | PointEnd, end: CycleEnd | PointEnd) -> PathSolution:
    """The leg with the feet of its ends on the cycles."""
    points, momenta, times = leg.points, leg.momenta, leg.times
    if isinstance(start, CycleEnd):
        foot = start.tube.orbit(start.tube.feet(points[:1]))
        points, momenta = np.concatenate([foot, points]), np.concatenate([np.zeros_like(foot), momenta])
        times = np.concatenate([[times[0] - 1.0 / start.rate()], times])
    if isinstance(end, CycleEnd):
        foot = end.tube.orbit(end.tube.feet(points[-1:]))
        points, momenta = np.concatenate([points, foot]), np.concatenate([momenta, np.zeros_like(foot)])
        times = np.concatenate([times, [times[-1] + 1.0 / end.rate()]])
    return replace(leg, points=points, momenta=momenta, times=times - times[0], uphill=np.ones(len(times), dtype=bool))
