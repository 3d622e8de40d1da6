"""Minimisation of the action by Newton's method with preconditioned conjugate gradients in a trust region."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.elements import ElementPath
from qpot.solvers.large_action import LargeAction, moved

Array = NDArray[np.float64]

Linearised = Callable[[ElementPath, int], tuple[Callable[[float, Array], Array], Callable[[Array], Array]]]

CONVERGED, MAX_ITERATIONS = 0, 1
# Newton's model is solved to this fraction of the gradient, in the preconditioner's norm.
_FORCING = 0.03
# Without a radius a direction of negative curvature is followed this far, relative to the path.
_REACH = 0.1
# Conjugate gradients also stop where what is left to gain, taken as this many times the last gain, is below this share
# of the tolerance: without it the step that confirms convergence costs as much as the one that brought it.
_LEFT, _SHARE = 10.0, 0.1
# A decrease below this fraction of the action is the rounding of differenced derivatives.
_NOISE = 1e-11


@dataclass(frozen=True)
class LargeMinimization:
    """Outcome of `minimize_large`; ``products`` counts Hessian products, the cost that matters."""

    path: ElementPath
    action: float
    decrement: float
    iterations: int
    products: int
    status: int


def minimize_large(
    action: LargeAction,
    path: ElementPath,
    preconditioner: Callable[[ElementPath], Callable[[Array], Array]],
    *,
    quadrature: int,
    tolerance: float,
    max_iterations: int,
    max_products: int,
    difference: float,
    linearised: Linearised | None = None,
    on_iteration: Callable[[int, float, ElementPath], None] | None = None,
) -> LargeMinimization:
    """Minimise over the inner nodes; ends and mesh fixed.

    Parameters
    ----------
    preconditioner : callable
        A path to a function (n, d) -> (n, d), a symmetric positive definite approximation of the inverse Hessian there;
        made once, for the first path.
    tolerance : float
        Relative decrease of the action, promised by a model solved to convergence, that ends the search.
    difference : float
        Relative step of the directional difference of gradients that gives Hessian products.
    linearised : callable, optional
        A path and a number of quadrature points to Hessian products and a preconditioner there, in place of both: made anew
        for every path.
    on_iteration : callable, optional
        ``(iteration, action, path)`` of the best path so far, before the first step and after each.

    Notes
    -----
    T. Steihaug, SIAM J. Numer. Anal. 20 (1983) 626.
    """
    value, gradient = action.value_and_gradient(path, quadrature)
    local = None if linearised is None else linearised(path, quadrature)
    precondition = preconditioner(path) if local is None else local[1]
    products, decrement = 0, np.inf
    radius: float | None = None
    if on_iteration is not None:
        on_iteration(0, value, path)
    for iteration in range(1, max_iterations + 1):
        size = float(np.linalg.norm(path.nodes[1:-1])) + float(np.linalg.norm(path.nodes[-1] - path.nodes[0]))

        def product(s: Array, at: ElementPath = path, g: Array = gradient, extent: float = size) -> Array:
            h = difference * extent / float(np.linalg.norm(s))
            return np.asarray((action.value_and_gradient(moved(at, h * s), quadrature)[1] - g) / h)

        step, model, length, used, inside = _steihaug(
            product if local is None else functools.partial(local[0], difference * size),
            gradient,
            precondition,
            radius,
            _FORCING,
            _REACH * size,
            _SHARE * tolerance * value,
        )
        products += used
        decrement = -model
        trial = moved(path, step)
        try:
            new, new_gradient = action.value_and_gradient(trial, quadrature)
        except ValueError:  # a user function is not finite there: the step was too long
            new, new_gradient = np.inf, gradient
        flat = decrement <= tolerance * value and inside
        if flat or (inside and decrement <= _NOISE * value):
            if new < value:
                path, value = trial, new
            if on_iteration is not None:
                on_iteration(iteration, value, path)
            return LargeMinimization(path, value, decrement, iteration, products, CONVERGED)
        ratio = (value - new) / max(decrement, 1e-300)
        if ratio > 1e-3 and new < value:
            path, value, gradient = trial, new, new_gradient
            if linearised is not None:
                local = linearised(path, quadrature)
                precondition = local[1]
            if ratio > 0.7 and not inside:
                radius = 3.0 * length
            elif ratio < 0.25:
                radius = 0.5 * length
        else:
            radius = 0.25 * length
        if on_iteration is not None:
            on_iteration(iteration, value, path)
        if products >= max_products:
            break
    return LargeMinimization(path, value, decrement, max_iterations, products, MAX_ITERATIONS)


def _steihaug(
    product: Callable[[Array], Array],
    gradient: Array,
    precondition: Callable[[Array], Array],
    radius: float | None,
    forcing: float,
    reach: float,
    goal: float,
) -> tuple[Array, float, float, int, bool]:
    """Step, change of the quadratic model, length of the step in the preconditioner's norm, products, whether inside.

    The change includes an estimate of what a complete solution would still gain, which is below ``goal`` or follows
    from ``forcing``.
    """
    step = np.zeros_like(gradient)
    residual = gradient.copy()
    z = precondition(residual)
    rz = first = float(np.vdot(residual, z))
    direction = -z
    # norms in the metric of the preconditioner, by recurrence (Conn, Gould, Toint, Trust-Region Methods, 7.5.1)
    ss, sd, dd = 0.0, 0.0, rz
    model, small = 0.0, 0
    limit = np.inf if radius is None else radius**2
    for used in range(1, 201):
        Hd = product(direction)
        curvature = float(np.vdot(direction, Hd))
        slope = float(np.vdot(residual, direction))
        alpha = rz / curvature if curvature > 0.0 else np.inf
        if ss + 2.0 * alpha * sd + alpha**2 * dd >= limit or curvature <= 0.0:
            if np.isfinite(limit):
                tau = (-sd + np.sqrt(max(sd**2 + dd * (limit - ss), 0.0))) / dd
            else:  # negative curvature before there is a radius: some way along it
                tau = reach / float(np.linalg.norm(direction))
                limit = ss + 2.0 * tau * sd + tau**2 * dd
            step += tau * direction
            model += tau * slope + 0.5 * tau**2 * curvature
            return step, model, float(np.sqrt(limit)), used, False
        step += alpha * direction
        gain = 0.5 * alpha * rz
        model -= gain
        small = small + 1 if _LEFT * gain <= goal else 0
        residual += alpha * Hd
        ss += 2.0 * alpha * sd + alpha**2 * dd
        z = precondition(residual)
        new = float(np.vdot(residual, z))
        if small >= 2:
            model -= _LEFT * gain
            break
        if new <= forcing**2 * first:
            break
        beta = new / rz
        sd = beta * (sd + alpha * dd)
        dd = new + beta**2 * dd
        direction = beta * direction - z
        rz = new
    return step, model, float(np.sqrt(ss)), used, True
