"""The global quasi-potential of two wells, from the fields' own costs and from given ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import qpot


def test_gradient_landscape_is_twice_the_loss() -> None:
    """L = (x^2 - 1)^2 / 4 + 0.1 x + y^2 / 2 with unit noise: 2 (L - min L) on both sides of the saddle."""

    def loss(x: np.ndarray) -> np.ndarray:
        return (x[:, 0] ** 2 - 1) ** 2 / 4 + 0.1 * x[:, 0] + x[:, 1] ** 2 / 2

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0] ** 3 - x[:, 0] + 0.1, x[:, 1]], axis=1)

    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=2)
    roots = np.sort(np.roots([1, 0, -1, 0.1]).real)
    minima = [(roots[0], 0.0), (roots[2], 0.0)]
    grid = qpot.Grid((-1.7, -1.1), (1.7, 1.1), 97)
    with ThreadPoolExecutor(2) as executor:
        whole = qpot.global_quasipotential(
            system, minima, grid, method=qpot.CharacteristicJets(estimate_error=False), executor=executor
        )
    lowest = loss(np.array(minima)).min()
    assert whole.stationary_costs == pytest.approx(2 * (loss(np.array(minima)) - lowest), abs=2e-3)
    x = grid.points()
    exact = 2 * (loss(x) - lowest)
    safe = (whole.values.ravel() < min(0.8, whole.level)) & (np.abs(x[:, 0]) > 0.3)
    assert np.abs(whole.values.ravel() - exact)[safe].max() < 1e-2
    assert set(np.unique(whole.owner)) >= {0, 1}


def test_given_costs_and_refusals() -> None:
    well = qpot.System(drift=lambda x: x - x**3, covariance=1.0, dimension=1)
    grid = qpot.Grid(-2, 2, 81)
    points = [(-1.0,), (1.0,)]
    whole = qpot.global_quasipotential(well, points, grid, stationary=[0.0, 0.2])
    assert whole.at((1.0,))[0] == pytest.approx(0.2)
    # The nodes' values are those between them, also where no node lies on a minimum.
    off = qpot.global_quasipotential(well, points, qpot.Grid(-2.013, 2.0, 80), stationary=[0.0, 0.2])
    np.testing.assert_allclose(off.values, off.at(off.grid.points()), rtol=1e-9, atol=1e-12)
    assert 0.0 < off.values.min() < 1e-3
    whole = qpot.global_quasipotential(well, points, grid, costs=[[0.0, 0.5], [0.3, 0.0]])
    assert whole.stationary_costs == pytest.approx([0.0, 0.2])
    with pytest.raises(ValueError, match="not both"):
        qpot.global_quasipotential(well, points, grid, stationary=[0, 0], costs=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="expected"):
        qpot.global_quasipotential(well, points, grid, stationary=[0.0])
    with pytest.raises(ValueError, match="empty"):
        qpot.global_quasipotential(well, [], grid)
