"""Faces of a box: the lowest loss on them, below which nothing leaves the box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qpot._core.arrays import Array, NonFiniteError
from qpot.problem.system import System

# Above this dimension the faces are sampled and not minimised over.
_MINIMISED = 16
# The number of samples on all faces together, at least and for each dimension.
_FEWEST, _EACH = 256, 64
# So many of the lowest samples of a face start a descent.
_DESCENTS = 2


def lowest_on_faces(
    system: System, lower: Array, upper: Array, near: Array, axes: NDArray[np.bool_] | None = None
) -> tuple[Array, float] | None:
    """The point ``(d,)`` of lowest loss on the faces of a box, and its loss; None where no loss is known there.

    Only the faces at both ends of the given ``axes`` ``(d,)`` count, by default all of them. Each is sampled, at random and
    at the projections of the points ``near`` ``(k, d)``. Up to 16 dimensions the loss is then minimised over the face from
    its lowest samples.
    """
    if system.loss is None:
        return None
    d = lower.size
    rng = np.random.default_rng(0)
    count = max(_FEWEST, _EACH * d) // (2 * d)
    best: tuple[Array, float] | None = None
    for axis in range(d) if axes is None else map(int, np.flatnonzero(axes)):
        for value in (lower[axis], upper[axis]):
            samples = np.concatenate([rng.uniform(lower, upper, (count, d)), np.clip(near, lower, upper)])
            samples[:, axis] = value
            losses = _loss(system, samples)
            order = np.argsort(losses)[:_DESCENTS]
            for k in order:
                if not np.isfinite(losses[k]):
                    continue
                point, loss = samples[k], float(losses[k])
                if 1 < d <= _MINIMISED:
                    point, loss = _descended(system, point, loss, axis, lower, upper)
                if best is None or loss < best[1]:
                    best = point, loss
    return best


def _loss(system: System, points: Array) -> Array:
    """The loss ``(n,)``, infinite where it cannot be computed."""
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(system.unchecked.loss(points), dtype=np.float64)
    except (ValueError, ArithmeticError):
        if points.shape[0] == 1:
            return np.array([np.inf])
        half = points.shape[0] // 2
        values = np.concatenate([_loss(system, points[:half]), _loss(system, points[half:])])
    return np.where(np.isnan(values), np.inf, values)


def _descended(system: System, start: Array, loss: float, axis: int, lower: Array, upper: Array) -> tuple[Array, float]:
    """The point and the loss that a bounded descent within the face reaches from one of its points."""
    low, high = lower.copy(), upper.copy()
    low[axis] = high[axis] = start[axis]
    try:
        with np.errstate(all="ignore"):
            result = minimize(
                lambda x: (float(system.unchecked.loss(x[None])[0]), system.unchecked.gradient(x[None])[0]),
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=list(zip(low, high, strict=True)),
                options={"maxiter": 60},
            )
    except NonFiniteError:
        return start, loss
    return (np.asarray(result.x), float(result.fun)) if result.fun < loss else (start, loss)
