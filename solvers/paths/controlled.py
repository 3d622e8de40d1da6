"""The cheapest control that leads from an attractor to the edge of its basin, by forward and backward sweeps in time.

With noise a = sigma sigma^T of any rank, x' = b(x) + sigma(x) u costs 1/2 int |u|^2 dt. No inverse of a is needed, and in the
space of the controls the Hessian of the cost differs from the identity by a compact operator only, so that few sweeps
suffice in any dimension. The end lies on the plane through the saddle across its unstable direction, to which the edge of
the basin is tangent there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from qpot.solvers.common.spending import spent
from qpot.solvers.paths.controlled_motion import Edge, Run, faced, run, sensitivity

Array = NDArray[np.float64]

# Status: the decrease that the model still promises is below the tolerance.
CONVERGED = 0
# Status: the sweeps or the time ran out.
UNFINISHED = 1
# So many pairs of differences make the approximation of the inverse Hessian.
_PAIRS = 40
# A small promise counts once so many pairs of differences are known, or where it is smaller still by this factor.
_KNOWN, _TINY = 3, 0.01
# The distance from the plane is brought below this part of the whole way; what is left is corrected to first order.
_ON_PLANE = 1e-3
# Most trials of a root search, and of a step.
_ROOTS, _HALVINGS = 7, 8
# Most trials of multiples of controls, and the largest multiple.
_SCALINGS, _SCALE = 30, 8.0
# Most steps towards the plane, each with a new slope, and the shortest part of one.
_RESTORATIONS, _SHORTEST = 12, 1e-2
# A step is at most this part of the controls long at first, and a step along the gradient is scaled to it.
_LONGEST = 0.3
# A step that leads off the plane by more than this part of the whole way is too long.
_OFF = 0.5
# Controls that lead farther from the saddle than this part of the whole way cross the edge of the basin elsewhere.
NEAR = 0.3


Pairs = Sequence[tuple[Array, Array]]


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
    pairs : sequence of (array (n, r), array (n, r))
        Differences of controls, and of the Lagrangian's gradients.
    edge : Edge
        The edge, with its place and normal where the run meets it.
    """

    run: Run
    cost: float
    decrement: float
    momenta: Array
    sweeps: int
    status: int
    pairs: Pairs
    edge: Edge


def cheapest(
    edge: Edge,
    steps: Array,
    controls: Array,
    *,
    tolerance: float,
    most: int,
    known: Pairs = (),
    on_sweep: Callable[[int, float], None] | None = None,
) -> Best | None:
    """The control of least cost among those that end on the plane, from the given one; None if that cannot be led there.

    Parameters
    ----------
    edge : Edge
    steps : array (n,)
    controls : array (n, r)
    tolerance : float
        The search ends where the model promises a smaller relative decrease.
    most : int
        Most backward sweeps.
    known : sequence of (array (n, r), array (n, r))
        The pairs of a search on steps of which these are parts.

    Notes
    -----
    Sequential quadratic programming with one constraint and limited-memory updates of the Lagrangian's Hessian (J. Nocedal
    and S. Wright, Numerical Optimization, 2006, ch. 18), in the metric int u.w dt.
    """

    def dot(u: Array, w: Array) -> float:
        return float(steps @ (u * w).sum(axis=1))

    now, sweeps = _near_edge(edge, steps, controls)
    if now is None or edge.off(now.last) > 2.0 * NEAR:
        return None
    edge, now = faced(edge, now)
    close = _ON_PLANE * edge.depth
    slope, momenta = sensitivity(edge, now)
    pairs = deque(((s, y, dot(s, y)) for s, y in known), maxlen=_PAIRS)
    sweeps, status, radius = sweeps + 1, UNFINISHED, _LONGEST
    while True:
        norm = dot(slope, slope)
        multiplier = dot(now.controls, slope) / norm
        gradient = now.controls - multiplier * slope
        value = _led(now, multiplier, norm)
        if on_sweep is not None:
            on_sweep(sweeps, value)
        step = -_inverse(pairs, gradient, dot)
        step -= (dot(step, slope) / norm) * slope
        decrement = -0.5 * dot(step, gradient)
        if decrement <= 0.0:
            pairs.clear()
            step, decrement = -gradient, 0.5 * dot(gradient, gradient)
        if decrement <= tolerance * value * (1.0 if len(pairs) >= _KNOWN else _TINY):
            status = CONVERGED
            break
        if sweeps >= most or spent():
            break
        # The step to the edge, and as much of the other one as can be trusted. The side is far from linear, and
        # motions that end off the edge lead the search astray.
        home = (-now.side / norm) * slope
        trial, length = None, min(1.0, radius * np.sqrt(2.0 * now.cost / dot(step, step)))
        for _ in range(_HALVINGS):
            tried = _corrected(edge, run(edge, steps, now.controls + home + length * step), slope, norm, close)
            if (
                tried is not None
                and edge.off(tried.last) <= max(NEAR, edge.off(now.last))
                and _led(tried, multiplier, norm) < value - 1e-3 * length * decrement
            ):
                trial = tried
                break
            length *= 0.4
        if trial is None:
            if not pairs:
                # Rounding, and what is left to the plane, hide so small a decrease.
                status = CONVERGED if decrement <= tolerance * value else UNFINISHED
                break
            pairs.clear()
            continue
        size = length * np.sqrt(dot(step, step) / (2.0 * now.cost))
        radius = min(2.0 * size, _LONGEST) if length < 1.0 else min(max(radius, 2.0 * size), _LONGEST)
        edge, trial = faced(edge, trial)
        new_slope, momenta = sensitivity(edge, trial)
        sweeps += 1
        new_multiplier = dot(trial.controls, new_slope) / dot(new_slope, new_slope)
        s = trial.controls - now.controls
        y = s - new_multiplier * (new_slope - slope)
        if dot(s, y) > 1e-3 * dot(s, s):
            pairs.append((s, y, dot(s, y)))
        now, slope = trial, new_slope
    return Best(now, value, decrement, multiplier * momenta, sweeps, status, [(s, y) for s, y, _ in pairs], edge)


