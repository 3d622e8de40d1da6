"""Newton minimisation of the action on a fixed mesh, with a second-order check of the answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from qpot.solvers.common.spending import spent
from qpot.solvers.paths.action import action_expansions, action_values
from qpot.solvers.paths.banded_steps import LADDER, most_negative_direction, shifted_step, softer_steps
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.problem.lagrangian import Lagrangian

Array = NDArray[np.float64]

# Status: the Hessian is positive definite and the decrement below the tolerance.
CONVERGED = 0
# Status: the iterations ran out, or no step lowers the action.
MAX_ITERATIONS = 1
# Status: the path is stationary, but no minimum, and no step off it lowers the action.
UNSTABLE = 2
# Status: the action of the first path is infinite, because bounded noise cannot follow it.
INFEASIBLE = 3

# A path may slide along itself in time at next to no cost; this fraction of the diagonal keeps that mode finite.
FLOOR = 1e-9
# Where steps with that floor succeed, it is lowered down to this fraction: soft directions other than that mode, as under a
# strongly non-normal drift, would otherwise take a step each for every factor e.
DEEPEST = 1e-14
# A coarse mesh can make the time-shift mode negative by this fraction; at a genuine saddle of the action the negative mode
# is far below.
SOFT = 1e-6
# Most steps off saddles of the action.
MAX_ESCAPES = 5
# Lengths of the step off a saddle of the action, as parts of the path's extent.
_PUSHES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# The Lagrangian is given so many points in one call: enough for the overhead not to matter, few enough for the memory.
_TOGETHER = 1 << 15
# A step with a shift below the floor is worth going on for if it lowers the action by this part of what is asked for.
WORTH = 0.5
# A step that promises this part of what the one before it promised creeps, ...
_CREEPING = 0.3
# ... and one without a shift replaces it where it gains so many times as much.
_SHARE = 1.5
# A last step confirms the quadratic model if the action falls by what it promised up to this fraction.
SURPRISE = 0.5
# At least this part of what such a step promised counts as left.
_LEFT = 0.1
# Relative decrease of the action that is lost in the rounding of differenced derivatives.
NOISE = 3e-9
# Where a last step promises no more than this part of the action and does not keep it, the promise counts so many times.
_TINY, _NOISY = 1e-6, 100.0
# The first Levenberg-Marquardt shift, as a fraction of the diagonal, once a step without one has failed.
MU_START = 1e-4
# Beyond this shift a step is too short to change anything.
MU_MAX = 1e12


@dataclass(frozen=True)
class Minimization:
    """Outcome of `minimize_action`.

    Attributes
    ----------
    path : ElementPath
    action : float
    decrement : float
        Half the squared Newton decrement, g.H^{-1} g / 2: the decrease of the action that the local quadratic model still
        promises. Unlike a small change between iterations it bounds the distance to the minimum. Where the iteration
        stopped early it is taken anew without a shift that holds steps back, and is inf if the model has no minimum, or if
        the action does not fall as the model says.
    iterations : int
    status : int
        CONVERGED, MAX_ITERATIONS, UNSTABLE or INFEASIBLE.
    """

    path: ElementPath
    action: float
    decrement: float
    iterations: int
    status: int


class _Ask(NamedTuple):
    """What a run of Newton's method needs next: the actions of some paths, or the expansion of one."""

    paths: list[ElementPath]
    expand: bool


# A run is sent a list of actions or one expansion, whichever it asked for, which no type can say.
_Run = Generator[_Ask, Any, Minimization]


