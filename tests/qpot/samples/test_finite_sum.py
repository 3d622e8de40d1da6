"""SGD as a system: the covariance of minibatch gradients and epsilon."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.samples import finite_sum as module

Array = NDArray[np.float64]
CENTRES = np.array([[1.0, -1.0], [0.5, 2.0], [-1.5, 0.0], [0.2, 0.4], [3.0, -2.0]])
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.5, 3.0])


def sample_losses(x: Array) -> Array:
    return np.asarray(0.5 * WEIGHTS * ((x[:, None] - CENTRES) ** 2).sum(axis=2))


def sample_gradients(x: Array) -> Array:
    return np.asarray(WEIGHTS[:, None] * (x[:, None] - CENTRES))


def finite_sum() -> qpot.FiniteSum:
    return qpot.FiniteSum(sample_losses=sample_losses, sample_gradients=sample_gradients, n_samples=5, dimension=2)


X = np.random.default_rng(1).normal(size=(6, 2))


def test_means_and_covariance_of_one_sample_divided_by_n() -> None:
    total = finite_sum()
    g = sample_gradients(X)
    np.testing.assert_allclose(total.loss(X), sample_losses(X).mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(total.gradient(X), g.mean(axis=1), rtol=1e-13)
    for k in range(6):
        np.testing.assert_allclose(total.covariance(X)[k], np.cov(g[k].T, bias=True), rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_epsilon_times_covariance_is_that_of_every_possible_batch(batch: int) -> None:
    """All batches listed: the step's covariance is learning rate * epsilon * a, with and without replacement."""
    x, eta = X[:1], 0.1
    g = sample_gradients(x)[0]
    a = finite_sum().covariance(x)[0]
    for replacement in (True, False):
        system = qpot.System.from_finite_sum(finite_sum(), replacement=replacement)
        draws = itertools.product(range(5), repeat=batch) if replacement else itertools.combinations(range(5), batch)
        steps = np.array([-eta * g[list(draw)].mean(axis=0) for draw in draws])
        expected = np.cov(steps.T, bias=True)
        epsilon = system.epsilon(learning_rate=eta, batch_size=batch)
        np.testing.assert_allclose(eta * epsilon * a, expected, rtol=1e-12)


def test_the_full_batch_without_replacement_has_no_noise() -> None:
    system = qpot.System.from_finite_sum(finite_sum(), replacement=False)
    assert system.epsilon(learning_rate=0.1, batch_size=5) == 0.0
    with pytest.raises(ValueError, match=r"batch_size=6 exceeds the 5 samples"):
        system.epsilon(learning_rate=0.1, batch_size=6)
    assert qpot.System.from_finite_sum(finite_sum()).epsilon(learning_rate=0.1, batch_size=50) == pytest.approx(0.002)


def test_batches_of_points_are_split_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    largest: list[int] = []

    def counted(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        def call(x: Array) -> Array:
            largest.append(len(x))
            return function(x)

        return call

    total = qpot.FiniteSum(
        sample_losses=counted(sample_losses), sample_gradients=counted(sample_gradients), n_samples=5, dimension=2
    )
    # eleven numbers are the gradients of five samples at one point, and the losses at two
    combined = functools.partial(total.combined_gradient, weights=np.arange(5.0))
    asked: list[tuple[Callable[[Array], Array], int]] = [
        (total.covariance, 1),
        (total.gradient, 1),
        (combined, 1),
        (total.loss, 2),
    ]
    for ask, most in asked:
        whole = ask(X)
        largest.clear()
        with monkeypatch.context() as patch:
            patch.setattr(module, "_CHUNK", 11)
            np.testing.assert_array_equal(ask(X), whole)
        assert max(largest) == most
        assert sum(largest) == len(X)


def test_the_system_of_a_finite_sum() -> None:
    system = qpot.System.from_finite_sum(finite_sum(), replacement=False)
    assert system.gradient_drift
    assert not system.replacement
    np.testing.assert_allclose(system.drift(X), -finite_sum().gradient(X))
    np.testing.assert_allclose(system.covariance(X), finite_sum().covariance(X))
    # interpolation of quadratics: the minimum is the weighted mean of the centres
    (minimum,) = qpot.find_minima(system, [(-4, 4), (-4, 4)])
    np.testing.assert_allclose(minimum.point, WEIGHTS @ CENTRES / WEIGHTS.sum(), atol=1e-12)
