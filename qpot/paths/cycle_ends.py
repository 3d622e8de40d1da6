"""The ends of legs that touch limit cycles: where shots start, what is left to pay at the target, surfaces for free ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from qpot._core.arrays import Array
from qpot.landscape.flow import slow_rate
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.boundary_surfaces import Surface
from qpot.problem.system import System
from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.paths.cycle_tube import CycleTube, cycle_tube

# A tube lies beside its cycle at this part of the orbit's extent, by the order of its first error, or further where the path
# would wind too often.
_BESIDE = {3: 2e-3, 4: 5e-3}
# The coordinate of a tube is bent by this part at most.
_BENT = 0.1
# Turns that a path may take from a tenth of the extent to the tube.
_TURNS = 3.0
# Shots from a point start at this part of the distance to the target, and the way to there from the point takes this many of
# the slowest relaxation times.
_OFF, _PATIENCE = 0.005, 4.0
# Points of that way.
_KNOTS = 60


class TubeSurface(Surface):
    """The points beside a cycle at which the quadratic coordinate is ``height``, on one side if it has sides."""

    def __init__(self, tube: CycleTube, height: float, side: float) -> None:
        self.tube, self.height, self.side = tube, height, side
        self.origin = tube.orbit(tube.orbit.x[:-1:16]).mean(axis=0)

    @property
    def rest(self) -> float:
        """The cost between the cycle and the surface."""
        return 0.5 * self.height**2

    def value(self, x: Array) -> Array:
        """The coordinate beside the cycle, less that of the surface."""
        c = self.tube.coordinates(x)
        return np.asarray((self.side * c[:, 0] if self.tube.one_sided else np.linalg.norm(c, axis=1)) - self.height)

    def normal(self, x: Array) -> Array:
        """Its gradient at one point."""
        return np.asarray(self._normals(x[None])[0])

    def curvature(self, x: Array) -> Array:
        """Its Hessian at one point, by differences of the gradient."""
        return self._derivative(self._normals, x)

    def _normals(self, x: Array) -> Array:
        return self._both(x)[1]

    def _both(self, x: Array) -> tuple[Array, Array]:
        """Values (n,) and gradients (n, d) at points (n, d), which share the feet."""
        c, slopes = self.tube.slopes(x)
        if self.tube.one_sided:
            return np.asarray(self.side * c[:, 0] - self.height), np.asarray(self.side * slopes[:, 0])
        length = np.linalg.norm(c, axis=1)
        return np.asarray(length - self.height), np.asarray(np.einsum("nr,nri->ni", c, slopes) / length[:, None])

    def value_and_normal(self, x: Array) -> tuple[float, Array]:
        """Value and gradient (d,) at one point (d,)."""
        values, normals = self._both(x[None])
        return float(values[0]), np.asarray(normals[0])


@dataclass(frozen=True, eq=False)
class CycleEnd:
    """A limit cycle as an end of a leg."""

    cycle: LimitCycle
    tube: CycleTube

    @classmethod
    def of(cls, system: System, cycle: LimitCycle) -> CycleEnd | None:
        """The end at a cycle; None where it has no tube."""
        f = system.unchecked
        tube = cycle_tube(f.drift, f.jacobian, f.covariance, cycle.points, cycle.period, stable=cycle.stable)
        return None if tube is None else cls(cycle, tube)

    @property
    def extent(self) -> float:
        """The largest extent of the orbit along a coordinate."""
        return float(np.ptp(self.cycle.points, axis=0).max())

    def height(self) -> float:
        """The coordinate of the tube's nearer surface."""
        tube = self.tube
        beside = self.extent * max(_BESIDE[tube.order], 0.1 * float(np.exp(-_TURNS * tube.growth)))
        stiffness = np.linalg.svd(tube.factors(tube.factors.x[:-1:16]), compute_uv=False)
        rank = 1 if tube.one_sided else stiffness.shape[1] - 1
        stiff = float(stiffness[:, rank - 1].min())
        if tube.bends is None:
            return beside * stiff
        bent = float(np.abs(tube.bends.c[-1]).max())
        return max(min(beside * stiff, _BENT / max(bent, 1e-300)), _BESIDE[3] * self.extent * stiff)

    def rate(self) -> float:
        """The rate at which distances grow or shrink."""
        return self.tube.growth / self.tube.period


