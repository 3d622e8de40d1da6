"""Escapes between classes of images: a hop to an image of the own minimum is none."""

from __future__ import annotations

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array

FLIP = qpot.SignedPermutations([[0, 1]], [[-1, 1]])
MINIMA = np.array([[1.0, -1.0], [1.0, 1.0]])


def loss(p: Array) -> Array:
    return np.asarray(0.2 * (p[:, 0] ** 2 - 1) ** 2 + 0.25 * (p[:, 1] ** 2 - 1) ** 2)


def gradient(p: Array) -> Array:
    return np.stack([0.8 * (p[:, 0] ** 3 - p[:, 0]), p[:, 1] ** 3 - p[:, 1]], axis=1)


WELLS = qpot.System.from_loss(loss, gradient, np.eye(2), dimension=2)


def exact_log_time(epsilon: float) -> float:
    """The mean time of y' = y - y^3 with noise from -1 to 0.6, by quadrature; x is independent of it."""
    y = np.linspace(-3.5, 0.6, 40_001)
    U, h = 0.25 * (y**2 - 1) ** 2, y[1] - y[0]
    inner = np.cumsum(np.exp(-2 * U / epsilon)) * h
    return float(np.log((np.exp(2 * U / epsilon) * inner)[y >= -1.0].sum() * h * 2.0 / epsilon))


def test_escapes_are_those_of_the_other_coordinate() -> None:
    times = qpot.escape_times(
        WELLS, start=MINIMA[0], minima=MINIMA, epsilon=0.2, time_step=0.05, steps=20_000, replicas=200,
        symmetries=FLIP, escape_points=True,
    )  # fmt: skip
    assert times.home == 0
    assert set(times.destination) == {1}
    log_time, error = times.log_mean_time
    # The step is a twentieth of the shortest relaxation time, and the ball is reached a little later.
    assert log_time == pytest.approx(exact_log_time(0.2), abs=4 * error)
    without = qpot.escape_times(
        WELLS, start=MINIMA[0], minima=np.concatenate([MINIMA, -MINIMA]), epsilon=0.2, time_step=0.05, steps=20_000,
        replicas=200,
    )  # fmt: skip
    # Half of the escapes and more lead to the image.
    assert without.log_mean_time[0] < log_time - 6 * error
    assert times.escape_points is not None
    crossed = times.escape_points[np.isfinite(times.escape_points).all(axis=1)]
    assert len(crossed) > 150
    assert np.abs(crossed[:, 1]).max() < 0.5
    assert (crossed[:, 0] < 0).any()


def test_splitting_returns_from_images() -> None:
    times = qpot.splitting_times(
        WELLS, start=MINIMA[0], minima=MINIMA, epsilon=0.12, time_step=0.05, symmetries=FLIP, clones=150, repetitions=6,
        coordinate=lambda p: p[:, 1], escape_points=False, rng=1,
    )  # fmt: skip
    assert times.minima is not None
    assert times.minima.shape == (2, 2)
    np.testing.assert_allclose(times.shares, [0.0, 1.0])
    assert times.escape_points is None
    log_time, error = times.log_mean_time
    assert error < 0.2
    assert log_time == pytest.approx(exact_log_time(0.12), abs=4 * np.hypot(error, 0.05))


def test_a_start_at_an_image() -> None:
    times = qpot.escape_times(
        WELLS, start=[-1.0, 1.0], minima=MINIMA, epsilon=0.3, time_step=0.05, steps=10, replicas=2, symmetries=FLIP
    )
    assert times.home == 1


def test_a_group_that_the_loss_does_not_have_is_refused() -> None:
    tilted = qpot.System.from_loss(
        lambda p: loss(p) + 0.1 * p[:, 0], lambda p: gradient(p) + np.array([0.1, 0.0]), np.eye(2), dimension=2
    )
    minima = qpot.find_minima(tilted, [(0, 2), (-2, 2)])
    with pytest.raises(ValueError, match="is not symmetric"):
        qpot.escape_times(
            tilted, start=minima[0], minima=minima, epsilon=0.2, time_step=0.05, steps=10, replicas=2, symmetries=FLIP
        )
