"""Minimum action on a mesh that adapts itself: element sizes, slow tails, and an error from two resolutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov

from qpot.solvers.action import Lagrangian, action_value, geometric_action_value
from qpot.solvers.action_minimization import (
    CONVERGED,
    INFEASIBLE,
    MAX_ITERATIONS,
    UNSTABLE,
    Minimization,
    minimize_action,
)
from qpot.solvers.elements import ElementPath
from qpot.solvers.feasible_path import feasible_path

Array = NDArray[np.float64]

# Stationary spreads at the two ends, None where an end is no fixed point or the spread is not known.
Spreads = tuple[Array | None, Array | None]
NOT_CONVERGED = 1
_COARSE_DEGREE, _DEGREE, _CHECK_DEGREE = 4, 6, 8
_LEVELS = 10
# On a mesh that is only passed through, creeping along the soft time-shift mode is not worth more steps than this;
# the mesh that the answer is taken from converges by its Newton decrement.
_PASSING = 30
# A Newton decrement above this share of the action promises nothing yet; after so many meshes with an error above the
# action itself and no convergence there is no minimiser near, as where a path does best by running off to infinity.
_LOST, _HOPELESS = 1e-2, 3
# An action smaller than that of its own curve by this factor is none: the mesh is blind to parts of the curve.
_BELOW_ITS_CURVE = 1.5


@dataclass(frozen=True)
class RefinedPath:
    """A leg with its action and an error that is made of measured parts.

    ``action`` is the geometric action of the final curve, an upper bound of the minimum up to quadrature.
    ``error`` adds: the change from degree 6 to 8, the finite-time tail, the Newton decrement, the quadrature error.
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
    *,
    slow_start: float,
    slow_end: float,
    tolerance: float,
    max_iterations: int,
    max_elements: int,
    most_iterations: int | None = None,
    spreads: Spreads = (None, None),
    on_iteration: Callable[[int, float], None] | None = None,
) -> RefinedPath:
    """Minimise the action from a guess, adapting mesh and time span until the relative error is met.

    Parameters
    ----------
    guess : ElementPath
        From fixed ends; any degree.
    slow_start, slow_end : float
        Slowest relaxation rate at an end that is a fixed point, 0 elsewhere. An end that is a fixed point is reached
        in infinite time; the finite time costs about H / rate, and the tail is lengthened until that is small.
    tolerance : float
        Relative error of the action that is asked for.
    max_iterations : int
        Newton iterations for one mesh.
    most_iterations : int, optional
        Newton iterations after which no other mesh is tried.
    spreads : pair of arrays (d, d) or None
        `spread` at the ends that are fixed points, for the cost of the finite time.
    """
    path = guess
    total = 0
    best: RefinedPath | None = None

    def minimized(start: ElementPath, rtol: float, limit: int = max_iterations) -> Minimization:
        nonlocal total
        start = feasible_path(lagrangian, start) or start
        outcome = minimize_action(
            lagrangian,
            start,
            quadrature=start.degree + 3,
            tolerance=rtol,
            max_iterations=min(limit, max_iterations, most_iterations or limit),
            on_iteration=None if on_iteration is None else lambda i, s: on_iteration(total + i, s),
        )
        total += outcome.iterations
        return outcome

    # The energy, from which the cost of the finite time is estimated, settles later than the action does: with a looser
    # limit a lengthened path keeps its old timing and the estimate stays where it was, level after level.
    inner = min(0.01 * tolerance, 1e-10)
    coarse = minimized(path, 1e-5, _PASSING)
    if coarse.status == INFEASIBLE:
        return RefinedPath(path, np.inf, np.inf, np.inf, total, INFEASIBLE)
    if coarse.status == UNSTABLE:
        return _report(lagrangian, coarse, coarse, 0.0, total, UNSTABLE)
    path, hopeless = coarse.path, 0
    for _ in range(_LEVELS):
        tail = _tail(lagrangian, path, slow_start, slow_end, spreads)
        path = _lengthened(path, tail, abs(coarse.action), slow_start, slow_end, tolerance)
        path = _remeshed(lagrangian, path, tolerance, max_elements, _DEGREE)
        solved = minimized(path, inner, _PASSING)
        if solved.status == INFEASIBLE:
            break
        # from a mesh on which Newton's method got nowhere, the next one is a better place to go on than this one
        lost = solved.status == MAX_ITERATIONS and solved.decrement > _LOST * abs(solved.action)
        checked = minimized(
            solved.path.on(solved.path.breaks, _CHECK_DEGREE), inner, _PASSING if lost else max_iterations
        )
        if checked.status == INFEASIBLE:
            break
        tail = _tail(lagrangian, checked.path, slow_start, slow_end, spreads)
        status = UNSTABLE if UNSTABLE in (solved.status, checked.status) else checked.status
        result = _report(lagrangian, solved, checked, tail, total, status)
        if best is None or result.error <= best.error:
            best = result
        if result.status == CONVERGED and result.error <= tolerance * max(result.action, 1e-300):
            return result
        if result.status == UNSTABLE:
            return result
        hopeless = hopeless + 1 if result.status == MAX_ITERATIONS and result.error > result.action else 0
        if hopeless == _HOPELESS or (most_iterations is not None and total >= most_iterations):
            break
        path, coarse = checked.path, checked
    if best is None:  # no mesh of the sizes allowed resolves a path that bounded noise can follow
        return RefinedPath(path, np.inf, np.inf, np.inf, total, NOT_CONVERGED)
    return RefinedPath(best.path, best.action, best.error, best.residual, total, NOT_CONVERGED)


