"""V at the saddles on the border of a basin, from the rays inside it alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.fields.doors import levels_at_doors


def _lattice(noise: Any, turn: float) -> qpot.System:
    """cos x + cos y over a turned grid of wells with constant noise along its axes; a climb costs 2 (h(s) - h(m)) / a."""
    c, s = np.cos(turn), np.sin(turn)
    R = np.array([[c, -s], [s, c]])

    def loss(x: Any) -> Any:
        y = x @ R
        return (1.0 - np.cos(y)).sum(axis=1) + 0.01 * (y**2).sum(axis=1)

    def gradient(x: Any) -> Any:
        y = x @ R
        return (np.sin(y) + 0.02 * y) @ R.T

    return qpot.System.from_loss(loss, gradient, R @ np.diag(noise) @ R.T, dimension=2)


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_doors_of_a_lattice_have_the_levels_of_one_dimensional_climbs(turn: float) -> None:
    noise = np.array([0.5, 1.5])
    system = _lattice(noise, turn)
    c, s = np.cos(turn), np.sin(turn)
    R = np.array([[c, -s], [s, c]])
    top = float(qpot.find_saddles(system, *_around(system))[0].point @ R @ np.array([1.0, 1.0]))
    top = abs(top)
    doors = np.array([[top, 0.0], [-top, 0.0], [0.0, top], [0.0, -top]]) @ R.T
    height = 1.0 - np.cos(top) + 0.01 * top**2
    truth = 2.0 * height / noise[[0, 0, 1, 1]]
    grid = qpot.Grid((-5.0, -5.0), (5.0, 5.0), 101)
    levels, trusted = levels_at_doors(system, np.zeros(2), doors, grid, highest=1.1 * float(truth.max()))
    assert trusted
    np.testing.assert_allclose(levels, truth, rtol=2e-3)
    # The level that is wanted ends below the dearer doors, and a door outside the grid has none.
    low, _ = levels_at_doors(
        system, np.zeros(2), np.array([*doors, [9.0, 0.0]]), grid, highest=0.5 * float(truth.max())
    )
    np.testing.assert_array_equal(np.isnan(low), [True, True, False, False, True])


def _around(system: qpot.System) -> tuple[Any, Any]:
    box = [(-4.0, 4.0)] * 2
    return qpot.find_minima(system, box), box


def test_levels_are_those_of_the_whole_field() -> None:
    case = qpot.gallery.maier_stein()
    minima = qpot.find_minima(case.system, case.bounds)
    saddles = qpot.find_saddles(case.system, minima, case.bounds)
    grid = qpot.Grid((-1.6, -0.8), (1.6, 0.8), 101)
    doors = np.array([s.point for s in saddles])
    field = qpot.quasipotential(case.system, minima[0], grid)
    levels, trusted = levels_at_doors(case.system, minima[0].point, doors, grid, highest=field.level)
    assert trusted
    known = np.array([p.level for p in field.passages if not p.attracts])
    assert abs(levels.min() - known.min()) <= 1e-6


def test_what_is_not_smooth_is_refused() -> None:
    system = qpot.System(drift=lambda x: -np.sign(x) * 0.3 - x, covariance=np.eye(2), dimension=2)
    with pytest.raises(ValueError, match=r"kink|attract"):
        levels_at_doors(system, np.zeros(2), np.ones((1, 2)), qpot.Grid((-2, -2), (2, 2), 65), highest=1.0)
