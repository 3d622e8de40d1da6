"""Newton minimisation of the action with ends that may move on surfaces and a duration that may change.

An end on a surface c(x) = 0 is moved in the tangent space and taken back to the surface, so that every trial is admissible
and its action alone decides whether it is accepted. The Hessian there is that of S - lambda c with the multiplier lambda
of the constraint. At the minimum the momentum is normal to the surface and, if the duration is free, H = 0 on average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded

from qpot.solvers.common.spending import spent
from qpot.solvers.paths.action import FullExpansion, action_expansion, action_value, full_expansion
from qpot.solvers.paths.action_minimization import (
    CONVERGED,
    INFEASIBLE,
    MAX_ITERATIONS,
    UNSTABLE,
    Minimization,
    push_off,
)
from qpot.solvers.paths.banded_steps import LADDER
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.problem.lagrangian import Lagrangian

Array = NDArray[np.float64]

# A path may slide along itself in time at next to no cost; this fraction of the diagonal keeps that mode finite.
_FLOOR = 1e-9
# Where steps with that floor succeed, it is lowered down to this fraction: soft directions other than that mode, as under a
# strongly non-normal drift, would otherwise take a step each for every factor e.
_DEEPEST = 1e-14
# A coarse mesh can make the time-shift mode negative by this fraction; at a genuine saddle of the action the negative mode
# is far below.
_SOFT = 1e-6
# Relative decrease of the action that is lost in the rounding of differenced derivatives.
_NOISE = 3e-9
# A step with a shift below the floor is worth going on for if it lowers the action by this part of what is asked for.
_WORTH = 0.5
# A last step confirms the quadratic model if the action falls by what it promised up to this fraction.
_SURPRISE = 0.5
# At least this part of what such a step promised counts as left.
_LEFT = 0.1
# Where a last step promises no more than this part of the action and does not keep it, the promise counts so many times.
_TINY, _NOISY = 1e-6, 100.0
# The first Levenberg-Marquardt shift, as a fraction of the diagonal, once a step without one has failed.
_MU_START = 1e-4
# Beyond this shift a step is too short to change anything.
_MU_MAX = 1e12
# Most steps off saddles of the action.
_MAX_ESCAPES = 5
# The logarithm of the duration changes by no more than this in one step.
_LONGEST = 1.0


class Surface(Protocol):
    """A surface c(x) = 0 with a gradient that does not vanish on it."""

    def normal(self, x: Array) -> Array:
        """Gradient (d,) of c at a point (d,)."""
        ...

    def curvature(self, x: Array) -> Array:
        """Hessian (d, d) of c at a point (d,)."""
        ...

    def projected(self, x: Array) -> Array:
        """The point (d,) of the surface near a point (d,)."""
        ...


@dataclass(frozen=True)
class FreeEnds:
    """Which ends of a path may move.

    Attributes
    ----------
    start, end : Surface or None
        Surface on which the first or the last node may move; None holds it.
    time : bool
        Whether the duration may change.
    """

    start: Surface | None = None
    end: Surface | None = None
    time: bool = False


@dataclass(frozen=True)
class _Model:
    """The quadratic model of the action in the admissible directions.

    Attributes
    ----------
    gradient : array (n,)
        First derivatives in the coordinates of the nodes; an end on a surface has coordinates along its frame.
    band : array (bandwidth + 1, n)
        Second derivatives in lower band storage.
    border : array (n,)
        Mixed derivatives in the coordinates and in the logarithm of the time scale.
    slope, curvature : float
        Derivatives in that logarithm.
    frames : tuple of array (d, d) or None
        For each end on a surface, orthonormal columns of which the first is the normal.
    time : bool
        Whether the duration may change.
    """

    gradient: Array
    band: Array
    border: Array
    slope: float
    curvature: float
    frames: tuple[Array | None, Array | None]
    time: bool

    def step(self, mu: float) -> tuple[Array, float] | None:
        """The Newton step with a relative shift ``mu``; None where the shifted Hessian is not positive definite."""
        shifted = self.band.copy()
        shifted[0] += mu * np.maximum(np.abs(self.band[0]), 1e-300)
        try:
            factor = cholesky_banded(shifted, lower=True, overwrite_ab=True, check_finite=False)
        except LinAlgError:
            return None
        nodes = -cho_solve_banded((factor, True), self.gradient, check_finite=False)
        scale = 0.0
        if self.time:
            carried = cho_solve_banded((factor, True), self.border, check_finite=False)
            schur = self.curvature + mu * abs(self.curvature) - float(self.border @ carried)
            if not schur > 0.0:
                return None
            scale = -(self.slope + float(self.border @ nodes)) / schur
            nodes = nodes - scale * carried
        return (nodes, scale) if np.isfinite(nodes).all() and np.isfinite(scale) else None

    def promised(self, step: tuple[Array, float]) -> float:
        """Half the decrease that the step's first-order term promises."""
        return -0.5 * (float(self.gradient @ step[0]) + self.slope * step[1] * self.time)

    def softer(self, target: float) -> tuple[float, list[tuple[Array, float]]]:
        """What a step without a floor promises, and the steps with shifts below the floor that promise more than ``target``.

        See `qpot.solvers.paths.banded_steps.softer_steps`.
        """
        steps, most = [], 0.0
        for shift in LADDER:
            step = self.step(shift)
            if step is None:
                continue
            promised = self.promised(step)
            most = max(most, promised)
            if promised <= target:
                break
            steps.append(step)
        return most, steps


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
    mu, lowest, escapes, decrement = _FLOOR, _DEEPEST, 0, np.inf
    action = _value(lagrangian, path, quadrature)
    if not np.isfinite(action):
        return Minimization(path, action, decrement, 0, INFEASIBLE)
    for iteration in range(1, max_iterations + 1):
        if spent():
            return Minimization(path, action, np.inf, iteration, MAX_ITERATIONS)
        model = _model(full_expansion(lagrangian, path, quadrature), path, ends)
        target = tolerance * abs(action)
        asked_floor = False
        while True:
            if mu > _MU_MAX:
                return _stopped(lagrangian, path, action, model, ends, quadrature, iteration)
            step = model.step(mu)
            if step is None:
                mu = _FLOOR if mu < _FLOOR else max(10.0 * mu, _MU_START)
                continue
            decrement = model.promised(step)
            if decrement <= target and mu > _FLOOR and not asked_floor:
                # A short step means that the path is converged, or held back by the shift, or at a saddle of the action. A
                # step without the shift tells which.
                asked_floor = True
                flat = model.step(_FLOOR)
                if flat is not None:
                    step, mu = flat, _FLOOR
                    decrement = model.promised(step)
                elif model.step(_SOFT) is not None:
                    return Minimization(path, action, decrement, iteration, CONVERGED)
                else:
                    pushed = _pushed(lagrangian, path, action, quadrature) if escapes < _MAX_ESCAPES else None
                    if pushed is None:
                        return Minimization(path, action, decrement, iteration, UNSTABLE)
                    path, mu, escapes = pushed, _MU_START, escapes + 1
                    action = _value(lagrangian, path, quadrature)
                    break
            if decrement <= target and mu <= _FLOOR:
                settled = _settled(lagrangian, path, action, model, step, ends, quadrature, target)
                path, action, decrement, done = settled
                if done:
                    return Minimization(path, action, decrement, iteration, CONVERGED)
                break
            trial, new = _tried(lagrangian, path, step, model, ends, quadrature)
            ratio = (action - new) / max(decrement, 1e-300)
            if new < action and ratio > 1e-3:
                path, action = trial, new
                if ratio > 0.75:
                    mu = max(mu / 8.0, _FLOOR) if mu > 1e-7 else _FLOOR if mu > _FLOOR else max(0.1 * mu, lowest)
                elif ratio < 0.25:
                    mu = max(4.0 * mu, _MU_START)
                break
            if mu <= _FLOOR and decrement <= _NOISE * abs(action) and new <= action * (1.0 + _NOISE):
                return Minimization(path, action, decrement, iteration, CONVERGED)
            if mu < _FLOOR:  # Below the floor only the noise of the derivatives would be followed.
                mu = lowest = _FLOOR
            else:
                mu = max(6.0 * mu, _MU_START)
    model = _model(full_expansion(lagrangian, path, quadrature), path, ends)
    return _stopped(lagrangian, path, action, model, ends, quadrature, max_iterations)


