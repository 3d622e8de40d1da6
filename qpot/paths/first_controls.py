"""First controls that lead past a saddle under the noise of samples: from noise with a floor, which is withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.problem.sample_hamiltonian import weighted_product
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.control_steps import divided
from qpot.solvers.paths.controlled import CONVERGED, NEAR, cheapest, restored, scaled
from qpot.solvers.paths.controlled_motion import Controlled, Edge, Run, run, with_tail
from qpot.solvers.paths.motion_errors import lacking, step_defects

IntArray = NDArray[np.int64]

# Floors, relative to the noise along the way, and the part of the cost to which these are solved.
_FLOORS, _ROUGH = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003), 2e-2
# Under a floor this high the cheapest path is little else than the reverse of the descent.
_EVEN = 1.0
# Where the floor has this part in the cost of the controls, it is withdrawn.
_SMALL = 0.03
# A motion that ends this close to the limit of what counts as beside the saddle is held back by it.
_ELSEWHERE = 0.9
# A step is split, in so many parts at most, where it errs by more than this part of the whole way.
_EXACT, _PARTS = 3e-3, 3
# Before anything is solved steps are split so many times at most.
_SPLITS = 4
# A motion on a finer mesh that costs more than the coarser one by this factor is another one.
_OTHER = 1.2
# Most backward sweeps for one floor, and for one part of what is withdrawn.
_SWEEPS, _FEW = 30, 8
# Most sweeps to withdraw a push.
_ALL = 60
# The floor's push is withdrawn by this part at first, and by no less than this one.
_PART, _LEAST = 0.5, 0.02


class FirstControls(NamedTuple):
    """Controls of the samples' noise alone, and what was found on the way.

    Attributes
    ----------
    steps : array (n,)
        The steps that were given, some of them split.
    controls : array (n, N) or None
        None where the floor could not be withdrawn.
    lower : float
        The cost under a floor as strong as the noise: more noise makes a way cheaper. 0 if none was found.
    sweeps : int
    edge : Edge
        The motion under the exact noise, with a tail where it is needed.
    elsewhere : bool
        Whether cheaper and cheaper motions cross the edge farther and farther from the saddle.
    """

    steps: Array
    controls: Array | None
    lower: float
    sweeps: int
    edge: Edge
    elsewhere: bool = False


def sample_motion(total: FiniteSum, fastest: float, floor: float = 0.0) -> Controlled:
    """The motion of a finite sum's SGD under controls in the space of its samples, and of all parameters with a floor."""
    N = total.n_samples
    root = np.sqrt(N)

    def weights(u: Array) -> Array:
        return np.asarray((u[:N] - u[:N].mean()) / root - 1.0 / N)[None]

    def along(x: Array, p: Array) -> Array:
        values = total.derivatives_along(x, p)
        values = (values - values.mean(axis=1, keepdims=True)) / root
        return values if floor == 0.0 else np.concatenate([values, np.sqrt(floor) * p], axis=1)

    def velocity(x: Array, u: Array) -> Array:
        v = total.combined_gradient(x[None], weights(u))[0]
        return v if floor == 0.0 else np.asarray(v + np.sqrt(floor) * u[N:])

    return Controlled(
        velocity=velocity,
        pulled=lambda x, u, p: weighted_product(total, x[None], p[None], weights(u))[0],
        along=along,
        fastest=fastest,
    )


