"""Free descents into one minimum, followed together: each is the one that is followed alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.landscape.flow import descent
from qpot.paths.shared_descents import shared_descents


def _system() -> qpot.System:
    """Nine wells in a turning drift that is no gradient."""

    def drift(x: Any) -> Any:
        g = np.sin(x) + 0.02 * x
        return -g + 0.3 * np.stack([g[:, 1], -g[:, 0]], axis=1)

    return qpot.System(drift=drift, covariance=np.eye(2), dimension=2)


def test_each_is_the_trajectory_that_is_followed_alone() -> None:
    system = _system()
    minima = qpot.find_minima(system, [(-8.0, 8.0)] * 2)
    saddles = [s for s in qpot.find_saddles(system, minima, [(-8.0, 8.0)] * 2) if None not in s.connects]
    assert len(saddles) >= 8
    points = np.array([s.point for s in saddles])
    ways = np.array([s.direction for s in saddles])
    ends = np.array([minima[s.connects[0] or 0].point for s in saddles])
    found = shared_descents(system, points, ways, ends, seconds=60.0)
    for x, way, end, together in zip(points, ways, ends, found, strict=True):
        alone = descent(system, x + 1e-4 * np.linalg.norm(end - x) * way, towards=end)
        assert together is not None
        assert alone is not None
        # Both are curves through the same points: those of one lie on the other.
        gaps = np.linalg.norm(together[1][:, None] - _dense(alone[1])[None], axis=2).min(axis=1)
        assert gaps.max() <= 1e-2 * np.linalg.norm(end - x)
        assert np.linalg.norm(together[1][-1] - end) <= 1e-4 * np.linalg.norm(end - x)


def _dense(curve: Any) -> Any:
    shares = np.linspace(0.0, 1.0, 20)[:, None]
    return np.concatenate([a + shares * (b - a) for a, b in itertools.pairwise(curve)])


def test_the_wrong_side_leads_elsewhere() -> None:
    system = _system()
    minima = qpot.find_minima(system, [(-4.0, 8.0), (-4.0, 4.0)])
    saddle = next(s for s in qpot.find_saddles(system, minima, [(-4.0, 8.0), (-4.0, 4.0)]) if None not in s.connects)
    end = minima[saddle.connects[0] or 0].point
    right, wrong = shared_descents(
        system, np.array([saddle.point] * 2), np.array([1.0, -1.0])[:, None] * saddle.direction, np.array([end] * 2),
        seconds=60.0,
    )  # fmt: skip
    assert right is not None
    assert wrong is None
    assert shared_descents(system, *np.zeros((3, 0, 2)), seconds=1.0) == []


def test_a_drift_that_fails_leaves_the_legs_to_themselves() -> None:
    def drift(x: Any) -> Any:
        return np.where(x[:, :1] > 0.5, np.nan, 0.0) + x - x**3

    system = qpot.System(drift=drift, covariance=np.eye(2), dimension=2)
    none = shared_descents(system, np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.ones((1, 2)), seconds=5.0)
    assert none == [None]


@pytest.mark.parametrize("executor", [False, True])
def test_costs_do_not_depend_on_who_follows_them(executor: bool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    system = _system()
    box = [(-8.0, 8.0), (-4.0, 4.0)]
    minima = qpot.find_minima(system, box)
    saddles = qpot.find_saddles(system, minima, box)
    plain = qpot.transition_costs(system, minima, saddles=saddles)
    if executor:
        with ThreadPoolExecutor(2) as pool:
            other = qpot.transition_costs(system, minima, saddles=saddles, executor=pool)
    else:
        other = qpot.transition_costs(system, minima, saddles=saddles)
    np.testing.assert_array_equal(plain.values, other.values)
