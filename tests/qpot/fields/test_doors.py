"""V at the saddles on the border of a basin, from the rays inside it alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.fields.doors import faces_left, levels_at_doors


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
    found = levels_at_doors(system, np.zeros(2), doors, grid, highest=1.1 * float(truth.max()))
    assert found.trusted
    assert not found.left.any()
    np.testing.assert_allclose(found.levels, truth, rtol=2e-3)
    # The level that is wanted ends below the dearer doors, and a door outside the grid has none.
    low = levels_at_doors(system, np.zeros(2), np.array([*doors, [9.0, 0.0]]), grid, highest=0.5 * float(truth.max()))
    np.testing.assert_array_equal(np.isnan(low.levels), [True, True, False, False, True])


def test_the_face_at_which_a_grid_ends() -> None:
    system = _lattice(np.array([0.5, 1.5]), 0.0)
    doors = np.array([[0.0, 3.0], [2.9, 0.0]])
    # V is 2 (1 - cos 1) / 0.5 = 1.8 at the lower face of the first axis, and more at all others.
    found = levels_at_doors(system, np.zeros(2), doors, qpot.Grid((-1.0, -4.0), (5.0, 4.0), 81), highest=5.0)
    np.testing.assert_array_equal(found.left, [[True, False], [False, False]])
    np.testing.assert_array_equal(np.isnan(found.levels), [True, True])
    value = np.full((9, 9), np.nan)
    value[3:6, 3:] = 1.0
    value[1, 4], value[3:6, -1] = 1.5, [2.0, 3.0, 2.0]
    np.testing.assert_array_equal(faces_left(value, qpot.Grid((0, 0), (1, 1), 9)), [[False, False], [False, True]])
    value[3:6, -1] = np.nan
    np.testing.assert_array_equal(faces_left(value, qpot.Grid((0, 0), (1, 1), 9)), [[False, False], [False, True]])
    np.testing.assert_array_equal(
        faces_left(value, qpot.Grid((0, 0), (1, 1), 9, periodic=(False, True))), [[True, False], [False, False]]
    )
    value[1, 4] = np.nan
    assert not faces_left(value, qpot.Grid((0, 0), (1, 1), 9, periodic=(False, True))).any()


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
    found = levels_at_doors(case.system, minima[0].point, doors, grid, highest=field.level)
    assert found.trusted
    known = np.array([p.level for p in field.passages if not p.attracts])
    assert abs(found.levels.min() - known.min()) <= 1e-6


def test_what_is_not_smooth_is_refused() -> None:
    system = qpot.System(drift=lambda x: -np.sign(x) * 0.3 - x, covariance=np.eye(2), dimension=2)
    with pytest.raises(ValueError, match=r"kink|attract"):
        levels_at_doors(system, np.zeros(2), np.ones((1, 2)), qpot.Grid((-2, -2), (2, 2), 65), highest=1.0)
