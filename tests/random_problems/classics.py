"""Landscapes from textbooks, tilted a little, moved and scaled: truth by exhaustive search, held against flooding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .problem import Array, BatchFunction, Problem, gradient_problem, in_other_units
from .truth import TruthError, chain_in_the_plane, sums_of_climbs

# Loss, gradient, box, whether it climbs towards all edges of the box, and minima with a kink.
Landscape = tuple[BatchFunction, BatchFunction, tuple[tuple[float, float], ...], bool, Array]
_SMOOTH = np.zeros((0, 2))


def mueller_brown() -> Landscape:
    """Three minima and two saddles; a hundredth of the usual height."""
    A = np.array([-2.0, -1.0, -1.7, 0.15])
    a, b, c = np.array([-1, -1, -6.5, 0.7]), np.array([0, 0, 11, 0.6]), np.array([-10, -10, -6.5, 0.7])
    X, Y = np.array([1, 0, -0.5, -1]), np.array([0, 0.5, 1.5, 1])

    def parts(x: Any) -> Any:
        dx, dy = x[:, :1] - X, x[:, 1:] - Y
        return dx, dy, A * np.exp(a * dx**2 + b * dx * dy + c * dy**2)

    def loss(x: Any) -> Any:
        return parts(x)[2].sum(axis=1)

    def gradient(x: Any) -> Any:
        dx, dy, e = parts(x)
        return np.stack([(e * (2 * a * dx + b * dy)).sum(axis=1), (e * (b * dx + 2 * c * dy)).sum(axis=1)], axis=1)

    return loss, gradient, ((-1.5, 1.1), (-0.3, 2.0)), True, _SMOOTH


def six_hump_camel() -> Landscape:
    """Six minima, of which the lowest two are images of one another."""

    def loss(z: Any) -> Any:
        x, y = z.T
        return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2

    def gradient(z: Any) -> Any:
        x, y = z.T
        return np.stack([8 * x - 8.4 * x**3 + 2 * x**5 + y, x + 16 * y**3 - 8 * y], axis=1)

    return loss, gradient, ((-2.2, 2.2), (-1.2, 1.2)), True, _SMOOTH


def himmelblau() -> Landscape:
    """Four minima at the same level; a hundredth of the usual height."""

    def loss(z: Any) -> Any:
        x, y = z.T
        return 0.01 * ((x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2)

    def gradient(z: Any) -> Any:
        x, y = z.T
        p, q = x**2 + y - 11, x + y**2 - 7
        return 0.01 * np.stack([4 * x * p + 2 * q, 2 * p + 4 * y * q], axis=1)

    return loss, gradient, ((-5.0, 5.0), (-5.0, 5.0)), True, _SMOOTH


def goldstein_price() -> Landscape:
    """The logarithm of Goldstein and Price's function."""

    def parts(z: Any) -> Any:
        x, y = z.T
        s, t = x + y + 1, 2 * x - 3 * y
        P = 19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2
        Q = 18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2
        px = -14 + 6 * x + 6 * y
        A, B = 1 + s**2 * P, 30 + t**2 * Q
        ax = 2 * s * P + s**2 * px
        bx = 4 * t * Q + t**2 * (-32 + 24 * x - 36 * y)
        by = -6 * t * Q + t**2 * (48 - 36 * x + 54 * y)
        return A, B, ax, bx, by

    def loss(z: Any) -> Any:
        A, B, *_ = parts(z)
        return np.log(A) + np.log(B)

    def gradient(z: Any) -> Any:
        A, B, ax, bx, by = parts(z)
        return np.stack([ax / A + bx / B, ax / A + by / B], axis=1)

    return loss, gradient, ((-2.0, 2.0), (-2.0, 2.0)), False, _SMOOTH


def ackley() -> Landscape:
    """Nine minima, the lowest with a cone at the origin; a tenth of the usual height."""

    def loss(x: Any) -> Any:
        r = np.sqrt(0.5 * (x**2).sum(axis=1))
        return 0.1 * (-20 * np.exp(-0.2 * r) - np.exp(np.cos(2 * np.pi * x).mean(axis=1)) + np.e + 20)

    def gradient(x: Any) -> Any:
        r = np.sqrt(0.5 * (x**2).sum(axis=1))[:, None]
        cone = 2 * np.exp(-0.2 * r) * x / np.where(r == 0.0, 1.0, r)
        ripples = np.pi * np.exp(np.cos(2 * np.pi * x).mean(axis=1))[:, None] * np.sin(2 * np.pi * x)
        return 0.1 * (cone + ripples)

    return loss, gradient, ((-1.5, 1.5), (-1.5, 1.5)), False, np.zeros((1, 2))


LANDSCAPES: tuple[Callable[[], Landscape], ...] = (mueller_brown, six_hump_camel, himmelblau, goldstein_price, ackley)


def classics(rng: np.random.Generator) -> Problem:
    """One of the landscapes, itself or tilted, then moved and scaled, under noise of a random size."""
    make = LANDSCAPES[int(rng.integers(len(LANDSCAPES)))]
    flat, slope, box, closed, cones = make()
    size = np.array([high - low for low, high in box])
    for _ in range(100):
        # A cone and a tie are what these landscapes are known for, so they stay in half of the cases.
        plain = rng.random() < 0.5
        tilt = (
            np.zeros(2)
            if plain
            else rng.uniform(-0.03, 0.03, size=2) * np.ptp(flat(np.random.default_rng(0).random((99, 2)))) / size
        )

        def loss(x: Any, tilt: Array = tilt) -> Any:
            return flat(x) + x @ tilt

        def gradient(x: Any, tilt: Array = tilt) -> Any:
            return slope(x) + tilt

        axes = tuple(
            np.linspace(low - 0.0013 * w, high + 0.0017 * w, 401) for (low, high), w in zip(box, size, strict=True)
        )
        try:
            minima, passes, _ = chain_in_the_plane(loss, gradient, (axes[0], axes[1]), closed=closed, cones=cones)
        except TruthError:
            if plain:
                raise
            continue
        break
    constant = float(np.exp(rng.uniform(-1, 1)))
    problem = gradient_problem(
        name=make.__name__ + ("" if plain else ", tilted"),
        loss=loss,
        gradient=gradient,
        constant=constant,
        minima=minima,
        costs=sums_of_climbs(loss(minima), passes) * 2.0 / constant,
        bounds=box,
    )
    scale = np.exp(rng.uniform(-0.5, 0.5)) * np.ones(2)
    return replace(in_other_units(problem, scale=scale, offset=rng.normal(size=2)), name=problem.name)
