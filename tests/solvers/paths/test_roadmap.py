"""Cheapest curves on a roadmap, held against quasi-potentials in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.solvers.paths.curve_action import segment_actions
from qpot.solvers.paths.roadmap import roadmap

Array = NDArray[np.float64]


def noise(x: Array) -> Any:
    return np.broadcast_to(np.diag([1.0, 2.0]), (len(x), 2, 2))


def turning(x: Array) -> Any:
    """b = -(a / 2 + 2 J) x, for which V(0, x) = |x|^2 / 2."""
    M = np.array([[0.5, 2.0], [-2.0, 1.0]])
    return -x @ M.T


def drawn(n: int, drift: Any = turning) -> tuple[Array, list[Array]]:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -0.8], [-0.7, 0.6]])
    box = np.array([[-1.2, -1.2], [1.2, 1.2]])

    def lines(x: Array, y: Array) -> Array:
        return segment_actions(drift, noise, x, y, 3)

    found = roadmap(drift, noise, lines, points, [], box, n)
    assert found is not None
    return found.curves_from(0, [1, 2, 3])


def test_costs_lie_a_few_percent_above_the_quasi_potential() -> None:
    values, curves = drawn(61)
    V = np.array([0.5, 0.32, 0.425])
    assert (values > 0.99 * V).all()
    assert values == pytest.approx(V, rel=0.15)
    assert all(np.array_equal(curve[0], [0.0, 0.0]) for curve in curves)
    for curve, value in zip(curves, values, strict=True):
        assert segment_actions(turning, noise, curve[:-1], curve[1:], 6).sum() == pytest.approx(value, rel=0.02)


def test_a_known_curve_is_cheaper_than_the_lines_of_a_grid() -> None:
    """The path to x is x exp((a / 2 - 2 J) t), t from minus infinity to zero, for which V is exact."""
    M = np.array([[0.5, -2.0], [2.0, 1.0]])
    rates, vectors = np.linalg.eig(M)
    end = np.array([1.0, 0.0])
    times = np.concatenate([[-40.0], np.linspace(-8.0, 0.0, 400)])
    known = np.array([(vectors @ np.diag(np.exp(rates * t)) @ np.linalg.inv(vectors) @ end).real for t in times])
    known[0] = 0.0

    def lines(x: Array, y: Array) -> Array:
        return segment_actions(turning, noise, x, y, 3)

    box = np.array([[-1.2, -1.2], [1.2, 1.2]])
    found = roadmap(turning, noise, lines, known, [np.arange(len(known))], box, 41)
    assert found is not None
    values, curves = found.curves_from(0, [len(known) - 1])
    assert values[0] == pytest.approx(0.5, rel=1e-2)
    assert len(curves[0]) > 200


def test_there_is_no_roadmap_where_the_drift_is_not_finite() -> None:
    def failing(x: Array) -> Any:
        return np.where(np.abs(x) < 1.0, -x, np.nan)

    box = np.array([[-1.2, -1.2], [1.2, 1.2]])
    assert roadmap(failing, noise, lambda x, y: np.zeros(len(x)), np.zeros((1, 2)), [], box, 21) is None
