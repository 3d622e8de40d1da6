"""Ellipsoids that a flow does not leave, against a loop over single points."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.landscape import neighbourhoods
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


@pytest.mark.parametrize("d", [2, pytest.param(3, marks=pytest.mark.slow), 5, 12])
def test_radii_are_the_largest_at_which_every_direction_of_every_shell_passes(d: int) -> None:
    rng = np.random.default_rng(d)
    points, scales = rng.uniform(-2.0, 2.0, size=(7, d)), rng.uniform(0.3, 1.0, size=7)
    asked = 0

    def drift(x: Array) -> Array:
        """Down a sum of wells of several widths, and undefined far out."""
        nonlocal asked
        asked += len(x)
        offsets = (x[:, None] - points) / scales[:, None]
        weights = np.exp(-0.5 * (offsets**2).sum(axis=2))
        force = -(weights[:, :, None] * offsets / scales[:, None]).sum(axis=1)
        return np.where((np.abs(x) > 2.2).any(axis=1)[:, None], np.nan, force)

    jacobians = -np.eye(d) * (rng.uniform(0.5, 3.0, size=(7, d))[:, None])
    metrics, radii, _ = attracting_ellipsoids(drift, points, jacobians, spread=1.0)
    found, asked = asked, 0
    shells = neighbourhoods._MANY_SHELLS if d <= neighbourhoods._FEW else neighbourhoods._SHELLS
    wanted = np.zeros(7)
    for k, (point, metric) in enumerate(zip(points, metrics, strict=True)):
        gaps = [float(np.sqrt((q - point) @ metric @ (q - point))) for q in points if q is not point]
        surface = np.linalg.solve(np.linalg.cholesky(metric).T, neighbourhoods._directions(d).T).T
        radius = first = 0.5 * min(g for g in gaps if g > 0.0)
        while radius >= 2.0**-20 * first:
            offsets = (radius * shells[:, None, None] * surface).reshape(-1, d)
            if (np.einsum("ni,ij,nj->n", offsets, metric, drift(point + offsets)) < 0.0).all():
                wanted[k] = 0.75 * radius
                break
            radius *= 0.8
    np.testing.assert_allclose(radii, wanted, rtol=1e-12)
    assert found < asked
