"""Gauge directions: found where they are known to be, nowhere else, and divided out exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sums_quotients import check_reduction, pooled_rank

import qpot

Array = NDArray[np.float64]


def linear_sum(X: Array, y: Array, decay: Array, extra: Any = None) -> qpot.FiniteSum:
    """Squared errors of a linear model with decays of its coordinates, and a force that all samples share."""

    def gradients(x: Array) -> Array:
        shared = decay * x + (0.0 if extra is None else extra(x)[1])
        return np.asarray((x @ X.T - y)[:, :, None] * X + shared[:, None])

    def losses(x: Array) -> Array:
        shared = 0.5 * (decay * x**2).sum(axis=1) + (0.0 if extra is None else extra(x)[0])
        return np.asarray(0.5 * (x @ X.T - y) ** 2 + shared[:, None])

    return qpot.FiniteSum(sample_losses=losses, sample_gradients=gradients, n_samples=len(y), dimension=X.shape[1])


def test_a_linear_model_of_few_samples() -> None:
    rng = np.random.default_rng(0)
    for decay in (0.0, 0.3):
        X, y = rng.normal(size=(6, 11)), rng.normal(size=6)
        total = linear_sum(X, y, np.full(11, decay))
        reduced = qpot.without_gauges(total)
        assert isinstance(reduced, qpot.Quotient)
        assert (reduced.dimension, reduced.gauge_dimension, reduced.decays) == (6, 5, decay > 0)
        check_reduction(total, reduced)
        # The rows of X span what is left.
        assert np.abs(reduced.lift(reduced.project(X)) - X).max() < 1e-12


def test_where_nothing_decays_the_gauge_part_of_the_given_point_stays() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(4, 7)), rng.normal(size=4)
    start = rng.normal(size=7)
    reduced = qpot.without_gauges(linear_sum(X, y, np.zeros(7)), at=start)
    assert isinstance(reduced, qpot.Quotient)
    assert np.abs(reduced.lift(reduced.project(start)) - start).max() < 1e-12
    contracted = qpot.without_gauges(linear_sum(X, y, np.ones(7)), at=start)
    assert isinstance(contracted, qpot.Quotient)
    assert np.abs(contracted.lift(np.zeros(contracted.dimension))).max() < 1e-12


def test_decays_of_several_rates_and_a_shared_force_that_is_no_decay() -> None:
    """Of five directions without noise four decay, at three rates, one of them to another place; one has two wells."""
    X = np.zeros((6, 8))
    X[:, :3] = np.random.default_rng(2).normal(size=(6, 3))

    def two_wells(x: Array) -> tuple[Array, Array]:
        force = np.zeros_like(x)
        force[:, 3] = x[:, 3] ** 3 - x[:, 3]
        force[:, 4] = -0.6  # With its decay of 0.3 this rests at 2.
        return 0.25 * (x[:, 3] ** 2 - 1) ** 2 - 0.6 * x[:, 4], force

    decay = np.array([0.1, 0.1, 0.1, 0.0, 0.3, 0.3, 0.0, 0.7])
    total = linear_sum(X, np.arange(6.0), decay, two_wells)
    start = np.arange(8.0)
    reduced = qpot.without_gauges(total, at=start)
    assert isinstance(reduced, qpot.Quotient)
    assert reduced.dimension == 4
    assert sorted(np.round(reduced.rates, 9)) == [0.0, 0.3, 0.7]
    assert not reduced.decays
    assert np.abs(reduced.lift(np.zeros(4)) - [0, 0, 0, 0, 2, 0, 6, 0]).max() < 1e-9
    check_reduction(total, reduced)


def test_a_force_that_depends_on_other_coordinates_is_kept() -> None:
    """No sample makes noise along the last coordinate, but the others pull at it."""
    X = np.zeros((6, 4))
    X[:, :3] = np.random.default_rng(3).normal(size=(6, 3))

    def coupled(x: Array) -> tuple[Array, Array]:
        force = np.zeros_like(x)
        force[:, 3], force[:, 0] = 0.2 * x[:, 0], 0.2 * x[:, 3]
        return 0.2 * x[:, 0] * x[:, 3], force

    total = linear_sum(X, np.arange(6.0), np.ones(4), coupled)
    assert qpot.without_gauges(total) is total


def test_an_unstable_or_a_driven_direction_is_kept() -> None:
    X = np.zeros((6, 4))
    X[:, :3] = np.random.default_rng(4).normal(size=(6, 3))
    unstable = linear_sum(X, np.arange(6.0), np.array([0.1, 0.1, 0.1, -0.1]))
    assert qpot.without_gauges(unstable) is unstable

    def driven(x: Array) -> tuple[Array, Array]:
        force = np.zeros_like(x)
        force[:, 3] = 0.5
        return 0.5 * x[:, 3], force

    away = linear_sum(X, np.arange(6.0), np.array([0.1, 0.1, 0.1, 0.0]), driven)
    assert qpot.without_gauges(away) is away


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-8])
def test_little_noise_is_noise(size: float) -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(20, 5))
    X[:, 4] = X[:, 3] + size * rng.normal(size=20)
    total = linear_sum(X, rng.normal(size=20), np.full(5, 0.1))
    assert qpot.without_gauges(total) is total
    X[:, 4] = size * rng.normal(size=20)
    total = linear_sum(X, rng.normal(size=20), np.full(5, 0.1))
    assert qpot.without_gauges(total) is total


def test_no_noise_at_all_is_refused() -> None:
    X = np.zeros((3, 2))
    with pytest.raises(ValueError, match="no sample's gradient differs from the mean"):
        qpot.without_gauges(linear_sum(X, np.zeros(3), np.ones(2)))


def test_a_compiled_network_stays_compiled() -> None:
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(15, 4)), np.arange(15) % 3
    X = np.column_stack([X[:, :2], np.zeros(15), X[:, 2:], X[:, 0] - X[:, 1]])
    total = qpot.network_sum(X, y, hidden=3, weight_decay=0.01)
    reduced = qpot.without_gauges(total)
    assert isinstance(reduced, qpot.Quotient)
    assert reduced.gauge_dimension == 6
    assert reduced.kernel is not None
    check_reduction(total, reduced)
    few = qpot.network_sum(rng.normal(size=(4, 7)), [0, 1, 1, 0], hidden=3, weight_decay=0.01)
    reduced = qpot.without_gauges(few)
    assert reduced.dimension == few.dimension - 3 * 4 == pooled_rank(few)
    check_reduction(few, reduced)


def test_sgd_that_starts_on_the_subspace_stays_there() -> None:
    rng = np.random.default_rng(7)
    total = qpot.network_sum(rng.normal(size=(4, 7)), [0, 1, 1, 0], hidden=3, weight_decay=0.05)
    reduced = qpot.without_gauges(total)
    assert isinstance(reduced, qpot.Quotient)
    x, z = reduced.lift(reduced.project(rng.normal(size=total.dimension))), None
    z = reduced.project(x)
    for _ in range(500):
        drawn = rng.integers(0, 4, size=(1, 1))
        assert total.drawn_gradients is not None
        assert reduced.drawn_gradients is not None
        x = x - 0.3 * np.asarray(total.drawn_gradients(x[None], drawn))[0, 0]
        z = z - 0.3 * np.asarray(reduced.drawn_gradients(z[None], drawn))[0, 0]
    assert np.abs(x - reduced.lift(z)).max() < 1e-10


def test_minima_lift_to_minima() -> None:
    rng = np.random.default_rng(8)
    X = np.column_stack([rng.normal(size=(12, 2)), np.zeros(12)])
    total = qpot.network_sum(X, np.arange(12) % 2, hidden=2, weight_decay=0.05)
    reduced = qpot.without_gauges(total)
    assert isinstance(reduced, qpot.Quotient)
    system = qpot.System.from_finite_sum(reduced)
    starts = 0.5 * rng.normal(size=(4, reduced.dimension))
    minima = qpot.find_minima(system, [(-8, 8)] * reduced.dimension, starts=starts)
    for minimum in minima:
        x = reduced.lift(minimum.point)
        assert np.abs(total.gradient(x)).max() < 1e-6
        assert total.hessian is not None
        assert np.linalg.eigvalsh(np.asarray(total.hessian(x[None]))[0])[0] > 1e-4