def _near_edge(edge: Edge, steps: Array, controls: Array) -> tuple[Run | None, int]:
    """The run under the controls, led to the edge if it ends far from it, and the number of backward sweeps."""
    now = run(edge, steps, controls)
    if abs(now.side) <= _ON_PLANE * edge.depth and edge.off(now.last) <= NEAR:
        return now, 0
    led = scaled(edge, steps, controls)
    return (led, 0) if led is not None else restored(edge, steps, controls)


def _led(found: Run, multiplier: float, norm: float) -> float:
    """The cost of the run when it is led to the edge by a multiple of the slope, as a linear motion would be."""
    return found.cost - multiplier * found.side + 0.5 * found.side**2 / norm


def scaled(edge: Edge, steps: Array, controls: Array) -> Run | None:
    """The run under a multiple of the controls that ends on the plane, beside the saddle."""
    close, tried = _ON_PLANE * edge.depth, list[Run]()

    def side(strength: float) -> float:
        tried.append(run(edge, steps, strength * controls))
        # A motion that is not finite has gone too far, and one that is close enough is taken for a root.
        last = tried[-1].side
        return 0.0 if abs(last) <= close else float(np.nan_to_num(last, nan=edge.depth, posinf=edge.depth))

    low, high, at_low = 1.0, 1.0, side(1.0)
    at_high = at_low
    while at_low > 0.0 and low > 1.0 / _SCALE:
        high, at_high, low = low, at_low, 0.5 * low
        at_low = side(low)
    while at_high < 0.0 and high < _SCALE:
        low, at_low, high = high, at_high, 2.0 * high
        at_high = side(high)
    if at_low < 0.0 < at_high:
        brentq(side, low, high, xtol=1e-12, rtol=1e-11, maxiter=_SCALINGS, disp=False)
    found = min(tried, key=lambda r: abs(r.side) if np.isfinite(r.side) else np.inf)
    return found if abs(found.side) <= close and edge.off(found.last) <= NEAR else None


def restored(edge: Edge, steps: Array, controls: Array) -> tuple[Run | None, int]:
    """The run under controls near the given ones that ends on the plane, or None, and the number of backward sweeps.

    Every step is the smallest one, in the metric int u.u dt, that leads to the plane to first order.
    """
    close = _ON_PLANE * edge.depth
    now = run(edge, steps, controls)
    for sweep in range(_RESTORATIONS + 1):
        if abs(now.side) <= close:
            return now, sweep
        if sweep == _RESTORATIONS or not np.isfinite(now.side) or spent():
            break
        edge, now = faced(edge, now)
        slope, _ = sensitivity(edge, now)
        norm = float(steps @ (slope**2).sum(axis=1))
        if not 0.0 < norm < np.inf:
            break
        length, tried = 1.0, None
        while length >= _SHORTEST:
            tried = run(edge, steps, now.controls - (length * now.side / norm) * slope)
            if abs(tried.side) <= (1.0 - 0.1 * length) * abs(now.side):
                break
            length *= 0.5
        if tried is None or not abs(tried.side) < abs(now.side):
            break
        now = tried
    return None, sweep


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


def _corrected(edge: Edge, found: Run, slope: Array, norm: float, near: float) -> Run | None:
    """The run under the controls plus a multiple of the slope that ends as near the edge, by the secant method."""
    at, rate = 0.0, norm
    controls = found.controls
    first: tuple[float, float] | None = None
    for _ in range(_ROOTS):
        if not abs(found.side) <= _OFF * edge.depth:
            return None
        if abs(found.side) <= near:
            return found
        if first is not None and at != first[0]:
            secant = (found.side - first[1]) / (at - first[0])
            rate = secant if secant > 0.1 * norm else norm
        first = (at, found.side)
        at -= found.side / rate
        found = run(edge, found.steps, controls + at * slope)
    return None
