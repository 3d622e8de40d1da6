"""Paths that turn off before they reach a minimum on their way are told from those that cross a missing pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.landscape.basins import attractor_points
from qpot.landscape.classified import labels_of
from qpot.prediction.costs import Hole
from qpot.prediction.cut_corners import cuts_corners
from qpot.solvers.paths.curve_action import curve_action, smooth

Array = NDArray[np.float64]

_BOX = [(-3.0, 3.0), (-14.0, 1.0)]
_SLOPE, _DEPTH = 0.004, 12.0


def _valley(x: Array) -> tuple[Array, Array]:
    """The bottom of the middle valley, which slopes down along y, and its derivative."""
    bottom = -_DEPTH * np.exp(-4.0 * x**2)
    return bottom, -8.0 * x * bottom


def _loss(p: Array) -> Array:
    x, y = p.T
    return np.asarray(0.1 * x**2 * (x**2 - 4.0) ** 2 + _SLOPE * (y - _valley(x)[0]) ** 2)


def _gradient(p: Array) -> Array:
    x, y = p.T
    bottom, slope = _valley(x)
    wells = 0.1 * (2.0 * x * (x**2 - 4.0) ** 2 + 4.0 * x**3 * (x**2 - 4.0))
    return np.stack([wells - 2.0 * _SLOPE * (y - bottom) * slope, 2.0 * _SLOPE * (y - bottom)], axis=1)


def _noise(p: Array) -> Array:
    return np.asarray((1.0 + 0.2 * np.tanh(p[:, 0]))[:, None, None] * np.diag([1.0, 1.3]))


@pytest.mark.parametrize(
    "noise", [1.0, pytest.param(_noise, marks=pytest.mark.slow)], ids=["isotropic", "state-dependent"]
)
def test_a_path_through_the_upper_end_of_a_valley_cuts_a_corner_unless_a_pass_is_missing(noise: Any) -> None:
    system = qpot.System.from_loss(_loss, _gradient, noise, dimension=2)
    minima = qpot.find_minima(system, _BOX)
    saddles = qpot.find_saddles(system, minima, _BOX)
    costs = qpot.transition_costs(system, minima, saddles=saddles)
    points = attractor_points(minima, dimension=2)
    left, right = int(points[:, 0].argmin()), int(points[:, 0].argmax())
    # Straight across, high above the bottom of the valley in the middle.
    path = smooth(np.linspace(points[left], points[right], 41), 4)
    action, error = curve_action(system.unchecked.drift, system.unchecked.covariance, path)
    V = float(costs.values[left, right])
    hole = Hole(start=left, end=right, value=action, error=error, known=V, path=path)
    label = labels_of(system, points, np.array([-3.0, -14.0]), np.array([3.0, 1.0]))
    assert action + error < 0.98 * V
    assert cuts_corners(system, costs, hole, label, points)
    # The same path under costs that are all dearer, as if cheaper passes were not known.
    dearer = replace(costs, values=1.5 * costs.values)
    assert not cuts_corners(system, dearer, hole, label, points)


def test_a_path_between_neighbours_cuts_no_corner() -> None:
    system = qpot.System.from_loss(_loss, _gradient, 1.0, dimension=2)
    minima = qpot.find_minima(system, _BOX)
    costs = qpot.transition_costs(system, minima, saddles=qpot.find_saddles(system, minima, _BOX))
    points = attractor_points(minima, dimension=2)
    order = np.argsort(points[:, 0])
    a, b = int(order[0]), int(order[1])
    path = np.linspace(points[a], points[b], 41)
    label = labels_of(system, points, np.array([-3.0, -14.0]), np.array([3.0, 1.0]))
    hole = Hole(start=a, end=b, value=0.1, error=0.0, known=float(costs.values[a, b]), path=path)
    assert not cuts_corners(system, costs, hole, label, points)
