"""The free way down: several trajectories at once, each against the exact flow and against itself alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import qpot
from qpot.landscape.flow import descent, descents

Array = NDArray[np.float64]


def test_linear_flow_down_to_the_tolerance() -> None:
    A = np.array([[1.0, 3.0], [-3.0, 2.0]])
    system = qpot.System(drift=lambda x: -x @ A.T, covariance=1.0, dimension=2)
    start = np.array([0.4, -0.3])
    found = descent(system, start, towards=np.zeros(2))
    assert found is not None
    times, points = found
    values, vectors = np.linalg.eig(-A)
    exact = (vectors * np.exp(values * times[:, None])[:, None, :]) @ np.linalg.solve(vectors, start)
    np.testing.assert_allclose(points, exact.real, atol=1e-6)
    assert np.linalg.norm(points[-1]) <= 1e-4 * np.linalg.norm(start) < np.linalg.norm(points[-2])


def test_together_as_alone_and_those_that_miss_are_none() -> None:
    """To the left well, to the right one, off to infinity (x > 1.5), and to the left well again."""

    def drift(x: Array) -> Array:
        force = x[:, 0] - x[:, 0] ** 3
        return np.stack([np.where(x[:, 0] > 1.5, x[:, 0], force), -2.0 * x[:, 1]], axis=1)

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    starts = np.array([[-0.01, 0.3], [0.01, 0.3], [1.6, 0.1], [-1.9, -0.5]])
    left = np.array([-1.0, 0.0])
    together = descents(system, starts, towards=left)
    assert [way is None for way in together] == [False, True, True, False]
    for (x, y), start, way in zip(starts, starts, together, strict=True):
        alone = descent(system, start, towards=left)
        assert (alone is None) == (way is None)
        for found in (way, alone):
            if found is None:
                continue
            times, points = found
            assert np.linalg.norm(points[-1] - left) < 1e-4 * np.linalg.norm(start - left)
            # y falls as exp(-2 t), and x^2 / (1 - x^2) grows as exp(2 t)
            exact = np.stack([x / np.sqrt(x**2 + (1 - x**2) * np.exp(-2 * times)), y * np.exp(-2 * times)], axis=1)
            np.testing.assert_allclose(points, exact, atol=1e-5)


def test_a_hole_in_the_drift_costs_only_the_way_that_meets_it() -> None:
    def drift(x: Array) -> Array:
        return np.where(x[:, :1] > 0.5, np.nan, x - x**3)

    system = qpot.System(drift=drift, covariance=1.0, dimension=1)
    down, into_the_hole = descents(system, np.array([[-0.1], [0.1]]), towards=np.array([-1.0]))
    assert down is not None
    assert into_the_hole is None
