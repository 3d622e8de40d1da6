"""Hamiltonian collocation: derivatives, exact linear answers, order of convergence, and the second-order check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov

from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.hamiltonian_path import (
    CONVERGED,
    PhasePath,
    constraint_defect,
    hamiltonian_action,
    is_minimum,
    solve_extremal,
)
from qpot.solvers.paths.hamiltonian_refinement import refine_extremal, without_floor
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = np.ndarray[Any, np.dtype[np.float64]]


def linear(A: Array, a: Array) -> DiffusionHamiltonian:
    return DiffusionHamiltonian(
        lambda x: x @ A.T, lambda x: np.tile(A, (len(x), 1, 1)), lambda x: np.tile(a, (len(x), 1, 1)), a
    )


def curved() -> DiffusionHamiltonian:
    """A drift and a covariance of rank one that both depend on the state."""

    def drift(x: Array) -> Array:
        return np.stack([x[:, 1] + x[:, 0] ** 2 / 3, np.sin(x[:, 0]) - x[:, 1] ** 3], axis=1)

    def covariance(x: Array) -> Array:
        column = np.stack([0.3 * x[:, 1], 1 + 0.5 * np.cos(x[:, 0])], axis=1)
        return column[:, :, None] * column[:, None, :]

    return DiffusionHamiltonian(drift, lambda x: central_jacobian(drift, x), covariance, None)


def straight(start: Array, end: Array, T: float, elements: int, degree: int) -> PhasePath:
    nodes = np.linspace(0.0, 1.0, elements * degree + 1)[:, None]
    coarse = ElementPath(np.linspace(0.0, T, elements * degree + 1), start + nodes * (end - start), 1)
    path = coarse.on(np.linspace(0.0, T, elements + 1), degree)
    return PhasePath(path, np.zeros((elements, degree, start.size)))


def finite_time_cost(A: Array, a: Array, end: Array, T: float) -> float:
    """Cost of a linear system from rest to ``end`` in time T: half end.G^{-1} end with the Gramian G, from Van Loan."""
    d = len(A)
    block = expm(np.block([[-A, a], [np.zeros((d, d)), A.T]]) * T)
    gramian = block[d:, d:].T @ block[:d, d:]
    return float(0.5 * end @ np.linalg.solve(gramian, end))


def test_derivatives_are_those_of_the_value() -> None:
    H = curved()
    rng = np.random.default_rng(1)
    x, p = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    e = H.expand(x, p)
    pairs = np.concatenate([x, p], axis=1)

    def value(z: Array) -> Array:
        return H.first(z[:, :2], z[:, 2:])[0]

    gradient = central_jacobian(value, pairs)
    assert np.concatenate([e.x, e.p], axis=1) == pytest.approx(gradient, abs=1e-8)

    def slopes(z: Array) -> Array:
        return np.concatenate(H.first(z[:, :2], z[:, 2:])[1:], axis=1)

    second = central_jacobian(slopes, pairs)
    assert e.xx == pytest.approx(second[:, :2, :2], abs=1e-4)
    assert e.px == pytest.approx(second[:, 2:, :2], abs=1e-4)
    assert e.pp == pytest.approx(second[:, 2:, 2:], abs=1e-4)
    # the value by a sum over indices
    a, b = H.covariance(x), H.drift(x)
    for n in range(5):
        plain = sum(p[n, i] * b[n, i] for i in range(2))
        plain += 0.5 * sum(p[n, i] * a[n, i, j] * p[n, j] for i in range(2) for j in range(2))
        assert e.value[n] == pytest.approx(plain, rel=1e-13)


def test_chain_of_integrators_in_fixed_time() -> None:
    """Noise enters the last of three coordinates; a linear problem is solved by one Newton step."""
    A = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, -2.0, -1.5]])
    a = np.diag([0.0, 0.0, 2.0])
    end = np.array([1.0, 0.5, -0.3])
    found = solve_extremal(linear(A, a), straight(np.zeros(3), end, 3.0, 8, 6), tolerance=1e-9, max_iterations=10)
    assert found.status == CONVERGED
    assert found.iterations <= 4
    assert found.action == pytest.approx(finite_time_cost(A, a, end, 3.0), rel=1e-10)
    assert is_minimum(linear(A, a), found.path)


def test_order_of_convergence_is_twice_the_degree() -> None:
    A, a = np.array([[0.0, 1.0], [-2.0, -0.4]]), np.diag([0.0, 1.0])
    end = np.array([1.0, 0.0])
    exact = finite_time_cost(A, a, end, 8.0)
    counts = np.array([4, 6, 8, 12])
    for degree in (2, 3):
        errors = [
            abs(
                solve_extremal(
                    linear(A, a), straight(np.zeros(2), end, 8.0, int(n), degree), tolerance=1e-10, max_iterations=10
                ).action
                - exact
            )
            for n in counts
        ]
        order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
        assert order > 2 * degree - 0.7, errors


def kinetic_terms(gamma: float = 1.0) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    def drift(z: Array) -> Array:
        return np.stack([z[:, 1], z[:, 0] - z[:, 0] ** 3 - gamma * z[:, 1]], axis=1)

    def jacobian(z: Array) -> Array:
        J = np.zeros((len(z), 2, 2))
        J[:, 0, 1], J[:, 1, 0], J[:, 1, 1] = 1.0, 1.0 - 3.0 * z[:, 0] ** 2, -gamma
        return J

    return drift, jacobian


def test_the_defect_falls_with_the_action_error() -> None:
    """On a nonlinear system (a linear one has none: the violation is orthogonal to the momenta)."""
    drift, jacobian = kinetic_terms()
    a = np.diag([0.0, 2.0])
    H = DiffusionHamiltonian(drift, jacobian, lambda z: np.tile(a, (len(z), 1, 1)), a)
    start, end = np.array([-1.0, 0.0]), np.array([-0.7, 0.05])
    defects, actions = [], []
    for n in (8, 16, 48):
        found = solve_extremal(H, straight(start, end, 8.0, n, 3), tolerance=1e-10, max_iterations=40)
        assert found.status == CONVERGED
        defects.append(constraint_defect(H, found.path))
        actions.append(found.action)
    assert defects[1] < defects[0] / 10
    for k in (0, 1):
        assert abs(actions[k] - actions[2]) < 20 * defects[k]


def test_floor_is_followed_to_zero_and_the_action_rises_on_the_way() -> None:
    """Infinite-time linear cost: half x.S^{-1} x with the Lyapunov solution S, from a floored start."""
    A, a = np.array([[0.0, 1.0], [-2.0, -1.0]]), np.diag([0.0, 1.0])
    end = np.array([0.6, 0.4])
    S = solve_continuous_lyapunov(A, -a)
    exact = 0.5 * end @ np.linalg.solve(S, end)
    H = linear(A, a)
    guess = straight(np.zeros(2), end, 20.0, 30, 4)
    start = solve_extremal(H.floored(0.3), guess, tolerance=1e-9, max_iterations=20)
    reached, floor = without_floor(H, start.path, floor=0.3, max_iterations=20)
    assert floor == 0.0
    assert start.action < reached.action
    refined = refine_extremal(
        H, reached.path, slow_start=0.5, slow_end=0.0, tolerance=1e-10, max_iterations=20, max_elements=300
    )
    assert refined.status == CONVERGED
    assert abs(refined.action - exact) <= refined.error + 1e-13
    assert refined.action == pytest.approx(exact, rel=1e-10)
    assert hamiltonian_action(H, refined.path) == pytest.approx(refined.action, rel=1e-12)


def test_a_path_that_is_no_minimum_is_told() -> None:
    """No drift, travel that is cheaper off the line y = 0: the straight line is the shortest while it is short."""

    def covariance(z: Array) -> Array:
        a = np.zeros((len(z), 2, 2))
        a[:, 0, 0] = 1.0 + z[:, 1] ** 2  # cheaper off the line
        a[:, 1, 1] = 1.0
        return a

    H = DiffusionHamiltonian(np.zeros_like, lambda x: np.zeros((len(x), 2, 2)), covariance, None)
    for length, minimal in ((1.0, True), (6.0, False)):
        start, end = np.array([0.0, 0.0]), np.array([length, 0.0])
        guess = straight(start, end, 1.0, 6, 4)
        found = solve_extremal(H, PhasePath(guess.positions, guess.momenta + end), tolerance=1e-9, max_iterations=20)
        assert found.status == CONVERGED
        assert found.action == pytest.approx(length**2 / 2, rel=1e-9)
        assert is_minimum(H, found.path) is minimal
