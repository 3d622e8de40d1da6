"""Minimisation of the action by Newton's method with conjugate gradients in a trust region."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.spending import spent
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction, moved

Array = NDArray[np.float64]

# (path, quadrature points) -> Hessian products (length, (n, d)) -> (n, d) and a preconditioner (n, d) -> (n, d) there.
Linearised = Callable[[ElementPath, int], tuple[Callable[[float, Array], Array], Callable[[Array], Array]]]

# Status: the decrease that the model still promises is below the tolerance.
CONVERGED = 0
# Status: the iterations or the products ran out.
MAX_ITERATIONS = 1
# The quadratic model is solved until its gradient has fallen to this fraction, in the preconditioner's norm.
_FORCING = 0.03
# As long as there is no trust region, a direction of negative curvature is followed this far, relative to the path.
_REACH = 0.1
# What conjugate gradients could still gain is estimated as this many times their last gain.
_LEFT = 10.0
# They stop where that is below this share of the tolerance. Otherwise the step that confirms convergence would cost as
# much as the one that brought it.
_SHARE = 0.1
# Iterates of conjugate gradients are kept up to so many numbers, so that a step that was too long is cut without products.
_KEPT_NUMBERS = 30_000_000
# A decrease below this fraction of the action is the rounding of differenced derivatives.
_NOISE = 1e-11


@dataclass(frozen=True)
class LargeMinimization:
    """Outcome of `minimize_large`.

    Attributes
    ----------
    path : ElementPath
    action : float
    decrement : float
        The decrease of the action that the quadratic model promised last.
    iterations : int
        Newton steps.
    products : int
        Hessian products, which take nearly all of the time.
    status : int
        CONVERGED or MAX_ITERATIONS.
    """

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
    """Minimise the action over the inner nodes, with ends and mesh fixed.

    Parameters
    ----------
    preconditioner : callable
        Makes, from a path, a function (n, d) -> (n, d) that is a symmetric positive definite approximation of the inverse
        Hessian there. It is called once, for the first path.
    quadrature : int
        Gauss points on every element.
    tolerance : float
        The search ends where a model that was solved to convergence promises a smaller relative decrease of the action.
    max_iterations, max_products : int
        Most Newton steps, and most Hessian products in all.
    difference : float
        Relative step of the directional difference of gradients that gives Hessian products.
    linearised : callable, optional
        Makes, from a path and a number of quadrature points, Hessian products and a preconditioner there. They replace
        ``difference`` and ``preconditioner`` and are made anew for every path.
    on_iteration : callable, optional
        Receives ``(iteration, action, path)`` of the best path so far, before the first step and after each.

    Notes
    -----
    T. Steihaug, SIAM J. Numer. Anal. 20 (1983) 626.
    """
    # The linearisation comes first at every path: functions may keep what it takes for the gradient there.
    local = None if linearised is None else linearised(path, quadrature)
    value, gradient = action.value_and_gradient(path, quadrature)
    precondition = preconditioner(path) if local is None else local[1]
    products, decrement = 0, np.inf
    radius: float | None = None
    model: _Model | None = None
    if on_iteration is not None:
        on_iteration(0, value, path)
    for iteration in range(1, max_iterations + 1):
        size = float(np.linalg.norm(path.nodes[1:-1])) + float(np.linalg.norm(path.nodes[-1] - path.nodes[0]))
        if model is None:
            if local is None:
                product: Callable[[Array], Array] = functools.partial(
                    _differenced, action, path, gradient, quadrature, difference * size
                )
            else:
                product = functools.partial(local[0], difference * size)
            model = _Model(product, gradient, precondition, _REACH * size, _SHARE * tolerance * value)
        step, change, length, used, inside = model.step(radius)
        products += used
        decrement = -change
        trial = moved(path, step)
        new_gradient: Array | None = None
        try:
            if action.value_first:
                new = action.value(trial, quadrature)
            else:
                new, new_gradient = action.value_and_gradient(trial, quadrature)
        except ValueError:  # A user function is not finite there, so that the step was too long.
            new = np.inf
        flat = decrement <= tolerance * value and inside
        if flat or (inside and decrement <= _NOISE * value):
            if new < value:
                path, value = trial, new
            if on_iteration is not None:
                on_iteration(iteration, value, path)
            return LargeMinimization(path, value, decrement, iteration, products, CONVERGED)
        ratio = (value - new) / max(decrement, 1e-300)
        accepted = ratio > 1e-3 and new < value
        ahead = None
        if accepted and new_gradient is None:
            try:
                ahead = None if linearised is None else linearised(trial, quadrature)
                new, new_gradient = action.value_and_gradient(trial, quadrature)
            except ValueError:  # A user function is not finite beside the path.
                accepted = False
        if accepted and new_gradient is not None:
            path, value, gradient, model = trial, new, new_gradient, None
            if linearised is not None:
                local = linearised(path, quadrature) if ahead is None else ahead
                precondition = local[1]
            if ratio > 0.7 and not inside:
                radius = 3.0 * length
            elif ratio < 0.25:
                radius = 0.5 * length
        else:
            radius = 0.25 * length
        if on_iteration is not None:
            on_iteration(iteration, value, path)
        if products >= max_products or spent():
            break
    return LargeMinimization(path, value, decrement, max_iterations, products, MAX_ITERATIONS)


def _differenced(
    action: LargeAction, path: ElementPath, gradient: Array, quadrature: int, length: float, s: Array
) -> Array:
    """The Hessian times ``s``, from the gradients at two paths that are ``length`` apart."""
    h = length / float(np.linalg.norm(s))
    return np.asarray((action.value_and_gradient(moved(path, h * s), quadrature)[1] - gradient) / h)


class _Segment(NamedTuple):
    """The way from one iterate of conjugate gradients to the next.

    Attributes
    ----------
    direction : array (n, d)
    ss, sd, dd : float
        Products of the iterate s and the direction d in the preconditioner's metric.
    change, slope, curvature : float
        The model's change at the iterate, and its derivatives along the direction.
    alpha : float
        The next iterate is s + alpha d; inf where the curvature is negative.
    """

    direction: Array
    ss: float
    sd: float
    dd: float
    change: float
    slope: float
    curvature: float
    alpha: float

    def cut(self, radius: float) -> tuple[float, float] | None:
        """How far along the segment the ``radius`` is reached, and the model's change there; None if it ends before."""
        limit = radius**2
        if self.ss + 2.0 * self.alpha * self.sd + self.alpha**2 * self.dd < limit:
            return None
        tau = (-self.sd + np.sqrt(max(self.sd**2 + self.dd * (limit - self.ss), 0.0))) / self.dd
        return float(tau), float(self.change + tau * self.slope + 0.5 * tau**2 * self.curvature)


