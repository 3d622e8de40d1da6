"""Planar systems with limit cycles, whose costs are integrals: rings around a focus, and two foci within rings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

import qpot

from .problem import Problem

Array = NDArray[np.float64]
Bounds = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class CycleProblem:
    """A system with the costs between its states.

    Attributes
    ----------
    system : System
    bounds : list of (low, high)
    states : list of arrays (n, 2)
        A point for each minimum, and points on each stable cycle.
    costs : array (k, k)
    potential : callable (n, 2) -> (n,)
        A function whose differences between states are those of W.
    """

    system: qpot.System
    bounds: Bounds
    states: list[Array]
    costs: Array
    potential: Callable[[Array], Array]


def cycles(rng: np.random.Generator) -> Problem:
    """Rings around a focus, or two foci within a ring, as a problem of the benchmark."""
    make = rings if rng.integers(2) else two_foci
    drawn = make(rng)
    orbits = [state for state in drawn.states if len(state) > 1]
    points = [state for state in drawn.states if len(state) == 1]
    order = [n for n, state in enumerate(drawn.states) if len(state) == 1]
    order += [n for n, state in enumerate(drawn.states) if len(state) > 1]
    a = drawn.system.covariance(np.zeros((1, 2)))[0]
    return Problem(
        name=f"{make.__name__.replace('_', ' ')}, {len(points)} points and {len(orbits)} cycles",
        drift=drawn.system.drift,
        covariance=lambda x: np.broadcast_to(a, (len(x), 2, 2)).copy(),
        bounds=tuple(drawn.bounds),
        minima=np.array([state[0] for state in (*points, *orbits)]),
        costs=drawn.costs[np.ix_(order, order)],
        potential=drawn.potential,
        orbits=tuple(_dense(orbit) for orbit in orbits),
    )


def _dense(orbit: Array) -> Array:
    """Points between those of a closed polygon."""
    angles = np.linspace(0.0, 1.0, 32, endpoint=False)[:, None]
    beside = np.roll(orbit, -1, axis=0)
    return np.concatenate([x + angles * (y - x) for x, y in zip(orbit, beside, strict=True)])


def rings(rng: np.random.Generator) -> CycleProblem:
    """Circles in turn unstable and stable, in coordinates that a random matrix maps; the noise is mapped along.

    The radial drift is ``f(r)`` with zeros at 0 and at the circles, so that V between circles is ``2 * int(-f)`` uphill.
    """
    n = int(rng.integers(2, 5))
    radii = np.cumsum(rng.uniform(0.6, 1.0, n))
    radii /= radii[-1] / rng.uniform(0.8, 2.0)
    # r' = sign r prod (1 - r^2 / r_k^2): the origin attracts with sign -1, and the last circle always does.
    inner = -1.0 if n % 2 == 0 else 1.0
    factor = Polynomial([inner * rng.uniform(0.5, 1.5)])
    for r in radii:
        factor *= Polynomial([1.0, -1.0 / r**2])
    turning = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.7, 3.0)
    shear = rng.uniform(-1.0, 1.0)
    A = _matrix(rng)
    back = np.linalg.inv(A)

    def drift(x: Array) -> Array:
        y = x @ back.T
        s = (y**2).sum(axis=1)
        w = turning * (1.0 + 0.3 * np.tanh(shear * s))
        radial = factor(s)
        z = np.stack([radial * y[:, 0] - w * y[:, 1], radial * y[:, 1] + w * y[:, 0]], axis=1)
        return np.asarray(z @ A.T)

    climb = (Polynomial([0.0, 1.0]) * factor(Polynomial([0.0, 0.0, 1.0]))).integ()
    knots = np.concatenate([[0.0], radii])
    levels = -2.0 * climb(knots)
    stable = [k for k in range(n + 1) if (k % 2 == 0) == (inner < 0.0)]
    heights = [levels[k] for k in stable]
    costs = _along(heights, [levels[k + 1] for k in stable[:-1]])
    states = [_circle(float(knots[k])) @ A.T if k else np.zeros((1, 2)) for k in stable]
    corner = 1.25 * radii[-1] * np.sqrt((A**2).sum(axis=1))
    system = qpot.System(drift=drift, covariance=A @ A.T, dimension=2)
    return CycleProblem(
        system,
        [(-c, c) for c in corner],
        states,
        costs,
        lambda x: np.asarray(-2.0 * climb(np.linalg.norm(x @ back.T, axis=1))),
    )


def two_foci(rng: np.random.Generator) -> CycleProblem:
    """Two foci in rings of a Hamiltonian: the drift ``-g(H) grad H + w J grad H`` under isotropic noise has V = 2 int g dH.

    The double well ``H = y^2 / 2 + x^4 / 4 - x^2 / 2`` has its foci at -1/4 and the saddle at 0.
    """
    w = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.7, 2.0)
    whole = bool(rng.integers(2))
    # The sign of g changes at a level of unstable orbits and at that of a stable one; both lie above the saddle, or not.
    unstable = rng.uniform(0.15, 0.4) if whole else rng.uniform(-0.15, -0.08)
    stable = unstable + rng.uniform(0.5, 0.9)
    strength = rng.uniform(0.5, 1.5)
    g = Polynomial([strength]) * Polynomial([unstable, -1.0]) * Polynomial([stable, -1.0])
    A = _matrix(rng)
    back = np.linalg.inv(A)

    def drift(x: Array) -> Array:
        y = x @ back.T
        H = 0.5 * y[:, 1] ** 2 + 0.25 * y[:, 0] ** 4 - 0.5 * y[:, 0] ** 2
        grad = np.stack([y[:, 0] ** 3 - y[:, 0], y[:, 1]], axis=1)
        turned = np.stack([grad[:, 1], -grad[:, 0]], axis=1)
        return np.asarray((-g(H)[:, None] * grad + w * turned) @ A.T)

    V: Callable[[float], float] = lambda h: float(2.0 * g.integ()(h))  # noqa: E731
    low, up, top, ring = V(-0.25), V(0.0), V(unstable), V(stable)
    costs = np.zeros((3, 3))
    if whole:
        costs[0, 1] = costs[1, 0] = up - low
    else:
        # From one focus to the other the way leads to the ring and back, which passes the saddle's level.
        costs[0, 1] = costs[1, 0] = (top - low) + (top - ring)
    costs[0, 2] = costs[1, 2] = top - low
    costs[2, 0] = costs[2, 1] = top - ring
    reach = np.array([np.sqrt(1.0 + np.sqrt(1.0 + 4.0 * stable)), np.sqrt(2.0 * stable + 0.5)])
    x = np.sqrt(1.0 + np.sqrt(1.0 + 4.0 * stable)) * np.cos(np.linspace(0.0, np.pi, 200))
    y = np.sqrt(np.maximum(2.0 * stable + x**2 - 0.5 * x**4, 0.0))
    orbit = np.concatenate([np.stack([x, y], axis=1), np.stack([x, -y], axis=1)[::-1]])
    states = [np.array([[-1.0, 0.0]]) @ A.T, np.array([[1.0, 0.0]]) @ A.T, orbit @ A.T]
    corner = 1.25 * np.abs(A) @ reach
    system = qpot.System(drift=drift, covariance=A @ A.T, dimension=2)

    def potential(x: Array) -> Array:
        y = x @ back.T
        return np.asarray(2.0 * g.integ()(0.5 * y[:, 1] ** 2 + 0.25 * y[:, 0] ** 4 - 0.5 * y[:, 0] ** 2))

    return CycleProblem(system, [(-c, c) for c in corner], states, costs, potential)


def _along(heights: list[float], tops: list[float]) -> Array:
    """Costs between states in a row, with passes between neighbours."""
    k = len(heights)
    costs = np.zeros((k, k))
    for i in range(k):
        for j in range(i + 1, k):
            costs[i, j] = sum(tops[m] - heights[m] for m in range(i, j))
            costs[j, i] = sum(tops[m] - heights[m + 1] for m in range(i, j))
    return costs


def _circle(radius: float) -> Array:
    angles = 2.0 * np.pi * np.arange(64) / 64
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _matrix(rng: np.random.Generator) -> Array:
    """A random matrix with moderate condition, which may turn the orientation over."""
    u, _ = np.linalg.qr(rng.standard_normal((2, 2)))
    v, _ = np.linalg.qr(rng.standard_normal((2, 2)))
    return np.asarray(u @ np.diag(rng.uniform(0.6, 1.6, 2)) @ v)


def verdict(problem: CycleProblem) -> tuple[str, str]:
    """Say "right", "flagged", "refused" or "WRONG", and why, for the costs that `qpot.predict` gives."""
    try:
        prediction = qpot.predict(problem.system, problem.bounds, progress=None)
    except qpot.SolveError as error:
        return "refused", str(error)[:300]
    ids = [_found(points, prediction) for points in problem.states]
    notes = " ".join([*prediction.cautions(), *(str(u) for u in prediction.costs.unfinished)])
    caution = any(word in notes for word in ("ANOTHER", "LIMIT CYCLE", "HOLES", "Status"))
    if None in ids or len(set(ids)) < len(ids) or len(prediction.minima) != len(ids):
        return ("flagged" if caution else "WRONG"), f"states {ids} of {prediction.minima}"
    order = np.array(ids, dtype=np.int64)
    values, errors = prediction.costs.values[np.ix_(order, order)], prediction.costs.errors[np.ix_(order, order)]
    beyond = np.abs(values - problem.costs) > errors + 1e-9
    if beyond.any():
        return ("flagged" if caution else "WRONG"), f"{values} +- {errors} for {problem.costs}"
    wide = (errors > 1e-2 * problem.costs).any()
    return ("flagged" if wide or prediction.costs.unfinished else "right"), f"{errors.max():.1e}"


def _found(points: Array, prediction: qpot.Prediction) -> int | None:
    for i, state in enumerate(prediction.minima):
        if isinstance(state, qpot.LimitCycle):
            gaps = np.linalg.norm(state.points[:, None] - points, axis=2).min(axis=0)
            if len(points) > 1 and gaps.max() <= 0.02 * np.ptp(points):
                return i
        elif len(points) == 1 and np.linalg.norm(state.point - points[0]) <= 1e-6:
            return i
    return None
