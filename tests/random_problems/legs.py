"""Random legs whose cost V is known in closed form, and ways to cut them off, for the error bars of paths.

The truth is taken in fifty digits from the numbers that the system is made of, so that its own rounding does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import mpmath as mp
import numpy as np

import qpot
from qpot.solvers.common import spending

from .prescribed import full_covariance, rotating_drift
from .problem import Array, BatchFunction

_DIGITS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Leg:
    """A path of known cost: from the attractor ``start`` (d,) to the saddle or point ``end`` (d,) of ``system``."""

    name: str
    drift: BatchFunction
    covariance: BatchFunction
    start: Array
    end: Array
    value: float

    @property
    def system(self) -> qpot.System:
        """The system as a user would pose it."""
        return qpot.System(drift=self.drift, covariance=self.covariance, dimension=self.start.size)

    def solved(self, *, budget: float | None = None, looks: int | None = None, **options: Any) -> qpot.PathSolution:
        """The path by `qpot.GeometricAction` with these options, within seconds or a number of looks at the clock."""
        with counted_clock(looks is not None):
            return qpot.minimum_action_path(
                self.system,
                self.start,
                self.end,
                method=qpot.GeometricAction(**options),
                budget=budget if looks is None else float(looks),
                throw=False,
            )


class _Ticks:
    """A clock that advances by one whenever it is read, so that the end of the time comes at the same step every time."""

    def __init__(self) -> None:
        self.now = 0.0

    def thread_time(self) -> float:
        self.now += 1.0
        return self.now


@contextmanager
def counted_clock(wanted: bool = True) -> Iterator[None]:
    """Within this block a budget is a number of looks at the clock."""
    with mock.patch.object(spending, "time", _Ticks()) if wanted else nullcontext():
        yield


def stationary(J: Array, a: Array) -> Any:
    """The matrix C of J C + C J^T + a = 0 in many digits."""
    d = len(J)
    big, right = mp.zeros(d * d), mp.zeros(d * d, 1)
    M, A = mp.matrix(J.tolist()), mp.matrix(a.tolist())
    for i in range(d):
        for j in range(d):
            right[i * d + j] = -A[i, j]
            for k in range(d):
                big[i * d + j, k * d + j] += M[i, k]
                big[i * d + j, i * d + k] += M[j, k]
    flat = mp.lu_solve(big, right)
    C = mp.matrix(d, d)
    for i in range(d):
        for j in range(d):
            C[i, j] = (flat[i * d + j] + flat[j * d + i]) / 2
    return C


def lyapunov_cost(J: Array, a: Array, x: Array) -> float:
    """x^T C^{-1} x / 2 with J C + C J^T + a = 0: the cost of the point x under the drift J x and the covariance a."""
    with mp.workdps(_DIGITS):
        y = mp.matrix(x.tolist())
        return float((y.T * mp.lu_solve(stationary(J, a), y))[0] / 2)


def linear(rng: np.random.Generator) -> Leg:
    """A linear drift in two to six dimensions, often strongly non-normal, to an ordinary point."""
    d = int(rng.integers(2, 7))
    upper = np.triu(rng.normal(size=(d, d)), 1) * np.exp(rng.uniform(-1.0, 2.5))
    J = upper - np.diag(np.exp(rng.uniform(-1.5, 1.5, size=d)))
    if rng.random() < 0.5:
        J[1, 0] -= np.exp(rng.uniform(0.0, 2.0))  # Two of the directions may turn.
    if np.linalg.eigvals(J).real.max() > -0.05:
        J -= (np.linalg.eigvals(J).real.max() + 0.3) * np.eye(d)
    B = rng.normal(size=(d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
    a = B @ B.T
    x = rng.normal(size=d)
    return _linear_leg("linear", J, a, x)


def _linear_leg(name: str, J: Array, a: Array, x: Array) -> Leg:
    """From the origin to x under the drift J z and the covariance a."""
    d = x.size
    return Leg(
        name=f"{name}, d = {d}",
        drift=lambda z: z @ J.T,
        covariance=lambda z: np.broadcast_to(a, (len(z), d, d)).copy(),
        start=np.zeros(d),
        end=x,
        value=lyapunov_cost(J, a, x),
    )


def _well(rng: np.random.Generator, d: int) -> tuple[float, float, Array, Array]:
    """Barrier h, tilt, stiffness k and bend c of U = h (x^2 - 1)^2 + tilt (x - x^3 / 3) + sum k (z - c x^2)^2 / 2."""
    h = float(rng.uniform(0.3, 2.0))
    k = np.exp(rng.uniform(-1.0, 2.0, size=d - 1))
    return h, float(rng.uniform(-0.2, 0.2)) * h, k, 0.7 * rng.normal(size=d - 1)


def _slope(u: Any, h: float, tilt: float, k: Array, bend: Array) -> Any:
    x, away = u[:, 0], u[:, 1:] - bend * u[:, :1] ** 2
    along = 4 * h * x * (x**2 - 1) + tilt * (1 - x**2) - (k * away) @ (2 * bend) * x
    return np.concatenate([along[:, None], k * away], axis=1)


def _height(u: Array, h: float, tilt: float, k: Array, bend: Array) -> Any:
    """U(u) - U(minimum) in many digits; the minimum is at x = -1 on the curved surface."""
    x = mp.mpf(float(u[0]))
    away = [mp.mpf(float(z)) - mp.mpf(float(c)) * x**2 for z, c in zip(u[1:], bend, strict=True)]
    H, T = mp.mpf(h), mp.mpf(tilt)
    bowl = sum(mp.mpf(float(s)) * r**2 / 2 for s, r in zip(k, away, strict=True))
    return H * (x**2 - 1) ** 2 + T * (x - x**3 / 3) + bowl + T * 2 / 3


def double_well(rng: np.random.Generator) -> Leg:
    """A bent double well under a constant covariance, in a linear change of coordinates, with a rotation: to its saddle."""
    d = int(rng.integers(2, 6))
    h, tilt, k, bend = _well(rng, d)
    S = rng.normal(size=(d, d))
    S = (S - S.T) * rng.uniform(0.0, 3.0)
    A = rng.normal(size=(d, d)) + 2 * np.eye(d)
    back = np.linalg.inv(A)

    def drift(z: Any) -> Any:
        g = _slope(z @ back.T, h, tilt, k, bend)
        return (g @ S.T - g) @ A.T

    low, top = tilt / (4 * h), -1.0
    saddle, minimum = A @ np.r_[low, bend * low**2], A @ np.r_[top, bend]
    with mp.workdps(_DIGITS):
        x = mp.mpf(tilt) / (4 * mp.mpf(h))
        value = 2 * (mp.mpf(h) * (x**2 - 1) ** 2 + mp.mpf(tilt) * (x - x**3 / 3) + mp.mpf(tilt) * 2 / 3)
    return Leg(
        name=f"double well, d = {d}",
        drift=drift,
        covariance=lambda z: np.broadcast_to(A @ A.T, (len(z), d, d)).copy(),
        start=minimum,
        end=saddle,
        value=float(value),
    )


def prescribed_leg(rng: np.random.Generator) -> Leg:
    """A bent double well under a full covariance that depends on the place, and a drift that is no gradient.

    The path leads to the saddle, or to an ordinary point of the well below it.
    """
    d = int(rng.integers(2, 7))
    h, tilt, k, bend = _well(rng, d)
    a = full_covariance(rng, d)
    S = rng.normal(size=(d, d))
    S = float(rng.uniform(0.0, 1.0)) * (S - S.T) / np.sqrt(d)
    drift = rotating_drift(lambda u: _slope(u, h, tilt, k, bend), a, S, rng.normal(size=d))
    x = tilt / (4 * h)
    end = np.r_[x, bend * x**2]
    with mp.workdps(_DIGITS):
        s = mp.mpf(tilt) / (4 * mp.mpf(h))
        value = mp.mpf(h) * (s**2 - 1) ** 2 + mp.mpf(tilt) * (s - s**3 / 3) + mp.mpf(tilt) * 2 / 3
        point = rng.random() < 0.4
        if point:
            # Within the well below the saddle every point is reached by a trajectory of the adjoint drift.
            x = float(rng.uniform(-1.3, 0.5 * end[0] - 0.5))
            end = np.r_[x, bend * x**2 + 0.3 * rng.normal(size=d - 1) / np.sqrt(k)]
            level = _height(end, h, tilt, k, bend)
            while level > 0.95 * value:
                end = 0.8 * end + 0.2 * np.r_[-1.0, bend]
                level = _height(end, h, tilt, k, bend)
            value = level
    return Leg(
        name=f"prescribed, d = {d}, to a {'point' if point else 'saddle'}",
        drift=drift,
        covariance=a,
        start=np.r_[-1.0, bend],
        end=end,
        value=float(value),
    )


def line(rng: np.random.Generator) -> Leg:
    """A double well on a line under noise that depends on the place: V = 2 h (x^2 - 1)^2 + tilt, of b = -a V' / 2."""
    h, tilt, _, _ = _well(rng, 1)
    c, w, phase = rng.uniform(0.0, 0.8), rng.uniform(0.5, 4.0), rng.uniform(0.0, 6.0)

    def noise(z: Any) -> Any:
        return 1.0 + c * np.sin(w * z + phase)

    with mp.workdps(_DIGITS):
        s = mp.mpf(tilt) / (4 * mp.mpf(h))
        value = mp.mpf(h) * (s**2 - 1) ** 2 + mp.mpf(tilt) * (s - s**3 / 3) + mp.mpf(tilt) * 2 / 3
    return Leg(
        name="line",
        drift=lambda z: -0.5 * noise(z) * (4 * h * z * (z**2 - 1) + tilt * (1 - z**2)),
        covariance=lambda z: noise(z)[:, :, None],
        start=np.array([-1.0]),
        end=np.array([tilt / (4 * h)]),
        value=float(value),
    )


