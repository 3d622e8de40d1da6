"""Climbs whose cost is twice the climb of the loss, held against the minimiser of the action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]


def _bent_double_well(seed: int, d: int) -> tuple[Callable[[Array], Array], Callable[[Array], Array], Array]:
    """A tilted double well along a bent valley, in turned coordinates; its loss, its gradient and the turn."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    stiff, bend, tilt = rng.uniform(0.5, 4.0, d - 1), rng.uniform(-0.5, 0.5, d - 1), rng.uniform(-0.2, 0.2)

    def loss(x: Array) -> Array:
        y = x @ Q
        u, w = y[:, 0], y[:, 1:] - bend * y[:, :1] ** 2
        return np.asarray(0.25 * (u**2 - 1.0) ** 2 + tilt * u + 0.5 * (stiff * w**2).sum(axis=1))

    def gradient(x: Array) -> Array:
        y = x @ Q
        u, w = y[:, 0], y[:, 1:] - bend * y[:, :1] ** 2
        along = u**3 - u + tilt - 2.0 * u * (stiff * bend * w).sum(axis=1)
        return np.asarray(np.concatenate([along[:, None], stiff * w], axis=1) @ Q.T)

    return loss, gradient, Q


def _ends(seed: int, d: int, Q: Array) -> tuple[Array, Array]:
    """Near the left minimum and near the saddle; they are polished where a path begins."""
    rng = np.random.default_rng(seed)
    rng.standard_normal((d, d))
    _, bend, tilt = rng.uniform(0.5, 4.0, d - 1), rng.uniform(-0.5, 0.5, d - 1), rng.uniform(-0.2, 0.2)
    rests = np.sort(np.roots([1.0, 0.0, -1.0, tilt]).real)
    return tuple(np.concatenate([[u], bend * u**2]) @ Q.T for u in rests[:2])  # type: ignore[return-value]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), d=st.integers(2, 5), strength=st.floats(1e-3, 1e3))
def test_the_minimiser_agrees(seed: int, d: int, strength: float) -> None:
    loss, gradient, Q = _bent_double_well(seed, d)
    start, saddle = _ends(seed, d, Q)
    climb = float(np.diff(loss(np.stack([start, saddle])))[0])
    exact = qpot.minimum_action_path(qpot.System.from_loss(loss, gradient, strength, dimension=d), start, saddle)
    assert abs(exact.action - 2.0 * climb / strength) <= exact.error + 1e-12 * exact.action
    assert 0.0 < exact.error <= 1e-9 * exact.action

    def same_noise(x: Array) -> Any:
        return strength * np.broadcast_to(np.eye(d), (len(x), d, d))

    minimised = qpot.minimum_action_path(qpot.System.from_loss(loss, gradient, same_noise, dimension=d), start, saddle)
    assert minimised.iterations > 0
    assert abs(minimised.action - exact.action) <= minimised.error + exact.error


def test_momenta_are_twice_the_gradient_and_times_are_those_of_the_flow() -> None:
    loss, gradient, Q = _bent_double_well(3, 3)
    start, saddle = _ends(3, 3, Q)
    path = qpot.minimum_action_path(qpot.System.from_loss(loss, gradient, 0.7, dimension=3), start, saddle)
    assert_allclose(path.momenta, 2.0 / 0.7 * gradient(path.points), atol=1e-9)
    assert (np.diff(path.times) > 0.0).all()
    # The flow doubles the loss's slope once in each unit of its rate: time is the integral of |dx| / |gradient|.
    inner = slice(len(path.points) // 3, 2 * len(path.points) // 3)
    steps = np.linalg.norm(np.diff(path.points[inner], axis=0), axis=1)
    speeds = np.linalg.norm(gradient(0.5 * (path.points[inner][1:] + path.points[inner][:-1])), axis=1)
    assert_allclose(np.diff(path.times[inner]), steps / speeds, rtol=0.05)


def test_a_loss_whose_digits_are_lost_leaves_the_cost_to_the_minimiser() -> None:
    loss, gradient, Q = _bent_double_well(5, 2)
    start, saddle = _ends(5, 2, Q)
    climb = float(np.diff(loss(np.stack([start, saddle])))[0])
    system = qpot.System.from_loss(lambda x: loss(x) + 1e8, gradient, 1.0, dimension=2)
    path = qpot.minimum_action_path(system, start, saddle)
    assert path.iterations > 0
    assert path.action == pytest.approx(2.0 * climb, rel=1e-8)


def test_a_path_that_is_asked_for_near_another_curve_is_minimised() -> None:
    loss, gradient, Q = _bent_double_well(7, 2)
    start, saddle = _ends(7, 2, Q)
    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=2)
    initial = np.linspace(start, saddle, 30)
    path = qpot.minimum_action_path(system, start, saddle, initial=initial)
    assert path.iterations > 0
    assert path.action == pytest.approx(qpot.minimum_action_path(system, start, saddle).action, rel=1e-8)
