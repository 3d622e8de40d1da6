"""Least squares within bounds, where the optimality conditions of the answer are checked.

Libraries' active-set solvers may end at a point that is not the minimum (scipy 1.15.3's `nnls` did in 11 of 1500 random
problems). The conditions of Karush, Kuhn and Tucker tell the minimum from any other point, at the cost of two products; where
they do not hold, an active-set method of our own solves the problem.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear, nnls

Array = NDArray[np.float64]

# A violation of the conditions above this part of what the columns and the right-hand side allow is no rounding error.
TOLERANCE = 1e-9
# The active-set method exchanges columns at most this many times for each of them.
_EXCHANGES = 10


class Bounded(NamedTuple):
    """A point within bounds, and by how much it violates the conditions of the minimum, relative to the problem's size."""

    x: Array
    violation: float

    @property
    def ok(self) -> bool:
        """Whether the conditions hold but for rounding errors."""
        return self.violation <= TOLERANCE


def nonnegative_least_squares(A: Array, b: Array) -> Bounded:
    """The x >= 0 (n,) that minimises |A x - b|, for A (m, n) and b (m,)."""
    n = A.shape[1]
    low, high = np.zeros(n), np.full(n, np.inf)
    try:
        x = np.asarray(nnls(A, b, maxiter=100 * max(n, 1))[0], dtype=np.float64)
    except RuntimeError:
        # The library has given up.
        return active_set(A, b, low, high)
    return _held(A, b, low, high, x)


def bounded_least_squares(A: Array, b: Array, low: Array, high: Array) -> Bounded:
    """The x (n,) with low <= x <= high that minimises |A x - b|, for A (m, n) and b (m,)."""
    x = np.asarray(lsq_linear(A, b, bounds=(low, high), method="bvls", tol=1e-14).x, dtype=np.float64)
    return _held(A, b, low, high, x)


def violation(A: Array, b: Array, low: Array, high: Array, x: Array) -> float:
    """The largest violation of the conditions of the minimum over low <= x <= high, relative to the size of the problem.

    The slope A_j.(b - A x) is to vanish between the bounds, not to be positive at the lower one, and not to be negative at
    the upper one.
    """
    if not np.isfinite(x).all():
        return np.inf
    outside = np.maximum(np.maximum(low - x, x - high), 0.0)
    # What is left of b after sums of terms of this size carries rounding errors of the same size.
    size = float(np.linalg.norm(b)) + float(np.abs(A).sum(axis=0) @ np.abs(x))
    lengths = np.linalg.norm(A, axis=0)
    slope = A.T @ (b - A @ x)
    pushed = np.where(x > low, np.maximum(-slope, 0.0), 0.0) + np.where(x < high, np.maximum(slope, 0.0), 0.0)
    unit = lengths * size
    relative = np.divide(pushed, unit, out=np.zeros_like(pushed), where=unit > 0.0)
    span = max(float(np.abs(x).max(initial=0.0)), np.finfo(float).tiny)
    return float(max(relative.max(initial=0.0), outside.max(initial=0.0) / span))


def active_set(A: Array, b: Array, low: Array, high: Array) -> Bounded:
    """The minimum by an active-set method (Stark and Parker, Computational Statistics 10 (1995) 129; Lawson and Hanson)."""
    n = A.shape[1]
    x = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0.0))
    free = ~np.isfinite(low) & ~np.isfinite(high)
    refused = np.zeros(n, dtype=bool)
    lengths = np.linalg.norm(A, axis=0)
    best = Bounded(x, violation(A, b, low, high, x))
    entered = -1
    for _ in range(_EXCHANGES * (n + 1)):
        if free.any():
            inner = np.linalg.lstsq(A[:, free], b - A[:, ~free] @ x[~free], rcond=None)[0]
            step = inner - x[free]
            if entered >= 0:
                # A column that turns back from where its slope leads it has entered by a rounding error.
                own = float(step[int(np.count_nonzero(free[:entered]))])
                if own * (1.0 if x[entered] <= low[entered] else -1.0) <= 0.0:
                    free[entered], refused[entered], entered = False, True, -1
                    continue
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.where(step > 0.0, (high[free] - x[free]) / step, (low[free] - x[free]) / step)
            room = np.where(step == 0.0, np.inf, room)
            share = float(min(room.min(), 1.0))
            moved = np.clip(x[free] + share * step, low[free], high[free])
            if share < 1.0:
                hits = room <= share
                moved[hits] = np.where(step > 0.0, high[free], low[free])[hits]
                x[free] = moved
                places = np.flatnonzero(free)
                free[places[hits]] = False
                entered = -1
                continue
            x[free] = inner
        refused[:] = False if entered >= 0 or not free.any() else refused
        now = violation(A, b, low, high, x)
        best = Bounded(x.copy(), now) if now < best.violation else best
        slope = A.T @ (b - A @ x) / np.where(lengths > 0.0, lengths, 1.0)
        inward = np.where(x <= low, slope, np.where(x >= high, -slope, 0.0))
        inward[free | refused] = 0.0
        entered = int(np.argmax(inward))
        if now <= 1e-3 * TOLERANCE or inward[entered] <= 0.0:
            break
        free[entered] = True
    return best


def _held(A: Array, b: Array, low: Array, high: Array, x: Array) -> Bounded:
    """A library's answer where it meets the conditions, else that of the active-set method if it does better."""
    found = Bounded(x, violation(A, b, low, high, x))
    if found.ok:
        return found
    own = active_set(A, b, low, high)
    return own if own.violation < found.violation else found
