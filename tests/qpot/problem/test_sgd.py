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


# --- kinetic momentum ----------------------------------------------------------------------------------------------


def well(noise: float) -> System:
    return System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, noise, dimension=1)


@pytest.mark.parametrize(
    ("beta", "eta", "noise"),
    [(0.9, 0.01, 2.0), (0.6, 0.04, 0.5), pytest.param(0.95, 0.04, 1.0, marks=pytest.mark.slow)],
)
def test_kinetic_momentum_has_the_exponent_of_plain_sgd_at_the_effective_learning_rate(
    beta: float, eta: float, noise: float
) -> None:
    heavy, plain = SGD(momentum=beta), well(noise)
    kinetic = heavy.kinetic_system(plain, learning_rate=eta)
    cost = qpot.minimum_action_path(kinetic, (-1.0, 0.0), (0.0, 0.0)).action
    # phi = (2 gamma / c) (L + v^2 / 2), exactly
    assert cost == pytest.approx(2 * heavy.friction(eta) * 0.25 / noise, abs=1e-8)
    slow = qpot.minimum_action_path(heavy.system(plain), [-1.0], [0.0]).action
    exponents = (
        cost / heavy.kinetic_epsilon(plain, learning_rate=eta, batch_size=4),
        slow / heavy.epsilon(plain, learning_rate=eta, batch_size=4),
    )
    assert exponents[0] == pytest.approx(exponents[1], rel=1e-8)


def test_kinetic_momentum_in_two_dimensions_against_the_lyapunov_equation() -> None:
    # linear gradient, crossed noise: x at rest at y and any velocity; the whole quadratic form from J S + S J' + a = 0
    from scipy.linalg import solve_continuous_lyapunov

    A, C = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.6], [0.6, 2.0]])
    bowl = System.from_loss(lambda x: np.einsum("ni,ij,nj->n", x, A, x) / 2, lambda x: x @ A, C, dimension=2)
    heavy = SGD(momentum=0.8)
    kinetic = heavy.kinetic_system(bowl, learning_rate=0.04)
    J = np.block([[np.zeros((2, 2)), np.eye(2)], [-A, -np.eye(2)]])  # friction (1 - 0.8) / 0.2 = 1
    S = solve_continuous_lyapunov(J, -np.block([[np.zeros((2, 4))], [np.zeros((2, 2)), C]]))
    end = np.array([0.5, -0.3, 0.0, 0.2])
    np.testing.assert_allclose(kinetic.jacobian(np.zeros((1, 4)))[0], J, atol=1e-8)
    assert qpot.minimum_action_path(kinetic, np.zeros(4), end).action == pytest.approx(
        0.5 * end @ np.linalg.solve(S, end), rel=1e-7
    )


def test_kinetic_system_of_a_finite_sum_with_a_preconditioner() -> None:
    total = qpot.quadratic_sum([1.0, 2.0, 4.0], [1.0, -1.0, 0.5])
    kinetic = SGD(momentum=0.5, preconditioner=2.0).kinetic_system(total, learning_rate=0.25, replacement=False)
    z = np.array([[0.3, -0.2]])
    plain = System.from_finite_sum(total)
    np.testing.assert_allclose(kinetic.drift(z), [[-0.2, 2.0 * plain.drift([[0.3]])[0, 0] + 0.2]])
    np.testing.assert_allclose(kinetic.covariance(z)[0], [[0, 0], [0, 4.0 * plain.covariance([[0.3]])[0, 0, 0]]])
    assert kinetic.loss is not None
    assert plain.loss is not None
    assert kinetic.loss(z) == plain.loss([[0.3]])
    # (N - B) / (N - 1) sqrt(eta) / B
    level = SGD().kinetic_epsilon(total, learning_rate=0.25, batch_size=2, replacement=False)
    assert level == pytest.approx(0.5 / 2 * 0.5)


def test_kinetic_momentum_refuses_exact_noise() -> None:
    exact = System.from_finite_sum(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
    with pytest.raises(ValueError, match="exact noise"):
        SGD(momentum=0.9).kinetic_system(exact, learning_rate=0.01)
    with pytest.raises(ValueError, match="learning_rate must be"):
        SGD(momentum=0.9).kinetic_system(well(1.0), learning_rate=0.0)


def test_prediction_with_momentum_is_that_of_the_effective_learning_rate() -> None:
    case = qpot.gallery.symmetric_minima(s=-0.5)
    prediction = qpot.predict(case.system, case.bounds)
    assert prediction.epsilon(0.01, 2, momentum=0.9) == pytest.approx(prediction.epsilon(0.1, 2))
    for steps in (1e2, 1e4, 1e8):
        assert prediction.after(steps, 0.01, 2, 0, momentum=0.9) == prediction.after(steps, 0.1, 2, 0)
    np.testing.assert_allclose(prediction.escape_steps(0.01, 1, momentum=0.9), prediction.escape_steps(0.1, 1))
    np.testing.assert_allclose(prediction.occupation(0.01, 1, momentum=0.9), prediction.occupation(0.1, 1))
    with pytest.raises(ValueError, match="momentum must be"):
        prediction.after(10, 0.1, 1, 0, momentum=1.0)
