"""Newton minimisation of the action with ends that may move on surfaces and a duration that may change.

An end on a surface c(x) = 0 is moved in the tangent space and taken back to the surface, so that every trial is admissible
and its action alone decides whether it is accepted. The Hessian there is that of S - lambda c with the multiplier lambda
of the constraint. At the minimum the momentum is normal to the surface and, if the duration is free, H = 0 on average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.spending import spent
from qpot.solvers.paths.action import action_expansion, action_value, full_expansion
from qpot.solvers.paths.action_minimization import (
    CONVERGED,
    DEEPEST,
    FLOOR,
    INFEASIBLE,
    MAX_ESCAPES,
    MAX_ITERATIONS,
    MU_MAX,
    MU_START,
    NOISE,
    SOFT,
    SURPRISE,
    UNSTABLE,
    WORTH,
    Minimization,
    decrement_left,
    push_off,
)
from qpot.solvers.paths.banded_steps import LADDER
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.free_end_model import FreeEnds, QuadraticModel, moved, quadratic_model
from qpot.solvers.problem.lagrangian import Lagrangian

Array = NDArray[np.float64]

# Steps back to a curved family of cheap paths.
_BACK = 2


def minimize_with_free_ends(
    lagrangian: Lagrangian,
    path: ElementPath,
    ends: FreeEnds,
    *,
    quadrature: int,
    tolerance: float,
    max_iterations: int,
) -> Minimization:
    """`minimize_action` over interior nodes, free ends and, where asked, the duration.

    The mesh keeps its proportions. The first and last nodes must lie on their surfaces.
    """
    mu, lowest, escapes, decrement = FLOOR, DEEPEST, 0, np.inf
    action = _value(lagrangian, path, quadrature)
    if not np.isfinite(action):
        return Minimization(path, action, decrement, 0, INFEASIBLE)
    for iteration in range(1, max_iterations + 1):
        if spent():
            return Minimization(path, action, np.inf, iteration, MAX_ITERATIONS)
        model = quadratic_model(full_expansion(lagrangian, path, quadrature), path, ends)
        target = tolerance * abs(action)
        asked_floor = False
        while True:
            if mu > MU_MAX:
                return _stopped(lagrangian, path, action, model, ends, quadrature, iteration)
            step = model.step(mu)
            if step is None:
                mu = FLOOR if mu < FLOOR else max(10.0 * mu, MU_START)
                continue
            decrement = model.promised(step)
            if decrement <= target and mu > FLOOR and not asked_floor:
                # A short step means that the path is converged, or held back by the shift, or at a saddle of the action. A
                # step without the shift tells which.
                asked_floor = True
                flat = model.step(FLOOR)
                if flat is not None:
                    step, mu = flat, FLOOR
                    decrement = model.promised(step)
                elif model.step(SOFT) is not None:
                    return Minimization(path, action, decrement, iteration, CONVERGED)
                else:
                    pushed = _pushed(lagrangian, path, action, quadrature) if escapes < MAX_ESCAPES else None
                    slack = ends.level * abs(action)
                    if slack > 0.0 and (pushed is None or _value(lagrangian, pushed, quadrature) >= action - slack):
                        # Rounding curves a family of equal paths downwards; at a saddle of the action a push finds more.
                        return Minimization(path, action, max(decrement, slack), iteration, CONVERGED)
                    if pushed is None:
                        return Minimization(path, action, decrement, iteration, UNSTABLE)
                    path, mu, escapes = pushed, MU_START, escapes + 1
                    action = _value(lagrangian, path, quadrature)
                    break
            enough = max(target, ends.level * abs(action)) if asked_floor else target
            if decrement <= enough and mu <= FLOOR:
                settled = _settled(lagrangian, path, action, model, step, ends, quadrature, enough)
                path, action, decrement, done = settled
                if done:
                    return Minimization(path, action, decrement, iteration, CONVERGED)
                break
            trial, new = _tried(lagrangian, path, step, model, ends, quadrature)
            ratio = (action - new) / max(decrement, 1e-300)
            if ends.level > 0.0 and trial is not path and ratio < 0.25 and mu < MU_START:
                back, lower = _restored(lagrangian, trial, ends, quadrature)
                if (action - lower) / max(decrement, 1e-300) > max(ratio, 0.1):
                    path, action = back, lower
                    break
            if new < action and ratio > 1e-3:
                path, action = trial, new
                if ratio > 0.75:
                    mu = max(mu / 8.0, FLOOR) if mu > 1e-7 else FLOOR if mu > FLOOR else max(0.1 * mu, lowest)
                elif ratio < 0.25:
                    mu = max(4.0 * mu, MU_START)
                break
            if mu <= FLOOR and decrement <= NOISE * abs(action) and new <= action * (1.0 + NOISE):
                return Minimization(path, action, decrement, iteration, CONVERGED)
            if mu < FLOOR:  # Below the floor only the noise of the derivatives would be followed.
                mu = lowest = FLOOR
            else:
                mu = max(6.0 * mu, MU_START)
    model = quadratic_model(full_expansion(lagrangian, path, quadrature), path, ends)
    return _stopped(lagrangian, path, action, model, ends, quadrature, max_iterations)


def _settled(
    lagrangian: Lagrangian,
    path: ElementPath,
    action: float,
    model: QuadraticModel,
    step: tuple[Array, float],
    ends: FreeEnds,
    quadrature: int,
    target: float,
) -> tuple[ElementPath, float, float, bool]:
    """The path after a last step, its action and decrement, and whether no softer direction gains more than the target."""
    decrement = model.promised(step)
    best, lowest = _tried(lagrangian, path, step, model, ends, quadrature)
    if not lowest < action:
        # Along a curved family of minimisers a straight step leads uphill. A larger shift holds the step back there and
        # leaves the other directions.
        held = model.step(SOFT)
        if held is not None:
            best, lowest = _tried(lagrangian, path, held, model, ends, quadrature)
    if not lowest < action:
        best, lowest = path, action
    promised, deep = model.softer(target)
    softest, gained = best, 0.0
    for soft in deep:
        trial, new = _tried(lagrangian, path, soft, model, ends, quadrature)
        if lowest - new > gained and action - new >= SURPRISE * model.promised(soft):
            softest, gained = trial, lowest - new
    if gained > WORTH * target:
        return softest, lowest - gained, promised, False
    return softest, lowest - gained, max(decrement, min(promised, target)), True


def _stopped(
    lagrangian: Lagrangian,
    path: ElementPath,
    action: float,
    model: QuadraticModel,
    ends: FreeEnds,
    quadrature: int,
    iteration: int,
) -> Minimization:
    """The outcome where the iteration stopped early, with a decrement that one more step has confirmed, or else inf.

    The step is Newton's without a shift, or with the smallest that makes the Hessian positive definite. If the action falls
    by what the model has promised, what is left is a small part of that; if not, the model says nothing.
    """
    step = next((s for mu in (*LADDER, FLOOR) if (s := model.step(mu)) is not None), None)
    if step is None:
        return Minimization(path, action, np.inf, iteration, MAX_ITERATIONS)
    promised = max(model.promised(step), 0.0)
    trial, new = _tried(lagrangian, path, step, model, ends, quadrature)
    left = decrement_left(action, new, promised)
    if new < action:
        path, action = trial, new
    return Minimization(path, action, left, iteration, MAX_ITERATIONS)


def _tried(
    lagrangian: Lagrangian,
    path: ElementPath,
    step: tuple[Array, float],
    model: QuadraticModel,
    ends: FreeEnds,
    quadrature: int,
) -> tuple[ElementPath, float]:
    """The path after a step and its action, or the path itself and inf where the step cannot be taken."""
    trial = moved(path, step, model.frames, ends)
    return (path, np.inf) if trial is None else (trial, _value(lagrangian, trial, quadrature))


def _restored(lagrangian: Lagrangian, path: ElementPath, ends: FreeEnds, quadrature: int) -> tuple[ElementPath, float]:
    """A path beside a curved family of cheap paths brought back to it, and its action; inf where that fails.

    Shifted steps hardly move along the family, so that a long step along it is kept.
    """
    for _ in range(_BACK):
        try:
            model = quadratic_model(full_expansion(lagrangian, path, quadrature), path, ends)
        except ValueError:  # A user function is not finite there, so that the step was too long.
            return path, np.inf
        step = model.step(MU_START)
        shifted = None if step is None else moved(path, step, model.frames, ends)
        if shifted is None:
            return path, np.inf
        path = shifted
    return path, _value(lagrangian, path, quadrature)


def _value(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> float:
    try:
        value = action_value(lagrangian, path, quadrature)
    except ValueError:  # A user function is not finite or the covariance singular there: the step was too long.
        return np.inf
    return value if np.isfinite(value) else np.inf


def _pushed(lagrangian: Lagrangian, path: ElementPath, action: float, quadrature: int) -> ElementPath | None:
    """The path pushed off a saddle of the action along the most negative direction of the interior nodes, or None."""
    _, _, band = action_expansion(lagrangian, path, quadrature)
    return push_off(lagrangian, path, action, band, quadrature)
