"""The geometric action of curves, and its gradient through the minimisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad

from qpot.solvers.paths.curve_action import _midpoint, curve_action, shortened, smooth


def _drift(x: Any) -> Any:
    return np.stack([x[:, 0] - x[:, 0] ** 3 + 0.3 * x[:, 1], -x[:, 1] - 0.3 * x[:, 0] ** 2], axis=1)


def _jacobian(x: Any) -> Any:
    J = np.empty((len(x), 2, 2))
    J[:, 0, 0], J[:, 0, 1] = 1 - 3 * x[:, 0] ** 2, 0.3
    J[:, 1, 0], J[:, 1, 1] = -0.6 * x[:, 0], -1.0
    return J


def _covariance(x: Any) -> Any:
    a = np.empty((len(x), 2, 2))
    a[:, 0, 0], a[:, 1, 1] = 1 + 0.5 * np.sin(x[:, 0]), 1 + 0.3 * x[:, 1] ** 2
    a[:, 0, 1] = a[:, 1, 0] = 0.2 * x[:, 0]
    return a


def test_a_climb_along_the_gradient_costs_twice_the_loss_and_the_way_down_nothing() -> None:
    def drift(x: Any) -> Any:
        return -2.0 * x

    def covariance(x: Any) -> Any:
        return np.broadcast_to(0.5 * np.eye(3), (len(x), 3, 3))

    line = np.linspace(0, 1, 4)[:, None] * np.array([1.0, -2.0, 0.5])
    value, error = curve_action(drift, covariance, line)
    assert abs(value - 2 * 5.25 / 0.5) < 1e-12
    assert error < 1e-11
    assert curve_action(drift, covariance, line[::-1])[0] < 1e-12


def test_the_gradient_is_that_of_differences() -> None:
    x = np.array([-1.0, 0.2]) + np.linspace(0, 1, 7)[:, None] * np.array([1.2, 0.4])
    x[1:-1] += 0.1 * np.random.default_rng(0).normal(size=(5, 2))

    def value(q: Any) -> Any:
        return _midpoint(_drift, _jacobian, _covariance, q.reshape(-1, 2))[0]

    def slope(q: Any) -> Any:
        return _midpoint(_drift, _jacobian, _covariance, q.reshape(-1, 2))[1].ravel()

    assert check_grad(value, slope, x.ravel()) < 1e-5


def test_the_minimum_agrees_with_a_known_quasipotential() -> None:
    # A linear drift: V is half the quadratic form of the inverse stationary covariance.
    from scipy.linalg import solve_continuous_lyapunov

    A, a = np.array([[-1.0, 0.5], [-0.2, -2.0]]), np.array([[1.0, 0.3], [0.3, 0.5]])
    end = np.array([1.0, 0.7])
    exact = 0.5 * end @ np.linalg.solve(solve_continuous_lyapunov(A, -a), end)
    functions = (
        lambda x: x @ A.T,
        lambda x: np.broadcast_to(A, (len(x), 2, 2)),
        lambda x: np.broadcast_to(a, (len(x), 2, 2)),
    )
    curve = np.linspace(0, 1, 33)[:, None] * end
    for n in (33, 65):
        curve = shortened(*functions, curve, n, iterations=300)
    value, _ = curve_action(functions[0], functions[2], smooth(curve, 4))
    assert exact - 1e-9 <= value <= exact * (1 + 2e-3)


@pytest.mark.parametrize("beside", [0.0, 1e-4, 1e-3, 5e-3, 2e-2, -1e-3])
def test_the_error_holds_where_the_curve_turns_next_to_a_node(beside: float) -> None:
    # A double well along a line: the action is twice the climb, and the pass lies between a node and the next Gauss point.
    x = np.sort(np.append(np.linspace(-1.0, 1.0, 14), beside))
    curve = np.stack([x, np.zeros_like(x)], axis=1)
    value, error = curve_action(
        lambda z: np.stack([z[:, 0] - z[:, 0] ** 3, -z[:, 1]], axis=1),
        lambda z: np.broadcast_to(np.eye(2), (len(z), 2, 2)),
        curve,
    )
    assert abs(value - 0.5) <= error + 1e-14
    assert error < 1e-3


def test_the_error_holds_across_a_jump_of_the_drift() -> None:
    """The error covers what the quadrature misses at a jump, but for the few places that all three rules miss alike."""
    curve = np.stack([np.linspace(0.0, 1.0, 34), np.zeros(34)], axis=1)
    failed = 0
    for place in np.random.default_rng(0).uniform(0.2, 0.8, size=200):
        end = float(place)

        def drift(x: Any, end: float = end) -> Any:
            return np.stack([np.where(x[:, 0] < end, -1.0, -2.0), 0.0 * x[:, 1]], axis=1)

        value, error = curve_action(drift, lambda x: np.broadcast_to(np.eye(2), (len(x), 2, 2)), curve)
        failed += abs(value - 2.0 * (end + 2.0 * (1.0 - end))) > error
    assert failed <= 20
