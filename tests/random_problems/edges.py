"""What lies on or beyond an edge of the box: minima on faces and corners, cheap passes outside, a deeper well next door."""

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Problem, gradient_problem
from .separable import climb, random_axis
from .truth import TruthError, chain_in_the_plane, sums_of_climbs


def edges(rng: np.random.Generator) -> Problem:
    """A minimum on an edge, a well beyond it, or a ring whose cheaper pass lies outside."""
    return ring(rng) if rng.random() < 0.4 else line(rng)


def line(rng: np.random.Generator) -> Problem:
    """Two or three wells in a row and a bowl across; the box ends at the outermost wells, or before one of them.

    A well beyond the box is among the minima: an answer with it is right, and a statement that something is outside is a
    flag.
    """
    n, d = int(rng.integers(2, 4)), int(rng.choice([1, 2, 2, 3]))
    axis = random_axis(rng, n)
    lift = axis.slope.integ()
    stiffness, centre = rng.uniform(0.5, 3.0, size=d - 1), rng.uniform(-0.5, 0.5, size=d - 1)
    constant = float(np.exp(rng.uniform(-1, 1)))
    levels = 2.0 / constant * lift(axis.rests)
    low, high = axis.rests[0] - 0.4, axis.rests[-1] + 0.4
    sort = str(rng.choice(["lower", "upper", "both", "corner"] + (["beyond"] if n == 3 else [])))
    if sort in ("lower", "both", "corner"):
        low = axis.rests[0]
    if sort in ("upper", "both"):
        high = axis.rests[-1]
    if sort == "beyond":
        high = axis.rests[-1] - rng.uniform(0.05, 0.9) * (axis.rests[-1] - axis.rests[-2])
    across = [(float(c) if sort == "corner" else -1.0, 1.0) for c in centre]

    def loss(x: Any) -> Any:
        return lift(x[:, 0]) + 0.5 * ((x[:, 1:] - centre) ** 2) @ stiffness

    def gradient(x: Any) -> Any:
        return np.concatenate([axis.slope(x[:, :1]), stiffness * (x[:, 1:] - centre)], axis=1)

    return gradient_problem(
        name=f"d = {d}, {n} wells in a row: {sort}",
        loss=loss,
        gradient=gradient,
        constant=constant,
        minima=np.array([[u, *centre] for u in axis.rests[::2]]),
        costs=np.array([[climb(levels, i, j) for j in range(n)] for i in range(n)]),
        bounds=((float(low), float(high)), *across),
        outside=sort == "beyond",
    )


def ring(rng: np.random.Generator) -> Problem:
    """Two minima on a ring with a pass above and a lower one below, and a box that cuts the lower one off."""
    for _ in range(100):
        stiff, split, tilt = rng.uniform(1.5, 4.0), rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.5)

        def loss(x: Any, stiff: float = stiff, split: float = split, tilt: float = tilt) -> Any:
            return stiff * ((x**2).sum(axis=1) - 1) ** 2 - split * x[:, 0] ** 2 + tilt * x[:, 1]

        def gradient(x: Any, stiff: float = stiff, split: float = split, tilt: float = tilt) -> Any:
            radial = 4 * stiff * ((x**2).sum(axis=1) - 1)
            return np.stack([(radial - 2 * split) * x[:, 0], radial * x[:, 1] + tilt], axis=1)

        axis = np.linspace(-2.03, 2.0, 301)
        try:
            minima, passes, saddles = chain_in_the_plane(loss, gradient, (axis, axis))
        except TruthError:
            continue
        if len(minima) == 2 and len(saddles) == 2:
            break
    else:
        raise TruthError("no ring of a hundred has two minima and two passes")
    constant = float(np.exp(rng.uniform(-1, 1)))
    floor = minima[:, 1].min() - rng.uniform(0.05, 0.4) * (minima[:, 1].min() - saddles[:, 1].min())
    return gradient_problem(
        name="ring, the lower pass below the box",
        loss=loss,
        gradient=gradient,
        constant=constant,
        minima=minima,
        costs=sums_of_climbs(loss(minima), passes) * 2.0 / constant,
        bounds=((-1.6, 1.6), (float(floor), 1.6)),
        outside=True,
    )