def other_units_leg(rng: np.random.Generator) -> Leg:
    """One of the others in other units of each coordinate, of time and of the noise, scaled by powers of two.

    Powers of two leave the truth exact.
    """
    leg = LEGS[str(rng.choice(["linear", "double well", "prescribed leg", "line"]))](rng)
    d = leg.start.size
    scale = 2.0 ** rng.integers(-20, 21, size=d) if rng.random() < 0.5 else np.full(d, 2.0 ** rng.integers(-26, 27))
    time, noise = 2.0 ** rng.integers(-20, 21), 2.0 ** rng.integers(-36, 20)
    return replace(
        leg,
        name=f"{leg.name}, in other units",
        drift=lambda z: time * scale * leg.drift(z / scale),
        covariance=lambda z: noise * time * leg.covariance(z / scale) * scale[:, None] * scale,
        start=leg.start * scale,
        end=leg.end * scale,
        value=leg.value / noise,
    )


def momentum_leg(rng: np.random.Generator) -> Leg:
    """A linear chain of which only the last coordinate feels the noise, to a point: the covariance is singular."""
    d = int(rng.integers(2, 4))
    J = np.diag(np.exp(rng.uniform(-0.5, 0.5, size=d - 1)), 1)
    J[-1] = -np.exp(rng.uniform(-0.7, 0.7, size=d))
    J -= 0.3 * np.eye(d)
    rate = np.linalg.eigvals(J).real.max()
    if rate > -0.2:
        J -= (rate + 0.2) * np.eye(d)
    a = np.zeros((d, d))
    a[-1, -1] = np.exp(rng.uniform(-1.0, 1.0))
    x = rng.normal(size=d)
    return _linear_leg("momentum", J, a, x)


LEGS: Mapping[str, Callable[[np.random.Generator], Leg]] = {
    "linear": linear,
    "double well": double_well,
    "prescribed leg": prescribed_leg,
    "line": line,
    "other units": other_units_leg,
    "momentum": momentum_leg,
}


def draw_leg(kind: str, seed: int, number: int) -> Leg:
    """The leg with this number: the same for the same seed, whatever else is drawn."""
    return LEGS[kind](np.random.default_rng([seed, list(LEGS).index(kind), number]))


def random_cut(rng: np.random.Generator) -> dict[str, Any]:
    """Options under which most legs stop short: by the clock, the iterations, or the size of the mesh."""
    way = int(rng.integers(0, 4))
    if way == 0:
        return {"max_iterations": int(rng.integers(1, 20))}
    if way == 1:
        return {"looks": int(np.exp(rng.uniform(1.0, 6.5)))}
    if way == 2:
        return {"max_iterations": int(rng.integers(1, 60)), "max_elements": int(rng.integers(4, 9))}
    return {"max_elements": int(rng.integers(4, 12))}
