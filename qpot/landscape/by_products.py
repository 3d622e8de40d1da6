"""Minima and saddles in many dimensions: from given starting points, by products with the Jacobian."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import gmres, minres

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.parallel import run_in_order
from qpot.landscape.flow_by_products import basins_of_sides
from qpot.landscape.linear_rates import (
    DENSE,
    DENSE_SYMMETRIC,
    FixedPointRates,
    dense_jacobian,
    fastest_rate,
    jacobian_operator,
    rates_and_jacobian,
    transpose_product,
)
from qpot.landscape.points import SAME, Minimum, Saddle, tidy, within
from qpot.landscape.saddle_list import Clock
from qpot.landscape.tolerant import NaNDrift, NaNLoss
from qpot.problem.system import System
from qpot.solvers.landscape.descents import descend_together
from qpot.solvers.landscape.mode_following import follow_lowest_mode
from qpot.solvers.landscape.saddle_string import highest_between

# Newton's method is given up after this many steps.
_NEWTON_STEPS = 50
# A Newton step below this fraction of the point's size is at the level of rounding.
_AT_REST = 1e-10
# What is left of the equations of a Newton step that was solved is below this part of the drift.
_CANCELS = 0.9
# A Jacobian serves for another step where the drift has fallen to this part of what it was before the last one.
_FAST = 0.2
# So many starts descend together, until their gradients are smaller than this, or for so many calls of the loss.
_TOGETHER, _FLAT, _DESCENT = 64, 1e-8, 4000
# Saddles are searched for between this many pairs of minima, the nearest ones.
_PAIRS = 60
# The longest step of a climb to a saddle, as a fraction of the smallest distance between minima.
_LONGEST = 0.1


def minima_from(
    system: System, starts: Array, lower: Array, upper: Array, *, executor: Executor | None = None
) -> list[Minimum]:
    """The attracting fixed points in a box that are reached from ``starts`` (n, d) by a descent and Newton's method."""
    found: list[Minimum] = []
    groups = [starts[first : first + _TOGETHER] for first in range(0, len(starts), _TOGETHER)]
    tasks = [_Start(system, tuple(group), (lower, upper)) for group in groups]
    for end in itertools.chain.from_iterable(run_in_order(_lowest_from, tasks, executor)):
        if any(np.linalg.norm((end - m.point) / (upper - lower)) <= SAME for m in found):
            continue
        rest = polished(system, end)
        if rest is None or not within(rest[None], lower, upper)[0]:
            continue
        if any(np.linalg.norm((rest - m.point) / (upper - lower)) <= SAME for m in found):
            continue
        minimum = minimum_at(system, rest, name="a start's descent")
        if minimum is not None:
            found.append(minimum)
    return found


def minimum_at(system: System, rest: Array, *, name: str) -> Minimum | None:
    """The minimum at a fixed point (d,) that attracts, or None at any other; an error calls the point ``name``."""
    rates, jacobian = rates_and_jacobian(system, rest, name=name)
    return None if rates.unstable else Minimum(**described(system, rest, rates, jacobian))


@dataclass(frozen=True, eq=False)
class _Start:
    """Where a search begins: a point, or between two minima; a plain value, so that it can be sent to another process."""

    system: System
    points: tuple[Array, ...]
    box: tuple[Array, Array] | None = None
    # Whether the lowest mode is climbed, by steps of at most this length, or Newton's method leads to any fixed point.
    climbing: bool = False
    longest: float = 0.0


def _lowest_from(task: _Start) -> Array:
    """The points (n, d) to which descents lead from all the starts of a task together."""
    assert task.box is not None
    return descended(task.system, np.array(task.points), *task.box)


def _rest_from(task: _Start) -> tuple[Array | None, float]:
    """The fixed point to which a start leads, and the CPU seconds that this took."""
    begun, system, points = time.process_time(), task.system, task.points
    if len(points) == 2:
        start = _highest_between(system, *points) if task.climbing else 0.5 * (points[0] + points[1])
    else:
        start = points[0]
    rest = climbed(system, start, task.longest) if task.climbing else polished(system, start)
    return rest, time.process_time() - begun


def saddles_from(
    system: System,
    minima: Array,
    starts: Array,
    lower: Array,
    upper: Array,
    linear_part: Array | csc_array | None = None,
    *,
    clock: Clock | None = None,
    executor: Executor | None = None,
) -> list[Saddle]:
    """The saddles with one unstable direction that are reached from ``starts`` (n, d) and from between minima.

    Newton's method finds them, and starts in the middle between two minima. In so many dimensions that no matrix is formed,
    Newton's method converges only from near a saddle; for a loss the lowest mode of the Hessian is therefore climbed
    instead, which starts between two minima at the highest point of a string. The same is done in fewer dimensions where
    there are no ``starts``. A ``clock`` may end the search, and takes note of the starts that were left. The ways from single
    starts run side by side in the ``executor``.
    """
    i, j = np.triu_indices(minima.shape[0], 1)
    distances = np.linalg.norm(minima[i] - minima[j], axis=1)
    nearest = np.argsort(distances, kind="stable")[:_PAIRS]
    i, j = i[nearest], j[nearest]
    found: list[Saddle] = []
    mountains = system.gradient_drift and system.loss is not None
    climbing = mountains and (system.dimension > DENSE_SYMMETRIC or starts.shape[0] == 0)
    longest = _LONGEST * float(distances.min(initial=np.inf))
    if not np.isfinite(longest):
        longest = _LONGEST * float(np.linalg.norm(starts - minima[0], axis=1).max(initial=0.0))

    beginnings = [(start,) for start in starts] + [(minima[a], minima[b]) for a, b in zip(i, j, strict=True)]
    tasks = [_Start(system, points, climbing=climbing, longest=longest) for points in beginnings]
    coming = run_in_order(_rest_from, tasks, executor)
    for n in range(len(tasks)):
        if clock is not None and n and clock.past(1.0):
            clock.skip(f"{len(tasks) - n} starts near saddles and between minima")
            break
        rest, seconds = next(coming)
        if clock is not None and executor is not None:
            clock.spend(seconds)
        if rest is None or not within(rest[None], lower, upper)[0]:
            continue
        if any(np.linalg.norm((rest - s.point) / (upper - lower)) <= SAME for s in found):
            continue
        rates, jacobian = rates_and_jacobian(system, rest, name="a fixed point")
        if rates.unstable != 1:
            continue
        first, second = basins_of_sides(system, rest, rates, minima, linear_part=linear_part)
        direction = rates.direction
        if first is None or (second is not None and second < first):
            first, second, direction = second, first, -direction
        found.append(Saddle(**described(system, rest, rates, jacobian), connects=(first, second), direction=direction))
    return found


