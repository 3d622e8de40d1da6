"""Ellipsoids that a flow does not leave, against a loop over single points."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.landscape.neighbourhoods import attracting_ellipsoids

Array = np.ndarray


def wells(x: Array) -> Array:
    return np.column_stack([x[:, 0] - x[:, 0] ** 3, -3.0 * x[:, 1] + x[:, 0]])


def jacobians(x: Array) -> Array:
    return np.array([[[1.0 - 3.0 * a**2, 0.0], [1.0, -3.0]] for a, _ in x])


def test_all_points_together_are_each_by_itself() -> None:
    points = np.array([[-1.0, -1.0 / 3.0], [1.0, 1.0 / 3.0]])
    metrics, radii, _ = attracting_ellipsoids(wells, points, jacobians(points), spread=1.0)
    J = jacobians(points)
    for k in range(2):
        rest = J[k].T @ metrics[k] + metrics[k] @ J[k]
        np.testing.assert_allclose(rest, rest[0, 0] * np.eye(2), atol=1e-12)  # The Lyapunov equation, up to a factor.
        assert np.linalg.eigvalsh(metrics[k])[-1] == pytest.approx(1.0)
        gap = float(np.sqrt((points[1] - points[0]) @ metrics[k] @ (points[1] - points[0])))
        _, alone, _ = attracting_ellipsoids(wells, points[k : k + 1], J[k : k + 1], spread=gap)
        assert radii[k] == pytest.approx(alone[0], rel=1e-12)
        assert 0.1 * gap < radii[k] < 0.5 * gap


def test_a_point_that_does_not_attract_has_the_radius_zero() -> None:
    metrics, radii, smallest = attracting_ellipsoids(lambda x: x, np.zeros((1, 2)), -np.eye(2)[None], spread=1.0)
    assert radii[0] == 0.0
    assert 0.0 < smallest[0] < 1e-5
    np.testing.assert_allclose(metrics[0], np.eye(2))
