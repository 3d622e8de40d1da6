"""Sums of one-dimensional wells with another noise on each axis, turned; and the same problems in other units."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.legendre import leggauss

from .prescribed import prescribed
from .problem import Array, Problem, in_other_units, random_turn
from .wells import wells


@dataclass(frozen=True)
class Axis:
    """A loss in one variable with the critical points ``rests``, minima first, and the noise c (1 + e tanh x)."""

    rests: Array
    slope: Polynomial
    noise: float
    trend: float

    def a(self, x: Any) -> Any:
        return self.noise * (1 + self.trend * np.tanh(x))

    def potential(self, x: float) -> float:
        """The integral of 2 slope / a from the first rest to x."""
        nodes, weights = leggauss(80)
        middle, half = 0.5 * (x + self.rests[0]), 0.5 * (x - self.rests[0])
        y = middle + half * nodes
        return float(half * weights @ (2 * self.slope(y) / self.a(y)))


def random_axis(rng: np.random.Generator, wells_here: int) -> Axis:
    """An axis with one, two or three wells, whose rests are at least 0.5 apart."""
    gaps = rng.uniform(0.5, 1.1, size=2 * wells_here - 2)
    rests = np.concatenate([[0.0], np.cumsum(gaps)])
    rests -= rests.mean() + rng.uniform(-0.2, 0.2)
    slope = Polynomial.fromroots(rests)
    if wells_here > 1:  # A typical barrier is of order one in every case.
        climbs = np.abs(np.diff(slope.integ()(rests)))
        slope = slope * (rng.uniform(0.3, 1.0) / climbs.max())
    trend = 0.0 if rng.random() < 0.5 else float(rng.uniform(-0.6, 0.6))
    return Axis(rests, slope, float(np.exp(rng.uniform(-1, 1))), trend)


def separable(rng: np.random.Generator) -> Problem:
    """One to four axes with two to six minima in all; turned in half of the cases."""
    d = int(rng.choice([1, 1, 2, 2, 2, 3, 4]))
    for _ in range(100):
        counts = rng.choice([1, 2, 3], size=d)
        if 2 <= counts.prod() <= (3 if d == 1 else 6):
            break
    else:
        counts = np.ones(d, dtype=int)
        counts[0] = 2
    axes = [random_axis(rng, int(n)) for n in counts]
    levels = [np.array([axis.potential(x) for x in axis.rests]) for axis in axes]
    sites = np.array(list(itertools.product(*[range(n) for n in counts])))
    minima = np.array([[axis.rests[2 * n] for axis, n in zip(axes, site, strict=True)] for site in sites])
    costs = np.array(
        [[sum(climb(level, a, b) for level, a, b in zip(levels, i, j, strict=True)) for j in sites] for i in sites]
    )
    constant_noise = all(axis.trend == 0.0 for axis in axes)

    def loss(x: Any) -> Any:
        return np.sum([axis.slope.integ()(x[:, n]) for n, axis in enumerate(axes)], axis=0)

    def gradient(x: Any) -> Any:
        return np.stack([axis.slope(x[:, n]) for n, axis in enumerate(axes)], axis=1)

    def covariance(x: Any) -> Any:
        return np.stack([axis.a(x[:, n]) for n, axis in enumerate(axes)], axis=1)[:, :, None] * np.eye(d)

    problem = Problem(
        name=f"{' x '.join(map(str, counts))} wells" + ("" if constant_noise else ", noise depends on x"),
        drift=lambda x: -gradient(x),
        covariance=covariance,
        loss=loss,
        gradient=gradient,
        bounds=tuple((float(axis.rests[0] - 0.45), float(axis.rests[-1] + 0.45)) for axis in axes),
        minima=minima,
        costs=costs,
        potential=lambda x: np.array([sum(axis.potential(v) for axis, v in zip(axes, y, strict=True)) for y in x]),
    )
    if d > 1 and rng.random() < 0.5:
        return in_other_units(problem, scale=np.ones(d), offset=np.zeros(d), turn=random_turn(rng, d))
    return problem


def climb(levels: Array, a: int, b: int) -> float:
    """The sum of the climbs between the wells a and b of one axis, whose rests have these levels."""
    way = levels[2 * a : 2 * b + 1] if a <= b else levels[2 * b : 2 * a + 1][::-1]
    return float(np.maximum(np.diff(way), 0.0).sum())


def other_units(rng: np.random.Generator) -> Problem:
    """Another problem in other units of length (also of its own on every axis), time and noise, also far from the origin."""
    kind = str(rng.choice(["separable", "wells", "prescribed"]))
    if kind == "prescribed":
        problem = prescribed(rng, dimensions=(2, 3))
    else:
        problem = {"separable": separable, "wells": wells}[kind](rng)
    d = problem.dimension
    decades = rng.uniform(-8, 8) * np.ones(d) if rng.random() < 0.6 else rng.uniform(-3, 3, size=d)
    scale = 10.0**decades
    offset = scale * rng.normal(size=d) * rng.choice([0.0, 1.0, 1e2, 1e4, 1e6])
    time = 10.0 ** rng.uniform(-6, 8) if rng.random() < 0.5 else 1.0
    noise = 10.0 ** rng.uniform(-12, 6) if rng.random() < 0.5 else 1.0
    moved = in_other_units(problem, scale=scale, offset=offset, time=time, noise=noise)
    lengths = ", ".join(f"1e{x:.1f}" for x in (decades[:1] if np.ptp(decades) == 0 else decades))
    name = f"{problem.name}; lengths {lengths}, offset {np.abs(offset / scale).max():.0e}, time {time:.0e}, noise {noise:.0e}"
    return replace(moved, name=name)
