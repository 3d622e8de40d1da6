"""Preconditioned SGD: drift -P grad L, covariance P C P^T, frozen statistics, closed forms in one
dimension."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

import qpot
from qpot.companions.known_answers import QuarticWells


def noisy_sum(seed: int = 0, N: int = 7, d: int = 2) -> qpot.FiniteSum:
    """Random quadratics with a mean of positive curvature."""
    rng = np.random.default_rng(seed)
    c = rng.normal(size=(N, d))
    A = np.eye(d) + 0.3 * rng.normal(size=(N, d, d))
    A = 0.5 * (A + np.swapaxes(A, 1, 2))
    return qpot.FiniteSum(
        sample_losses=lambda x: 0.5 * np.einsum("ni,kij,nj->nk", x, A, x) + np.einsum("ki,ni->nk", c, x),
        sample_gradients=lambda x: np.einsum("kij,nj->nki", A, x) + c,
        drawn_gradients=lambda x, index: np.einsum("nbij,nj->nbi", A[index], x) + c[index],
        n_samples=N,
        dimension=d,
    )


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_drift_and_covariance_are_transformed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    system = qpot.System.from_finite_sum(noisy_sum(seed))
    B = rng.normal(size=(2, 2))
    P = B @ B.T + 0.1 * np.eye(2)
    x = rng.normal(size=(4, 2))
    new = qpot.preconditioned(system, P)
    np.testing.assert_allclose(new.drift(x), system.drift(x) @ P.T, atol=1e-12)
    np.testing.assert_allclose(new.covariance(x), P @ system.covariance(x) @ P.T, atol=1e-10)
    np.testing.assert_allclose(new.jacobian(x), P @ system.jacobian(x), atol=1e-6)
    assert new.loss is not None
    assert system.loss is not None
    np.testing.assert_array_equal(new.loss(x), system.loss(x))
    assert np.linalg.eigvalsh(new.covariance(x)).min() > -1e-12


def test_number_diagonal_matrix_and_function_agree() -> None:
    system = qpot.System.from_finite_sum(noisy_sum())
    x = np.array([[0.3, -1.0], [2.0, 0.5]])
    variants: list[Any] = [
        2.0,
        np.array([2.0, 2.0]),
        2.0 * np.eye(2),
        lambda x: np.full_like(x, 2.0),
        lambda x: np.broadcast_to(2.0 * np.eye(2), (x.shape[0], 2, 2)),
    ]
    for P in variants:
        new = qpot.preconditioned(system, P)
        np.testing.assert_allclose(new.drift(x), 2.0 * system.drift(x))
        np.testing.assert_allclose(new.covariance(x), 4.0 * system.covariance(x))


def test_constant_noise_stays_constant() -> None:
    system = qpot.System.from_loss(lambda x: 0.5 * (x**2).sum(1), lambda x: x, np.diag([1.0, 4.0]), dimension=2)
    new = qpot.preconditioned(system, np.array([1.0, 0.5]))
    np.testing.assert_array_equal(new.constant_covariance, np.eye(2))


def test_samples_are_preconditioned_too() -> None:
    """The finite sum of the new system has its drift as mean and its covariance as covariance of one
    sample."""
    system = qpot.System.from_finite_sum(noisy_sum(), replacement=False)
    new = qpot.rmsprop_like(system, floor=0.1)
    x = np.array([[0.3, -1.0], [2.0, 0.5]])
    assert new.finite_sum is not None
    assert not new.replacement
    np.testing.assert_allclose(new.finite_sum.gradient(x), -new.drift(x), atol=1e-13)
    np.testing.assert_allclose(new.finite_sum.covariance(x), new.covariance(x), atol=1e-12)
    index = np.array([[0, 3], [6, 2]])
    assert new.finite_sum.drawn_gradients is not None
    drawn = new.finite_sum.drawn_gradients(x, index)
    everything = new.finite_sum.gradients_at(x)
    np.testing.assert_allclose(drawn, np.take_along_axis(everything, index[:, :, None], axis=1), atol=1e-13)
    assert new.epsilon(learning_rate=0.1, batch_size=2) == system.epsilon(learning_rate=0.1, batch_size=2)


def test_built_systems_can_be_sent_to_a_process() -> None:
    X, y = np.array([[1.0, 0.2], [0.3, -1.0], [0.5, 0.5]]), np.array([1, -1, 1])
    total = qpot.margin_sum(X, y, loss=qpot.SquaredHinge(), penalty=0.1)
    system = qpot.rmsprop_like(qpot.System.from_finite_sum(total), floor=0.1)
    sent = pickle.loads(pickle.dumps(system))
    x = np.array([[0.3, -1.0]])
    np.testing.assert_array_equal(sent.drift(x), system.drift(x))
    np.testing.assert_array_equal(sent.finite_sum.gradients_at(x), system.finite_sum.gradients_at(x))  # type: ignore[union-attr]


def test_second_moment_is_that_of_drawn_minibatches() -> None:
    finite_sum = noisy_sum(3)
    system = qpot.System.from_finite_sum(finite_sum)
    x = np.array([[0.4, -0.2]])
    g = finite_sum.gradients_at(x)[0]
    np.testing.assert_allclose(qpot.second_moment(system, x)[0], (g**2).mean(axis=0))
    pairs = 0.5 * (g[:, None] + g[None, :]).reshape(-1, 2)  # all batches of two with replacement
    np.testing.assert_allclose(qpot.second_moment(system, x, batch_size=2)[0], (pairs**2).mean(axis=0))


def slope_1d(system: qpot.System) -> Any:
    """phi' = -2 b / a, the quasi-potential's slope in one dimension."""
    return lambda x: float(-2.0 * system.drift([[x]])[0, 0] / system.covariance([[x]])[0, 0, 0])


def test_adiabatic_rmsprop_closed_form() -> None:
    """L = x^2/2, C = 0.5: phi(1) = int 2 x sqrt(C + x^2)/C dx = 2 ((C + 1)^1.5 - C^1.5)/(3 C)."""
    bowl = qpot.System.from_loss(lambda x: 0.5 * x[:, 0] ** 2, lambda x: x, 0.5, dimension=1)
    value = quad(slope_1d(qpot.rmsprop_like(bowl, floor=1e-12)), 0.0, 1.0, epsabs=1e-12)[0]
    assert value == pytest.approx(2 * (1.5**1.5 - 0.5**1.5) / 1.5, abs=1e-9)
    assert value == pytest.approx(1.9780852219921465, abs=1e-9)


def test_a_constant_preconditioner_divides_costs_by_itself_in_one_dimension() -> None:
    wells = QuarticWells(floor=0.7, curvature=0.4)
    plain, frozen = wells.system, qpot.rmsprop_like(wells.system, frozen_at=[2.0], floor=1e-12)
    P = 1.0 / np.sqrt(qpot.second_moment(wells.system, [[2.0]])[0, 0])
    for x in (0.1, 1.3, 2.5):
        assert slope_1d(frozen)(x) == pytest.approx(slope_1d(plain)(x) / P, rel=1e-9)


@pytest.mark.parametrize(("floor", "curvature"), [(1.0, 0.0), (0.1, 1.0), (1.0, 0.5), (2.5, 3.0)])
@pytest.mark.parametrize("preconditioner", ["none", "sign"])
def test_gallery_costs_are_the_integrals(floor: float, curvature: float, preconditioner: str) -> None:
    wells = QuarticWells(floor=floor, curvature=curvature)
    system = wells.system if preconditioner == "none" else qpot.sign_like(wells.system)
    slope, (a, b), s = slope_1d(system), wells.minima, wells.saddle
    costs = wells.costs(preconditioner=preconditioner)
    assert costs[0, 1] == pytest.approx(quad(slope, a, s)[0], rel=1e-9)
    assert costs[1, 0] == pytest.approx(-quad(slope, s, b)[0], rel=1e-9)


def test_quartic_reference_values() -> None:
    wells = QuarticWells()
    np.testing.assert_allclose(wells.minima, [0.4069296691827464, 3.0], rtol=1e-14)
    assert wells.saddle == pytest.approx(1.8430703308172536, rel=1e-14)
    np.testing.assert_allclose(wells.costs()[[0, 1], [1, 0]], [7.405100286552928, 4.159581393276464], rtol=1e-9)
    varied = QuarticWells(floor=0.1, curvature=1.0).costs()
    np.testing.assert_allclose(varied[[0, 1], [1, 0]], [2.1025779388025594, 13.944342213001969], rtol=1e-9)
    assert np.abs(wells.system.drift(wells.minima[:, None])).max() < 1e-12


def test_the_preconditioner_changes_the_selected_minimum() -> None:
    """Two minima: the harder to leave is selected. Plain SGD: x = 3; sign- and RMSprop-like: x = 0.407."""
    wells = QuarticWells(floor=1.0, curvature=0.5)
    plain, sign = wells.costs(), wells.costs(preconditioner="sign")
    assert plain[1, 0] > plain[0, 1] + 0.5
    assert sign[0, 1] > sign[1, 0] + 0.5
    slope, (a, b), s = slope_1d(qpot.rmsprop_like(wells.system)), wells.minima, wells.saddle
    assert quad(slope, a, s)[0] > -quad(slope, s, b)[0] + 0.5


@pytest.mark.parametrize(
    ("P", "message"),
    [
        (np.ones(3), "shape"),
        (np.array([1.0, -1.0]), "positive definite"),
        (np.array([1.0, np.nan]), "finite"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (0.0, "positive definite"),
        (lambda x: np.ones((x.shape[0], 3)), "returned shape"),
        (lambda x: -np.ones_like(x), "at the point"),
        ("rmsprop", "not an array"),
    ],
)
def test_bad_preconditioners_are_refused(P: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.preconditioned(qpot.System.from_finite_sum(noisy_sum()), P).drift([[1.0, 1.0]])


def test_bad_options_are_refused() -> None:
    system = qpot.System.from_finite_sum(noisy_sum())
    noiseless = qpot.System.from_loss(lambda x: 0.5 * (x**2).sum(1), lambda x: x, np.diag([1.0, 0.0]), dimension=2)
    calls: list[tuple[Any, str]] = [
        (lambda: qpot.preconditioned("sgd", 1.0), "system"),  # type: ignore[arg-type]
        (lambda: qpot.rmsprop_like(system, floor=0.0), "floor"),
        (lambda: qpot.rmsprop_like(system, batch_size=0), "batch_size"),
        (lambda: qpot.rmsprop_like(system, frozen_at=[1.0]), "frozen_at"),
        (lambda: qpot.sign_like(noiseless).drift([[1.0, 1.0]]), "coordinate 1 has no noise"),
        (lambda: qpot.sign_like(noiseless, frozen_at=[0.0, 0.0]), "coordinate 1 has no noise"),
        (lambda: qpot.second_moment(system, [[1.0]]), "points"),
        (lambda: QuarticWells(floor=0.0), "floor"),
        (lambda: QuarticWells(curvature=-1.0), "curvature"),
        (lambda: QuarticWells().potential([1.0], preconditioner="adam"), "preconditioner"),
    ]
    for call, message in calls:
        with pytest.raises(ValueError, match=message):
            call()
