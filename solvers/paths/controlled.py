"""The cheapest control that leads from an attractor to the edge of its basin, by forward and backward sweeps in time.

With noise a = sigma sigma^T of any rank, x' = b(x) + sigma(x) u costs 1/2 int |u|^2 dt. No inverse of a is needed, and in the
space of the controls the Hessian of the cost differs from the identity by a compact operator only, so that few sweeps
suffice in any dimension. The end lies on the plane through the saddle across its unstable direction, to which the edge of
the basin is tangent there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.spending import spent
from qpot.solvers.landscape.chebyshev_flow import _coefficients

Array = NDArray[np.float64]

# Status: the decrease that the model still promises is below the tolerance.
CONVERGED = 0
# Status: the sweeps or the time ran out.
UNFINISHED = 1
# Status: no control was found that reaches the plane.
NOT_REACHED = 2
# So many pairs of differences make the approximation of the inverse Hessian.
_PAIRS = 12
# The distance from the plane is brought below this part of the whole way; what is left is corrected to first order.
_ON_PLANE = 1e-3
# Most trials of a root search, and of a step.
_ROOTS, _HALVINGS = 7, 8
# A step is at most this part of the controls long at first, and a step along the gradient is scaled to it.
_LONGEST = 0.3
# A step that leads off the plane by more than this part of the whole way is too long.
_OFF = 0.5


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
        The distance of the end from the plane, positive beyond it.
    """

    steps: Array
    controls: Array
    stages: list[Array]
    end: Array
    side: float

    @property
    def cost(self) -> float:
        """1/2 int |u|^2 dt."""
        return 0.5 * float(self.steps @ (self.controls**2).sum(axis=1))

    @property
    def points(self) -> Array:
        """The points between the steps, (n + 1, d)."""
        return np.concatenate([[stages[0] for stages in self.stages], self.end[None]])


@dataclass(frozen=True, eq=False)
class Best:
    """What `cheapest` found.

    Attributes
    ----------
    run : Run
    cost : float
        The cost, corrected for the distance from the plane.
    decrement : float
        The decrease that the model promised last.
    momenta : array (n + 1, d)
        The momenta between the steps.
    sweeps, status : int
    """

    run: Run
    cost: float
    decrement: float
    momenta: Array
    sweeps: int
    status: int


def _count(h: float, fastest: float) -> int:
    return max(2, 1 + int(np.sqrt(1.0 + 1.54 * h * fastest)))


def run(motion: Controlled, start: Array, steps: Array, controls: Array, saddle: Array, outwards: Array) -> Run:
    """The motion from ``start``, by one step of the second-order Runge-Kutta-Chebyshev method for each control."""
    stages, x = [], start
    for h, u in zip(steps, controls, strict=True):
        s = _count(float(h), motion.fastest)
        first, others = _coefficients(s)
        Y = np.empty((s, x.size))
        Y[0] = x
        f0 = motion.velocity(x, u)
        before, y = x, x + first * h * f0
        for j, (mu, nu, mu_f, gamma) in enumerate(others, start=1):
            Y[j] = y
            f = motion.velocity(y, u)
            before, y = y, (1.0 - mu - nu) * x + mu * y + nu * before + h * (mu_f * f + gamma * f0)
        stages.append(Y)
        x = y
    return Run(steps, controls, stages, x, float((x - saddle) @ outwards))


def sensitivity(motion: Controlled, run: Run, outwards: Array) -> tuple[Array, Array]:
    """The derivatives of ``run.side``: in the controls, per unit of time (n, r), and in the points (n + 1, d)."""
    n = run.steps.size
    p = outwards
    momenta = np.empty((n + 1, p.size))
    momenta[n] = p
    slopes = np.empty_like(run.controls)
    for k in range(n - 1, -1, -1):
        h, u, Y = float(run.steps[k]), run.controls[k], run.stages[k]
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


