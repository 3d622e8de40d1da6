"""The cheapest control that leads to the edge of a basin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qpot.solvers.paths.controlled import CONVERGED, Controlled, cheapest, run, sensitivity

Array = np.ndarray[Any, np.dtype[np.float64]]

# The stiffness across the double well, and the noise's only column, which depends on the state.
STIFF, COLUMN = 30.0, np.array([1.0, 0.5])


def velocity(x: Array, u: Array) -> Array:
    b = np.array([x[0] - x[0] ** 3, -STIFF * (x[1] - 0.3 * x[0] ** 2)])
    return np.asarray(b + (1.0 + 0.4 * np.sin(x[0])) * COLUMN * u[0])


def pulled(x: Array, u: Array, p: Array) -> Array:
    J = np.array([[1.0 - 3.0 * x[0] ** 2, 0.0], [0.6 * STIFF * x[0], -STIFF]])
    J[:, 0] += 0.4 * np.cos(x[0]) * COLUMN * u[0]
    return np.asarray(J.T @ p)


def along(x: Array, p: Array) -> Array:
    return np.asarray((1.0 + 0.4 * np.sin(x[:, :1])) * (p @ COLUMN)[:, None])


MOTION = Controlled(velocity, pulled, along, STIFF + 2.0)
START, SADDLE, OUTWARDS = np.array([-1.0, 0.3]), np.zeros(2), np.array([1.0, 0.0])


def test_sensitivities_are_derivatives_of_the_discrete_motion() -> None:
    rng = np.random.default_rng(0)
    steps = rng.uniform(0.2, 0.6, 9)
    controls = 0.5 * rng.normal(size=(9, 1))
    found = run(MOTION, START, steps, controls, SADDLE, OUTWARDS)
    slopes, momenta = sensitivity(MOTION, found, OUTWARDS)
    h = 1e-6
    for k in range(9):
        up, down = controls.copy(), controls.copy()
        up[k] += h
        down[k] -= h
        difference = (
            run(MOTION, START, steps, up, SADDLE, OUTWARDS).side
            - run(MOTION, START, steps, down, SADDLE, OUTWARDS).side
        ) / (2.0 * h)
        assert slopes[k, 0] * steps[k] == pytest.approx(difference, rel=1e-6, abs=1e-8)
    for j in range(2):
        shift = h * np.eye(2)[j]
        difference = (
            run(MOTION, START + shift, steps, controls, SADDLE, OUTWARDS).side
            - run(MOTION, START - shift, steps, controls, SADDLE, OUTWARDS).side
        ) / (2.0 * h)
        assert momenta[0, j] == pytest.approx(difference, rel=1e-6, abs=1e-8)


def test_the_cost_converges_to_that_of_a_line() -> None:
    """On a line with noise s(x) the cost is int 2 (x^3 - x) / s^2 dx over the climb."""
    line = Controlled(
        lambda x, u: x - x**3 + (1.0 + 0.4 * np.sin(x)) * u,
        lambda x, u, p: (1.0 - 3.0 * x**2 + 0.4 * np.cos(x) * u) * p,
        lambda x, p: (1.0 + 0.4 * np.sin(x)) * p,
        3.0,
    )
    x = np.linspace(-1.0, 0.0, 4001)
    exact = float(np.trapezoid(2.0 * (x**3 - x) / (1.0 + 0.4 * np.sin(x)) ** 2, x))
    errors = []
    for n in (32, 64):
        steps = np.full(n, 16.0 / n)
        t = np.cumsum(steps) - 0.5 * steps - 8.0
        controls = (1.0 / np.cosh(t) ** 2)[:, None]
        best = cheapest(line, np.array([-1.0]), steps, controls, np.zeros(1), np.ones(1), tolerance=1e-6, most=60)
        assert best is not None
        assert best.status == CONVERGED
        errors.append(best.cost - exact)
    assert 0.0 < errors[1] < errors[0] < 0.1 * exact
    assert errors[0] / errors[1] == pytest.approx(4.0, abs=1.0)


def test_noise_that_does_not_push_there_is_told() -> None:
    blind = MOTION._replace(
        velocity=lambda x, u: velocity(x, 0.0 * u), pulled=lambda x, u, p: pulled(x, 0.0 * u, p), along=along
    )
    steps = np.full(8, 1.0)
    assert cheapest(blind, START, steps, np.ones((8, 1)), SADDLE, OUTWARDS, tolerance=1e-3, most=5) is None
