"""Momentum and preconditioners, and minima that nothing leaves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot import SGD, Status, System

Array = NDArray[np.float64]

BERNOULLI = 0.2748473684301693


def test_heavy_ball_has_the_cost_of_plain_sgd_at_a_larger_learning_rate() -> None:
    total = qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0])
    heavy = SGD(momentum=0.5)
    system = heavy.system(total, noise="exact")
    cost = qpot.minimum_action_path(system, [0.0], [0.5]).action
    # per unit of 1 / learning rate: (1 - beta) V
    exponent = cost / heavy.epsilon(system, learning_rate=1.0)
    assert exponent == pytest.approx(0.5 * BERNOULLI, abs=1e-9)
    assert heavy.epsilon(system, learning_rate=0.1, batch_size=4) == pytest.approx(0.05)


def test_heavy_ball_variance_has_the_effective_epsilon_in_the_limit() -> None:
    # exact stationary variance of the scalar heavy ball, against eps_eff s^2 / (2 a) as the learning rate goes to zero
    beta, a, s = 0.9, 1.3, 0.7
    gaps = []
    for eta in (0.02, 0.01):
        exact = eta * s**2 * (1 + beta) / (a * (1 - beta) * (2 * (1 + beta) - eta * a))
        system = System.from_loss(lambda x: a * x[:, 0] ** 2 / 2, lambda x: a * x, s**2, dimension=1)
        gaps.append(exact / (SGD(momentum=beta).epsilon(system, learning_rate=eta) * s**2 / (2 * a)) - 1.0)
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.02)


def test_preconditioned_exact_noise() -> None:
    # P multiplies every step: x <- x - eta P g has H(x, P p), so V(P) = V / P in one dimension
    total = qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0])
    system = SGD(preconditioner=2.0).system(total, noise="exact")
    assert qpot.minimum_action_path(system, [0.0], [0.5]).action == pytest.approx(BERNOULLI / 2.0, abs=1e-9)


@pytest.mark.parametrize("momentum", [1.0, -0.1, np.nan, "heavy", True])
def test_bad_momentum_is_refused(momentum: object) -> None:
    with pytest.raises(ValueError, match="momentum must be"):
        SGD(momentum=momentum)  # type: ignore[arg-type]


def test_bad_sources_are_refused() -> None:
    system = System.from_loss(lambda x: x[:, 0] ** 2, lambda x: 2 * x, 1.0, dimension=1)
    with pytest.raises(ValueError, match="source must be"):
        SGD().system(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="need a FiniteSum"):
        SGD().system(system, noise="exact")


def test_nothing_leaves_an_interpolating_minimum() -> None:
    # b = -a x, covariance (s x)^2
    system = System.from_loss(
        lambda x: 0.75 * x[:, 0] ** 2, lambda x: 1.5 * x, lambda x: (0.64 * x**2)[:, :, None], dimension=1
    )
    path = qpot.minimum_action_path(system, [0.0], [1.0])
    assert path.action == np.inf
    assert path.status is Status.INFINITE
    assert "covariance vanishes" in path.reason


def test_noise_proportional_to_the_loss_of_a_minimum_that_is_not_fitted_is_logarithmic() -> None:
    # a = 2 h L: V = log(L_saddle / L_minimum) / h
    def loss(x: Array) -> Array:
        return x[:, 0] * (x[:, 0] - 1) * (x[:, 0] - 3) ** 2 + 2

    def slope(x: Array) -> Array:
        return 4 * x**3 - 21 * x**2 + 30 * x - 9

    system = System.from_loss(loss, slope, lambda x: (1.4 * loss(x))[:, None, None], dimension=1)
    left = qpot.minimum_action_path(system, [0.4069296691827464], [1.8430703308172536]).action
    right = qpot.minimum_action_path(system, [3.0], [1.8430703308172536]).action
    assert left == pytest.approx(3.4013112995640915, abs=1e-8)
    assert right == pytest.approx(1.0184264381381036, abs=1e-8)
