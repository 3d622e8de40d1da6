"""Descents of a loss from many starts, all together, so that one call of loss or gradient serves every start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import UNCOUNTED, njit

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
BatchFunction = Callable[[Array], Array]

# A step must gain this part of what the slope at its start promises.
_GAIN = 1e-4
# At its end the slope must be at most this part of the one at its start, so that the curvature along it is positive.
_FLATTER = 0.9
# Losses that differ by this part of their size may be equal, but for rounding.
_ROUNDING = 1e-12
# A direction is given up after so many trials.
_TRIALS = 25
# A descent is looked at after so many steps. It has come to a standstill if meanwhile neither the loss has fallen by this
# part of its size nor the least slope by a half.
_WINDOW, _STANDSTILL, _FLATTENED = 50, 1e-14, 0.8
# The steps that are remembered, and at most so many bytes for those of all starts.
_REMEMBERED, _BYTES = 30, 256e6
# A pair of a step and a change of slope is remembered if the cosine of their angle is at least this.
_CURVED = 1e-10
# A coordinate within this distance of a face, relative to its size, is on it.
_NEXT = 1e-14
# The product of such a pair must have an inverse.
_TINY = 1e-300


class Descents(NamedTuple):
    """Where descents have ended.

    Attributes
    ----------
    ends : array (n, d)
        The last point of every descent, whose loss is the lowest that it has met, but for rounding.
    at_rest : array (n,) of bool
        Whether the slope there is at most the tolerance.
    slopes : array (n,)
        The norm of the gradient at the ends; in a box, of the part that does not press against a face.
    losses : array (n,)
    calls : int
        The calls of the loss; those of the gradient are at most as many.
    points : int
        The points in all calls of the loss together.
    """

    ends: Array
    at_rest: NDArray[np.bool_]
    slopes: Array
    losses: Array
    calls: int
    points: int


def descend_together(
    loss: BatchFunction,
    gradient: BatchFunction,
    starts: Array,
    *,
    tolerance: float,
    lower: Array | None = None,
    upper: Array | None = None,
    most: int = 20_000,
) -> Descents:
    """Descend from every start until the gradient vanishes, by limited-memory BFGS steps of all starts at once.

    Each call evaluates one trial point for every descent that goes on; no descent waits for another. A step ends where loss
    and slope satisfy the weak Wolfe conditions, which bisection finds (A. S. Lewis, M. L. Overton, Math. Program. 141 (2013)
    135); the directions are those of J. Nocedal, Math. Comput. 35 (1980) 773. In a box, trial points are projected onto it,
    and coordinates that press against a face rest there.

    Parameters
    ----------
    loss, gradient : callable ``(m, d) -> (m,)``, ``(m, d) -> (m, d)``
        Trial points at which one of them is not finite are stepped back from; a start of that kind is its own end.
    starts : array (n, d)
        From tens to hundreds of starts, in up to some ten thousand dimensions.
    tolerance : float
        A descent is at rest where the norm of the gradient is at most this.
    lower, upper : array (d,), optional
        The corners of a box; infinity stands for no face.
    most : int
        Descents that go on after so many calls of the loss are given up.

    Returns
    -------
    Descents

    Notes
    -----
    A descent also ends, not at rest, where neither loss nor slope fall any more: at the level of rounding or at a kink.
    Ends are local minima or, exceptionally, saddles; in which basin of the flow a start lies is not what they say.
    """
    run = _Run(loss, gradient, starts, tolerance, lower, upper)
    while run.rows.size and run.calls < most:
        run.advance()
    return Descents(run.x, run.steepness <= tolerance, run.steepness, run.f, run.calls, run.points)


class _Run:
    """The states of all descents; ``rows`` are those that go on."""

    def __init__(
        self,
        loss: BatchFunction,
        gradient: BatchFunction,
        starts: Array,
        tolerance: float,
        lower: Array | None,
        upper: Array | None,
    ) -> None:
        n, d = starts.shape
        self.loss, self.gradient, self.tolerance = loss, gradient, tolerance
        self.lower = np.full(d, -np.inf) if lower is None else lower
        self.upper = np.full(d, np.inf) if upper is None else upper
        self.calls = self.points = 0
        m = int(np.clip(_BYTES / (16.0 * max(n * d, 1)), 3, _REMEMBERED))
        self.x = np.clip(starts, self.lower, self.upper)
        everything = np.arange(n)
        self.f = self._losses(everything, self.x)
        self.g, self.p = np.zeros((n, d)), np.zeros((n, d))
        self.steps, self.changes = np.zeros((n, m, d)), np.zeros((n, m, d))
        self.count, self.head = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.steepness, self.slope = np.full(n, np.inf), np.zeros(n)
        # The step length t is bracketed: that of ``low`` is short enough, and that of ``high`` is too long.
        self.t, self.low, self.high = np.zeros(n), np.zeros(n), np.full(n, np.inf)
        self.tried = np.zeros(n, dtype=np.int64)
        self.taken, self.marked_loss, self.marked = np.zeros(n, dtype=np.int64), self.f.copy(), np.full(n, np.inf)
        self.least = np.full(n, np.inf)
        rows = everything[np.isfinite(self.f)]
        if rows.size:
            self.g[rows] = gradient(self.x[rows])
        self.rows = rows[np.isfinite(self.g[rows]).all(axis=1)]
        self._set_out(self.rows)

    def advance(self) -> None:
        """Evaluate one trial of every descent, and take the steps whose trials are good enough."""
        rows = self.rows
        whole = self.x[rows] + self.t[rows, None] * self.p[rows]
        trial = self._projected(whole)
        at_face = (trial != whole).any(axis=1)
        step = trial - self.x[rows]
        f, expected = self._losses(rows, trial), np.einsum("ni,ni->n", self.g[rows], step)
        sure = f <= self.f[rows] + _GAIN * expected
        fits = sure | (f <= self.f[rows] + _ROUNDING * np.abs(self.f[rows]))
        g = np.full_like(trial, np.nan)
        if fits.any():
            g[fits] = self.gradient(trial[fits])
        fits &= np.isfinite(g).all(axis=1)
        known = np.where(fits[:, None], g, 0.0)
        # Where the losses are equal but for rounding, the slopes tell whether the step leads down.
        fits &= sure | (np.einsum("ni,ni->n", known, step) <= (2.0 * _GAIN - 1.0) * expected)
        turn = np.einsum("ni,ni->n", known, self.p[rows])
        self.tried[rows] += 1
        tired = self.tried[rows] >= _TRIALS
        good = fits & (at_face | (turn >= _FLATTER * self.slope[rows]) | tired)
        self._take(rows[good], trial[good], f[good], g[good])
        self._narrow(rows[~fits], expected[~fits], f[~fits])
        self._widen(rows[fits & ~good])
        failed = rows[~fits & tired]
        # The remembered steps may be to blame for a direction in which there is no step; the gradient is tried then.
        again = failed[self.count[failed] > 0]
        self.count[again] = 0
        lost = np.setdiff1d(failed, again)
        self.rows = np.setdiff1d(self.rows, lost)
        self._set_out(again)

    def _projected(self, x: Array) -> Array:
        """The nearest points of the box; what is next to a face, but for rounding, lies on it."""
        for face in (self.lower, self.upper):
            near = np.isfinite(face) & (np.abs(x - face) <= _NEXT * (1.0 + np.abs(x)))
            x = np.where(near, face, x)
        return np.clip(x, self.lower, self.upper)

    def _first_face(self, rows: Integers) -> Array:
        """The step lengths at which the descents come to a face that they were not on, infinite where there is none."""
        x, p = self.x[rows], self.p[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            lengths = np.where(p < 0.0, self.lower - x, self.upper - x) / p
        return np.asarray(np.where((p != 0.0) & (lengths > 0.0), lengths, np.inf).min(axis=1, initial=np.inf))

    def _losses(self, rows: Integers, x: Array) -> Array:
        """The losses, infinite where they are not finite."""
        self.calls, self.points = self.calls + 1, self.points + len(rows)
        values = np.asarray(self.loss(x), dtype=np.float64)
        return np.where(np.isfinite(values), values, np.inf)

    def _take(self, rows: Integers, x: Array, f: Array, g: Array) -> None:
        """Move on to new points, and remember the steps that have led there."""
        if not rows.size:
            return
        s, y = x - self.x[rows], g - self.g[rows]
        curvature = np.einsum("ni,ni->n", s, y)
        known = curvature > np.maximum(_CURVED * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1), _TINY)
        kept, m = rows[known], self.steps.shape[1]
        place = self.head[kept]
        self.steps[kept, place], self.changes[kept, place] = s[known], y[known]
        self.head[kept] = (place + 1) % m
        self.count[kept] = np.minimum(self.count[kept] + 1, m)
        self.x[rows], self.f[rows], self.g[rows] = x, f, g
        self.taken[rows] += 1
        self._set_out(rows)

    def _set_out(self, rows: Integers) -> None:
        """Choose directions from points at which descents have arrived, or end the descents there."""
        if not rows.size:
            return
        x, g = self.x[rows], self.g[rows]
        pressed = ((x <= self.lower) & (g > 0.0)) | ((x >= self.upper) & (g < 0.0))
        free = np.where(pressed, 0.0, g)
        self.steepness[rows] = np.linalg.norm(free, axis=1)
        self.least[rows] = np.minimum(self.least[rows], self.steepness[rows])
        over = (self.steepness[rows] <= self.tolerance) | self._standing(rows)
        if over.any():
            self.rows = np.setdiff1d(self.rows, rows[over])
            rows, free, pressed = rows[~over], free[~over], pressed[~over]
        p = -free
        kernel: Any = _turned
        m = self.steps.shape[1]
        kernel(rows, p, 1.0 - pressed, self.steps, self.changes, self.count, self.head, np.empty(m), np.empty(m))
        length = np.linalg.norm(p, axis=1)
        reach = 1.0 + np.linalg.norm(self.x[rows], axis=1)
        # Without remembered steps the scale is unknown, and a first step is at most one unit long.
        longest = np.where(self.count[rows] > 0, reach, 1.0)
        self.p[rows] = p * np.minimum(1.0, longest / np.maximum(length, 1e-300))[:, None]
        self.slope[rows] = np.einsum("ni,ni->n", free, self.p[rows])
        self.t[rows], self.low[rows], self.high[rows], self.tried[rows] = 1.0, 0.0, np.inf, 0

    def _standing(self, rows: Integers) -> NDArray[np.bool_]:
        """Which of the descents have neither lost height nor become flatter since they were last looked at."""
        due = rows[(self.taken[rows] > 0) & (self.taken[rows] % _WINDOW == 0)]
        fallen = self.marked_loss[due] - self.f[due] > _STANDSTILL * np.abs(self.f[due])
        standing = due[~fallen & (self.least[due] > _FLATTENED * self.marked[due])]
        self.marked_loss[due], self.marked[due] = self.f[due], self.least[due]
        return np.isin(rows, standing)

    def _narrow(self, rows: Integers, expected: Array, f: Array) -> None:
        """Shorten steps that were too long, to where a parabola through what is known has its minimum."""
        t, low = self.t[rows], self.low[rows]
        self.high[rows] = t
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            part = -0.5 * expected / (f - self.f[rows] - expected)
        part = np.where((low == 0.0) & np.isfinite(part), np.clip(part, 0.1, 0.5), 0.5)
        shorter = low + part * (t - low)
        # A projected step may lead up; a step to the first face, which needs no projection, is tried before shorter ones.
        face = self._first_face(rows)
        self.t[rows] = np.where((face > low) & (face < t), face, shorter)

    def _widen(self, rows: Integers) -> None:
        """Lengthen steps at whose ends the loss falls as steeply as before."""
        self.low[rows] = self.t[rows]
        high = self.high[rows]
        self.t[rows] = np.where(np.isfinite(high), 0.5 * (self.low[rows] + high), 2.0 * self.low[rows])


@njit(**UNCOUNTED)
def _turned(rows, p, free, steps, changes, count, head, weights, inverse):  # type: ignore[no-untyped-def]
    """Turn minus the gradients ``p`` (k, d) of some rows into quasi-Newton directions, in place.

    Only coordinates at which ``free`` (k, d) is one take part, in which ``p`` must be zero elsewhere.
    """
    m, d = steps.shape[1], p.shape[1]
    for k in range(rows.size):
        r = rows[k]
        scale = 0.0
        for back in range(count[r]):
            q = (head[r] - 1 - back) % m
            along, curvature, size, length = 0.0, 0.0, 0.0, 0.0
            for i in range(d):
                s, y = steps[r, q, i] * free[k, i], changes[r, q, i] * free[k, i]
                along += s * p[k, i]
                curvature += s * y
                size += y * y
                length += s * s
            # A pair that says nothing about the free coordinates is left out.
            known = curvature > _CURVED * math.sqrt(size * length) and curvature > _TINY
            inverse[q] = 1.0 / curvature if known else 0.0
            weights[q] = along * inverse[q]
            if known and scale == 0.0:
                scale = curvature / size
            for i in range(d):
                p[k, i] -= weights[q] * changes[r, q, i] * free[k, i]
        if scale > 0.0:
            for i in range(d):
                p[k, i] *= scale
        for back in range(count[r] - 1, -1, -1):
            q = (head[r] - 1 - back) % m
            total = 0.0
            for i in range(d):
                total += changes[r, q, i] * p[k, i]
            share = weights[q] - total * inverse[q]
            for i in range(d):
                p[k, i] += share * steps[r, q, i] * free[k, i]
