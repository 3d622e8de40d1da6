"""Paths that the noise itself can follow: the motion under a given momentum, aimed at the edge of a basin.

The motion x' = b(x) + s a(x) p(t) is feasible whatever the rank of a, and costs s^2 / 2 int p.a(x) p dt. With the momenta p
of a path that was found under other noise, and a strength s at which the motion just crosses the edge of the basin, that
cost bounds the least one from above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.polyline import interpolated
from qpot.solvers.common.spending import spent

Array = NDArray[np.float64]
Product = Callable[[Array, Array], Array]

# Steps of the Runge-Kutta method of fourth order within the fastest rate's time.
_PER_RATE = 4.0
# The free motion after the last momentum is followed for so many times of the slowest rate at the end.
_FREE = 12.0
# A motion that comes farther from the start than so many times the way has run away.
_AWAY = 100.0
# It has left the end by its side once it is farther from it than this many times where it came closest.
_LEFT = 3.0
# The strengths that are tried until one crosses the edge, and those below one until it does not; ...
_GROWTH, _FALL = (1.003, 1.03, 1.1, 1.3, 2.0, 4.0), (0.997, 0.97, 0.9, 0.7, 0.3)
# ... then the least one is searched for to this fraction.
_STRENGTH = 2e-5


class Steered(NamedTuple):
    """A motion under a given momentum.

    Attributes
    ----------
    points : array (n, d)
    times : array (n,)
    cost : float
    side : float
        Positive where it crosses the edge of the basin and leaves on the other side of the end.
    closest : float
        How close it comes to the end.
    """

    points: Array
    times: Array
    cost: float
    side: float
    closest: float


def steered(
    drift: Callable[[Array], Array],
    covariance: Product,
    times: Array,
    momenta: Array,
    start: Array,
    end: Array,
    outwards: Array,
    *,
    strength: float,
    fastest: float,
    slowest: float,
) -> Steered:
    """The motion from ``start`` with the momenta ``strength`` times those given at ``times``, linear in between.

    Parameters
    ----------
    outwards : array (d,)
        A unit vector at the end, a saddle, that points across the edge of the basin.
    fastest, slowest : float
        Bounds of the rates: the first sets the time step, the second how long the free motion is followed.
    """
    span = float(times[-1] - times[0])
    steps = max(64, int(np.ceil(_PER_RATE * fastest * span)))
    h = span / steps
    x, cost = start[None].copy(), 0.0
    far = _AWAY * float(np.linalg.norm(end - start))
    points, clock = [start], [float(times[0])]

    def velocity(t: float, y: Array) -> tuple[Array, float]:
        p = strength * interpolated(times, momenta, np.array([min(max(t, times[0]), times[-1])]))
        push = covariance(y, p)
        return drift(y) + push, 0.5 * float((p * push).sum())

    for k in range(steps):
        t = float(times[0]) + k * h
        k1, c1 = velocity(t, x)
        k2, c2 = velocity(t + 0.5 * h, x + 0.5 * h * k1)
        k3, c3 = velocity(t + 0.5 * h, x + 0.5 * h * k2)
        k4, c4 = velocity(t + h, x + h * k3)
        x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        cost += h / 6.0 * (c1 + 2.0 * c2 + 2.0 * c3 + c4)
        points.append(x[0])
        clock.append(t + h)
        # Where strong noise carries it away, steps of this length soon mean nothing.
        if not np.isfinite(cost) or not np.linalg.norm(x[0] - start) <= far or spent():
            return Steered(np.array(points), np.array(clock), np.inf, -1.0, np.inf)
    closest = float(np.linalg.norm(np.array(points) - end, axis=1).min())
    h = 1.0 / (_PER_RATE * fastest)
    for _ in range(int(np.ceil(_FREE / (slowest * h)))):
        k1 = drift(x)
        k2 = drift(x + 0.5 * h * k1)
        k3 = drift(x + 0.5 * h * k2)
        x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + drift(x + h * k3))
        away = float(np.linalg.norm(x[0] - end))
        closest = min(closest, away)
        if not away <= far:
            return Steered(np.array(points), np.array(clock), np.inf, -1.0, np.inf)
        if away > _LEFT * closest and abs(float((x[0] - end) @ outwards)) > 0.5 * away:
            break
    return Steered(np.array(points), np.array(clock), cost, float((x[0] - end) @ outwards), closest)


def crossing(motion: Callable[[float], Steered], *, near: float) -> Steered | None:
    """The motion of least strength that was found to cross the edge; None where none did.

    Parameters
    ----------
    motion : callable
        The motion of a given strength.
    near : float
        A motion that does not come as close to the end as this crosses the edge elsewhere, and does not count.
    """
    best: Steered | None = None
    low = high = 1.0
    for growth in _GROWTH:
        found = motion(high)
        if found.side > 0.0 and np.isfinite(found.cost):
            best = found
            break
        low, high = high, growth
    if best is None:
        return None
    if low == high:  # The given strength suffices, and may be more than is needed.
        for fall in _FALL:
            low = fall
            found = motion(low)
            if not (found.side > 0.0 and np.isfinite(found.cost)):
                break
            best, high = found, low
    while high - low > _STRENGTH * high and not spent():
        middle = 0.5 * (low + high)
        found = motion(middle)
        if found.side > 0.0 and np.isfinite(found.cost):
            best, high = found, middle
        else:
            low = middle
    return best if best.closest <= near else None
