"""Where searches begin: as many curves as asked for, all from start to end, on all sides, the same at every call."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qpot
from qpot.paths.starts import initial_curves


def linear(d: int) -> qpot.System:
    rng = np.random.default_rng(d)
    A = 2.0 * np.eye(d) + 0.5 * rng.standard_normal((d, d)) / np.sqrt(d)
    return qpot.System(drift=lambda x: -x @ A.T, covariance=np.diag(np.arange(1.0, d + 1.0)), dimension=d)


@settings(max_examples=20, deadline=None)
@given(d=st.integers(2, 5), count=st.integers(1, 40))
def test_as_many_as_asked_for_all_different(d: int, count: int) -> None:
    start, end = np.zeros(d), np.ones(d)
    curves = initial_curves(linear(d), start, end, [], count, attracting=True)
    assert len(curves) == count
    for curve in curves:
        np.testing.assert_allclose(curve[[0, -1]], [start, end], atol=1e-12)
    middles = np.array([curve[20] for curve in curves])
    gaps = np.linalg.norm(middles[:, None] - middles[None], axis=2) + np.eye(count)
    assert gaps.min() > 1e-3
    again = initial_curves(linear(d), start, end, [], count, attracting=True)
    np.testing.assert_array_equal(np.array(curves), np.array(again))


def test_the_ellipse_is_left_along_its_axes() -> None:
    """dx = -x dt + sigma dW with covariance diag(1, 9): axes 1 : 3, so that the first turns go up and down."""
    system = qpot.System(drift=lambda x: -x, covariance=np.diag([1.0, 9.0]), dimension=2)
    curves = initial_curves(system, np.zeros(2), np.array([2.0, 0.0]), [], 9, attracting=True)
    slopes = np.array([np.diff(curve[:2], axis=0)[0] for curve in curves[5:]])
    directions = slopes / np.linalg.norm(slopes, axis=1)[:, None]
    np.testing.assert_allclose(abs(directions), [[0, 1], [0, 1], [1, 0], [1, 0]], atol=0.05)
    assert np.linalg.norm(slopes[0]) == pytest.approx(3.0 * np.linalg.norm(slopes[2]), rel=0.1)


def test_on_a_line_there_is_one_way() -> None:
    system = qpot.System(drift=lambda x: x - x**3, covariance=1.0, dimension=1)
    assert len(initial_curves(system, np.array([-1.0]), np.array([0.0]), [], 8, attracting=True)) == 1
