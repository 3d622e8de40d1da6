"""Covariances that a function returns as matrices, in many dimensions: products, differences, and costs that are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.problem.gaussian_noise import MatrixNoise
from qpot.problem.matrix_products import KeptJacobian, MatrixProducts, second_derivatives

Array = np.ndarray[Any, np.dtype[np.float64]]


def turned(d: int, seed: int) -> tuple[qpot.System, Array, float]:
    """A double well in one turned coordinate, whose noise depends on it alone: system, minimum, and V of the saddle at 0."""
    rng = np.random.default_rng(seed)
    R = np.linalg.qr(rng.normal(size=(d, d)))[0]
    k, c, phase = rng.uniform(0.5, 3.0, d), 0.7 * rng.uniform(-1.0, 1.0, d), rng.uniform(0.0, 6.0, d)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    mixing[0] = 2.0 * np.eye(d)[0]

    def drift(x: Array) -> Array:
        y = x @ R
        pull = k * y
        pull[:, 0] = y[:, 0] ** 3 - y[:, 0]
        return np.asarray(-pull @ R.T)

    def covariance(x: Array) -> Array:
        size = 1.0 + c * np.sin(x @ R @ mixing.T + phase)
        return np.asarray((R * size[:, None, :]) @ R.T)

    u, w = np.polynomial.legendre.leggauss(80)
    u, w = 0.5 * (u - 1.0), 0.5 * w
    cost = float((w * 2.0 * u * (u**2 - 1.0) / (1.0 + c[0] * np.sin(2.0 * u + phase[0]))).sum())
    return qpot.System(drift=drift, covariance=covariance, dimension=d), -R[:, 0], cost


def bent(d: int, seed: int, share: float = 1.0) -> tuple[qpot.System, Array, Array, float]:
    """A drift -a grad W / 2 + Q grad W with an antisymmetric Q, for which V = W whatever a is: system, ends, and V."""
    rng = np.random.default_rng(seed)
    k, C = rng.uniform(0.5, 3.0, d), rng.normal(size=d) * 0.4
    Q = rng.normal(size=(d, d)) * 0.3 / np.sqrt(d)
    F, q = rng.normal(size=(2, d, d)) / np.sqrt(d), rng.normal(size=(2, d)) / np.sqrt(d)
    C[0] = 0.0

    def slope(x: Array) -> Array:
        z = k * (x - C * (x[:, :1] ** 2 - 1.0))
        z[:, 0] = 2.0 * x[:, 0] * (x[:, 0] ** 2 - 1.0) - 2.0 * x[:, 0] * (z[:, 1:] @ C[1:])
        return z

    def covariance(x: Array) -> Array:
        weights = share * (1.0 + np.sin(x @ q.T))
        return np.asarray(np.eye(d) + np.einsum("nr,rij->nij", weights, F @ np.swapaxes(F, 1, 2)))

    def drift(x: Array) -> Array:
        g = slope(x)
        return np.asarray(-0.5 * np.einsum("nij,nj->ni", covariance(x), g) + g @ (Q - Q.T))

    system = qpot.System(drift=drift, covariance=covariance, dimension=d)
    return system, -np.eye(d)[0], -C, 0.5


@pytest.mark.parametrize("d", [14, 40])
def test_the_cost_of_a_turned_well_is_exact_by_default(d: int) -> None:
    system, start, exact = turned(d, seed=d)
    path = qpot.minimum_action_path(system, start, np.zeros(d))
    assert isinstance(path.method, qpot.LargeScaleAction)
    assert abs(path.action - exact) <= path.error <= 1e-6 * exact


@pytest.mark.parametrize("seed", [3, 4])
def test_a_bent_path_without_detailed_balance(seed: int) -> None:
    system, start, saddle, exact = bent(15, seed)
    path = qpot.minimum_action_path(system, start, saddle)
    assert isinstance(path.method, qpot.LargeScaleAction)
    assert abs(path.action - exact) <= path.error <= 1e-6 * exact
    middle = path.points[path.points.shape[0] // 2]
    straight = start + np.outer(np.linspace(0.0, 1.0, 401), saddle - start)
    assert np.linalg.norm(straight - middle, axis=1).min() > 0.01  # the path is bent


def test_both_methods_agree_in_thirteen_dimensions() -> None:
    system, start, saddle, _ = bent(13, 5)
    dense = qpot.minimum_action_path(system, start, saddle, method=qpot.GeometricAction(starts=1, tolerance=1e-6))
    large = qpot.minimum_action_path(system, start, saddle)
    assert isinstance(large.method, qpot.LargeScaleAction)
    assert abs(dense.action - large.action) <= dense.error + large.error


def test_derivatives_are_those_of_finer_differences() -> None:
    system, *_ = bent(6, 1)
    rng = np.random.default_rng(0)
    x, p = rng.normal(size=(2, 5, 6))
    found = MatrixProducts(system.unchecked.covariance)
    a = system.covariance(x)
    np.testing.assert_allclose(found.times(x, p), np.einsum("nij,nj->ni", a, p), rtol=1e-12)
    np.testing.assert_allclose(found.solve(x, p), np.linalg.solve(a, p[..., None])[..., 0], rtol=1e-12)
    h = 1e-5
    steps = h * np.eye(6)
    for k, step in enumerate(steps):
        central = (found.times(x + step, p) - found.times(x - step, p)) / (2.0 * h)
        np.testing.assert_allclose(found.turned(x, p)[:, :, k], central, atol=3e-5)
        np.testing.assert_allclose(found.gradient(x, p)[:, k], np.einsum("ni,ni->n", p, central), atol=1e-4)
    J = KeptJacobian(system.unchecked)(x)
    np.testing.assert_allclose(J, system.jacobian(x), atol=3e-4)
    given = qpot.System(
        drift=lambda y: -y, jacobian=lambda y: np.tile(-np.eye(6), (len(y), 1, 1)), covariance=1.0, dimension=6
    )
    np.testing.assert_array_equal(KeptJacobian(given.unchecked)(x), given.jacobian(x))


def test_second_derivatives_of_a_cubic() -> None:
    def cubic(x: Array, p: Array) -> Array:
        return np.asarray(p[:, 0] * x[:, 0] ** 2 * x[:, 1] + x[:, 2] ** 2)

    x = np.array([[0.3, -0.2, 1.0]])
    found = second_derivatives(cubic, x, np.array([[2.0, 0.0, 0.0]]), 1e-3)
    exact = np.array([[-0.8, 1.2, 0.0], [1.2, 0.0, 0.0], [0.0, 0.0, 2.0]])
    np.testing.assert_allclose(found[0], exact, atol=1e-2)


def test_noise_that_is_singular_keeps_to_matrices() -> None:
    d = 14
    points = np.zeros((2, d))
    points[1, 0] = 1.0

    def dying(x: Array) -> Array:
        size = np.ones((len(x), d))
        size[:, 3] = (x[:, 0] - 0.5) ** 2
        return np.asarray(size[:, :, None] * np.eye(d))

    assert not MatrixNoise(dying, d).products_suffice(points)  # singular halfway
    assert MatrixNoise(dying, d).products_suffice(points[:1])
    with pytest.raises(ValueError, match="covariance is singular at"):
        MatrixProducts(dying).solve(np.full((1, d), 0.5), np.ones((1, d)))
    assert not MatrixNoise(lambda x: np.tile(np.eye(201), (len(x), 1, 1)), 201).products_suffice(np.zeros((1, 201)))


def test_a_jump_of_the_covariance_is_told() -> None:
    """The answer is no number with a small error: the tolerance is not met, and the error covers what is missed."""
    d = 13

    def covariance(x: Array) -> Array:
        return np.asarray((1.0 + (x[:, 0] > -0.4))[:, None, None] * np.eye(d))

    system = qpot.System(
        drift=lambda x: np.concatenate([x[:, :1] - x[:, :1] ** 3, -x[:, 1:]], axis=1),
        covariance=covariance,
        dimension=d,
    )
    up = [2.0 * (u**4 / 4 - u**2 / 2) for u in (-1.0, -0.4, 0.0)]
    exact = (up[1] - up[0]) + (up[2] - up[1]) / 2.0
    method = qpot.LargeScaleAction(max_products=60, max_elements=24)
    path = qpot.minimum_action_path(system, -np.eye(d)[0], np.zeros(d), method=method, throw=False)
    assert not path.status.ok
    assert abs(path.action - exact) <= path.error