def minimize_action(
    lagrangian: Lagrangian,
    path: ElementPath,
    *,
    quadrature: int,
    tolerance: float,
    max_iterations: int,
    scale: float = 0.0,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Minimization:
    """Minimise the action over the interior nodes, with ends and mesh fixed.

    The method is Newton's with a Levenberg-Marquardt shift. A path counts as converged only if the Hessian is positive
    definite (up to the floor that holds the time-shift mode) and the decrement is below ``tolerance`` times the action. A
    stationary path with a negative direction is pushed along it, and the iteration goes on. It also ends where the time is
    over, see `qpot.solvers.common.spending`.

    Parameters
    ----------
    quadrature : int
        Gauss points on every element.
    scale : float
        An action below this size is solved for as accurately as one of this size.
    on_iteration : callable, optional
        Receives ``(iteration, action)`` after every step.

    Raises
    ------
    ValueError
        If a user function is not finite on the first path, or the covariance is singular there.
    """
    run = _newton(path, tolerance, max_iterations, scale, on_iteration)
    (outcome,) = _driven(lagrangian, [run], quadrature)
    if isinstance(outcome, ValueError):
        raise outcome
    return outcome


def minimize_actions(
    lagrangian: Lagrangian, paths: Sequence[ElementPath], *, quadrature: int, tolerance: float, max_iterations: int
) -> list[Minimization | ValueError]:
    """`minimize_action` of several paths of one degree side by side, each with its own steps.

    The Lagrangian is called for all of them at once, so that the overhead of a call is paid once and not for each curve. The
    errors of single paths (NaN from a user function, a singular covariance) are returned in their places.
    """
    return _driven(lagrangian, [_newton(path, tolerance, max_iterations, 0.0, None) for path in paths], quadrature)


def _driven(lagrangian: Lagrangian, runs: Sequence[_Run], quadrature: int) -> list[Minimization | ValueError]:
    """The outcomes of several runs, whose needs are answered together."""
    outcomes: dict[int, Minimization | ValueError] = {}
    asks = {k: next(run) for k, run in enumerate(runs)}
    while asks:
        # Runs that look for the length of their step go first, so that all others wait for one common expansion.
        searching = [k for k, ask in asks.items() if not ask.expand]
        turn = searching or list(asks)
        answer = _values if searching else _expansions
        for k, reply in zip(turn, answer(lagrangian, [asks[k].paths for k in turn], quadrature), strict=True):
            if isinstance(reply, ValueError):
                outcomes[k] = reply
                del asks[k]
                continue
            try:
                asks[k] = runs[k].send(reply)
            except StopIteration as stop:
                outcomes[k] = stop.value
                del asks[k]
    return [outcomes[k] for k in range(len(runs))]


def _values(lagrangian: Lagrangian, asked: Sequence[list[ElementPath]], quadrature: int) -> list[list[float]]:
    paths = list(itertools.chain.from_iterable(asked))
    found = iter(_safe_values(lagrangian, paths, quadrature))
    return [list(itertools.islice(found, len(own))) for own in asked]


def _expansions(
    lagrangian: Lagrangian, asked: Sequence[list[ElementPath]], quadrature: int
) -> list[tuple[float, Array, Array] | ValueError]:
    paths = list(itertools.chain.from_iterable(asked))
    d = paths[0].nodes.shape[1]
    # Second differences take the Hamiltonian at so many points around the quadrature points of one path.
    shifted = max(p.n_elements for p in paths) * quadrature * (1 + d + d * d)
    together = max(1, _TOGETHER // shifted)
    found: list[tuple[float, Array, Array] | ValueError] = []
    for first in range(0, len(paths), together):
        group = paths[first : first + together]
        try:
            found += action_expansions(lagrangian, group, quadrature)
        except ValueError as error:
            if len(group) == 1:
                found.append(error)
            else:  # One of them has failed; each is tried by itself to find out which.
                found += itertools.chain.from_iterable(_expansions(lagrangian, [[p]], quadrature) for p in group)
    return found


def _newton(
    path: ElementPath,
    tolerance: float,
    max_iterations: int,
    size: float,
    on_iteration: Callable[[int, float], None] | None,
) -> _Run:
    """One run of `minimize_action`, which yields what it needs, is sent the answer, and returns the outcome."""
    mu, lowest, escapes = FLOOR, DEEPEST, 0
    action, gradient, band = yield _Ask([path], expand=True)
    iteration, decrement, trusted = 0, np.inf, True
    if not np.isfinite(action):  # Bounded noise cannot follow the path, see `qpot.solvers.paths.feasible_path`.
        return Minimization(path, action, decrement, 0, INFEASIBLE)
    for iteration in range(1, max_iterations + 1):
        scale = np.maximum(np.abs(band[0]), 1e-300)
        target = tolerance * max(abs(action), size)
        accepted = asked_floor = False
        before = decrement
        while not accepted:
            step = shifted_step(band, scale, mu, gradient)
            if step is None:
                mu = FLOOR if mu < FLOOR else max(10.0 * mu, MU_START)
                if mu > MU_MAX:
                    return (yield from _stopped(path, action, gradient, band, iteration))
                continue
            decrement = -0.5 * float(gradient @ step)
            creeps = mu <= SOFT and decrement > _CREEPING * before
            if decrement <= target and mu > FLOOR and not asked_floor:
                # A short step means that the path is converged, or held back by the shift, or at a saddle of the action. A
                # step without the shift tells which.
                asked_floor = True
                flat = shifted_step(band, scale, FLOOR, gradient)
                if flat is None and shifted_step(band, scale, SOFT, gradient) is not None:
                    return Minimization(path, action, decrement, iteration, CONVERGED)
                if flat is None:
                    trials = _pushes(path, band) if escapes < MAX_ESCAPES else []
                    values = (yield _Ask(trials, expand=False)) if trials else []
                    if min(values, default=np.inf) >= action:
                        return Minimization(path, action, decrement, iteration, UNSTABLE)
                    path, mu = trials[int(np.argmin(values))], MU_START
                    escapes += 1
                    break
                step, mu = flat, FLOOR
                decrement = -0.5 * float(gradient @ step)
            if decrement <= target and mu <= FLOOR:
                done, path = yield from _settled(path, action, step, gradient, band, target, iteration)
                if done is not None:
                    return done
                accepted = True
                continue
            # Steps that promise as much as the ones before them creep along a soft direction, which the shift holds.
            asked = creeps and trusted and decrement > target
            deep = softer_steps(band, scale, gradient, _SHARE * decrement)[1] if asked else []
            new, softer, trusted = yield from _tried(path, action, [step, *deep], gradient, trusted)
            if softer is not None:
                accepted, path = True, softer
                continue
            bent = float(step @ blas.dsbmv(band.shape[0] - 1, 1.0, band, step, lower=1))
            ratio = (action - new) / max(2.0 * decrement - 0.5 * bent, 1e-300)
            if new < action and ratio > 1e-3:
                accepted, path = True, _moved(path, step)
                if ratio > 0.75:
                    mu = _lower(mu, lowest)
                elif ratio < 0.25:
                    mu = max(4.0 * mu, MU_START)
            elif mu <= FLOOR and decrement <= NOISE * abs(action) and new <= action * (1.0 + NOISE):
                # The Hessian is positive definite, and what is left of the gradient is the noise of differenced derivatives,
                # which no step can follow.
                return Minimization(path, action, decrement, iteration, CONVERGED)
            elif mu < FLOOR:  # Below the floor only the noise of the derivatives would be followed.
                mu = lowest = FLOOR
            else:
                mu = max(6.0 * mu, MU_START)
                if mu > MU_MAX:
                    return (yield from _stopped(path, action, gradient, band, iteration))
        if on_iteration is not None:
            on_iteration(iteration, action)
        action, gradient, band = yield _Ask([path], expand=True)
        if spent():
            break
    return (yield from _stopped(path, action, gradient, band, iteration))


def _settled(
    path: ElementPath, action: float, step: Array, gradient: Array, band: Array, target: float, iteration: int
) -> Generator[_Ask, Any, tuple[Minimization | None, ElementPath]]:
    """The converged outcome after a last step, or None and the path where a step along a soft direction still gains."""
    decrement = -0.5 * float(gradient @ step)
    promised, deep = softer_steps(band, np.maximum(np.abs(band[0]), 1e-300), gradient, target)
    trials = [_moved(path, s) for s in (step, *deep)]
    values = yield _Ask(trials, expand=False)
    k = int(np.argmin(values))
    gained = min(values[0], action) - values[k]
    if k > 0 and gained > WORTH * target and _keeps(action - values[k], gradient, deep[k - 1]):
        return None, trials[k]
    decrement = max(decrement, min(promised, target))
    end = trials[k] if values[k] < action else path
    return Minimization(end, min(values[k], action), decrement, iteration, CONVERGED), end


def _tried(
    path: ElementPath, action: float, steps: list[Array], gradient: Array, trusted: bool
) -> Generator[_Ask, Any, tuple[float, ElementPath | None, bool]]:
    """The action after the first step, the path after a softer one that gains more, and whether such steps keep promises."""
    new, *others = yield _Ask([_moved(path, s) for s in steps], expand=False)
    if not others:
        return new, None, trusted
    best = steps[1 + int(np.argmin(others))]
    # Where kinks of the functions spoil the model, such steps never keep what they promise.
    keeps = _keeps(action - min(others), gradient, best)
    gains = keeps and min(others) < min(new, action - _SHARE * (action - new))
    return new, _moved(path, best) if gains else None, keeps


def _keeps(gain: float, gradient: Array, step: Array) -> bool:
    """Whether the action has fallen by what the quadratic model promised for a step."""
    return gain >= -0.5 * SURPRISE * float(gradient @ step)


def _lower(mu: float, lowest: float) -> float:
    """The shift after a step that the model has foretold well."""
    if mu > 1e-7:
        return max(mu / 8.0, FLOOR)
    return FLOOR if mu > FLOOR else max(0.1 * mu, lowest)


def decrement_left(action: float, new: float, promised: float) -> float:
    """What is left after a step to a ``new`` action that had ``promised`` a decrease; inf where that is not known."""
    surprise = abs((action - new) / max(promised, 1e-300) - 1.0)
    if surprise <= SURPRISE:
        return max(surprise, _LEFT) * promised
    if promised <= _TINY * abs(action):
        # The step follows the noise of differenced derivatives along a soft direction, or meets a kink of the functions.
        return promised if new <= action * (1.0 + NOISE) else _NOISY * promised
    return np.inf


def _stopped(path: ElementPath, action: float, gradient: Array, band: Array, iteration: int) -> _Run:
    """The outcome where the iteration stopped early, with a decrement that one more step has confirmed, or else inf.

    The step is Newton's without a shift, or with the smallest that makes the Hessian positive definite. If the action falls
    by what the model has promised, what is left is a small part of that; if not, the model says nothing.
    """
    scale = np.maximum(np.abs(band[0]), 1e-300)
    step = next((s for mu in (*LADDER, FLOOR) if (s := shifted_step(band, scale, mu, gradient)) is not None), None)
    if step is None:
        return Minimization(path, action, np.inf, iteration, MAX_ITERATIONS)
    promised = max(-0.5 * float(gradient @ step), 0.0)
    held = shifted_step(band, scale, FLOOR, gradient)
    trials = [_moved(path, s) for s in (step, step if held is None else held)]
    new, careful = yield _Ask(trials, expand=False)
    left = decrement_left(action, new, promised)
    best = trials[0] if new <= careful else trials[1]
    if min(new, careful) < action:
        path, action = best, min(new, careful)
    return Minimization(path, action, left, iteration, MAX_ITERATIONS)


def _moved(path: ElementPath, step: Array) -> ElementPath:
    nodes = path.nodes.copy()
    nodes[1:-1] += step.reshape(-1, nodes.shape[1])
    return replace(path, nodes=nodes)


def _safe_values(lagrangian: Lagrangian, paths: Sequence[ElementPath], quadrature: int) -> list[float]:
    """The actions, with inf where a trial step left the region in which the functions are finite and regular."""
    try:
        values = action_values(lagrangian, paths, quadrature)
    except ValueError:  # A user function is not finite or the covariance singular there: a step was too long.
        if len(paths) == 1:
            return [np.inf]
        return [_safe_values(lagrangian, [path], quadrature)[0] for path in paths]
    return [value if np.isfinite(value) else np.inf for value in values]


def push_off(
    lagrangian: Lagrangian, path: ElementPath, action: float, band: Array, quadrature: int
) -> ElementPath | None:
    """The best of several steps along the direction of most negative curvature, or None if none lowers the action."""
    trials = _pushes(path, band)
    values = _safe_values(lagrangian, trials, quadrature) if trials else []
    return trials[int(np.argmin(values))] if min(values, default=np.inf) < action else None


def _pushes(path: ElementPath, band: Array) -> list[ElementPath]:
    """Paths along the direction of most negative curvature, at several distances both ways; none if it is not negative."""
    direction = most_negative_direction(band, SOFT)
    if direction is None:
        return []
    direction *= np.ptp(path.nodes, axis=0).max() / max(np.abs(direction).max(), 1e-300)
    return [_moved(path, sign * length * direction) for sign in (1.0, -1.0) for length in _PUSHES]
