"""Margin losses: derivatives against differences, limits, and the finite sums made of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import minimize

import qpot

LOSSES: list[Any] = [
    qpot.Logistic(),
    qpot.Exponential(),
    qpot.Hinge(),
    qpot.SquaredHinge(),
    qpot.HuberisedHinge(width=0.3),
]


def blobs(seed: int = 0, N: int = 40, d: int = 2) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(N) % 2 == 0, 1.0, -1.0)
    return rng.normal(size=(N, d)) + y[:, None] * np.array([1.0, 0.5] + [0.0] * (d - 2)), y


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_derivatives(loss: Any) -> None:
    z = np.linspace(-3.0, 4.0, 57)
    z = z[np.abs(z - 1.0) > 1e-3]  # off the kink
    h = 1e-6
    numerical = (loss.value(z + h) - loss.value(z - h)) / (2 * h)
    np.testing.assert_allclose(loss.derivative(z), numerical, atol=2e-6)
    assert (loss.value(z) >= 0).all()
    assert (loss.derivative(z) <= 0).all()


@pytest.mark.parametrize("loss", [qpot.Logistic(), qpot.Exponential()], ids=repr)
def test_logarithms_of_tails(loss: Any) -> None:
    z = np.linspace(-20.0, 40.0, 61)
    np.testing.assert_allclose(loss.log_value(z), np.log(loss.value(z)), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(loss.log_slope(z), np.log(-loss.derivative(z)), rtol=1e-12, atol=1e-14)
    far = np.array([1e3, 1e5])
    np.testing.assert_array_equal(loss.log_value(far), -far)
    np.testing.assert_array_equal(loss.log_slope(far), -far)


def test_huberised_hinge_tends_to_the_hinge() -> None:
    z = np.linspace(-2.0, 3.0, 501)
    for width in (1.0, 0.1, 0.01):
        gap = qpot.HuberisedHinge(width=width).value(z) - qpot.Hinge().value(z)
        assert (gap >= -1e-15).all()
        assert gap.max() <= width / 8 + 1e-15


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_sums_have_consistent_gradients(loss: Any) -> None:
    X, y = blobs()
    total = qpot.margin_sum(X, y, loss=loss, penalty=0.3)
    x = np.array([[0.3, -0.7], [1.2, 0.4]])
    h = 1e-6
    for j in range(2):
        e = h * np.eye(2)[j]
        numerical = (total.losses_at(x + e) - total.losses_at(x - e)) / (2 * h)
        np.testing.assert_allclose(total.gradients_at(x)[..., j], numerical, atol=1e-5)
    index = np.array([[0, 5, 5], [39, 1, 2]])
    assert total.drawn_gradients is not None
    drawn = total.drawn_gradients(x, index)
    np.testing.assert_allclose(drawn, np.take_along_axis(total.gradients_at(x), index[:, :, None], axis=1))


def test_the_logistic_sum_runs_compiled() -> None:
    """Its kernel is the one of `qpot.logistic_sum`, which draws other batches than the NumPy formula would."""
    X, y = blobs(N=12)
    total = qpot.margin_sum(X, y, penalty=0.4)
    same = qpot.logistic_sum(X, y, weight_decay=0.4)
    x = np.array([[0.3, -0.7]])
    np.testing.assert_allclose(total.gradients_at(x), same.gradients_at(x), atol=1e-14)
    runs = [
        qpot.simulate_sgd(
            qpot.System.from_finite_sum(each), learning_rate=0.1, steps=50, start=[0.0, 0.0], replicas=3, rng=1
        ).points
        for each in (total, same, dataclasses.replace(total, kernel=None))
    ]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-12, atol=1e-14)
    assert np.abs(runs[0] - runs[2])[-1].max() > 1e-3


def test_pegasos_is_sgd_on_the_sum() -> None:
    """Pegasos with step 1/(lambda k) reaches the minimum that a deterministic solver finds."""
    X, y = blobs(N=30)
    penalty = 0.5
    total = qpot.margin_sum(X, y, loss=qpot.Hinge(), penalty=penalty)
    best = minimize(lambda w: float(total.loss(w[None])[0]), np.zeros(2), method="Nelder-Mead", tol=1e-10)
    rng = np.random.default_rng(0)
    steps = 4000
    w, average = np.zeros((1, 2)), np.zeros(2)
    for k in range(1, steps + 1):
        assert total.drawn_gradients is not None
        w = w - total.drawn_gradients(w, rng.integers(30, size=(1, 1)))[:, 0] / (penalty * k)
        average += w[0] * 2.0 * k / (steps * (steps + 1))
    # Pegasos' bound on the averaged excess loss is of order G^2 log(k)/(lambda k), about 0.05 here
    assert total.loss(average[None])[0] - best.fun < 0.01


def test_stationary_spread_of_sgd_on_a_smooth_svm() -> None:
    """A S + S A = C at the minimum, against simulated single-sample SGD; both spreads are O(eta)."""
    X, y = blobs(seed=3, N=30)
    system = qpot.System.from_finite_sum(qpot.margin_sum(X, y, loss=qpot.HuberisedHinge(width=1.0), penalty=0.5))
    assert system.loss is not None
    loss = system.loss
    best = minimize(
        lambda w: float(loss(w)[0]),
        np.zeros(2),
        jac=lambda w: system.gradient(w)[0],
        method="BFGS",
        tol=1e-10,
    ).x
    A, C = -system.jacobian(best[None])[0], system.covariance(best[None])[0]
    S = solve_continuous_lyapunov(A, C)
    rate, replicas, steps = 0.02, 2000, 1500
    rng = np.random.default_rng(1)
    w = np.tile(best, (replicas, 1))
    assert system.finite_sum is not None
    assert system.finite_sum.drawn_gradients is not None
    for _ in range(steps):
        w = w - rate * system.finite_sum.drawn_gradients(w, rng.integers(30, size=(replicas, 1)))[:, 0]
    measured = np.cov(w.T)
    # sampling error of a variance from 2000 replicas is 3 %; the rest is O(eta) and the curvature's jumps
    np.testing.assert_allclose(measured, system.epsilon(learning_rate=rate) * S, rtol=0.15, atol=0.1 * rate * S.max())


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        ([[1.0]], [1, 1], {}, "y has shape"),
        ([1.0, 2.0], [1, 1], {}, "X has shape"),
        ([[1.0], [2.0]], [0, 1], {}, r"y\[0\] = 0"),
        ([[np.nan], [2.0]], [1, 1], {}, "row 0"),
        ([[1.0]], [1], {"penalty": -1.0}, "penalty"),
        ([[1.0]], [1], {"penalty": "l2"}, "penalty"),
        ([[1.0]], [1], {"penalty": True}, "penalty"),
        ([[1.0]], [1], {"penalty": [1.0, 2.0]}, "penalty"),
        ([[1.0]], [1], {"loss": "hinge"}, "loss"),
        ([[1.0]], [1], {"loss": qpot.Hinge}, "loss"),
        (np.empty((0, 2)), [], {}, "X has shape"),
    ],
)
def test_bad_input_names_the_argument(X: Any, y: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.margin_sum(X, y, **options)


def test_bad_width() -> None:
    with pytest.raises(ValueError, match="width"):
        qpot.HuberisedHinge(width=0.0)
