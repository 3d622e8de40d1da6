"""Newton minimisation of the action on a fixed mesh, with a second-order check of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded, eig_banded

from qpot.solvers.action import Lagrangian, action_expansion, action_value
from qpot.solvers.elements import ElementPath

Array = NDArray[np.float64]

CONVERGED, MAX_ITERATIONS, UNSTABLE, INFEASIBLE = 0, 1, 2, 3

# A path may slide along itself in time at next to no cost; this fraction of the diagonal keeps that mode finite.
_FLOOR = 1e-9
# A coarse mesh can make the time-shift mode negative by this fraction; a genuine saddle of the action is far below.
_SOFT = 1e-6
_MAX_ESCAPES = 5
# Relative decrease of the action that is lost in the rounding of differenced derivatives.
_NOISE = 3e-9
_MU_START = 1e-4
_MU_MAX = 1e12


@dataclass(frozen=True)
class Minimization:
    """Outcome of `minimize_action`.

    ``decrement`` is half the squared Newton decrement g.H^{-1} g / 2: the decrease of the action that the local
    quadratic model still promises. Unlike a small change between iterations it bounds the distance to the minimum.
    """

    path: ElementPath
    action: float
    decrement: float
    iterations: int
    status: int


def minimize_action(
    lagrangian: Lagrangian,
    path: ElementPath,
    *,
    quadrature: int,
    tolerance: float,
    max_iterations: int,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Minimization:
    """Minimise the action over the interior nodes, ends and mesh fixed.

    Newton's method with a Levenberg-Marquardt shift. Accepted as converged only if the Hessian is positive definite
    (up to the floor that holds the time-shift mode) and the decrement is below ``tolerance`` times the action; at a
    stationary point with a negative direction the path is pushed along it and the iteration goes on.
    """
    mu, escapes = _FLOOR, 0
    action, gradient, band = action_expansion(lagrangian, path, quadrature)
    decrement = np.inf
    if not np.isfinite(action):  # bounded noise cannot follow the path, see `qpot.solvers.feasible_path`
        return Minimization(path, action, decrement, 0, INFEASIBLE)
    for iteration in range(1, max_iterations + 1):
        scale = np.maximum(np.abs(band[0]), 1e-300)
        target = tolerance * abs(action)
        accepted = asked_floor = False
        while not accepted:
            step = _solve(band, scale, mu, gradient)
            if step is None:
                mu = max(10.0 * mu, _MU_START)
                if mu > _MU_MAX:
                    return Minimization(path, action, decrement, iteration, MAX_ITERATIONS)
                continue
            decrement = -0.5 * float(gradient @ step)
            if decrement <= target and mu > _FLOOR and not asked_floor:
                # a short step: converged, or only held back by the shift, or at a saddle of the action?
                asked_floor = True
                flat = _solve(band, scale, _FLOOR, gradient)
                if flat is None and _solve(band, scale, _SOFT, gradient) is not None:
                    return Minimization(path, action, decrement, iteration, CONVERGED)
                if flat is None:
                    pushed = push_off(lagrangian, path, action, band, quadrature) if escapes < _MAX_ESCAPES else None
                    if pushed is None:
                        return Minimization(path, action, decrement, iteration, UNSTABLE)
                    path, mu = pushed, _MU_START
                    escapes += 1
                    break
                step, mu = flat, _FLOOR
                decrement = -0.5 * float(gradient @ step)
            trial = _moved(path, step)
            new = _safe_value(lagrangian, trial, quadrature)
            if decrement <= target and mu <= _FLOOR:
                better = new < action
                return Minimization(trial if better else path, min(new, action), decrement, iteration, CONVERGED)
            ratio = (action - new) / max(2.0 * decrement - 0.5 * float(step @ _multiply(band, step)), 1e-300)
            if new < action and ratio > 1e-3:
                accepted, path = True, trial
                if ratio > 0.75:
                    mu = max(mu / 8.0, _FLOOR) if mu > 1e-7 else _FLOOR
                elif ratio < 0.25:
                    mu = max(4.0 * mu, _MU_START)
            elif mu <= _FLOOR and decrement <= _NOISE * abs(action) and new <= action * (1.0 + _NOISE):
                # differenced derivatives leave a gradient that no step can follow; the Hessian is positive definite
                return Minimization(path, action, decrement, iteration, CONVERGED)
            else:
                mu = max(6.0 * mu, _MU_START)
                if mu > _MU_MAX:
                    return Minimization(path, action, decrement, iteration, MAX_ITERATIONS)
        if on_iteration is not None:
            on_iteration(iteration, action)
        action, gradient, band = action_expansion(lagrangian, path, quadrature)
    return Minimization(path, action, decrement, max_iterations, MAX_ITERATIONS)


def _solve(band: Array, scale: Array, mu: float, gradient: Array) -> Array | None:
    shifted = band.copy()
    shifted[0] += mu * scale
    try:
        factor = cholesky_banded(shifted, lower=True, overwrite_ab=True, check_finite=False)
    except LinAlgError:
        return None
    step = -cho_solve_banded((factor, True), gradient, check_finite=False)
    return step if np.isfinite(step).all() else None


def _moved(path: ElementPath, step: Array) -> ElementPath:
    nodes = path.nodes.copy()
    nodes[1:-1] += step.reshape(-1, nodes.shape[1])
    return replace(path, nodes=nodes)


def _safe_value(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> float:
    """The action, or inf where a trial step left the region in which the functions are finite and regular."""
    try:
        value = action_value(lagrangian, path, quadrature)
    except ValueError:  # NaN from a user function or a singular covariance: the step was too long
        return np.inf
    return value if np.isfinite(value) else np.inf


def _multiply(band: Array, vector: Array) -> Array:
    result = band[0] * vector
    for offset in range(1, min(band.shape[0], vector.size)):
        result[offset:] += band[offset, :-offset] * vector[:-offset]
        result[:-offset] += band[offset, :-offset] * vector[offset:]
    return np.asarray(result, dtype=np.float64)


def push_off(
    lagrangian: Lagrangian, path: ElementPath, action: float, band: Array, quadrature: int
) -> ElementPath | None:
    """Step along the direction of most negative curvature, both ways, as far as the action falls."""
    scale = 1.0 / np.sqrt(np.maximum(np.abs(band[0]), 1e-300))
    scaled = np.zeros_like(band)
    for offset in range(min(band.shape[0], scale.size)):
        n = scale.size - offset
        scaled[offset, :n] = band[offset, :n] * scale[:n] * scale[offset:]
    values, vectors = eig_banded(scaled, lower=True, select="i", select_range=(0, 0), check_finite=False)
    if values[0] >= -_SOFT:
        return None
    direction = vectors[:, 0] * scale
    direction *= np.ptp(path.nodes, axis=0).max() / max(np.abs(direction).max(), 1e-300)
    best, best_action = None, action
    for sign in (1.0, -1.0):
        for length in (0.3, 0.1, 0.03, 0.01, 0.003, 0.001):
            trial = _moved(path, sign * length * direction)
            value = _safe_value(lagrangian, trial, quadrature)
            if value < best_action:
                best, best_action = trial, value
    return best
