"""Grids: nodes, spacing, periodic axes, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds

import qpot


def test_nodes_in_c_order() -> None:
    grid = qpot.Grid((0, 10), (1, 13), (11, 16))
    assert grid.spacing == pytest.approx([0.1, 0.2])
    assert grid.size == 176
    points = grid.points()
    np.testing.assert_allclose(points[1] - points[0], [0.0, 0.2])
    np.testing.assert_allclose(points[-1], [1.0, 13.0])
    np.testing.assert_array_equal(grid.points(17, 40), points[17:40])


def test_periodic_axis_leaves_its_end_out() -> None:
    grid = qpot.Grid((0, 0), (1, 1), 10, periodic=(True, False))
    assert grid.spacing == pytest.approx([0.1, 1 / 9])
    assert grid.contains([[7.0, 0.5]]).all()
    assert not grid.contains([[0.5, 1.1]]).any()
    np.testing.assert_allclose(grid.wrap(np.array([[-0.25, 0.5]])), [[0.75, 0.5]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 0), (1, 0), 20), "lower must be below upper"),
        (((0, 0), (1,), 20), "one dimension"),
        (((0,) * 4, (1,) * 4, 20), "at most 3"),
        (((0, 0), (1, 1), (20, 20, 20)), "3 entries"),
        (((0, 0), (1, 1), 5), "shape"),
        (((0, np.inf), (1, 1), 20), "finite"),
    ],
)
def test_refusals(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.Grid(*arguments)


def test_bounds_as_elsewhere() -> None:
    grid = qpot.Grid((-1, 0), (1, 3), (11, 16))
    for bounds in ([(-1, 1), (0, 3)], Bounds([-1, 0], [1, 3])):
        other = qpot.Grid(bounds=bounds, shape=(11, 16))
        np.testing.assert_array_equal(other.points(), grid.points())
    assert qpot.Grid(bounds=[(0, 1)], shape=9).dimension == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounds": [(-1, 1)]}, "shape is missing"),
        ({"shape": 9}, "pass either lower and upper"),
        ({"lower": (0,), "upper": (1,), "bounds": [(0, 1)], "shape": 9}, "pass either lower and upper"),
        ({"lower": (0,), "bounds": [(0, 1)], "shape": 9}, "pass either lower and upper"),
        ({"bounds": [(1, 0)], "shape": 9}, "lower must be below upper"),
    ],
)
def test_bounds_or_corners(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.Grid(**arguments)
