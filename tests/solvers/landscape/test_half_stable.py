"""Half-stable rests are told from attractors, and the flow goes on behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qpot.solvers.landscape.half_stable import moved_on


def _fold(d: int, height: float, seed: int) -> tuple[Any, Any, Any]:
    """A drift that rests at the origin of rotated coordinates, along the first of which it is ``height + u^2``."""
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]

    def drift(x: Any) -> Any:
        y = x @ Q
        return np.column_stack([height + y[:, 0] ** 2, -(1.0 + np.arange(1, d)) * y[:, 1:]]) @ Q.T

    def jacobian(x: Any) -> Any:
        y = x @ Q
        J = np.zeros((len(x), d, d))
        J[:, 0, 0] = 2 * y[:, 0]
        J[:, np.arange(1, d), np.arange(1, d)] = -(1.0 + np.arange(1, d))
        return Q @ J @ Q.T

    return drift, jacobian, Q


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("short", [0.0, 1e-5, 1e-4])
def test_a_flow_that_stands_just_before_a_fold_is_moved_behind_it(d: int, short: float) -> None:
    drift, jacobian, Q = _fold(d, 0.0, d)
    beyond, half = moved_on(drift, jacobian, (-short * Q[:, 0])[None], scale=1.0, rest_speed=1e-8)
    assert half[0]
    assert (beyond @ Q)[0, 0] > 0.0


@pytest.mark.parametrize("d", [1, 2, 5])
def test_an_attractor_beside_a_fold_keeps_its_points(d: int) -> None:
    # The drift is -eta^2 + u^2, which attracts to u = -eta and has a barrier of 4 eta^3 / 3 beyond it.
    drift, jacobian, Q = _fold(d, -(0.005**2), d)
    beyond, half = moved_on(drift, jacobian, (-0.005 * Q[:, 0])[None], scale=1.0, rest_speed=1e-9)
    assert not half[0]
    assert np.array_equal(beyond[0], -0.005 * Q[:, 0])


def test_plateaus_and_quartic_minima_are_no_half_stable_rests() -> None:
    flat = lambda x: np.zeros_like(x)  # noqa: E731
    quartic = lambda x: -(x**3)  # noqa: E731
    assert not moved_on(flat, lambda x: np.zeros((len(x), 1, 1)), np.zeros((1, 1)), scale=1.0, rest_speed=1e-9)[1][0]
    assert not moved_on(quartic, lambda x: -3 * x[:, None] ** 2, np.zeros((1, 1)), scale=1.0, rest_speed=1e-9)[1][0]
