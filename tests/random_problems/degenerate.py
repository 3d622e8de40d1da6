"""Passes that are not hyperbolic: flat to fourth or sixth order, plateaus, monkey saddles, half-stable rests on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial

from .problem import BatchFunction, Problem, gradient_problem, in_other_units, random_turn
from .truth import critical_points, hessian

# Slope and height of a loss along a line.
Profile = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def along_a_curve(rng: np.random.Generator, d: int, slope: Any, height: Any) -> tuple[BatchFunction, BatchFunction]:
    """Loss and gradient of height(u) + sum k (z - c(u))^2 / 2: a valley along a curve in d dimensions."""
    k, bend = rng.uniform(0.5, 4.0, size=d - 1), rng.uniform(-0.5, 0.5, size=d - 1)
    phase = rng.uniform(0, 2 * np.pi, size=d - 1)

    def loss(x: Any) -> Any:
        away = x[:, 1:] - bend * np.sin(x[:, :1] + phase)
        return height(x[:, 0]) + 0.5 * (away**2) @ k

    def gradient(x: Any) -> Any:
        away = x[:, 1:] - bend * np.sin(x[:, :1] + phase)
        along = slope(x[:, 0]) - (k * away * bend * np.cos(x[:, :1] + phase)).sum(axis=1)
        return np.concatenate([along[:, None], k * away], axis=1)

    def centre(u: Any) -> Any:
        return np.concatenate([[u], bend * np.sin(u + phase)])

    loss.centre = centre  # type: ignore[attr-defined]
    return loss, gradient


def profile(rng: np.random.Generator) -> tuple[str, Any, Any, tuple[float, float], float]:
    """Name, slope, height, the two minima and the place of the top of a double well whose pass is degenerate."""
    left, right = -rng.uniform(0.7, 1.2), rng.uniform(0.7, 1.2)
    top = float(rng.uniform(-0.15, 0.15))
    kind = str(rng.choice(["quartic", "sextic", "plateau", "halt"]))
    size = rng.uniform(0.5, 3.0)
    if kind == "plateau":
        w = float(rng.uniform(0.05, 0.3))

        def inner(u: Any) -> Any:
            """Zero on the plateau, and cubic next to it."""
            return np.sign(u - top) * np.maximum(np.abs(u - top) - w, 0.0) ** 3

        def slope(u: Any) -> Any:
            return 4 * size * (u - left) * (u - right) * inner(u)

        low, high = Polynomial([-(top - w), 1.0]), Polynomial([-(top + w), 1.0])
        outer = 4 * size * Polynomial.fromroots([left, right])
        below, beyond = (outer * low**3).integ(), (outer * high**3).integ()

        def height(u: Any) -> Any:
            return np.where(
                u < top - w, below(u) - below(top - w), np.where(u > top + w, beyond(u) - beyond(top + w), 0.0)
            )

        return kind, slope, height, (left, right), top
    roots = [left, right] + [top] * (5 if kind == "sextic" else 3 if kind == "quartic" else 1)
    if kind == "halt":
        roots += [float(rng.choice([0.5 * (left + top), 0.5 * (right + top)]))] * 2
    polynomial = (40 if kind == "halt" else 4) * size * Polynomial.fromroots(roots)
    return kind, polynomial, polynomial.integ(), (left, right), top


def degenerate(rng: np.random.Generator) -> Problem:
    """A degenerate pass in one to four dimensions, or a monkey saddle between three wells."""
    if rng.random() < 0.3:
        return monkey(rng)
    d = int(rng.choice([1, 2, 2, 3, 4]))
    name, slope, height, wells, top = profile(rng)
    loss, gradient = along_a_curve(rng, d, slope, height)
    minima = np.array([loss.centre(u) for u in wells])  # type: ignore[attr-defined]
    constant = float(np.exp(rng.uniform(-1, 1)))
    climbs = 2.0 / constant * (height(np.array([top])) - height(np.array(wells)))
    problem = gradient_problem(
        name=f"{name}, d = {d}",
        loss=loss,
        gradient=gradient,
        constant=constant,
        minima=minima,
        costs=np.array([[0.0, climbs[0]], [climbs[1], 0.0]]),
        bounds=((wells[0] - 0.4, wells[1] + 0.4), *[(-1.2, 1.2)] * (d - 1)),
    )
    if d > 1 and rng.random() < 0.5:
        return in_other_units(problem, scale=np.ones(d), offset=np.zeros(d), turn=random_turn(rng, d))
    return problem


def monkey(rng: np.random.Generator) -> Problem:
    """Three wells around the monkey saddle -s r^3 cos 3 phi + r^4 (1/4 + tilt) + r^6 / 20, the only way between them."""
    for _ in range(100):
        s = rng.uniform(0.25, 0.45)
        tilt = rng.uniform(-0.06, 0.06, size=2)

        def loss(x: Any, s: float = s, tilt: Any = tilt) -> Any:
            u, v = x.T
            r2 = u**2 + v**2
            return -s * (u**3 - 3 * u * v**2) + r2**2 * (0.25 + x @ tilt) + r2**3 / 20

        def gradient(x: Any, s: float = s, tilt: Any = tilt) -> Any:
            u, v = x.T
            r2 = u**2 + v**2
            cubic = np.stack([3 * (u**2 - v**2), -6 * u * v], axis=1)
            radial = 4 * r2 * (0.25 + x @ tilt) + 0.3 * r2**2
            return -s * cubic + radial[:, None] * x + r2[:, None] ** 2 * tilt

        axis = np.linspace(-2.03, 2.0, 302)
        points = critical_points(gradient, (axis, axis))
        points = points[np.linalg.norm(points, axis=1) > 1e-2]
        if len(points) == 3 and all((np.linalg.eigvalsh(hessian(gradient, x, 1e-6)) > 0).all() for x in points):
            break
    constant = float(np.exp(rng.uniform(-1, 1)))
    climbs = -2.0 * loss(points) / constant
    problem = gradient_problem(
        name="monkey saddle",
        loss=loss,
        gradient=gradient,
        constant=constant,
        minima=points,
        costs=climbs[:, None] * (1 - np.eye(3)),
        bounds=((-2.0, 2.0),) * 2,
    )
    return in_other_units(problem, scale=np.ones(2), offset=np.zeros(2), turn=random_turn(rng, 2))
