"""The costs beside a limit cycle against a potential in closed form, to the order that is claimed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.paths.cycle_tube import cycle_tube

Array = NDArray[np.float64]

# The coordinates are mapped by this matrix, and the noise along with them.
MAP = np.array([[1.3, 0.4], [-0.2, 0.8]])


def radial(x: Array) -> Array:
    """A focus, an unstable cycle of radius 1 and a stable one of radius 2, which turn at the rate 2."""
    r2 = (x**2).sum(axis=1, keepdims=True)
    return np.asarray(-(1 - r2) * (1 - r2 / 4) * x + 2.0 * np.stack([-x[:, 1], x[:, 0]], axis=1))


def drift(x: Array) -> Array:
    return np.asarray(radial(x @ np.linalg.inv(MAP).T) @ MAP.T)


def potential(x: Array) -> Array:
    """V up to a constant, which is that of the radius: 2 int r (1 - r^2) (1 - r^2 / 4) dr."""
    s = ((x @ np.linalg.inv(MAP).T) ** 2).sum(axis=1)
    return np.asarray(s - 5.0 / 8.0 * s**2 + s**3 / 12.0)


def tube_of(radius: float, stable: bool) -> tuple[Any, Any]:
    """The points of one of the cycles, and the tube beside it."""
    angles = 2.0 * np.pi * np.arange(512) / 512
    points = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1) @ MAP.T
    tube = cycle_tube(
        drift,
        lambda x: central_jacobian(drift, x),
        lambda x: np.broadcast_to(MAP @ MAP.T, (len(x), 2, 2)),
        points,
        np.pi,
        stable=stable,
    )
    assert tube is not None
    return points, tube


@pytest.mark.parametrize(("radius", "stable"), [(1.0, False), (2.0, True)])
def test_the_error_of_the_cost_is_of_fourth_order(radius: float, stable: bool) -> None:
    points, tube = tube_of(radius, stable)
    assert tube.order == 4
    level = float(potential(points[:1])[0])
    errors = []
    for distance in (0.04, 0.02):
        for side in (1.0, -1.0):
            x = (1.0 + side * distance) * points[::37]
            cost = 0.5 * tube.coordinates(x)[:, 0] ** 2
            truth = np.abs(potential(x) - level)
            errors.append(np.abs(cost / truth - 1.0).max())
            slopes = tube.momenta(x) * (1.0 if stable else -1.0)
            np.testing.assert_allclose(
                slopes, central_jacobian(potential, x), rtol=0.05, atol=0.02 * np.abs(slopes).max()
            )
    # Relative to a cost of second order, the error falls by four from one distance to half of it, up to that of the factors.
    assert max(errors[:2]) < 5e-3
    assert max(errors[2:]) < 0.35 * max(errors[:2]) + 3e-4
    # A point is found again from its coordinate, and the coordinate from the point.
    there = tube.beside(np.array([0.3, 1.7]), np.array([[0.05], [-0.05]]))
    np.testing.assert_allclose(tube.coordinates(there)[:, 0], [0.05, -0.05], rtol=1e-3)


def test_an_optimal_path_keeps_its_pace() -> None:
    _, tube = tube_of(1.0, stable=False)
    # Beside r = 1 distances grow by the rate 3 / 2 at all times.
    np.testing.assert_allclose(tube.growth, 1.5 * np.pi, rtol=1e-6)
    np.testing.assert_allclose(tube.later(1.0, np.log(10.0)), 1.0 + np.log(10.0) / 1.5, rtol=1e-3)
    np.testing.assert_allclose(tube.shares(1.0, np.array([0.0, 2.0, -2.0])), np.exp([0.0, -3.0, -3.0]), rtol=1e-2)


def test_points_that_do_not_resolve_an_orbit_make_no_tube() -> None:
    points = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]) @ MAP.T
    assert (
        cycle_tube(
            drift,
            lambda x: central_jacobian(drift, x),
            lambda x: np.broadcast_to(MAP @ MAP.T, (len(x), 2, 2)),
            points,
            np.pi,
            stable=False,
        )
        is None
    )
