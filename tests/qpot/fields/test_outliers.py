"""Nodes that all of their neighbours contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qpot
from qpot.fields.outliers import mend_outliers


def smooth(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A polynomial of third degree, which the cubics reproduce, and its gradient."""
    value = (x**2).sum(axis=1) + x[:, 0] ** 3 / 3 + x[:, 0] * x[:, 1]
    slope = 2 * x
    slope[:, 0] += x[:, 0] ** 2 + x[:, 1]
    slope[:, 1] += x[:, 0]
    return value, slope


@pytest.mark.parametrize("d", [2, 3])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(1e-3, 0.5), sign=st.sampled_from((-1.0, 1.0)))
def test_single_nodes_get_the_cubics_value(d: int, seed: int, shift: float, sign: float) -> None:
    grid = qpot.Grid((-1,) * d, (1,) * d, 15)
    value, gradient = smooth(grid.points())
    exact, slope = value.copy(), gradient.copy()
    inside = np.flatnonzero((np.abs(grid.points()) < 0.9).all(axis=1))
    node = np.random.default_rng(seed).choice(inside)
    value[node] += sign * shift
    gradient[node] += 1.0
    mended = mend_outliers(value, gradient, np.ones(grid.size, dtype=bool), grid)
    assert mended.tolist() == [node]
    assert value[node] == pytest.approx(exact[node], abs=1e-12)
    # the mean of the slopes at both ends is of second order
    assert np.abs(gradient[node] - slope[node]).max() < grid.spacing[0] ** 2 * 1.01
    assert np.array_equal(np.delete(value, node), np.delete(exact, node))


def test_neighbours_on_a_periodic_axis() -> None:
    grid = qpot.Grid((0, -1), (2 * np.pi, 1), (48, 33), periodic=(True, False))
    x = grid.points()
    value, gradient = 2 - np.cos(x[:, 0]) + x[:, 1] ** 2, np.stack([np.sin(x[:, 0]), 2 * x[:, 1]], axis=1)
    exact = value.copy()
    value[16] += 0.1  # on the seam
    assert mend_outliers(value, gradient, np.ones(grid.size, dtype=bool), grid).tolist() == [16]
    assert np.abs(value - exact).max() < 1e-4


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4, 1.2])
def test_ridges_are_no_outliers(angle: float) -> None:
    """The lower of two sheets that meet at a ridge of any direction stays as it is."""
    grid = qpot.Grid((-1, -1), (1, 1), 41)
    x = grid.points()
    n = np.array([np.cos(angle), np.sin(angle)])
    side = np.sign(x @ n + 0.013)
    value = (x**2).sum(axis=1) - np.abs(x @ n + 0.013)
    gradient = 2 * x - side[:, None] * n
    before = value.copy()
    assert mend_outliers(value, gradient, np.ones(grid.size, dtype=bool), grid).size == 0
    assert np.array_equal(value, before)


def test_unknown_nodes_do_not_speak() -> None:
    grid = qpot.Grid((-1, -1), (1, 1), 15)
    value, gradient = smooth(grid.points())
    known = np.zeros(grid.size, dtype=bool)
    assert mend_outliers(value, gradient, known, grid).size == 0
    known[:] = True
    node = 7 * 15 + 7
    known[[node - 1, node + 15, node + 16]] = False  # one line is left
    value[node] += 0.1
    value[~known] = np.inf
    assert mend_outliers(value, gradient, known, grid).size == 0
