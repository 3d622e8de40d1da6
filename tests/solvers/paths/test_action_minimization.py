"""Newton minimisation on a fixed mesh: convergence, second-order check, escapes from saddles of the action."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from twins import from_lower_band

import qpot
from qpot.solvers.paths.action import action_expansion, action_value
from qpot.solvers.paths.action_minimization import (
    CONVERGED,
    MAX_ITERATIONS,
    Minimization,
    minimize_action,
    minimize_actions,
)
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.problem.lagrangian import DiffusionLagrangian, Expansion

Array = NDArray[np.float64]


def maier_stein(beta: float) -> DiffusionLagrangian:
    system = qpot.gallery.maier_stein(beta=beta).system
    return DiffusionLagrangian(system.drift, system.jacobian, system.covariance, system.constant_covariance)


def straight(end: tuple[float, float], *, bow: float = 0.0, span: float = 14.0, n: int = 14) -> ElementPath:
    mesh = np.linspace(0, span, n + 1)
    s = ElementPath(mesh, np.empty((4 * n + 1, 2)), 4).node_times()[:, None] / span
    s = 0.5 - 0.5 * np.tanh(6 * (0.5 - s)) / np.tanh(3.0)
    start = np.array([-1.0, 0.0])
    nodes = start + s * (np.array(end) - start) + np.array([0.0, bow]) * np.sin(np.pi * s)
    nodes[0], nodes[-1] = start, end
    return ElementPath(mesh, nodes, 4)


def run(
    lagrangian: DiffusionLagrangian, path: ElementPath, iterations: int = 200, tolerance: float = 1e-8
) -> Minimization:
    return minimize_action(lagrangian, path, quadrature=7, tolerance=tolerance, max_iterations=iterations)


def test_linear_drift_needs_few_steps_and_gives_the_discrete_minimum() -> None:
    A = np.array([[1.0, 2.0], [-1.0, 0.5]])
    a = np.diag([1.0, 4.0])
    lagrangian = DiffusionLagrangian(
        lambda x: -(x - np.array([-1.0, 0.0])) @ A.T,
        lambda x: np.broadcast_to(-A, (len(x), 2, 2)),
        lambda x: np.broadcast_to(a, (len(x), 2, 2)),
        a,
    )
    path = straight((0.0, 1.0), span=4.0)
    found = run(lagrangian, path, tolerance=1e-12)
    assert found.status == CONVERGED
    # the action is quadratic in the nodes, its gradient affine: differences of gradients are the exact Hessian
    interior = path.nodes[1:-1].ravel()

    def at(flat: Array) -> tuple[float, Array]:
        nodes = np.concatenate([path.nodes[:1], flat.reshape(-1, 2), path.nodes[-1:]])
        return action_expansion(lagrangian, ElementPath(path.breaks, nodes, 4), 7)[:2]

    value, gradient = at(interior)
    hessian = np.array([at(interior + e)[1] - gradient for e in np.eye(interior.size)])
    expected = value - 0.5 * gradient @ np.linalg.solve(hessian, gradient)
    assert found.action == pytest.approx(expected, rel=1e-8)
    assert found.action >= expected * (1 - 1e-12)
    assert found.iterations <= 8
    # a run that stops early confirms its model by one more step, and what is left is at most a part of what that has gained
    none = run(lagrangian, path, iterations=0, tolerance=1e-12)
    assert none.action == pytest.approx(expected, rel=1e-8)
    assert none.action - expected <= none.decrement <= 0.2 * (value - expected)
    one = run(lagrangian, path, iterations=1, tolerance=1e-12)
    assert 0.0 <= one.decrement <= 1e-6 * none.decrement


def test_same_minimum_as_a_quasi_newton_method_from_scipy() -> None:
    lagrangian, path = maier_stein(3.0), straight((-0.2, 0.3), n=5, span=5.0)
    found = run(lagrangian, path)

    def value(flat: Array) -> tuple[float, Array]:
        nodes = np.concatenate([path.nodes[:1], flat.reshape(-1, 2), path.nodes[-1:]])
        S, gradient, _ = action_expansion(lagrangian, ElementPath(path.breaks, nodes, 4), 7)
        return S, gradient

    slow = minimize(
        value, path.nodes[1:-1].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15}
    )
    assert found.action == pytest.approx(slow.fun, rel=1e-7)
    assert found.action <= slow.fun + 1e-12


def test_result_is_stationary_and_the_ends_stay() -> None:
    lagrangian, path = maier_stein(10.0), straight((0.0, 0.0), bow=0.2)
    found = run(lagrangian, path)
    assert found.status == CONVERGED
    assert found.action == pytest.approx(action_value(lagrangian, found.path, 7), rel=1e-13)
    np.testing.assert_array_equal(found.path.nodes[[0, -1]], path.nodes[[0, -1]])
    np.testing.assert_array_equal(found.path.breaks, path.breaks)
    _, _, band = action_expansion(lagrangian, found.path, 7)
    hessian = from_lower_band(band)
    assert np.linalg.eigvalsh(hessian)[0] > -1e-6 * np.abs(hessian).max()
    assert 0.0 <= found.decrement <= 1e-9 * found.action


def test_a_saddle_of_the_action_is_left() -> None:
    # for beta > 4 the straight path is stationary by symmetry, but no minimum: 0.5 against 0.34
    found = run(maier_stein(10.0), straight((0.0, 0.0)), tolerance=1e-6)
    assert found.status == CONVERGED
    assert found.action < 0.36
    assert np.abs(found.path.nodes[:, 1]).max() > 0.1


def test_running_out_of_iterations_is_said() -> None:
    found = run(maier_stein(10.0), straight((0.0, 0.0), bow=0.5), iterations=2)
    assert found.status == MAX_ITERATIONS
    assert found.iterations == 2


def test_the_action_never_rises() -> None:
    seen: list[float] = []
    minimize_action(
        maier_stein(10.0),
        straight((0.0, 0.0), bow=-0.4),
        quadrature=7,
        tolerance=1e-12,
        max_iterations=200,
        on_iteration=lambda _, S: seen.append(S),
    )
    assert len(seen) > 2
    assert (np.diff(seen) <= 1e-13).all()


def test_steps_out_of_the_domain_of_the_functions_are_taken_back() -> None:
    def drift(x: Array) -> Array:
        if (x[:, 0] <= -2.0).any():
            raise ValueError("outside")
        return np.asarray(1 / (x + 2.0) - (x + 2.0))

    lagrangian = DiffusionLagrangian(
        drift,
        lambda x: (-1 / (x + 2.0) ** 2 - 1)[:, :, None],
        lambda x: np.ones((len(x), 1, 1)),
        np.eye(1),
    )
    mesh = 8 - 8 * np.linspace(1, 0, 25) ** 4
    t = ElementPath(mesh, np.empty((97, 1)), 4).node_times()
    guess = ElementPath(mesh, (-1 - 0.95 * (t / 8) ** 2)[:, None], 4)
    found = run(lagrangian, guess)
    # V(-1, -1.95) = int 2 (x + 2 - 1/(x + 2)) dx, in time 8
    exact = (0.05**2 - 1) - 2 * np.log(0.05)
    assert found.status == CONVERGED
    assert found.action == pytest.approx(exact, rel=2e-2)


def test_side_by_side_is_one_by_one() -> None:
    """Several runs share the calls of the Lagrangian, not their steps; one of them has to be pushed off a saddle."""
    lagrangian = maier_stein(10.0)
    guesses = [straight((0.0, 0.0), bow=bow, n=n) for bow, n in ((0.0, 14), (0.3, 14), (-0.2, 10))]
    together = minimize_actions(lagrangian, guesses, quadrature=7, tolerance=1e-8, max_iterations=200)
    for guess, found in zip(guesses, together, strict=True):
        alone = run(lagrangian, guess)
        assert isinstance(found, Minimization)
        assert (found.status, found.iterations) == (alone.status, alone.iterations)
        assert found.action == pytest.approx(alone.action, rel=1e-12)
        np.testing.assert_allclose(found.path.nodes, alone.path.nodes, atol=1e-7)


def test_side_by_side_an_error_stays_where_it_arose() -> None:
    class Hole(DiffusionLagrangian):
        def expand(self, x: Array, v: Array) -> Expansion:
            if (x[:, 1] > 0.25).any():
                raise ValueError("a hole in the upper half")
            return super().expand(x, v)

    plain = maier_stein(10.0)
    lagrangian = Hole(plain.drift, plain.jacobian, plain.covariance, plain.constant)
    guesses = [straight((0.0, 0.0), bow=bow) for bow in (-0.3, 0.4, -0.1)]
    below, hole, other = minimize_actions(lagrangian, guesses, quadrature=7, tolerance=1e-8, max_iterations=200)
    assert isinstance(hole, ValueError)
    assert isinstance(below, Minimization)
    assert isinstance(other, Minimization)
    assert below.action == pytest.approx(run(plain, guesses[0]).action, rel=1e-12)
    with pytest.raises(ValueError, match="a hole in the upper half"):
        run(lagrangian, guesses[1])
