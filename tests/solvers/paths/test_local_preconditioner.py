"""The action's Hessian from rates along the path: against the dense expansion, and exact where the drift is linear."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from test_large_action import NOISE, A, constant_action, some_path

from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.paths.action import action_expansion
from qpot.solvers.paths.large_action import LargeAction, moved
from qpot.solvers.paths.local_preconditioner import linearised, local_preconditioner
from qpot.solvers.paths.newton_krylov import CONVERGED, minimize_large
from qpot.solvers.problem.lagrangian import DiffusionLagrangian

Array = np.ndarray[Any, np.dtype[np.float64]]

UNIT, TURN = np.eye(3), np.array([[0.4, 0.9, 0.1], [-0.2, 0.5, 0.7]])


def covariance(x: Array) -> Array:
    """Full, and different everywhere."""
    s = np.sin(x @ TURN.T)
    return np.asarray(NOISE + 0.3 * (s**2).sum(axis=1)[:, None, None] * UNIT)


def covariance_gradient(x: Array, p: Array) -> Array:
    """Of p.a p."""
    return np.asarray(0.3 * (p**2).sum(axis=1, keepdims=True) * (np.sin(2 * x @ TURN.T) @ TURN))


def drift(x: Array) -> Array:
    return np.asarray(-x @ A - 0.1 * x**3)


def varying_action() -> LargeAction:
    def solve(x: Array, r: Array) -> Array:
        return np.asarray(np.linalg.solve(covariance(x), r[:, :, None])[..., 0])

    return LargeAction(drift, lambda x, p: -p @ A - 0.3 * x**2 * p, solve, covariance_gradient)


def operators(x: Array, v: Array) -> tuple[Array, Array, Array, None]:
    inverse: Array = np.asarray(np.linalg.inv(covariance(x)))
    p = np.einsum("nij,nj->ni", inverse, v - drift(x))
    rates: Array = -A - 0.3 * x[:, :, None] ** 2 * UNIT
    rates = rates + 0.3 * p[:, :, None] * (np.sin(2 * x @ TURN.T) @ TURN)[:, None]
    return rates, inverse, p, None


def test_products_are_those_of_the_gradient() -> None:
    path, action = some_path(6), varying_action()
    product, _ = linearised(action, operators, path, 6)
    for seed in range(3):
        s = np.random.default_rng(seed).normal(size=path.nodes[1:-1].shape)
        h = 1e-5
        up, down = (action.value_and_gradient(moved(path, sign * h * s), 6)[1] for sign in (1.0, -1.0))
        assert product(1e-6, s) == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-5)


def test_a_linear_drift_is_inverted_exactly() -> None:
    path, turning = some_path(7), np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.3], [0.0, -0.3, 0.0]]) - A

    def linear(x: Array) -> Array:
        return np.asarray(x @ turning.T)

    dense = DiffusionLagrangian(
        linear, lambda x: central_jacobian(linear, x), lambda x: np.tile(NOISE, (len(x), 1, 1)), NOISE
    )
    _, gradient, _ = action_expansion(dense, path, 6)
    n = 6 * path.n_elements
    rates, inverse = (np.tile(matrix, (n, 1, 1)) for matrix in (turning, np.linalg.inv(NOISE)))
    step = local_preconditioner(path, 6, rates, inverse)(gradient.reshape(-1, 3))
    _, left, _ = action_expansion(dense, moved(path, -step), 6)
    assert np.abs(left).max() < 1e-8 * np.abs(gradient).max()


def test_the_minimiser_is_that_without_and_takes_fewer_products() -> None:
    path, action = some_path(8), varying_action()
    found = {
        local: minimize_large(
            action,
            path,
            lambda at: lambda r: r @ NOISE,
            quadrature=6,
            tolerance=1e-10,
            max_iterations=60,
            max_products=20_000,
            difference=1e-7,
            linearised=partial(linearised, action, operators) if local else None,
        )
        for local in (False, True)
    }
    assert all(f.status == CONVERGED for f in found.values())
    assert found[True].action == pytest.approx(found[False].action, rel=1e-9)
    assert 2 * found[True].products < found[False].products


def test_constant_noise_has_no_slope_of_its_own() -> None:
    path, inverse = some_path(9), np.linalg.inv(NOISE)

    def constant(x: Array, v: Array) -> tuple[Array, Array, Array, None]:
        rates = -A - 0.3 * x[:, :, None] ** 2 * UNIT
        return rates, np.broadcast_to(inverse, rates.shape), (v - drift(x)) @ inverse, None

    product, _ = linearised(constant_action(), constant, path, 6)
    s = np.random.default_rng(0).normal(size=path.nodes[1:-1].shape)
    up, down = (constant_action().value_and_gradient(moved(path, h * s), 6)[1] for h in (1e-5, -1e-5))
    assert product(1e-6, s) == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-5)
