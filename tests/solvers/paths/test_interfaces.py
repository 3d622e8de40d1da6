"""Interfaces found by bisection, against planes, spheres and functions that are steep and do not jump."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.solvers.paths.interfaces import OneSided, interface_at, jumps_along

Array = NDArray[np.float64]


def inside_a_sphere(x: Array) -> Array:
    strength = np.where((x**2).sum(axis=1) < 1.0, 1.0 + 0.1 * x[:, 0] ** 2, 4.0)
    return np.asarray(strength[:, None, None] * np.eye(x.shape[1]))


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_the_surface_is_that_of_the_sphere(dimension: int) -> None:
    end = np.linspace(1.0, 2.0, dimension)
    (jump,) = jumps_along(inside_a_sphere, np.stack([np.zeros(dimension), end]))
    assert np.linalg.norm(jump.before) == pytest.approx(1.0, abs=1e-14)
    assert np.linalg.norm(jump.after) == pytest.approx(1.0, abs=1e-14)
    interface = interface_at(inside_a_sphere, jump, 0.5, 1e-7)
    assert interface is not None
    t = np.linspace(0.3, -0.6, dimension - 1) * interface.radius
    x = interface.point(t)
    assert np.linalg.norm(x) == pytest.approx(1.0, abs=2.0 * interface.misfit + 1e-14)
    np.testing.assert_allclose(interface.normal(t), x, atol=1e-4)
    np.testing.assert_allclose(interface.normal(np.zeros(dimension - 1)), end / np.linalg.norm(end), atol=1e-6)
    np.testing.assert_allclose(interface.tangents(t).T @ interface.normal(t), 0.0, atol=1e-12)


def test_a_curve_with_a_point_on_the_interface() -> None:
    curve = np.linspace(0.0, 1.0, 81)[:, None] * np.array([1.6, 1.0])
    (jump,) = jumps_along(lambda x: np.where(x[:, 0] < 1.0, 1.0, 4.0)[:, None, None] * np.eye(2), curve)
    assert jump.place == pytest.approx(np.hypot(1.0, 0.625), abs=1e-12)


def test_all_squares_of_a_chequerboard_are_seen() -> None:
    found = jumps_along(
        lambda x: np.where(x[:, 0] * x[:, 1] > 0.0, 1.0, 4.0)[:, None, None] * np.eye(2),
        np.array([[-1, -1.5], [2, 1.0]]),
    )
    np.testing.assert_allclose([jump.before for jump in found], [[0.0, -2 / 3], [0.8, 0.0]], atol=1e-12)


def test_what_is_steep_does_not_jump() -> None:
    curve = np.array([[-1.0, -0.5], [1.1, 0.5]])
    assert jumps_along(lambda x: (2.0 + np.tanh(1e4 * x[:, 0]))[:, None, None] * np.eye(2), curve) == []


def test_a_corner_is_no_smooth_surface() -> None:
    def corner(x: Array) -> Array:
        return np.asarray(np.where((x > 0.0).all(axis=1), 4.0, 1.0)[:, None, None] * np.eye(2))

    (jump,) = jumps_along(corner, np.array([[-1.0, -1.0], [1.0, 1.0]]))
    assert interface_at(corner, jump, 0.5, 1e-6) is None


def test_one_side_is_continued_beyond_the_interface() -> None:
    (jump,) = jumps_along(inside_a_sphere, np.array([[0.0, 0.0], [0.0, 2.0]]))
    interface = interface_at(inside_a_sphere, jump, 0.5, 1e-7)
    assert interface is not None
    x = np.array([[0.01, 0.9], [0.01, 1.05], [-0.02, 1.1]])
    before, after = OneSided(inside_a_sphere, [(interface, -1)]), OneSided(inside_a_sphere, [(interface, 1)])
    np.testing.assert_allclose(before(x)[:, 0, 0], 1.0 + 0.1 * x[:, 0] ** 2, atol=1e-6)
    np.testing.assert_allclose(after(x)[:, 0, 0], 4.0)
    slope = np.tile([0.3, 1.0], (3, 1))
    h, direction = 1e-6, np.array([1.0, 2.0])
    differences = (before.kept(x + h * direction) - before.kept(x - h * direction)) / (2.0 * h)
    np.testing.assert_allclose(before.pulled(x, slope) @ direction, (slope * differences).sum(axis=1), atol=1e-6)
