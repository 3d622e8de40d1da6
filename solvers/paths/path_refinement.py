"""Minimum action on a mesh that adapts itself: element sizes, slow tails, and an error from two resolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.spending import spent
from qpot.solvers.paths.action import action_value, geometric_action_value
from qpot.solvers.paths.action_minimization import (
    CONVERGED,
    INFEASIBLE,
    MAX_ITERATIONS,
    UNSTABLE,
    Minimization,
    minimize_action,
    minimize_actions,
)
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.feasible_path import feasible_path
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.free_ends import minimize_with_free_ends
from qpot.solvers.paths.limits import Limits
from qpot.solvers.paths.meshing import equidistributed
from qpot.solvers.paths.tails import Spreads, lengthened, tail_rate
from qpot.solvers.problem.lagrangian import Lagrangian

Array = NDArray[np.float64]

NOT_CONVERGED = 1
# The degree of the elements.
_DEGREE = 8
# The degree at which the solution is held against the one of lower degree.
_CHECK_DEGREE = 10
# Meshes are refined at most so many times.
_LEVELS = 10
# The first mesh is made for this part of the tolerance, since the energy, and with it the estimate of the tail, is only
# good to the root of the action's error.
_SHARE = 0.005
# Every further mesh is made for this part of what the one before it was made for.
_STRICTER = 0.1
# An element's error below this part of its share counts as that: a coarse mesh of low degree has elements whose error at
# the full degree is far below rounding.
_UNSEEN = 1e-12
# A mesh may have fewer elements than the one before it by this factor.
_SHRINK = 3
# If the energies of two neighbouring modes have a smaller ratio than this, the lower one may be small by accident.
_FASTEST_DECAY = 1e-6
# A coarse path is minimised until its action may still fall by this part.
_COARSE = 1e-4
# On a mesh that is only passed through, creeping along the soft time-shift mode is not worth more steps than this;
# the mesh that the answer is taken from converges by its Newton decrement.
_PASSING = 30
# With a Newton decrement above this share of the action the minimiser is not near yet.
_LOST = 1e-2
# After so many meshes with an error above the action itself and no convergence there is no minimiser near, as where a path
# does best by running off to infinity.
_HOPELESS = 3
# A mesh is progress if it lowers the error at least by this factor.
_PROGRESS = 0.5
# After so many finer meshes in a row without progress there is none to be had, as where the noise jumps.
_STUCK = 3
# Where a path did not converge, its Newton decrement means something below this share of the action, ...
_NEAR = 1e-3
# ... and the measured parts of the error are multiplied by this number.
_CAUTION = 10.0
# The least error, as a share of the action, where the time ended before Newton's method did.
_CUT_OFF = 1e-3
# Relative rounding of an action under a covariance with eigenvalues of one size.
_ROUNDING = 4e-13
# The change to twice as many quadrature points counts so many times, since at a kink the error falls slowly with them.
_KINKS = 3.0
# If an action is smaller than that of its own curve by this factor, the mesh is blind to parts of the curve.
_BELOW_ITS_CURVE = 1.5


@dataclass(frozen=True)
class RefinedPath:
    """A leg with its action and an error that is made of measured parts.

    ``action`` is the geometric action of the final curve, an upper bound of the minimum up to quadrature.
    ``error`` adds: the change from degree 8 to 10, the finite-time tail, the Newton decrement, the quadrature error.
    """

    path: ElementPath
    action: float
    error: float
    residual: float
    iterations: int
    status: int


def refine_path(
    lagrangian: Lagrangian,
    guess: ElementPath,
    limits: Limits,
    *,
    slow_start: float,
    slow_end: float,
    spreads: Spreads = (None, None),
    ends: FreeEnds | None = None,
    on_iteration: Callable[[int, float], None] | None = None,
) -> RefinedPath:
    """Minimise the action from a guess, adapting mesh and time span until the relative error is met.

    Parameters
    ----------
    guess : ElementPath
        From fixed ends; any degree.
    limits : Limits
        The relative error that is asked for, and the work that may be spent.
    slow_start, slow_end : float
        Slowest relaxation rate at an end that is a fixed point, 0 elsewhere. An end that is a fixed point is reached
        in infinite time; the finite time costs about H / rate, and the tail is lengthened until that is small.
    spreads : pair of arrays (d, d) or None
        `qpot.solvers.paths.tails.spread` at the ends that are fixed points, for the cost of the finite time.
    ends : FreeEnds, optional
        Surfaces on which the ends may move, and whether the duration may change; both ends fixed by default.
    """
    path, tolerance = guess, limits.tolerance
    total = 0

    def minimized(
        start: ElementPath, rtol: float, limit: int = limits.max_iterations, *, helped: bool = False
    ) -> Minimization:
        nonlocal total
        left = limit if limits.total is None else min(limit, max(limits.total - total, 1))
        outcome = _minimized(
            lagrangian,
            start,
            ends,
            tolerance=rtol,
            max_iterations=min(left, limits.max_iterations),
            scale=limits.scale,
            helped=helped,
            on_iteration=None if on_iteration is None else lambda i, s: on_iteration(total + i, s),
        )
        total += outcome.iterations
        return outcome

    # The energy, from which the cost of the finite time is estimated, settles later than the action does: with a looser
    # limit a lengthened path keeps its old timing and the estimate stays where it was, level after level.
    inner = min(0.01 * tolerance, 1e-10) if slow_start > 0.0 or slow_end > 0.0 else 0.01 * tolerance
    coarse = minimized(path, 1e-5, _PASSING, helped=True)
    if coarse.status == INFEASIBLE:
        return RefinedPath(path, np.inf, np.inf, np.inf, total, INFEASIBLE)
    if coarse.status == UNSTABLE:
        return _report(lagrangian, coarse, coarse, 0.0, total, UNSTABLE)
    if spent():  # Without a second resolution nothing is known of the error but that no action is negative.
        return _report(lagrangian, coarse, coarse, np.inf, total, MAX_ITERATIONS)
    path, hopeless, stuck = coarse.path, 0, 0
    results: list[RefinedPath] = []
    for level in range(_LEVELS):
        size = max(abs(coarse.action), limits.scale)
        tail = _tail(lagrangian, path, slow_start, slow_end, spreads)
        path = lengthened(path, tail, size, slow_start, slow_end, tolerance)
        path = _remeshed(lagrangian, path, _SHARE * _STRICTER**level * tolerance, limits, _DEGREE)
        solved = minimized(path, inner, _PASSING)
        if solved.status == INFEASIBLE:
            break
        # Where Newton's method got nowhere, the next mesh is a better place to go on than this one.
        lost = solved.status == MAX_ITERATIONS and solved.decrement > _LOST * abs(solved.action)
        checked = minimized(
            solved.path.on(solved.path.breaks, _CHECK_DEGREE), inner, _PASSING if lost else limits.max_iterations
        )
        if checked.status == INFEASIBLE:
            break
        if solved.status == MAX_ITERATIONS and checked.status == CONVERGED:
            # From there the lower degree converges too, and the two can be compared.
            again = minimized(checked.path.on(checked.path.breaks, _DEGREE), inner, _PASSING)
            solved = again if again.action < solved.action else solved
        tail = _tail(lagrangian, checked.path, slow_start, slow_end, spreads)
        status = UNSTABLE if UNSTABLE in (solved.status, checked.status) else checked.status
        result = _report(lagrangian, solved, checked, tail, total, status)
        least = min((known.error for known in results), default=np.inf)
        stuck = 0 if not results or result.error <= _PROGRESS * least else stuck + 1
        results.append(result)
        if result.status == UNSTABLE or _accurate(result, tolerance, limits.scale):
            return result
        hopeless = hopeless + 1 if result.status == MAX_ITERATIONS and result.error > result.action else 0
        exhausted = limits.total is not None and total >= limits.total
        if hopeless == _HOPELESS or stuck == _STUCK or exhausted or spent():
            break
        path, coarse = checked.path, checked
    if not results:  # No mesh of the sizes allowed resolves a path that bounded noise can follow.
        return RefinedPath(path, np.inf, np.inf, np.inf, total, NOT_CONVERGED)
    return replace(_of_several(results), iterations=total, status=NOT_CONVERGED)


def _of_several(results: Sequence[RefinedPath]) -> RefinedPath:
    """What is known from several meshes of which none met the tolerance.

    Where Newton's method converged on one, its error counts. Where it was cut off on all, the least action is nearest to the
    minimum; and since a decrement far from a minimiser may be small by accident, the largest of the errors counts.
    """
    settled = [result for result in results if result.status == CONVERGED]
    if settled:
        return min(settled, key=lambda result: result.error)
    known = [result.error for result in results if result.error < result.action]
    if not known:
        return min(results, key=lambda result: result.error)
    return replace(min(results, key=lambda result: result.action), error=max(known))


def _accurate(result: RefinedPath, tolerance: float, scale: float) -> bool:
    """Whether a path has converged, and its error meets the tolerance."""
    bound = tolerance * max(result.action, scale, 1e-300)
    return bool(result.status == CONVERGED and np.isfinite(result.error) and result.error <= bound)


def _report(
    lagrangian: Lagrangian,
    solved: Minimization,
    checked: Minimization,
    tail: float,
    iterations: int,
    status: int,
) -> RefinedPath:
    """The path of higher degree with its geometric action, and an error that adds all that was measured."""
    q = checked.path.degree + 3
    fine = geometric_action_value(lagrangian, checked.path, 2 * q)
    finest = geometric_action_value(lagrangian, checked.path, 4 * q)
    timed = action_value(lagrangian, checked.path, 2 * q)
    # On a coarse mesh the curve wiggles where it is slow, so that |b| has kinks at which two rules agree by accident. The
    # action in time is never below the geometric one; what is, is quadrature error too.
    quadrature = max(
        abs(fine - geometric_action_value(lagrangian, checked.path, q)), _KINKS * abs(finest - fine), fine - timed
    )
    resolution = abs(geometric_action_value(lagrangian, solved.path, 2 * q) - fine)
    # The finite time costs S_T - V, about H / rate, of which the geometric value has removed a part already.
    slack = max(timed - fine, 0.0)
    late = max(3.0 * tail, slack)
    x, v, w = checked.path.at_quadrature(q)
    d = x.shape[-1]
    flat_x, flat_v = x.reshape(-1, d), v.reshape(-1, d)
    p = lagrangian.momentum(flat_x, flat_v)
    rounding = _ROUNDING * abs(fine) + _rounding(lagrangian.metric(flat_x, flat_v), p, w.ravel())
    measured = 2.0 * resolution + quadrature + late + rounding
    error = measured + 2.0 * checked.decrement
    if status != CONVERGED:
        # Far from a minimiser the quadratic model says nothing; but no action is negative.
        near = status != UNSTABLE and checked.decrement <= _NEAR * abs(checked.action)
        honest = _CAUTION * (measured + checked.decrement) if near else np.inf
        if spent():  # Two resolutions that were both cut off can agree with each other better than with the truth.
            honest = max(honest, _CUT_OFF * abs(fine))
        error = min(honest, max(fine, 0.0) + quadrature + rounding)
    H = lagrangian.hamiltonian(flat_x, p)
    return RefinedPath(checked.path, fine, error, float(np.abs(H).max()), iterations, status)


def _rounding(metric: Array, momenta: Array, weights: Array) -> float:
    """What the rounding of the inverse covariance may change: one unit of its largest entries, times r^2 / 2.

    Here r = a p is the velocity minus the drift. Under a covariance whose eigenvalues are far apart the quadratic form is a
    small difference of large numbers.
    """
    values, vectors = np.linalg.eigh(metric)
    values = np.maximum(values, 1e-300)
    r = np.einsum("nji,nj->ni", vectors, momenta) / values
    return float(0.5 * np.finfo(float).eps * (weights * values[:, -1]) @ (r**2).sum(axis=1))


def _tail(lagrangian: Lagrangian, path: ElementPath, slow_start: float, slow_end: float, spreads: Spreads) -> float:
    """What the finite time costs: two estimates, the larger counts.

    H / rate, from dS/dT = -H; and p.S p / 2 at an end that is a fixed point, with S the stationary spread of the linear
    system there (see `spread`). The second is exact to leading order for linear drifts of any kind; the first can be
    several times too small at a focus, where H swings with T.
    """
    rate = tail_rate(slow_start, slow_end)
    if rate == 0.0:
        return 0.0
    ends = np.array([path.breaks[0], path.breaks[-1]])
    momenta = lagrangian.momentum(*path.at(ends))
    excess = sum(0.5 * float(p @ S @ p) for p, S in zip(momenta, spreads, strict=True) if S is not None)
    return max(abs(_energy(lagrangian, path)) / rate, excess)


def _energy(lagrangian: Lagrangian, path: ElementPath) -> float:
    """H along the path, which a minimiser keeps constant: the median in time of the elements' averages.

    Short elements on which the path turns fast miss H by the root of their error in the action. The time average would
    take that for the cost of the finite time; the median does not.
    """
    x, v, w = path.at_quadrature(path.degree + 3)
    d = x.shape[-1]
    flat = x.reshape(-1, d)
    H = lagrangian.hamiltonian(flat, lagrangian.momentum(flat, v.reshape(-1, d))).reshape(w.shape)
    durations = w.sum(axis=1)
    averages = (w * H).sum(axis=1) / durations
    order = np.argsort(averages)
    before = np.cumsum(durations[order])
    return float(averages[order[np.searchsorted(before, 0.5 * before[-1])]])


def _remeshed(lagrangian: Lagrangian, path: ElementPath, target: float, limits: Limits, degree: int) -> ElementPath:
    """Equidistribute the estimated action error of the elements, with as many as ``target`` (relative) asks for."""
    h = np.diff(path.breaks)
    m = path.degree
    middle, velocity = path.at(0.5 * (path.breaks[1:] + path.breaks[:-1]))
    # This is the action of the highest modes' velocities alone, in the metric L_vv at the element's middle.
    top = path.top_coefficients(4)
    weight = np.array([k * (k + 1) for k in range(m + 1)][-4:], dtype=float)
    modes = np.einsum("nki,nij,nkj->nk", top, lagrangian.metric(middle, velocity), top) * weight / h[:, None]
    last, before = modes[:, -2:].sum(axis=1), modes[:, :-2].sum(axis=1)
    # On a smooth path every further degree lowers the error by as much as the degrees before it, or more.
    decay = np.sqrt(np.clip(last / np.maximum(before, 1e-300), _FASTEST_DECAY, 1.0))
    total = max(_total(path, lagrangian), limits.scale)
    error = np.maximum(last * decay ** max(degree - m, 0), 0.0) + _UNSEEN * target * total / h.size
    order = 2 * max(degree, m)
    breaks = equidistributed(
        path.breaks, error, order=order, target=target * total, max_elements=limits.max_elements, shrink=_SHRINK
    )
    return path.on(breaks, degree)


def _total(path: ElementPath, lagrangian: Lagrangian) -> float:
    """The size of the action, by which errors are made relative."""
    return abs(action_value(lagrangian, path, path.degree + 3))


def coarse_path(
    lagrangian: Lagrangian, guess: ElementPath, *, max_iterations: int, ends: FreeEnds | None = None
) -> Minimization:
    """A minimiser on the guess's own mesh, good to a few digits: enough to tell distinct paths apart."""
    return _minimized(lagrangian, guess, ends, tolerance=_COARSE, max_iterations=max_iterations, on_iteration=None)


