"""Many minima: Rastrigin's lattices of 9, 25, 27 and 100, and tori, whose axes close on themselves."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import brentq

from .problem import Array, Problem
from .separable import climb

# Minima along each axis, with the weights with which they are drawn.
SIZES = (((3, 3), 0.5), ((5, 5), 0.25), ((3, 3, 3), 0.2), ((10, 10), 0.05))


def rests_of(slope: Any, low: float, high: float) -> Array:
    """The zeros of a function of one variable by sign changes on 4001 nodes."""
    nodes = np.linspace(low, high, 4001)
    values = slope(nodes)
    changes = np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1]))
    return np.array([brentq(slope, nodes[n], nodes[n + 1], xtol=1e-14, rtol=1e-14) for n in changes])


def rastrigin(rng: np.random.Generator) -> Problem:
    """sum x^2 / 10 + 1 - cos(2 pi x) about a random centre and with another noise on each axis."""
    weights = np.array([weight for _, weight in SIZES])
    counts = SIZES[int(rng.choice(len(SIZES), p=weights / weights.sum()))][0]
    d = len(counts)
    centre = rng.uniform(-0.3, 0.3, size=d)
    noise = np.exp(rng.uniform(-0.7, 0.7, size=d))

    def slope(n: int, x: Any) -> Any:
        return 0.2 * (x - centre[n]) + 2 * np.pi * np.sin(2 * np.pi * x)

    def height(n: int, x: Any) -> Any:
        return 0.1 * (x - centre[n]) ** 2 + 1 - np.cos(2 * np.pi * x)

    box, lines, levels = [], [], []
    for n, count in enumerate(counts):
        first = -(count // 2)
        low, high = first - 0.45, first + count - 1 + 0.45
        rests = rests_of(lambda x, n=n: slope(n, x), low, high)
        lines.append(rests)
        levels.append(2.0 / noise[n] * height(n, rests))
        box.append((float(low), float(high)))
    return product_problem(
        f"{' x '.join(map(str, counts))} minima",
        lines,
        [
            np.array([[climb(level, i, j) for j in range(c)] for i in range(c)])
            for level, c in zip(levels, counts, strict=True)
        ],
        slope,
        height,
        noise,
        tuple(box),
        second_opinion=int(np.prod(counts)) <= 9,
    )


def product_problem(
    name: str, lines: list[Array], tables: list[Array], slope: Any, height: Any, noise: Array, box: Any, **others: Any
) -> Problem:
    """A sum of one-dimensional losses with constant noise: rests and costs (k, k) along each axis are given."""
    d = len(lines)
    sites = np.array(list(itertools.product(*[range(len(table)) for table in tables])))
    return Problem(
        name=name,
        drift=lambda x: -np.stack([slope(n, x[:, n]) for n in range(d)], axis=1),
        covariance=lambda x: np.broadcast_to(np.diag(noise), (len(x), d, d)).copy(),
        loss=lambda x: sum(height(n, x[:, n]) for n in range(d)),
        gradient=lambda x: np.stack([slope(n, x[:, n]) for n in range(d)], axis=1),
        bounds=box,
        minima=np.array([[lines[n][2 * site[n]] for n in range(d)] for site in sites]),
        costs=np.sum([tables[n][sites[:, None, n], sites[None, :, n]] for n in range(d)], axis=0),
        potential=lambda x: sum(2.0 / noise[n] * height(n, x[:, n]) for n in range(d)),
        **others,
    )


def torus(rng: np.random.Generator) -> Problem:
    """Two to six minima on a torus: a Fourier sum on each axis; V takes the cheaper way round."""
    d = int(rng.choice([1, 2, 2]))
    noise = np.exp(rng.uniform(-0.7, 0.7, size=d))
    start = rng.uniform(-np.pi, np.pi, size=d)
    harmonics = np.arange(1, 4)
    while True:
        sizes, phases = rng.normal(size=(d, 3)) / [1.0, 2.0, 3.0], rng.uniform(0, 2 * np.pi, size=(d, 3))

        def height(n: int, x: Any, sizes: Array = sizes, phases: Array = phases) -> Any:
            return (sizes[n] * np.cos(harmonics * np.asarray(x)[..., None] + phases[n])).sum(axis=-1)

        def slope(n: int, x: Any, sizes: Array = sizes, phases: Array = phases) -> Any:
            return -(harmonics * sizes[n] * np.sin(harmonics * np.asarray(x)[..., None] + phases[n])).sum(axis=-1)

        circles = [circle(partial(slope, n), partial(height, n), float(start[n])) for n in range(d)]
        if all(len(rests) for rests, _ in circles) and 2 <= np.prod([len(rests) // 2 for rests, _ in circles]) <= 6:
            break
    tables = []
    for (rests, heights), a in zip(circles, noise, strict=True):
        k = len(rests) // 2
        levels = 2.0 / a * np.concatenate([heights, heights, heights[:1]])
        ways = [
            [(climb(levels, i, i + (j - i) % k), climb(levels, i + k, i + k - (i - j) % k)) for j in range(k)]
            for i in range(k)
        ]
        tables.append(np.array(ways).min(axis=2))
    return product_problem(
        f"{' x '.join(str(len(t)) for t in tables)} minima on a torus",
        [rests for rests, _ in circles],
        tables,
        slope,
        height,
        noise,
        tuple((float(s), float(s + 2 * np.pi)) for s in start),
        periodic=(True,) * d,
    )


def circle(slope: Any, height: Any, start: float) -> tuple[Array, Array]:
    """Rests, a minimum first, and their heights once round; empty where one is close to ``start`` or a climb is slight."""
    rests = rests_of(slope, start, start + 2 * np.pi)
    heights = height(rests)
    if heights[0] > heights[-1]:
        rests, heights = np.roll(rests, -1), np.roll(heights, -1)
    climbs = np.abs(np.diff(np.append(heights, heights[0])))
    near = np.abs((rests - start + 1.0) % (2 * np.pi) - 1.0).min()
    return (rests, heights) if climbs.min() > 0.05 and near > 0.05 else (rests[:0], heights[:0])
