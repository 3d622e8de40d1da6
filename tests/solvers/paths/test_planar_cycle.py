"""Unstable cycles in the plane, against one in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.paths.planar_cycle import unstable_cycle

Array = NDArray[np.float64]


def drift(x: Array) -> Array:
    r2 = (x**2).sum(1, keepdims=True)
    return np.asarray(x * (r2 - 1.0) + 2.0 * x[:, ::-1] * np.array([-1.0, 1.0]))


def covariance(x: Array) -> Array:
    return np.broadcast_to(0.5 * np.eye(2), (len(x), 2, 2))


def test_the_circle_its_growth_and_its_stiffness() -> None:
    # beside r = 1 the distance grows at the rate 2, so that K = 2 * 2 / a
    found = unstable_cycle(
        drift, lambda x: central_jacobian(drift, x), covariance, np.zeros(2), np.array([0.4, 0.3]), 100.0
    )
    assert found is not None
    np.testing.assert_allclose(found.period, np.pi, rtol=1e-9)
    np.testing.assert_allclose(found.growth, 2.0 * np.pi, rtol=1e-6)
    t, distance = found.feet(np.array([[0.0, 0.9], [-1.2, 0.0]]))
    np.testing.assert_allclose(distance, [-0.1, 0.2], atol=1e-9)
    np.testing.assert_allclose(found.orbit(t), [[0.0, 1.0], [-1.0, 0.0]], atol=1e-8)
    np.testing.assert_allclose(found.stiffness(t), 8.0, rtol=1e-4)


def test_where_no_cycle_is_there_is_none() -> None:
    assert (
        unstable_cycle(
            lambda x: -x,
            lambda x: central_jacobian(lambda y: -y, x),
            covariance,
            np.zeros(2),
            np.array([0.4, 0.3]),
            20.0,
        )
        is None
    )
