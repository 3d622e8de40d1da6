"""Unstable limit cycles in the plane: their orbit, and what it costs to come to them from close by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import OdeSolution, solve_ivp
from scipy.interpolate import CubicSpline

Array = NDArray[np.float64]
Field = Callable[[Array], Array]

# Relative accuracy of the orbit.
_RELATIVE = 1e-11
# Points on the orbit.
_POINTS = 2048
# Turns that the flow backwards may take to come close to the cycle, and secant steps from there.
_TURNS = 40
_SECANTS = 12
# A return map has converged where it moves the radius by less than this fraction.
_CLOSED = 1e-10
# Newton steps to the foot of a point on the cycle.
_FEET = 8


@dataclass(frozen=True, eq=False)
class PlanarCycle:
    """A periodic orbit that repels, with the cost of arriving at it.

    Attributes
    ----------
    orbit : CubicSpline
        Points (2,) as a periodic function of the flow's time.
    stiffness : CubicSpline
        K(t) > 0: from the distance delta beside the orbit at the time t, K delta^2 / 2 is the cheapest way on to it.
    period : float
    growth : float
        The logarithm of the factor by which distances from the cycle grow in one period.
    """

    orbit: CubicSpline
    stiffness: CubicSpline
    period: float
    growth: float

    def feet(self, x: Array) -> tuple[Array, Array]:
        """Times (n,) of the nearest points of the orbit to points (n, 2), and the distances (n,), negative inside."""
        times = np.linspace(0.0, self.period, _POINTS // 8, endpoint=False)
        points = self.orbit(times)
        t = times[((x[:, None] - points) ** 2).sum(axis=2).argmin(axis=1)]
        for _ in range(_FEET):
            offset, v, w = x - self.orbit(t), self.orbit(t, 1), self.orbit(t, 2)
            slope = (offset * w).sum(axis=1) - (v**2).sum(axis=1)
            step = (offset * v).sum(axis=1) / np.where(slope < 0.0, slope, -(v**2).sum(axis=1))
            t = t - np.clip(step, -0.02 * self.period, 0.02 * self.period)
        offset, v = x - self.orbit(t), self.orbit(t, 1)
        side = (offset[:, 0] * v[:, 1] - offset[:, 1] * v[:, 0]) * self._orientation()
        return t, np.sign(side) * np.linalg.norm(offset, axis=1)

    def _orientation(self) -> float:
        """1 where the orbit turns counterclockwise, -1 else."""
        t = np.linspace(0.0, self.period, 257)
        x, v = self.orbit(t), self.orbit(t, 1)
        return float(np.sign(np.trapezoid(x[:, 0] * v[:, 1] - x[:, 1] * v[:, 0], t)))


def unstable_cycle(
    drift: Field, jacobian: Field, covariance: Field, centre: Array, edge: Array, patience: float
) -> PlanarCycle | None:
    """The repelling cycle around ``centre`` (2,) to which the flow backwards leads from the point ``edge`` (2,).

    None means that it leads elsewhere. ``patience`` is the longest time for one turn.
    """
    direction = (edge - centre) / np.linalg.norm(edge - centre)

    def turn(radius: float) -> tuple[float, float, OdeSolution] | None:
        """The radius after one turn backwards, its time, and the way."""

        def field(_: float, state: Array) -> Array:
            offset = state[:2] - centre
            b = -drift(state[None, :2])[0]
            angle = (offset[0] * b[1] - offset[1] * b[0]) / max(float(offset @ offset), 1e-300)
            return np.array([*b, angle])

        def closed(_: float, state: Array) -> float:
            return float(abs(state[2]) - 2.0 * np.pi)

        closed.terminal = True  # type: ignore[attr-defined]  # This is how scipy is told.
        way = solve_ivp(
            field,
            (0.0, patience),
            np.array([*(centre + radius * direction), 0.0]),
            method="DOP853",
            rtol=_RELATIVE,
            atol=_RELATIVE * radius,
            events=closed,
            dense_output=True,
        )
        if way.status != 1:
            return None
        return float(np.linalg.norm(way.y[:2, -1] - centre)), float(way.t[-1]), way.sol

    radius = _closed_radius(turn, float(np.linalg.norm(edge - centre)))
    closing = None if radius is None else turn(radius)
    if closing is None:
        return None
    _, period, way = closing
    times = np.linspace(0.0, period, _POINTS + 1)
    points = way(period - times)[:2].T
    points[-1] = points[0]
    orbit = CubicSpline(times, points, bc_type="periodic")
    velocity = drift(points)
    normals = np.stack([velocity[:, 1], -velocity[:, 0]], axis=1) / np.linalg.norm(velocity, axis=1, keepdims=True)
    rates = np.einsum("ni,nij,nj->n", normals, jacobian(points), normals)
    noise = np.einsum("ni,nij,nj->n", normals, covariance(points), normals)
    steps = np.diff(times)
    grown = 0.5 * (rates[1:] + rates[:-1]) * steps
    growth = float(grown.sum())
    if not (growth > 0.0 and (noise > 0.0).all()):
        return None
    inverse = _periodic(np.exp(-2.0 * grown), noise, steps)
    return PlanarCycle(orbit, CubicSpline(times, 1.0 / inverse, bc_type="periodic"), period, growth)


def _closed_radius(turn: Callable[[float], tuple[float, float, OdeSolution] | None], radius: float) -> float | None:
    """The radius to which a turn backwards returns: turns until they contract, then secant steps."""
    before: tuple[float, float] | None = None
    for n in range(_TURNS + _SECANTS):
        after = turn(radius)
        if after is None:
            return None
        gap = after[0] - radius
        if abs(gap) <= _CLOSED * radius:
            return after[0]
        following = after[0]
        if before is not None and n >= 2 and abs(gap) < 0.1 * radius:
            slope = (gap - before[1]) / (radius - before[0])
            if slope < 0.0:
                following = radius - gap / slope
        before, radius = (radius, gap), following
    return None


def _periodic(decay: Array, noise: Array, steps: Array) -> Array:
    """The periodic solution (n + 1,) of M' = 2 lambda M - a, marched backwards, in which direction it is stable."""
    pieces = 0.5 * steps * (noise[:-1] + decay * noise[1:])
    factor, gathered = 1.0, 0.0
    for k in range(len(steps) - 1, -1, -1):
        gathered = decay[k] * gathered + pieces[k]
        factor *= decay[k]
    M = np.empty(len(steps) + 1)
    M[-1] = gathered / (1.0 - factor)
    for k in range(len(steps) - 1, -1, -1):
        M[k] = decay[k] * M[k + 1] + pieces[k]
    M[-1] = M[0]
    return M