@dataclass(frozen=True, eq=False)
class PointEnd:
    """A point of rest as an end of a leg: a minimum at the start, a saddle at the end."""

    point: Array
    slow: float
    # For a minimum: the inverse of the stationary covariance, and the generator of the optimal ways out.
    metric: Array
    outwards: Array
    # For a saddle: the row that reads off the unstable coordinate in units of the noise that is to come.
    row: Array

    @classmethod
    def minimum(cls, system: System, state: Minimum) -> PointEnd:
        """The end at a minimum, from where a leg starts."""
        J, a = _linear(system, state.point)
        metric = np.asarray(np.linalg.inv(stationary_covariance(J, a)), dtype=np.float64)
        return cls(
            state.point,
            slow_rate(system, state.point, name="start"),
            metric,
            J + a @ metric,
            np.zeros(state.point.size),
        )

    @classmethod
    def saddle(cls, system: System, saddle: Saddle) -> PointEnd:
        """The end at a saddle, to which a leg leads."""
        J, a = _linear(system, saddle.point)
        rates, rows = np.linalg.eig(J.T)
        k = int(rates.real.argmax())
        row = rows[:, k].real
        noise = float(row @ a @ row) / (2.0 * float(rates[k].real))
        empty = np.zeros((0, 0))
        return cls(
            saddle.point,
            slow_rate(system, saddle.point, name="saddle"),
            empty,
            empty,
            row / np.sqrt(max(noise, 1e-300)),
        )

    def way_to(self, x: Array) -> tuple[Array, Array]:
        """Times (n,) and points (n, d) of the optimal way of the linear system from a minimum to a point beside it."""
        times = np.linspace(-_PATIENCE / self.slow, 0.0, _KNOTS)
        ways = np.array([expm(self.outwards * t) @ (x - self.point) for t in times])
        return times - times[0] + 1.0 / self.slow, self.point + ways


def _linear(system: System, point: Array) -> tuple[Array, Array]:
    return system.unchecked.jacobian(point[None])[0], system.unchecked.covariance(point[None])[0]


def starts_of(
    end: CycleEnd | PointEnd, parameters: Array, size: float, height: float, side: float
) -> tuple[Array, Array]:
    """Positions and momenta (m, d) beside a start, for parameters (m, k) between 0 and 1.

    Beside a cycle the first parameter is the phase; where the tube has several coordinates the others are a direction, and
    where it has one the ``side`` is its sign.
    """
    if isinstance(end, CycleEnd):
        times = parameters[:, 0] * end.tube.period
        if end.tube.one_sided:
            x = end.tube.beside(times, np.full((len(times), 1), height * side))
        else:
            offset = _directions(parameters[:, 1:], len(end.cycle.point))
            velocity = end.tube.orbit(times, 1)
            share = np.einsum("ni,ni->n", offset, velocity) / (velocity**2).sum(axis=1)
            offset = offset - share[:, None] * velocity
            length = np.linalg.norm(np.einsum("nri,ni->nr", end.tube.factors(times), offset), axis=1)
            x = end.tube.orbit(times) + (height / np.maximum(length, 1e-300))[:, None] * offset
        return x, end.tube.momenta(x)
    offset = _directions(parameters, len(end.point))
    # Starts are spread over the level set of V; a quadratic cost has the same momentum at any distance.
    offset = offset @ np.linalg.inv(np.linalg.cholesky(end.metric))
    offset *= _OFF * size / np.linalg.norm(offset, axis=1).max()
    return end.point + offset, offset @ end.metric


def _directions(parameters: Array, d: int) -> Array:
    """Directions (m, d) for parameters (m, d - 1) or more between 0 and 1, all of them covered."""
    if d == 2:
        angle = 2.0 * np.pi * parameters[:, 0]
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    from scipy.special import ndtri

    normal = ndtri(np.clip(parameters[:, :d], 1e-6, 1.0 - 1e-6))
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))