def coarse_paths(
    lagrangian: Lagrangian, guesses: Sequence[ElementPath], *, max_iterations: int
) -> list[Minimization | ValueError]:
    """`coarse_path` of several guesses of one degree side by side; an error in the place of the guess that made it."""
    found: list[Minimization | ValueError | None] = [None] * len(guesses)
    starts = {}
    for k, guess in enumerate(guesses):
        try:
            starts[k] = feasible_path(lagrangian, guess) or guess
        except ValueError as error:
            found[k] = error
    if starts:
        paths = list(starts.values())
        minimized = minimize_actions(
            lagrangian, paths, quadrature=paths[0].degree + 3, tolerance=_COARSE, max_iterations=max_iterations
        )
        for k, outcome in zip(starts, minimized, strict=True):
            found[k] = outcome
    return [outcome for outcome in found if outcome is not None]


def _minimized(
    lagrangian: Lagrangian,
    guess: ElementPath,
    ends: FreeEnds | None,
    *,
    tolerance: float,
    max_iterations: int,
    scale: float = 0.0,
    helped: bool = True,
    on_iteration: Callable[[int, float], None] | None,
) -> Minimization:
    """On the guess's own mesh, from a feasible path near it if there is one."""
    start = feasible_path(lagrangian, guess, helped=helped) or guess
    quadrature = start.degree + 3
    if ends is not None:
        return minimize_with_free_ends(
            lagrangian, start, ends, quadrature=quadrature, tolerance=tolerance, max_iterations=max_iterations
        )
    return minimize_action(
        lagrangian,
        start,
        quadrature=quadrature,
        tolerance=tolerance,
        max_iterations=max_iterations,
        scale=scale,
        on_iteration=on_iteration,
    )


def resolved(lagrangian: Lagrangian, found: Minimization) -> bool:
    """Whether the mesh sees what its curve costs.

    No path over a curve costs less than the curve's geometric action. A minimiser that does on its own mesh has found a
    gap between the quadrature points, as can happen where the covariance grows steeply, and not a cheap path.
    """
    fine = geometric_action_value(lagrangian, found.path, 4 * (found.path.degree + 3))
    return bool(fine <= _BELOW_ITS_CURVE * found.action)
