"""Covariances in factors and by products against matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator

import qpot
from qpot.problem import factored as structured_covariance
from qpot.problem import operators as product_covariance
from qpot.problem.covariance import factored, products

Array = np.ndarray[Any, np.dtype[np.float64]]

RNG = np.random.default_rng(7)
F = RNG.normal(size=(6, 3))
X, P = RNG.normal(size=(2, 5, 6))


def factor(x: Array) -> Array:
    return np.asarray(np.sin(x)[:, :, None] * F)


def gradient(x: Array, p: Array) -> Array:
    """2 sum_r (F_r.p) grad(F_r.p), with F_r = sin(x) F_r."""
    return np.asarray(2 * np.cos(x) * p * np.einsum("nr,ir->ni", (np.sin(x) * p) @ F, F))


@pytest.mark.parametrize("floor", [0.4, np.linspace(0.1, 0.7, 6)])
@pytest.mark.parametrize("numbers", [1, 40, 10**6])
def test_batches_of_factors_do_not_change_the_result(floor: Any, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structured_covariance, "_FACTOR_NUMBERS", numbers)
    noise = factored(factor, floor)
    a = factor(X) @ np.swapaxes(factor(X), 1, 2) + floor * np.eye(6)
    assert noise.times(X, P) == pytest.approx(np.einsum("nij,nj->ni", a, P), rel=1e-12)
    assert noise.solve(X, P) == pytest.approx(np.linalg.solve(a, P[:, :, None])[..., 0], rel=1e-10)
    assert noise.frozen(X[0])(P) == pytest.approx(P @ a[0], rel=1e-12)
    assert noise(X) == pytest.approx(a, rel=1e-12)


def test_the_gradient_of_the_noise_is_differenced_where_it_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for numbers in (1, 10**6):
        monkeypatch.setattr(product_covariance, "_SHIFTED_NUMBERS", numbers)
        differenced = product_covariance.differenced_gradient(factored(factor, 0.3).times)
        assert differenced(X, P) == pytest.approx(gradient(X, P), abs=1e-8)


@pytest.mark.parametrize("given", [True, False])
def test_products_of_the_state(given: bool) -> None:
    """Radial loss r^2/2 + r^4/4 under (1 + r^2) I: V = r^2; inverse and gradient given, or not."""

    def strength(x: Array) -> Array:
        return np.asarray(1 + (x**2).sum(axis=1, keepdims=True))

    noise = products(
        lambda x, p: strength(x) * p,
        solve=(lambda x, r: r / strength(x)) if given else None,
        gradient=(lambda x, p: 2 * (p**2).sum(axis=1, keepdims=True) * x) if given else None,
    )
    system = qpot.System.from_loss(
        lambda x: (x**2).sum(axis=1) / 2 + (x**2).sum(axis=1) ** 2 / 4,
        lambda x: x * strength(x),
        noise,
        dimension=6,
    )
    assert system.covariance(X[:1])[0] == pytest.approx(strength(X[:1]) * np.eye(6))
    end = 0.3 * X[0]
    path = qpot.minimum_action_path(system, np.zeros(6), end, method=qpot.LargeScaleAction())
    assert abs(path.action - end @ end) <= path.error <= 1e-6 * (end @ end)


def test_an_operator_is_inverted_in_few_products() -> None:
    d = 400
    G = np.linalg.qr(RNG.normal(size=(d, 20)))[0] * np.linspace(1.0, 4.0, 20)
    calls = 0

    def times(p: Array) -> Array:
        nonlocal calls
        calls += 1
        return np.asarray(G @ (G.T @ p) + 0.3 * p)

    noise = product_covariance.OperatorCovariance(LinearOperator((d, d), matvec=times, matmat=times, dtype=float))
    r = RNG.normal(size=(9, d))
    r[4] = 0.0
    noise.solve(r, r)  # finds the strong directions
    calls = 0
    a = G @ G.T + 0.3 * np.eye(d)
    assert noise.solve(r, r) == pytest.approx(np.linalg.solve(a, r.T).T, abs=1e-9)
    assert calls <= 5
    assert noise.frozen(r[0])(r) == pytest.approx(r @ a, abs=1e-10)


def test_bad_noise_is_named() -> None:
    broken = factored(lambda x: np.where(x > 1.0, np.nan, 1.0)[:, :, None], 0.5)
    with pytest.raises(ValueError, match=r"factor returned NaN .* at the point \(2, 2\)"):
        broken.solve(np.array([[0.0, 0.0], [2.0, 2.0]]), np.ones((2, 2)))
    with pytest.raises(ValueError, match="times must be a function"):
        products(np.eye(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="times of the covariance returned shape"):
        products(lambda x, p: p[:, :1]).times(X, P)
    with pytest.raises(ValueError, match="not positive definite"):
        products(lambda x, p: -p).solve(X, P)
    indefinite = np.diag([2.0, 1.0, -1.0, 1.0, 1.0, 1.0])
    noise = product_covariance.OperatorCovariance(LinearOperator((6, 6), matvec=lambda p: indefinite @ p, dtype=float))
    with pytest.raises(ValueError, match="not positive definite"):
        noise.solve(X, P)
    many = qpot.System(
        drift=lambda x: -x,
        covariance=factored(lambda x: np.ones((*x.shape, 1)), 1.0),
        dimension=300,
        jacobian_transpose_product=lambda x, p: -p,
    )
    with pytest.raises(ValueError, match="pass its derivative, gradient="):
        qpot.minimum_action_path(many, np.zeros(300), np.ones(300), method=qpot.LargeScaleAction())