def _highest_between(system: System, first: Array, second: Array) -> Array:
    """The highest point of a string between two minima of a loss."""
    loss = system.unchecked.loss
    fastest = max(fastest_rate(system, x) for x in (first, 0.5 * (first + second), second))
    return highest_between(loss, system.unchecked.gradient, first, second, step=1.0 / fastest)


def climbed(system: System, start: Array, longest: float) -> Array | None:
    """The fixed point at which the climb along the lowest mode ends, or None where it ends at none."""
    product = transpose_product(system)

    def curved(x: Array, v: Array) -> Array:
        return np.asarray(-product(x[None], v[None])[0])

    try:
        rest, found = follow_lowest_mode(lambda x: -system.unchecked.drift(x[None])[0], curved, start, longest=longest)
    except NonFiniteError:
        return None
    return tidy(rest) if found else None


class _NewtonSteps:
    """Newton's steps, which keep the inverse of a Jacobian in many dimensions for as long as the drift falls fast with it."""

    def __init__(self) -> None:
        self._inverse: Array | None = None
        self._last = np.inf

    def __call__(self, system: System, x: Array, b: Array) -> Array:
        if system.dimension <= DENSE:
            return np.asarray(-np.linalg.solve(dense_jacobian(system, x), b))
        if system.dimension <= DENSE_SYMMETRIC:
            size = float(np.linalg.norm(b))
            if self._inverse is None or size > _FAST * self._last:
                self._inverse = np.asarray(np.linalg.inv(dense_jacobian(system, x)), dtype=np.float64)
            self._last = size
            return np.asarray(-(self._inverse @ b))
        operator = jacobian_operator(system, x)
        solver = minres if system.gradient_drift else gmres
        step = np.asarray(-solver(operator, b, rtol=1e-6, maxiter=2000)[0])
        # A step that does not cancel most of the drift to first order is none of Newton's, however short it is.
        if not np.linalg.norm(operator.matvec(step) + b) <= _CANCELS * np.linalg.norm(b):
            raise np.linalg.LinAlgError("the linear equations of Newton's step were not solved")
        return step


def polished(
    system: System, start: Array, newton_step: Callable[[System, Array, Array], Array] | None = None
) -> Array | None:
    """The fixed point that damped Newton steps reach from a start, or None where they do not converge.

    ``newton_step`` is a function of the system, a point (d,) and its drift (d,).
    """
    x = start.copy()
    newton_step = _NewtonSteps() if newton_step is None else newton_step
    try:
        b = system.unchecked.drift(x[None])[0]
        for _ in range(_NEWTON_STEPS):
            step = newton_step(system, x, b)
            size = 1.0 + float(np.linalg.norm(x))
            if np.linalg.norm(step) <= _AT_REST * size:
                return tidy(x + step)
            for share in 0.5 ** np.arange(8):
                trial = x + share * step
                new = system.unchecked.drift(trial[None])[0]
                if np.linalg.norm(new) < np.linalg.norm(b):
                    break
            else:
                # No step decreases the drift: either it is at rounding level, or there is no root in this direction.
                return tidy(x) if np.linalg.norm(step) <= 1e-6 * size else None
            x, b = trial, new
    except (NonFiniteError, np.linalg.LinAlgError):
        return None
    return None


def descended(system: System, starts: Array, lower: Array, upper: Array) -> Array:
    """The points in the box to which descents of the loss lead; for a drift that is no gradient, the starts themselves."""
    if system.loss is None or not system.gradient_drift or not len(starts):
        return starts
    # A start at which the user's function fails is an error, which names the function; a trial step to such a point is not.
    system.unchecked.loss(np.clip(starts, lower, upper))
    loss, drift = NaNLoss(system), NaNDrift(system)
    parts = [
        descend_together(
            loss,
            lambda x: np.negative(drift(x)),
            starts[first : first + _TOGETHER],
            tolerance=_FLAT,
            lower=lower,
            upper=upper,
            most=_DESCENT,
        ).ends
        for first in range(0, len(starts), _TOGETHER)
    ]
    return np.concatenate(parts)


def described(system: System, point: Array, rates: FixedPointRates, jacobian: Array | None = None) -> dict[str, Any]:
    """The fields that minima and saddles share; the Jacobian (d, d) is formed where it is not given."""
    if jacobian is None and system.dimension <= DENSE_SYMMETRIC:
        jacobian = dense_jacobian(system, point)
    values = -np.asarray(rates.values, dtype=complex)
    return {
        "point": point,
        "loss": float("nan") if system.loss is None else float(system.unchecked.loss(point[None])[0]),
        "hessian": np.zeros((0, 0)) if jacobian is None else -jacobian,
        "rates": values[np.lexsort((values.imag, values.real))],
        "residual": float(np.linalg.norm(system.unchecked.drift(point[None])[0])),
    }