def _report(
    lagrangian: Lagrangian,
    solved: Minimization,
    checked: Minimization,
    tail: float,
    iterations: int,
    status: int,
) -> RefinedPath:
    q = checked.path.degree + 3
    fine = geometric_action_value(lagrangian, checked.path, 2 * q)
    quadrature = abs(fine - geometric_action_value(lagrangian, checked.path, q))
    resolution = abs(geometric_action_value(lagrangian, solved.path, 2 * q) - fine)
    # the finite time costs S_T - V of about H / rate, of which the geometric value has removed a part already
    slack = max(action_value(lagrangian, checked.path, 2 * q) - fine, 0.0)
    late = max(3.0 * tail, slack)
    rounding = 1e-14 * max(abs(fine), 0.0)
    error = 2.0 * resolution + quadrature + late + 2.0 * checked.decrement + rounding
    x, v, _ = checked.path.at_quadrature(q)
    d = x.shape[-1]
    flat_x, flat_v = x.reshape(-1, d), v.reshape(-1, d)
    H = lagrangian.hamiltonian(flat_x, lagrangian.momentum(flat_x, flat_v))
    return RefinedPath(checked.path, fine, error, float(np.abs(H).max()), iterations, status)


def _tail(lagrangian: Lagrangian, path: ElementPath, slow_start: float, slow_end: float, spreads: Spreads) -> float:
    """What the finite time costs: two estimates, the larger counts.

    H / rate, from dS/dT = -H; and p.S p / 2 at an end that is a fixed point, with S the stationary spread of the linear
    system there (see `spread`). The second is exact to leading order for linear drifts of any kind; the first can be
    several times too small at a focus, where H swings with T.
    """
    rate = _tail_rate(slow_start, slow_end)
    if rate == 0.0:
        return 0.0
    ends = np.array([path.breaks[0], path.breaks[-1]])
    momenta = lagrangian.momentum(*path.at(ends))
    excess = sum(0.5 * float(p @ S @ p) for p, S in zip(momenta, spreads, strict=True) if S is not None)
    return max(abs(_energy(lagrangian, path)) / rate, excess)


def spread(jacobian: Array, covariance: Array) -> Array:
    """Integral of exp(Js) a exp(J's) over s, unstable directions taken backwards in time.

    At a minimum the solution S of J S + S J' + a = 0. The momentum of a path that leaves the fixed point in a finite
    time T, instead of an infinite one, has at its end there the value p, and the difference of their actions is
    p.S p / 2 to leading order. Directions of different stability are taken one by one and their cross terms bounded.
    """
    rates, vectors = np.linalg.eig(jacobian)
    if (rates.real < 0).all():
        return np.asarray(solve_continuous_lyapunov(jacobian, -covariance), dtype=np.float64)
    inverse = np.linalg.pinv(vectors)
    noise = inverse @ covariance @ inverse.conj().T
    stable = rates.real < 0
    turned = np.where(stable, -rates, rates)
    alike = stable[:, None] == stable[None, :]
    S = np.where(alike, noise / (turned[:, None] + turned[None, :].conj()), 0.0)
    result = (vectors @ S @ vectors.conj().T).real
    return np.asarray(2.0 * result, dtype=np.float64)


def _tail_rate(slow_start: float, slow_end: float) -> float:
    """Decay rate of the energy H with the time span: the two tails share the time so that both cost the same."""
    inverse = sum(1.0 / r for r in (slow_start, slow_end) if r > 0.0)
    return 2.0 / inverse if inverse > 0.0 else 0.0


def _energy(lagrangian: Lagrangian, path: ElementPath) -> float:
    """H along the path, which a minimiser keeps constant: the time average."""
    x, v, w = path.at_quadrature(path.degree + 3)
    d = x.shape[-1]
    flat = x.reshape(-1, d)
    H = lagrangian.hamiltonian(flat, lagrangian.momentum(flat, v.reshape(-1, d)))
    return float((w.ravel() @ H) / w.sum())


