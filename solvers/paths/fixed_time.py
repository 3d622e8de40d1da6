"""Minimum of the action over paths of given duration, on a mesh that adapts within a fixed time span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.action import action_value
from qpot.solvers.paths.action_minimization import (
    CONVERGED,
    INFEASIBLE,
    MAX_ITERATIONS,
    UNSTABLE,
    Minimization,
    minimize_action,
)
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.feasible_path import feasible_path
from qpot.solvers.problem.lagrangian import Lagrangian

Array = NDArray[np.float64]

# Polynomial degree at which the action is minimised first.
_DEGREE = 6
# Polynomial degree of the answer; the change between the two degrees tells the error.
_CHECK_DEGREE = 8
# Most meshes.
_LEVELS = 10
# Most iterations at the lower degree, and a third of those at the higher. When the time is long the path can still shift
# in it at next to no cost, and following that mode on a mesh that is only passed through gains nothing.
_PASSING = 30


@dataclass(frozen=True)
class FixedTimePath:
    """A path with its action S_T.

    Attributes
    ----------
    path : ElementPath
    action, error : float
        S_T by a doubled quadrature, and an estimate of its error.
    residual : float
        Largest deviation of the energy H, which is constant on a minimiser, from its mean.
    iterations : int
        Newton iterations on all meshes.
    status : int
        One of the values in `qpot.solvers.paths.action_minimization`.
    """

    path: ElementPath
    action: float
    error: float
    residual: float
    iterations: int
    status: int


def coarse_fixed_time(lagrangian: Lagrangian, guess: ElementPath) -> Minimization:
    """A minimiser of the action on the mesh of the ``guess``, good to a few digits."""
    start = _feasible(lagrangian, guess)
    return minimize_action(lagrangian, start, quadrature=guess.degree + 3, tolerance=1e-4, max_iterations=50)


def refine_fixed_time(
    lagrangian: Lagrangian, guess: ElementPath, *, tolerance: float, max_iterations: int, max_elements: int
) -> FixedTimePath:
    """Minimise with degrees 6 and 8 on meshes that are cut where the two differ most, until they agree.

    The error is the sum of twice the change from degree 6 to 8, the difference to a doubled quadrature, and twice the Newton
    decrement. S_T is the action of a true path, so that it is below the minimum by at most the error of the quadrature.
    """
    path, total = guess, 0
    best: FixedTimePath | None = None
    for _ in range(_LEVELS):
        outcomes = []
        for degree, limit in ((_DEGREE, _PASSING), (_CHECK_DEGREE, 3 * _PASSING)):
            start = _feasible(lagrangian, path.on(path.breaks, degree))
            found = minimize_action(
                lagrangian,
                start,
                quadrature=degree + 3,
                tolerance=0.01 * tolerance,
                max_iterations=min(limit, max_iterations),
            )
            outcomes.append(found)
            total += found.iterations
            path = found.path
        solved, checked = outcomes
        if INFEASIBLE in (solved.status, checked.status):
            break
        q = _CHECK_DEGREE + 3
        fine = action_value(lagrangian, checked.path, 2 * q)
        quadrature = abs(fine - action_value(lagrangian, checked.path, q))
        resolution = abs(action_value(lagrangian, solved.path, 2 * q) - fine)
        error = 2.0 * resolution + quadrature + 2.0 * checked.decrement + 1e-14 * abs(fine)
        status = UNSTABLE if UNSTABLE in (solved.status, checked.status) else checked.status
        result = FixedTimePath(checked.path, fine, error, _residual(lagrangian, checked.path), total, status)
        if best is None or result.error <= best.error:
            best = result
        if status == UNSTABLE or (status == CONVERGED and error <= tolerance * max(abs(fine), 1e-300)):
            return result
        refined = _cut(checked.path, max_elements)
        if refined.n_elements == checked.path.n_elements:
            break
        path = refined
    if best is None:
        return FixedTimePath(path, np.inf, np.inf, np.inf, total, INFEASIBLE)
    return FixedTimePath(best.path, best.action, best.error, best.residual, total, MAX_ITERATIONS)


def _feasible(lagrangian: Lagrangian, path: ElementPath) -> ElementPath:
    """A feasible path of the same duration near the given one, or the given one if none is found."""
    found = feasible_path(lagrangian, path, same_time=True)
    return path if found is None else found


def _residual(lagrangian: Lagrangian, path: ElementPath) -> float:
    x, v, w = path.at_quadrature(path.degree + 3)
    d = x.shape[-1]
    flat = x.reshape(-1, d)
    H = lagrangian.hamiltonian(flat, lagrangian.momentum(flat, v.reshape(-1, d)))
    return float(np.abs(H - (w.ravel() @ H) / w.sum()).max())


def _cut(path: ElementPath, max_elements: int) -> ElementPath:
    """Halve the elements whose highest Legendre coefficients are within a factor of a hundred of the largest."""
    size = np.abs(path.top_coefficients()).sum(axis=(1, 2))
    # Halving an element gains a factor of 2^degree there, which is more than that hundred.
    marked = size >= 0.01 * size.max()
    order = np.argsort(-size)
    room = max_elements - path.n_elements
    chosen = [k for k in order if marked[k]][: max(room, 0)]
    middles = 0.5 * (path.breaks[:-1] + path.breaks[1:])[chosen]
    return path.on(np.sort(np.concatenate([path.breaks, middles])), path.degree)