class _Model:
    """The quadratic model at one path, to be minimised in trust regions of any radius.

    The iterates of conjugate gradients do not depend on the radius, so that those that were kept serve again when it
    shrinks.
    """

    def __init__(
        self,
        product: Callable[[Array], Array],
        gradient: Array,
        precondition: Callable[[Array], Array],
        reach: float,
        goal: float,
    ) -> None:
        self.product, self.gradient, self.precondition = product, gradient, precondition
        self.reach, self.goal = reach, goal
        self.kept: list[_Segment] = []

    def step(self, radius: float | None) -> tuple[Array, float, float, int, bool]:
        """The step, the change of the model, the step's length, the number of products, and whether it ends inside.

        The length is taken in the preconditioner's norm. Where conjugate gradients stop because they gain too little, the
        change includes an estimate of what a complete solution would still gain.
        """
        step = np.zeros_like(self.gradient)
        if radius is not None:
            for segment in self.kept:
                cut = segment.cut(radius)
                if cut is not None:
                    return step + cut[0] * segment.direction, cut[1], radius, 0, False
                step += segment.alpha * segment.direction
            step[:] = 0.0
        self.kept = []
        residual = self.gradient.copy()
        z = self.precondition(residual)
        rz = first = float(np.vdot(residual, z))
        direction = -z
        # Norms in the preconditioner's metric follow by recurrence (Conn, Gould and Toint, Trust-Region Methods, 7.5.1),
        # since the metric itself, the inverse of what is applied, is not known.
        ss, sd, dd = 0.0, 0.0, rz
        change, small = 0.0, 0
        for used in range(1, 201):
            Hd = self.product(direction)
            curvature = float(np.vdot(direction, Hd))
            slope = float(np.vdot(residual, direction))
            alpha = rz / curvature if curvature > 0.0 else np.inf
            segment = _Segment(direction, ss, sd, dd, change, slope, curvature, alpha)
            if (len(self.kept) + 1) * step.size <= _KEPT_NUMBERS:
                self.kept.append(segment)
            if radius is None and curvature <= 0.0:
                # Along negative curvature the model has no minimum, so that a radius is set here.
                tau = self.reach / float(np.linalg.norm(direction))
                radius = float(np.sqrt(ss + 2.0 * tau * sd + tau**2 * dd))
            cut = None if radius is None else segment.cut(radius)
            if radius is not None and cut is not None:
                return step + cut[0] * direction, cut[1], radius, used, False
            step += alpha * direction
            gain = 0.5 * alpha * rz
            change -= gain
            small = small + 1 if _LEFT * gain <= self.goal else 0
            residual += alpha * Hd
            ss += 2.0 * alpha * sd + alpha**2 * dd
            z = self.precondition(residual)
            new = float(np.vdot(residual, z))
            if small >= 2:
                change -= _LEFT * gain
                break
            if new <= _FORCING**2 * first or spent():
                break
            beta = new / rz
            sd = beta * (sd + alpha * dd)
            dd = new + beta**2 * dd
            direction = beta * direction - z
            rz = new
        return step, change, float(np.sqrt(ss)), used, True