def _lengthened(
    path: ElementPath, tail: float, action: float, slow_start: float, slow_end: float, tolerance: float
) -> ElementPath:
    """Add resting elements at the fixed ends until the finite-time error should be a tenth of the tolerance."""
    rate = _tail_rate(slow_start, slow_end)
    if rate == 0.0:
        return path
    excess = tail / (0.1 * tolerance * max(action, 1e-300))
    if excess <= 1.0:
        return path
    folds = min(0.5 * np.log(excess) + 0.3, 8.0)  # amplitude e-folds, at each fixed end
    breaks, nodes, m = path.breaks, path.nodes, path.degree
    pieces = max(1, round(folds / 1.5))
    if slow_start > 0.0:
        extra = np.linspace(-folds / slow_start, 0.0, pieces + 1)[:-1]
        breaks = np.concatenate([path.breaks[0] + extra, breaks])
        nodes = np.concatenate([np.repeat(nodes[:1], pieces * m, axis=0), nodes])
    if slow_end > 0.0:
        extra = np.linspace(0.0, folds / slow_end, pieces + 1)[1:]
        breaks = np.concatenate([breaks, breaks[-1] + extra])
        nodes = np.concatenate([nodes, np.repeat(nodes[-1:], pieces * m, axis=0)])
    return ElementPath(breaks, nodes, m)


def _remeshed(
    lagrangian: Lagrangian, path: ElementPath, tolerance: float, max_elements: int, degree: int
) -> ElementPath:
    """Equidistribute the estimated action error of the elements, with as many as the tolerance asks for."""
    h = np.diff(path.breaks)
    m = path.degree
    top = path.top_coefficients()
    middle, velocity = path.at(0.5 * (path.breaks[1:] + path.breaks[:-1]))
    # the action of the highest two modes' velocities alone, in the metric L_vv of the element's middle
    weight = np.array([(m - 1) * m, m * (m + 1)], dtype=float)
    speed = np.sqrt((top**2 * weight[None, :, None]).sum(axis=1))
    shifted = np.einsum("ni,nij,nj->n", speed, lagrangian.metric(middle, velocity), speed)
    error = np.maximum(shifted / h, 0.0) + 1e-3 * tolerance * _total(path, lagrangian) / h.size
    exponent = 1.0 / (2 * m + 1)
    density = error**exponent
    # neighbours may differ by a factor of three at most, so that a kink at a joint does not empty its surroundings
    logs = np.log(density / h)
    for _ in range(3):
        padded = np.pad(logs, 1, mode="edge")
        logs = np.maximum(logs, np.maximum(padded[:-2], padded[2:]) - np.log(3.0))
    density = np.exp(logs) * h
    target = 0.02 * tolerance * _total(path, lagrangian)
    wanted = density.sum() * (density.sum() / target) ** (1.0 / (2 * m)) if target > 0 else 2 * h.size
    n = int(np.clip(np.ceil(wanted), max(8, h.size // 2), min(2 * h.size + 4, max_elements)))
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    breaks = np.interp(np.linspace(0.0, cumulative[-1], n + 1), cumulative, path.breaks)
    breaks[0], breaks[-1] = path.breaks[0], path.breaks[-1]
    return path.on(breaks, degree)


def _total(path: ElementPath, lagrangian: Lagrangian) -> float:
    return abs(action_value(lagrangian, path, path.degree + 3))


def coarse_path(
    lagrangian: Lagrangian,
    guess: ElementPath,
    *,
    max_iterations: int,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Minimization:
    """A minimiser on the guess's own mesh, good to a few digits: enough to tell distinct paths apart."""
    return minimize_action(
        lagrangian,
        feasible_path(lagrangian, guess) or guess,
        quadrature=guess.degree + 3,
        tolerance=1e-4,
        max_iterations=max_iterations,
        on_iteration=on_iteration,
    )


def resolved(lagrangian: Lagrangian, found: Minimization) -> bool:
    """Whether the mesh sees what its curve costs.

    No path over a curve costs less than the curve's geometric action. A minimiser that does on its own mesh has found a
    gap between the quadrature points, as can happen where the covariance grows steeply, and not a cheap path.
    """
    fine = geometric_action_value(lagrangian, found.path, 4 * (found.path.degree + 3))
    return bool(fine <= _BELOW_ITS_CURVE * found.action)


def curve_distance(first: ElementPath, second: ElementPath) -> float:
    """Largest distance between points of equal relative arc length, as a fraction of the longer curve."""
    a, length_a = _by_arc_length(first)
    b, length_b = _by_arc_length(second)
    return float(np.linalg.norm(a - b, axis=1).max() / max(length_a, length_b, 1e-300))


def _by_arc_length(path: ElementPath) -> tuple[Array, float]:
    times = np.unique(
        np.concatenate([np.linspace(p, q, 9) for p, q in zip(path.breaks[:-1], path.breaks[1:], strict=True)])
    )
    points, _ = path.at(times)
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    u = np.linspace(0.0, s[-1], 101)
    return np.stack([np.interp(u, s, points[:, i]) for i in range(points.shape[1])], axis=1), float(s[-1])