def first_controls(
    total: FiniteSum, edge: Edge, steps: Array, points: Array, told: Callable[[int, float], None]
) -> FirstControls:
    """Controls that lead to the edge: those under noise with a floor, which falls and is then withdrawn.

    From one floor to the next the controls of all parameters are scaled so that the path stays what it was; its cost then
    falls as the samples take over.

    Parameters
    ----------
    edge : Edge
        The motion under the exact noise.
    steps : array (n,)
    points : array (n + 1, d)
        The descent from the saddle, in reverse, between the steps.
    told : callable
        Receives sweeps and cost.
    """
    N, fastest = total.n_samples, edge.motion.fastest
    middle = 0.5 * (points[1:] + points[:-1])
    momenta = total.gradient(middle)
    ways = (momenta[np.argmax(np.linalg.norm(momenta, axis=1))], edge.saddle - edge.start)
    x = middle[middle.shape[0] // 2]
    # The noise in the direction of the steepest climb, or that of the average one.
    top = max(float(v @ total.covariance_product(x[None], v[None])[0]) / float(v @ v) for v in ways)
    floor = _FLOORS[0] * top
    floored = edge._replace(motion=sample_motion(total, fastest, floor))
    controls = floored.motion.along(middle, 2.0 * momenta / (floor + top))
    reverse = Run(steps, controls, list(points[:-1, None]), points[-1], 0.0, points[-1], points[-1])
    for _ in range(_SPLITS):
        parts = exact_parts(edge, step_defects(floored, run(floored, steps, controls)))
        steps, controls = divided(steps, controls, parts)
        if parts.max() == 1:
            break
    sweeps, led = 0, scaled(floored, steps, controls)
    own = None if led is None else led.controls
    if own is None:
        own, sweeps = carried_over(floored, reverse, steps, controls)
    controls = controls if own is None else own
    lower, reached = 0.0, False
    for part in _FLOORS:
        trial = controls.copy()
        trial[:, N:] *= np.sqrt(floor / (part * top))
        floored = edge._replace(motion=sample_motion(total, fastest, part * top))
        found = cheapest(floored, steps, trial, tolerance=_ROUGH, most=_SWEEPS, on_sweep=told)
        if found is None:
            if reached:
                break
            continue
        while found.status != CONVERGED and edge.off(found.run.last) > _ELSEWHERE * NEAR:
            # It may only need more time to come to the saddle.
            sweeps, longer = sweeps + found.sweeps, with_tail(edge, found.run)
            if longer is None or spent():
                return FirstControls(steps, None, lower, sweeps, edge, elsewhere=True)
            edge, trial = longer, found.run.controls
            floored = edge._replace(motion=floored.motion)
            further = cheapest(floored, steps, trial, tolerance=_ROUGH, most=_SWEEPS, on_sweep=told)
            if further is None:
                return FirstControls(steps, None, lower, sweeps, edge, elsewhere=True)
            found = further
        reached, floor, controls, sweeps = True, part * top, found.run.controls, sweeps + found.sweeps
        if part >= _EVEN:
            lower = found.cost - found.decrement
        parts = exact_parts(edge, step_defects(floored, found.run))
        if parts.max() > 1:
            finer, same = divided(steps, controls, parts)
            carried, more = carried_over(floored, found.run, finer, same)
            sweeps += more
            if carried is not None:
                steps, controls = finer, carried
        whole, by_floor = (float(steps @ (u**2).sum(axis=1)) for u in (controls, controls[:, N:]))
        if by_floor < _SMALL * whole or spent():
            break
    if not reached:
        return FirstControls(steps, None, 0.0, sweeps, edge)
    push = np.sqrt(floor) * controls[:, N:]
    own, more = withdrawn(edge, steps, controls[:, :N], push)
    return FirstControls(steps, own, lower, sweeps + more, edge)


def exact_parts(edge: Edge, defects: Array) -> IntArray:
    """In how many parts to split steps with such defects (n, d) so that the motion is as exact as it has to be."""
    errors = np.linalg.norm(defects, axis=1) / (_EXACT * float(np.linalg.norm(edge.saddle - edge.start)))
    return np.asarray(np.clip(np.ceil(np.cbrt(errors)), 1, _PARTS), dtype=np.int64)


def carried_over(edge: Edge, coarse: Run, steps: Array, controls: Array) -> tuple[Array | None, int]:
    """Controls on finer steps that lead to the edge nearly as the coarse motion does, or None, and the sweeps.

    Parameters
    ----------
    steps : array (n,)
        Parts of the coarse steps.
    controls : array (n, r)
        The coarse motion's controls on them.
    """
    found, sweeps = restored(edge, steps, controls)
    if found is not None and found.cost <= _OTHER * max(coarse.cost, 1e-300) and edge.off(found.last) <= NEAR:
        return found.controls, sweeps
    # The steps were too long for this motion: what it lacks on shorter ones is given to it, and withdrawn.
    own, more = withdrawn(edge, steps, controls, lacking(edge, coarse, steps, controls))
    return own, sweeps + more


def withdrawn(edge: Edge, steps: Array, controls: Array, push: Array) -> tuple[Array | None, int]:
    """Controls of the samples that lead to the edge without a push, by way of weaker and weaker ones.

    Parameters
    ----------
    steps : array (n,)
    controls : array (n, N)
        They lead to the edge, or nearly so, together with the push.
    push : array (n, d)

    Returns
    -------
    (array (n, N) or None, int)
        The controls, None where there was no way to them, and the number of backward sweeps.
    """
    left, part, sweeps = 1.0, _PART, 0
    while left > 0.0:
        weaker = max(left - part, 0.0)
        pushed = edge._replace(push=None if weaker == 0.0 else weaker * push)
        found = cheapest(pushed, steps, controls, tolerance=_ROUGH, most=_FEW)
        sweeps += 1 if found is None else found.sweeps
        if found is not None:
            left, controls, part = weaker, found.run.controls, 1.5 * part
            continue
        part *= 0.5
        if part < _LEAST or sweeps > _ALL or spent():
            return None, sweeps
    return controls, sweeps
