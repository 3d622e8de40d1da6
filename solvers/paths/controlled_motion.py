"""Motions under controls that are constant on steps in time, and on which side of a basin's edge they end.

A motion ends on the plane through a saddle across its unstable direction, to which the edge of the basin is tangent there.
Where the stable directions are slow, it may cross the edge far from the saddle, and a free motion, the tail, carries it on:
the distance from the edge is then how far the end has to be moved for its tail to end on the plane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.landscape.chebyshev_flow import _coefficients, stage_count

Array = NDArray[np.float64]

# Most tails that are followed for one end. One linear step does the rest from where a tail ends off the plane by the first
# part of the way and the step is no longer than the second one.
_TAILS, _LINEAR, _SHORT = 12, 0.2, 3e-3
# A tail begins with steps of so many unstable times in all, and grows to so many.
_TAIL = (2, 10)
# A step of that search is at most this part of the start's distance from the plane.
_FARTHEST = 0.5


class Controlled(NamedTuple):
    """A motion x' = b + sigma u through functions of one point.

    Attributes
    ----------
    velocity : callable (d,), (r,) -> (d,)
        b(x) + sigma(x) u.
    pulled : callable (d,), (r,), (d,) -> (d,)
        The transposed Jacobian of the velocity in x, times a vector.
    along : callable (n, d), (n, d) -> (n, r)
        sigma(x)^T p at many points.
    fastest : float
        A bound of the rates, real or nearly so.
    """

    velocity: Callable[[Array, Array], Array]
    pulled: Callable[[Array, Array, Array], Array]
    along: Callable[[Array, Array], Array]
    fastest: float


class Tail(NamedTuple):
    """The free motion that follows, and where the edge is known to be.

    Attributes
    ----------
    steps : array (m,)
        Its steps in time.
    foot : array (d,)
        A point near the edge.
    normal : array (d,)
        The unit vector across the edge there, outwards.
    gain : float
        By how much a move along it is enlarged at the tail's end.
    """

    steps: Array
    foot: Array
    normal: Array
    gain: float


class Edge(NamedTuple):
    """A motion from an attractor to the edge of its basin at a saddle.

    Attributes
    ----------
    motion : Controlled
    start, saddle : array (d,)
    outwards : array (d,)
        The unit vector across the plane through the saddle that points away from the start.
    unstable : float
        The unstable rate at the saddle.
    push : array (n, d) or None
        A velocity that is added on every step at no cost.
    tail : Tail or None
        None where the plane stands for the edge.
    """

    motion: Controlled
    start: Array
    saddle: Array
    outwards: Array
    unstable: float
    push: Array | None = None
    tail: Tail | None = None

    @property
    def depth(self) -> float:
        """The distance of the start from the plane."""
        return abs(float((self.start - self.saddle) @ self.outwards))

    def off(self, point: Array) -> float:
        """The distance of a point from the saddle, as part of that of the start."""
        return float(np.linalg.norm(point - self.saddle) / np.linalg.norm(self.start - self.saddle))


@dataclass(frozen=True, eq=False)
class Run:
    """A motion under controls that are constant on every step.

    Attributes
    ----------
    steps : array (n,)
        The lengths of the steps.
    controls : array (n, r)
    stages : list of array (s, d)
        The points at which the velocity was taken within each step; the first is the step's start.
    end : array (d,)
    side : float
        The distance of the end from the edge, positive beyond it.
    foot : array (d,)
        The point of the edge from which it was measured.
    last : array (d,)
        Where the tail from there ends.
    """

    steps: Array
    controls: Array
    stages: list[Array]
    end: Array
    side: float
    foot: Array
    last: Array

    @property
    def cost(self) -> float:
        """1/2 int |u|^2 dt."""
        return 0.5 * float(self.steps @ (self.controls**2).sum(axis=1))

    @property
    def points(self) -> Array:
        """The points between the steps, (n + 1, d)."""
        return np.concatenate([[stages[0] for stages in self.stages], self.end[None]])


def moved(
    motion: Controlled, x: Array, steps: Array, controls: Array, push: Array | None = None
) -> tuple[list[Array], Array]:
    """The stages and the end of a motion from x, by one second-order Runge-Kutta-Chebyshev step for each control."""
    stages = []
    for k, (h, u) in enumerate(zip(steps, controls, strict=True)):
        added = 0.0 if push is None else push[k]
        s = stage_count(float(h), motion.fastest)
        first, others = _coefficients(s)
        Y = np.empty((s, x.size))
        Y[0] = x
        f0 = motion.velocity(x, u) + added
        before, y = x, x + first * h * f0
        for j, (mu, nu, mu_f, gamma) in enumerate(others, start=1):
            Y[j] = y
            f = motion.velocity(y, u) + added
            before, y = y, (1.0 - mu - nu) * x + mu * y + nu * before + h * (mu_f * f + gamma * f0)
        stages.append(Y)
        x = y
    return stages, x


def pulled_back(
    motion: Controlled, steps: Array, controls: Array, stages: list[Array], p: Array
) -> tuple[Array, Array]:
    """The derivatives of p.end: in the controls, per unit of time (n, r), and in the points (n + 1, d)."""
    n = steps.size
    momenta = np.empty((n + 1, p.size))
    momenta[n] = p
    slopes = np.empty_like(controls)
    for k in range(n - 1, -1, -1):
        h, u, Y = float(steps[k]), controls[k], stages[k]
        s = Y.shape[0]
        first, others = _coefficients(s)
        weights = np.empty_like(Y)
        at_start, at_first = np.zeros_like(p), np.zeros_like(p)
        last, before = p, np.zeros_like(p)  # The derivatives in y_j and in y_{j - 1}, as far as they are known.
        for j in range(s - 1, 0, -1):
            mu, nu, mu_f, gamma = others[j - 1]
            weights[j] = h * mu_f * last
            at_start += (1.0 - mu - nu) * last
            at_first += h * gamma * last
            new = before + mu * last + motion.pulled(Y[j], u, weights[j])
            before = nu * last
            last = new
        # What is left belongs to y_1, and to y_0 through the second stage.
        at_first += first * h * last
        weights[0] = at_first
        p = at_start + last + before + motion.pulled(Y[0], u, at_first)
        momenta[k] = p
        slopes[k] = motion.along(Y, weights).sum(axis=0) / h
    return slopes, momenta


def run(edge: Edge, steps: Array, controls: Array) -> Run:
    """The motion from the start, and on which side of the edge it ends."""
    stages, end = moved(edge.motion, edge.start, steps, controls, edge.push)
    side, foot, last = _side(edge, end, controls.shape[1])
    return Run(steps, controls, stages, end, side, foot, last)


def sensitivity(edge: Edge, found: Run) -> tuple[Array, Array]:
    """The derivatives of ``found.side``: in the controls, per unit of time (n, r), and in the points (n + 1, d)."""
    normal = edge.outwards if edge.tail is None else edge.tail.normal
    return pulled_back(edge.motion, found.steps, found.controls, found.stages, normal)


def faced(edge: Edge, found: Run) -> tuple[Edge, Run]:
    """The edge with its place and normal where a run meets it, and the run with its distance along that normal."""
    tail = edge.tail
    if tail is None:
        return edge, found
    quiet = np.zeros((tail.steps.size, found.controls.shape[1]))
    stages, _ = moved(edge.motion, found.foot, tail.steps, quiet)
    p = pulled_back(edge.motion, tail.steps, quiet, stages, edge.outwards)[1][0]
    gain = float(np.linalg.norm(p))
    side = found.side * float(p @ tail.normal) / gain
    return edge._replace(tail=Tail(tail.steps, found.foot, p / gain, gain)), replace(found, side=side)


def with_tail(edge: Edge, found: Run) -> Edge | None:
    """The edge with a tail, or a longer one, for motions that end too far from the saddle; None if it is long enough."""
    tail, step = edge.tail, np.ones(1) / edge.unstable
    if tail is None:
        steps = np.repeat(step, _TAIL[0])
        return edge._replace(
            tail=Tail(steps, found.end - found.side * edge.outwards, edge.outwards, float(np.exp(_TAIL[0])))
        )
    if tail.steps.size >= _TAIL[1]:
        return None
    return edge._replace(tail=tail._replace(steps=np.append(tail.steps, step), gain=np.e * tail.gain))


def _side(edge: Edge, end: Array, r: int) -> tuple[float, Array, Array]:
    """The distance from the edge, its foot, and where the tail from the foot ends, under r controls that are zero."""
    tail = edge.tail
    if tail is None:
        return float((end - edge.saddle) @ edge.outwards), end, end
    if not np.isfinite(end).all():
        return np.nan, end, end
    quiet = np.zeros((tail.steps.size, r))
    depth = edge.depth
    at, slope = -float((end - tail.foot) @ tail.normal), tail.gain
    low, high = -np.inf, np.inf  # Moves whose tails end within the basin, and beyond its edge.
    before: tuple[float, float] | None = None
    best = (np.inf, at, end)
    for _ in range(_TAILS):
        last = moved(edge.motion, end + at * tail.normal, tail.steps, quiet)[1]
        value = float((last - edge.saddle) @ edge.outwards)
        value = float(np.nan_to_num(value, nan=depth, posinf=depth, neginf=-depth))
        if abs(value) < best[0]:
            best = (abs(value), at, last)
        if value == 0.0:
            break
        low, high = (max(low, at), high) if value < 0.0 else (low, min(high, at))
        if before is not None and at != before[0]:
            secant = (value - before[1]) / (at - before[0])
            slope = secant if secant > 0.0 else slope
        before = (at, value)
        new = at - float(np.clip(value / slope, -_FARTHEST * depth, _FARTHEST * depth))
        if abs(value) <= min(_LINEAR, _SHORT * slope) * depth:
            best = (abs(value), new, last)
            break
        inside = low + 0.05 * (high - low) < new < high - 0.05 * (high - low)
        at = new if inside or not np.isfinite(high - low) else 0.5 * (low + high)
    _, at, last = best
    return -at, end + at * tail.normal, last