def _settled(
    lagrangian: Lagrangian,
    path: ElementPath,
    action: float,
    model: _Model,
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
        held = model.step(_SOFT)
        if held is not None:
            best, lowest = _tried(lagrangian, path, held, model, ends, quadrature)
    if not lowest < action:
        best, lowest = path, action
    promised, deep = model.softer(target)
    softest, gained = best, 0.0
    for soft in deep:
        trial, new = _tried(lagrangian, path, soft, model, ends, quadrature)
        if lowest - new > gained and action - new >= _SURPRISE * model.promised(soft):
            softest, gained = trial, lowest - new
    if gained > _WORTH * target:
        return softest, lowest - gained, promised, False
    return softest, lowest - gained, max(decrement, min(promised, target)), True


def _stopped(
    lagrangian: Lagrangian,
    path: ElementPath,
    action: float,
    model: _Model,
    ends: FreeEnds,
    quadrature: int,
    iteration: int,
) -> Minimization:
    """The outcome where the iteration stopped early, with a decrement that one more step has confirmed, or else inf.

    The step is Newton's without a shift, or with the smallest that makes the Hessian positive definite. If the action falls
    by what the model has promised, what is left is a small part of that; if not, the model says nothing.
    """
    step = next((s for mu in (*LADDER, _FLOOR) if (s := model.step(mu)) is not None), None)
    if step is None:
        return Minimization(path, action, np.inf, iteration, MAX_ITERATIONS)
    promised = max(model.promised(step), 0.0)
    trial, new = _tried(lagrangian, path, step, model, ends, quadrature)
    surprise = abs((action - new) / max(promised, 1e-300) - 1.0)
    if surprise <= _SURPRISE:
        left = max(surprise, _LEFT) * promised
    elif promised <= _TINY * abs(action):
        # The step follows the noise of differenced derivatives along a soft direction, or meets a kink of the functions.
        left = promised if new <= action * (1.0 + _NOISE) else _NOISY * promised
    else:
        left = np.inf
    if new < action:
        path, action = trial, new
    return Minimization(path, action, left, iteration, MAX_ITERATIONS)


def _tried(
    lagrangian: Lagrangian,
    path: ElementPath,
    step: tuple[Array, float],
    model: _Model,
    ends: FreeEnds,
    quadrature: int,
) -> tuple[ElementPath, float]:
    """The path after a step and its action, or the path itself and inf where the step cannot be taken."""
    trial = _moved(path, step, model.frames, ends)
    return (path, np.inf) if trial is None else (trial, _value(lagrangian, trial, quadrature))


def _model(e: FullExpansion, path: ElementPath, ends: FreeEnds) -> _Model:
    d = path.nodes.shape[1]
    n = path.nodes.size
    gradient, border, band = e.gradient.ravel().copy(), e.mixed.ravel().copy(), e.band.copy()
    frames: list[Array | None] = []
    for first, surface, x in ((0, ends.start, path.nodes[0]), (n - d, ends.end, path.nodes[-1])):
        own = slice(first, first + d)
        if surface is None:
            frames.append(None)
            held = range(d)
        else:
            normal = surface.normal(x)
            frame = _frame(normal)
            frames.append(frame)
            multiplier = float(gradient[own] @ normal) / float(normal @ normal)
            _turn(band, first, frame, -multiplier * surface.curvature(x))
            gradient[own], border[own] = frame.T @ gradient[own], frame.T @ border[own]
            held = range(1)
        for k in held:
            _hold(band, first + k)
            gradient[first + k] = border[first + k] = 0.0
    return _Model(gradient, band, border, e.slope, e.curvature, (frames[0], frames[1]), ends.time)


def _frame(normal: Array) -> Array:
    """Orthonormal columns, the first along the normal."""
    q, _ = np.linalg.qr(np.concatenate([normal[:, None], np.eye(normal.size)], axis=1))
    return np.asarray(q, dtype=np.float64)


def _turn(band: Array, first: int, frame: Array, added: Array) -> None:
    """Turn the coordinates of one node into a frame, in lower band storage, after adding to its diagonal block."""
    d, (width, n) = frame.shape[0], band.shape
    own = np.arange(first, first + d)
    others = np.array(
        [k for k in range(max(0, first + d - width), min(n, first + width)) if not first <= k < first + d]
    )
    for rows, is_own in ((own, True), (others, False)):
        if rows.size == 0:
            continue
        high, low = np.maximum(rows[:, None], own), np.minimum(rows[:, None], own)
        inside = high - low < width
        block = np.where(inside, band[np.where(inside, high - low, 0), low], 0.0)
        block = frame.T @ (block + added) @ frame if is_own else block @ frame
        band[(high - low)[inside], low[inside]] = block[inside]


def _hold(band: Array, k: int) -> None:
    """Decouple one unknown, which stays where it is because its gradient is zero."""
    width, n = band.shape
    band[1 : min(width, n - k), k] = 0.0
    for offset in range(1, min(width, k + 1)):
        band[offset, k - offset] = 0.0
    band[0, k] = 1.0


def _moved(
    path: ElementPath, step: tuple[Array, float], frames: tuple[Array | None, Array | None], ends: FreeEnds
) -> ElementPath | None:
    """The path after a step, with ends back on their surfaces; None where that fails or the duration changes too much."""
    change, scale = step
    if abs(scale) > _LONGEST:
        return None
    moves = change.reshape(path.nodes.shape).copy()
    nodes = path.nodes + moves
    for row, frame, surface in ((0, frames[0], ends.start), (-1, frames[1], ends.end)):
        nodes[row] = path.nodes[row]
        if frame is not None and surface is not None and frame.shape[0] > 1:
            try:
                nodes[row] = surface.projected(path.nodes[row] + frame @ moves[row])
            except ValueError:  # A user function is not finite there, so that the step was too long.
                return None
    breaks = path.breaks[0] + np.exp(scale) * (path.breaks - path.breaks[0])
    return replace(path, nodes=nodes, breaks=breaks) if np.isfinite(nodes).all() else None


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
