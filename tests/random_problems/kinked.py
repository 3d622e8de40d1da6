"""Losses with kinks: piecewise linear ones, Huber's, |.| across a curved valley, in one to three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Problem, gradient_problem


def kinked(rng: np.random.Generator) -> Problem:
    """Two or three minima along a line, passes and minima kinked or round, and across it |.| or a bowl."""
    d = int(rng.choice([1, 1, 2, 2, 3]))
    n = int(rng.integers(2, 4))
    knots = np.cumsum(rng.uniform(0.5, 1.0, size=2 * n - 1))
    knots -= knots.mean()
    heights = np.where(
        np.arange(2 * n - 1) % 2 == 0, rng.uniform(0.0, 0.6, 2 * n - 1), rng.uniform(0.8, 1.5, 2 * n - 1)
    )
    edges = np.array([knots[0] - 1.0, knots[-1] + 1.0])
    outer = rng.uniform(1.0, 2.0, size=2)
    x_all, y_all = (
        np.concatenate([edges[:1], knots, edges[1:]]),
        np.concatenate([heights[:1] + outer[0], heights, heights[-1:] + outer[1]]),
    )
    slopes = np.diff(y_all) / np.diff(x_all)
    # Every knot is a kink or is rounded off over this half-width, as Huber's loss is.
    rounding = np.where(rng.random(2 * n - 1) < 0.5, 0.0, rng.uniform(0.05, 0.2, size=2 * n - 1))

    def height(u: Any) -> Any:
        """Piecewise linear: a line plus |u - knot| for every knot, each one rounded to a parabola within its half-width."""
        y = y_all[0] + slopes[0] * (u - x_all[0])
        for knot, jump, w in zip(knots, np.diff(slopes), rounding, strict=True):
            t = u - knot
            bent = np.maximum(t, 0.0) if w == 0 else np.where(np.abs(t) < w, (t + w) ** 2 / (4 * w), np.maximum(t, 0.0))
            y = y + jump * bent
        return y

    def slope(u: Any) -> Any:
        y = np.full_like(u, slopes[0])
        for knot, jump, w in zip(knots, np.diff(slopes), rounding, strict=True):
            t = u - knot
            y = y + jump * (np.heaviside(t, 0.5) if w == 0 else np.clip((t + w) / (2 * w), 0.0, 1.0))
        return y

    # A rounded knot's extremum is where its slope vanishes, not at the knot itself.
    rests = knots.copy()
    for m, (knot, w) in enumerate(zip(knots, rounding, strict=True)):
        rests[m] = knot if w == 0 else knot - w * (slopes[m] + slopes[m + 1]) / (slopes[m + 1] - slopes[m])
    k, bend = rng.uniform(0.5, 3.0, size=d - 1), rng.uniform(-0.4, 0.4, size=d - 1)
    absolute = rng.random(d - 1) < 0.5
    constant = float(np.exp(rng.uniform(-1, 1)))

    def loss(x: Any) -> Any:
        away = x[:, 1:] - bend * x[:, :1]
        return height(x[:, 0]) + np.where(absolute, np.abs(away), 0.5 * away**2) @ k

    def gradient(x: Any) -> Any:
        away = x[:, 1:] - bend * x[:, :1]
        force = k * np.where(absolute, np.sign(away), away)
        return np.concatenate([(slope(x[:, 0]) - force @ bend)[:, None], force], axis=1)

    levels = 2.0 / constant * height(rests)
    costs = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            way = levels[2 * i : 2 * j + 1] if i <= j else levels[2 * j : 2 * i + 1][::-1]
            costs[i, j] = np.maximum(np.diff(way), 0.0).sum()
    minima = np.stack([np.concatenate([[u], bend * u]) for u in rests[::2]])
    sort = ", ".join("kink" if w == 0 else "round" for w in rounding)
    return gradient_problem(
        name=f"d = {d}: {sort}; {'|.|' if absolute.any() else 'bowl'} across",
        loss=loss,
        gradient=gradient,
        constant=constant,
        minima=minima,
        costs=costs,
        bounds=((float(edges[0] + 0.3), float(edges[1] - 0.3)), *[(-1.3, 1.3)] * (d - 1)),
    )
