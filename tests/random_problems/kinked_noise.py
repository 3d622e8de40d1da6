"""Kinks under noise that is anisotropic or depends on the place, in two to five dimensions.

``aligned``: a loss that is a sum of kinked functions of turned coordinates, each under a noise of its own, so that V is a sum
of integrals. ``level``: any kinked loss under the noise f(loss) times the identity, so that V is an integral over levels.
``prescribed``: V itself is kinked and b = -a grad V / 2 with a full covariance; the system has no loss. Sliding along the
bottom of a kink costs what V climbs, as long as the drift points to the kink from both sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize

from .prescribed import full_covariance
from .problem import Array, BatchFunction, Problem, random_turn


@dataclass(frozen=True, eq=False)
class _Profile:
    """A piecewise linear function of one variable whose knots, minima and maxima in turn, are kinks or rounded off."""

    knots: Array
    start: float
    slopes: Array
    rounding: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, minima: int) -> _Profile:
        n = 2 * minima - 1
        knots = np.cumsum(rng.uniform(0.5, 1.0, size=n))
        heights = np.where(np.arange(n) % 2 == 0, rng.uniform(0.0, 0.6, n), rng.uniform(0.8, 1.5, n))
        outer = rng.uniform(0.7, 2.0, size=2)
        slopes = np.r_[-outer[0], np.diff(heights) / np.diff(knots), outer[1]]
        rounding = np.where(rng.random(n) < 0.6, 0.0, rng.uniform(0.05, 0.2, size=n))
        return cls(knots - knots.mean(), float(heights[0]), slopes, rounding)

    def value(self, u: Any) -> Any:
        y = self.start + self.slopes[0] * (u - self.knots[0])
        for knot, jump, w in zip(self.knots, np.diff(self.slopes), self.rounding, strict=True):
            t = u - knot
            bent = np.maximum(t, 0.0)
            if w > 0:
                bent = np.where(np.abs(t) < w, (t + w) ** 2 / (4 * w), bent)
            y = y + jump * bent
        return y

    def slope(self, u: Any) -> Any:
        y = np.full_like(u, self.slopes[0])
        for knot, jump, w in zip(self.knots, np.diff(self.slopes), self.rounding, strict=True):
            t = u - knot
            y = y + jump * (np.heaviside(t, 0.5) if w == 0 else np.clip((t + w) / (2 * w), 0.0, 1.0))
        return y

    @property
    def rests(self) -> Array:
        """The minima and maxima: at the knots where they are kinks, beside them where they are round."""
        low, high = self.slopes[:-1], self.slopes[1:]
        return np.asarray(
            np.where(self.rounding == 0, self.knots, self.knots - self.rounding * (low + high) / (high - low))
        )

    @property
    def sort(self) -> str:
        return ", ".join("kink" if w == 0 else "round" for w in self.rounding)


def climbs(levels: Array) -> Array:
    """V between the minima, which come first and then every second, of levels along a line."""
    n = (len(levels) + 1) // 2
    costs = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            way = levels[2 * i : 2 * j + 1] if i <= j else levels[2 * j : 2 * i + 1][::-1]
            costs[i, j] = np.maximum(np.diff(way), 0.0).sum()
    return costs


def _aligned(rng: np.random.Generator) -> Problem:
    d = int(rng.choice([2, 2, 3, 4, 5]))
    profile = _Profile.draw(rng, int(rng.integers(2, 4)))
    k = rng.uniform(0.5, 2.0, size=d - 1)
    absolute = rng.random(d - 1) < 0.6
    c = np.exp(rng.uniform(-1.0, 1.0, size=d))
    wave = rng.uniform(0.2, 0.6, size=d) * (rng.random() < 0.6)
    w, phase = rng.uniform(0.5, 2.0, size=d), rng.uniform(0.0, 6.0, size=d)
    Q = random_turn(rng, d)

    def noise(u: Any) -> Any:
        return c * (1 + wave * np.sin(w * u + phase))

    def loss(x: Any) -> Any:
        u = x @ Q
        return profile.value(u[:, 0]) + np.where(absolute, np.abs(u[:, 1:]), 0.5 * u[:, 1:] ** 2) @ k

    def gradient(x: Any) -> Any:
        u = x @ Q
        force = k * np.where(absolute, np.sign(u[:, 1:]), u[:, 1:])
        return np.concatenate([profile.slope(u[:, :1]), force], axis=1) @ Q.T

    def integral(low: float, high: float) -> float:
        edges = np.concatenate([profile.knots - profile.rounding, profile.knots + profile.rounding])
        inside = sorted({low, high, *(float(e) for e in edges if min(low, high) < e < max(low, high))})

        def integrand(u: float) -> float:
            return float(2 * profile.slope(np.array([u]))[0] / (c[0] * (1 + wave[0] * np.sin(w[0] * u + phase[0]))))

        return float(sum(quad(integrand, p, q, epsabs=1e-13, epsrel=1e-12)[0] for p, q in itertools.pairwise(inside)))

    rests = profile.rests
    table = np.linspace(rests[0] - 2.0, rests[-1] + 2.0, 200001)
    rates = 2 * profile.slope(table) / noise(np.stack([table] + [0 * table] * (d - 1), axis=1))[:, 0]
    heights = np.r_[0.0, np.cumsum(0.5 * (rates[1:] + rates[:-1]) * np.diff(table))]
    levels = np.r_[0.0, np.cumsum([integral(p, q) for p, q in itertools.pairwise(rests)])]
    minima = np.zeros((len(rests[::2]), d))
    minima[:, 0] = rests[::2]
    points = minima @ Q.T
    low, high = points.min(axis=0) - 0.8, points.max(axis=0) + 0.8
    return Problem(
        name=f"aligned, d = {d}: {profile.sort}; {absolute.sum()} kinks across; {'waves' if wave.any() else 'constant'}",
        drift=lambda x: -gradient(x),
        covariance=lambda x: (Q * noise(x @ Q)[:, None, :]) @ Q.T,
        loss=loss,
        gradient=gradient,
        bounds=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        minima=points,
        costs=climbs(levels),
        # Points off the line are ranked by the first coordinate alone: every minimum lies on it.
        potential=lambda x: np.interp((x @ Q)[:, 0], table, heights),
    )


@dataclass(frozen=True, eq=False)
class _Landscape:
    """A kinked function with its gradient, its minima (k, d), and the passes (i, j, level) between them."""

    name: str
    value: BatchFunction
    gradient: BatchFunction
    minima: Array
    levels: Array
    costs: Callable[[Callable[[float], float]], Array]


def _valley(rng: np.random.Generator, d: int) -> _Landscape:
    """A profile along a line, and across it |.| or a bowl around a bent valley."""
    profile = _Profile.draw(rng, int(rng.integers(2, 4)))
    k, bend = rng.uniform(0.5, 2.0, size=d - 1), rng.uniform(-0.4, 0.4, size=d - 1)
    absolute = rng.random(d - 1) < 0.6

    def value(x: Any) -> Any:
        away = x[:, 1:] - bend * x[:, :1]
        return profile.value(x[:, 0]) + np.where(absolute, np.abs(away), 0.5 * away**2) @ k

    def gradient(x: Any) -> Any:
        away = x[:, 1:] - bend * x[:, :1]
        force = k * np.where(absolute, np.sign(away), away)
        return np.concatenate([(profile.slope(x[:, 0]) - force @ bend)[:, None], force], axis=1)

    rests = profile.rests
    minima = np.stack([np.r_[u, bend * u] for u in rests[::2]])
    levels = profile.value(rests)

    def costs(height: Callable[[float], float]) -> Array:
        return climbs(np.array([height(float(z)) for z in levels]))

    name = f"valley, {profile.sort}; {absolute.sum()} kinks across"
    return _Landscape(name, value, gradient, minima, profile.value(rests[::2]), costs)


def _two_bowls(rng: np.random.Generator, d: int) -> _Landscape:
    """The lower of two bowls, cones or both: the pass lies on the kink between them, the tips of cones are kinks."""
    for _ in range(200):
        m = rng.normal(size=(2, d))
        m *= rng.uniform(0.8, 1.3) / np.linalg.norm(m[0] - m[1])
        B = np.stack([np.eye(d) + 0.35 * rng.normal(size=(d, d)) for _ in range(2)])
        h, cone = rng.uniform(0.0, 0.3, size=2), rng.random(2) < 0.5
        strength = rng.uniform(1.0, 2.5, size=2)

        def bowl(
            x: Any, i: int, m: Array = m, B: Array = B, h: Array = h, cone: Any = cone, s: Array = strength
        ) -> Any:
            y = (x - m[i]) @ B[i].T
            r2 = (y**2).sum(axis=-1)
            return h[i] + (np.sqrt(r2) if cone[i] else s[i] * r2)

        def slope(x: Any, i: int, m: Array = m, B: Array = B, cone: Any = cone, s: Array = strength) -> Any:
            y = (x - m[i]) @ B[i].T
            if not cone[i]:
                return 2 * s[i] * y @ B[i]
            r = np.linalg.norm(y, axis=-1, keepdims=True)
            return np.where(r > 0, y / np.where(r > 0, r, 1.0), 0.0) @ B[i]

        # Each bowl must be the lower one at its own bottom, with room to spare.
        if bowl(m[0], 1) < h[0] + 0.3 or bowl(m[1], 0) < h[1] + 0.3:
            continue
        level = _lowest_meeting(bowl, slope, m)
        if not np.isfinite(level) or level < max(h) + 0.15:
            continue

        def value(x: Any, bowl: Any = bowl) -> Any:
            return np.minimum(bowl(x, 0), bowl(x, 1))

        def gradient(x: Any, bowl: Any = bowl, slope: Any = slope) -> Any:
            return np.where((bowl(x, 0) <= bowl(x, 1))[:, None], slope(x, 0), slope(x, 1))

        def costs(height: Callable[[float], float], h: Array = h, level: float = level) -> Array:
            return climbs(np.array([height(float(h[0])), height(level), height(float(h[1]))]))

        sort = " and ".join("cone" if z else "bowl" for z in cone)
        return _Landscape(f"two bowls, {sort}", value, gradient, m, h, costs)
    raise RuntimeError("no two bowls were drawn")


def _lowest_meeting(bowl: Any, slope: Any, m: Array) -> float:
    """The least level at which the sublevel sets of two convex bowls meet: the minimum of the higher of the two."""
    d = m.shape[1]
    best = np.inf
    for share in (0.3, 0.5, 0.7):
        start = np.r_[m[0] + share * (m[1] - m[0]), 3.0]
        found = minimize(
            lambda z: z[-1],
            start,
            jac=lambda z: np.r_[np.zeros(d), 1.0],
            method="SLSQP",
            constraints=[
                {
                    "type": "ineq",
                    "fun": lambda z, i=i: z[-1] - bowl(z[:-1], i),
                    "jac": lambda z, i=i: np.r_[-slope(z[:-1], i), 1.0],
                }
                for i in (0, 1)
            ],
            options={"ftol": 1e-15, "maxiter": 500},
        )
        x = found.x[:-1]
        # The dual bound: a mean of the bowls with the weights of the gradients has its minimum there.
        g0, g1 = slope(x, 0), slope(x, 1)
        s = float(np.linalg.norm(g1) / (np.linalg.norm(g0) + np.linalg.norm(g1)))
        tilted = np.linalg.norm(s * g0 + (1 - s) * g1)
        top = max(float(bowl(x, 0)), float(bowl(x, 1)))
        if found.success and tilted < 1e-6 and abs(float(bowl(x, 0) - bowl(x, 1))) < 1e-9:
            best = min(best, top)
    return best


def _level(rng: np.random.Generator) -> Problem:
    d = int(rng.choice([2, 2, 3, 4]))
    land = (_valley if rng.random() < 0.5 else _two_bowls)(rng, d)
    c0, c1, power = rng.uniform(0.2, 1.0), rng.uniform(0.3, 2.0), rng.uniform(0.7, 2.0)
    Q = random_turn(rng, d)

    def f(z: Any) -> Any:
        return c0 + c1 * np.maximum(z, 0.0) ** power

    def height(z: float) -> float:
        return float(quad(lambda y: 2.0 / f(y), 0.0, z, epsabs=1e-13, epsrel=1e-12)[0])

    table = np.linspace(-0.1, 12.0, 200001)
    heights = np.r_[0.0, np.cumsum(0.5 * (2 / f(table[1:]) + 2 / f(table[:-1])) * np.diff(table))]
    points = land.minima @ Q.T
    low, high = points.min(axis=0) - 0.8, points.max(axis=0) + 0.8
    return Problem(
        name=f"level, d = {d}: {land.name}",
        drift=lambda x: -land.gradient(x @ Q) @ Q.T,
        covariance=lambda x: f(land.value(x @ Q))[:, None, None] * np.eye(d),
        loss=lambda x: land.value(x @ Q),
        gradient=lambda x: land.gradient(x @ Q) @ Q.T,
        bounds=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        minima=points,
        costs=land.costs(height),
        potential=lambda x: np.interp(land.value(x @ Q), table, heights),
    )


def _prescribed(rng: np.random.Generator) -> Problem:
    d = int(rng.choice([2, 2, 3, 4]))
    land = (_valley if rng.random() < 0.5 else _two_bowls)(rng, d)
    B = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    constant = B @ B.T
    varying = full_covariance(rng, d)
    a: BatchFunction = varying
    if rng.random() < 0.5:
        a = lambda x: np.broadcast_to(constant, (len(x), d, d)).copy()  # noqa: E731
    low, high = land.minima.min(axis=0) - 0.8, land.minima.max(axis=0) + 0.8
    return Problem(
        name=f"prescribed, d = {d}: {land.name}, {'varying' if a is varying else 'constant'} covariance",
        drift=lambda x: -0.5 * np.einsum("nij,nj->ni", a(x), land.gradient(x)),
        covariance=a,
        bounds=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        minima=land.minima,
        costs=land.costs(lambda z: z),
        potential=land.value,
    )


def kinked_noise(rng: np.random.Generator) -> Problem:
    """One of the three."""
    return [_aligned, _level, _prescribed][int(rng.integers(0, 3))](rng)
