"""From a polyline to a timed path."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.solvers.paths.initial_path import timed_path

Array = NDArray[np.float64]


def speed(x: Array, direction: Array) -> Array:
    """|b| of x - x^3 on a line, both ways."""
    assert direction.shape == x.shape
    return np.abs(x[:, 0] - x[:, 0] ** 3)


@pytest.mark.parametrize(("slow_start", "slow_end"), [(2.0, 1.0), (2.0, 0.0), (0.0, 1.0)])
def test_ends_order_and_mesh(slow_start: float, slow_end: float) -> None:
    low, high = (-1.0 if slow_start else -0.9), (0.0 if slow_end else -0.2)
    path = timed_path(
        np.array([[low, 0.0], [0.5 * (low + high), 0.1], [high, 0.0]]),
        speed,
        slow_start=slow_start,
        slow_end=slow_end,
        n_elements=16,
        degree=4,
    )
    assert path.n_elements == 16
    assert path.degree == 4
    assert (np.diff(path.breaks) > 0).all()
    np.testing.assert_allclose(path.nodes[0], [low, 0.0], atol=1e-15)
    np.testing.assert_allclose(path.nodes[-1], [high, 0.0], atol=1e-15)
    assert (np.diff(path.nodes[:, 0]) > -1e-9).all()


def test_moves_at_the_speed_of_the_drift_between_the_tails() -> None:
    line = np.linspace(-1, 0, 50)[:, None]
    path = timed_path(line, speed, slow_start=2.0, slow_end=1.0, n_elements=60, degree=4)
    t = np.linspace(path.breaks[0], path.breaks[-1], 4001)
    x, v = path.at(t)
    middle = (x[:, 0] > -0.9) & (x[:, 0] < -0.1)
    assert np.median(np.abs(v[middle, 0] / speed(x[middle], v[middle]) - 1)) < 0.05
    # the tails take their time: about log(1 / distance) / rate
    assert path.breaks[-1] > 5.0


def test_a_stall_in_the_middle_costs_a_finite_time() -> None:
    # the straight line runs over another fixed point, where |b| = 0
    line = np.linspace(-1, 1, 50)[:, None]
    path = timed_path(line, speed, slow_start=2.0, slow_end=2.0, n_elements=16, degree=4)
    assert np.isfinite(path.breaks).all()
    assert np.isfinite(path.nodes).all()
    assert path.breaks[-1] < 1e3


def test_zero_length_pieces_are_harmless() -> None:
    line = np.array([[-1.0], [-1.0], [-0.5], [-0.5], [-0.2]])
    path = timed_path(line, speed, slow_start=2.0, slow_end=0.0, n_elements=8, degree=4)
    assert np.isfinite(path.nodes).all()
    assert (np.diff(path.breaks) > 0).all()
