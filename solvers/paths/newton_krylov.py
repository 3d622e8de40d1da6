"""Minimisation of the action by Newton's method with preconditioned conjugate gradients in a trust region."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction, moved

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
# Numbers in the iterates of conjugate gradients that are kept, so that a step that was too long is cut without products.
_KEPT_NUMBERS = 30_000_000
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
            path, value, gradient, model = trial, new, new_gradient, None
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


def _differenced(
    action: LargeAction, path: ElementPath, gradient: Array, quadrature: int, length: float, s: Array
) -> Array:
    """The Hessian times s, from gradients ``length`` apart."""
    h = length / float(np.linalg.norm(s))
    return np.asarray((action.value_and_gradient(moved(path, h * s), quadrature)[1] - gradient) / h)


class _Segment(NamedTuple):
    """From one iterate of conjugate gradients along a direction: products of both in the preconditioner's metric, the model's
    change, slope and curvature, and how far the next iterate is (inf: the curvature is negative)."""

    direction: Array
    ss: float
    sd: float
    dd: float
    change: float
    slope: float
    curvature: float
    alpha: float

    def cut(self, radius: float) -> tuple[float, float] | None:
        """How far along the segment it leaves the ``radius``, and the model's change there; None if it ends before."""
        limit = radius**2
        if self.ss + 2.0 * self.alpha * self.sd + self.alpha**2 * self.dd < limit:
            return None
        tau = (-self.sd + np.sqrt(max(self.sd**2 + self.dd * (limit - self.ss), 0.0))) / self.dd
        return float(tau), float(self.change + tau * self.slope + 0.5 * tau**2 * self.curvature)


class _Model:
    """The quadratic model at one path, minimised in a trust region as large as asked for.

    The iterates of conjugate gradients do not depend on the radius: those kept are walked again when it shrinks.
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
        """Step, change of the model, length of the step in the preconditioner's norm, products, whether inside.

        The change includes an estimate of what a complete solution would still gain, which is below ``goal`` or follows
        from the forcing term.
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
        # norms in the metric of the preconditioner, by recurrence (Conn, Gould, Toint, Trust-Region Methods, 7.5.1)
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
                # negative curvature before there is a radius: some way along it
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
            if new <= _FORCING**2 * first:
                break
            beta = new / rz
            sd = beta * (sd + alpha * dd)
            dd = new + beta**2 * dd
            direction = beta * direction - z
            rz = new
        return step, change, float(np.sqrt(ss)), used, True