def cheapest(
    motion: Controlled,
    start: Array,
    steps: Array,
    controls: Array,
    saddle: Array,
    outwards: Array,
    *,
    tolerance: float,
    most: int,
    on_sweep: Callable[[int, float], None] | None = None,
) -> Best | None:
    """The control of least cost among those that end on the plane, from the given one; None if that cannot be scaled to it.

    Parameters
    ----------
    steps : array (n,)
    controls : array (n, r)
    saddle, outwards : array (d,)
        The plane, by a point and the unit vector across it that points away from the start.
    tolerance : float
        The search ends where the model promises a smaller relative decrease.
    most : int
        Most backward sweeps.

    Notes
    -----
    Sequential quadratic programming with one constraint and limited-memory updates of the Lagrangian's Hessian (J. Nocedal
    and S. Wright, Numerical Optimization, 2006, ch. 18), in the metric int u.w dt.
    """
    close = _ON_PLANE * abs(float((start - saddle) @ outwards))

    def moved(u: Array) -> Run:
        return run(motion, start, steps, u, saddle, outwards)

    def dot(u: Array, w: Array) -> float:
        return float(steps @ (u * w).sum(axis=1))

    now = _scaled(moved, controls, close)
    if now is None:
        return None
    slope, momenta = sensitivity(motion, now, outwards)
    pairs: deque[tuple[Array, Array, float]] = deque(maxlen=_PAIRS)
    sweeps, status, decrement, radius = 1, UNFINISHED, np.inf, _LONGEST
    while True:
        norm = dot(slope, slope)
        multiplier = dot(now.controls, slope) / norm
        gradient = now.controls - multiplier * slope
        value = now.cost - multiplier * now.side
        if on_sweep is not None:
            on_sweep(sweeps, value)
        step = -_inverse(pairs, gradient, dot)
        step -= (dot(step, slope) / norm) * slope
        decrement = -0.5 * dot(step, gradient)
        if decrement <= 0.0:
            pairs.clear()
            step, decrement = -gradient, 0.5 * dot(gradient, gradient)
        if decrement <= tolerance * value:
            status = CONVERGED
            break
        if sweeps >= most or spent():
            break
        trial, length = None, min(1.0, radius * np.sqrt(2.0 * now.cost / dot(step, step)))
        for _ in range(_HALVINGS):
            tried = _restored(moved, now.controls + length * step, slope, norm, close)
            if tried is not None and tried.cost - multiplier * tried.side < value - 1e-3 * length * decrement:
                trial = tried
                break
            length *= 0.4
        if trial is None:
            if not pairs:
                break
            pairs.clear()
            continue
        size = length * np.sqrt(dot(step, step) / (2.0 * now.cost))
        radius = min(2.0 * size, _LONGEST) if length < 1.0 else min(max(radius, 2.0 * size), _LONGEST)
        new_slope, momenta = sensitivity(motion, trial, outwards)
        sweeps += 1
        new_multiplier = dot(trial.controls, new_slope) / dot(new_slope, new_slope)
        s = trial.controls - now.controls
        y = s - new_multiplier * (new_slope - slope)
        if dot(s, y) > 1e-3 * dot(s, s):
            pairs.append((s, y, dot(s, y)))
        now, slope = trial, new_slope
    return Best(now, value, decrement, multiplier * momenta, sweeps, status)


def leads_to(motion: Controlled, start: Array, steps: Array, controls: Array, saddle: Array, outwards: Array) -> bool:
    """Whether a multiple of the controls ends on the plane, and not far from the saddle."""
    close = _ON_PLANE * abs(float((start - saddle) @ outwards))
    found = _scaled(lambda u: run(motion, start, steps, u, saddle, outwards), controls, close)
    return found is not None and float(np.linalg.norm(found.end - saddle)) < _OFF * float(
        np.linalg.norm(start - saddle)
    )


def _inverse(pairs: deque[tuple[Array, Array, float]], gradient: Array, dot: Callable[[Array, Array], float]) -> Array:
    """The limited-memory inverse Hessian times the gradient (Nocedal and Wright, algorithm 7.4)."""
    q, weights = gradient.copy(), []
    for s, y, sy in reversed(pairs):
        weights.append(dot(s, q) / sy)
        q -= weights[-1] * y
    if pairs:
        _, y, sy = pairs[-1]
        q *= min(sy / dot(y, y), 1.0)
    for (s, y, sy), weight in zip(pairs, reversed(weights), strict=True):
        q += (weight - dot(y, q) / sy) * s
    return q


def _scaled(moved: Callable[[Array], Run], controls: Array, close: float) -> Run | None:
    """The run under a multiple of the controls that ends on the plane."""
    low, high, found = 0.0, None, None
    strength = 1.0
    for _ in range(8 * _ROOTS):
        found = moved(strength * controls)
        if not np.isfinite(found.side):
            high = strength
        elif abs(found.side) <= close:
            return found
        elif found.side > 0.0:
            high = strength
        else:
            low = strength
        if high is None and strength > 1e12:
            return None
        strength = 2.0 * strength if high is None else 0.5 * (low + high)
        if high is not None and high - low < 1e-7 * high:
            break
    return None


def _restored(moved: Callable[[Array], Run], controls: Array, slope: Array, norm: float, close: float) -> Run | None:
    """The run under the controls plus a multiple of the slope that ends on the plane, by the secant method."""
    at, rate = 0.0, norm
    first: tuple[float, float] | None = None
    for _ in range(_ROOTS):
        found = moved(controls + at * slope)
        if not abs(found.side) <= _OFF / _ON_PLANE * close:
            return None
        if abs(found.side) <= close:
            return found
        if first is not None and at != first[0]:
            secant = (found.side - first[1]) / (at - first[0])
            rate = secant if secant > 0.1 * norm else norm
        first = (at, found.side)
        at -= found.side / rate
    return None
