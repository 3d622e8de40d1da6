"""Products instead of matrices: the action's gradient, its minimiser, and preconditioners, against dense twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csc_array

from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.paths.action import action_expansion
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction, moved
from qpot.solvers.paths.newton_krylov import CONVERGED, _Model, minimize_large
from qpot.solvers.paths.time_preconditioner import scalar_preconditioner, stiff_preconditioner, time_matrices
from qpot.solvers.problem.lagrangian import DiffusionLagrangian

Array = np.ndarray[Any, np.dtype[np.float64]]

A = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 1.5]])
NOISE = np.array([[1.0, 0.3, 0.1], [0.3, 2.0, 0.0], [0.1, 0.0, 0.7]])


def drift(x: Array) -> Array:
    return np.asarray(-x @ A - 0.1 * x**3)


def product(x: Array, p: Array) -> Array:
    return np.asarray(-p @ A - 0.3 * x**2 * p)


def constant_action() -> LargeAction:
    return LargeAction(drift, product, lambda x, r: np.linalg.solve(NOISE, r.T).T)


def some_path(seed: int = 0, degree: int = 4) -> ElementPath:
    rng = np.random.default_rng(seed)
    breaks = np.array([0.0, 0.7, 1.5, 2.0, 3.1])
    nodes = np.linspace(0.0, 1.0, 4 * degree + 1)[:, None] * np.array([1.0, -0.5, 0.3])
    nodes[1:-1] += 0.1 * rng.normal(size=nodes[1:-1].shape)
    return ElementPath(breaks, nodes, degree)


def test_value_and_gradient_agree_with_the_dense_expansion() -> None:
    path = some_path()
    dense = DiffusionLagrangian(
        drift, lambda x: central_jacobian(drift, x), lambda x: np.tile(NOISE, (len(x), 1, 1)), NOISE
    )
    expected, gradient, _ = action_expansion(dense, path, 6)
    value, found = constant_action().value_and_gradient(path, 6)
    assert value == pytest.approx(expected, rel=1e-13)
    assert value == pytest.approx(constant_action().value(path, 6), rel=1e-13)
    assert found.ravel() == pytest.approx(gradient, abs=1e-8)


def test_gradient_with_noise_that_depends_on_the_state() -> None:
    """a = (1 + |x|^2) I: p.a p has the gradient 2 |p|^2 x."""
    action = LargeAction(
        drift,
        product,
        lambda x, r: r / (1.0 + (x**2).sum(axis=1, keepdims=True)),
        lambda x, p: 2.0 * (p**2).sum(axis=1, keepdims=True) * x,
    )
    path = some_path(1)
    _, gradient = action.value_and_gradient(path, 8)
    direction = np.random.default_rng(2).normal(size=gradient.shape)
    h = 1e-5
    slope = (action.value(moved(path, h * direction), 8) - action.value(moved(path, -h * direction), 8)) / (2 * h)
    assert np.vdot(gradient, direction) == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("numbers", [18, 40, 60])  # pieces of one, two, and three of the four elements
def test_pieces_do_not_change_the_result(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from qpot.solvers.paths import large_action

    whole = constant_action().value_and_gradient(some_path(), 6)
    momenta = constant_action().momenta(some_path())
    monkeypatch.setattr(large_action, "_CHUNK", numbers)
    parts = constant_action().value_and_gradient(some_path(), 6)
    assert parts[0] == pytest.approx(whole[0], rel=1e-14)
    assert parts[1] == pytest.approx(whole[1], rel=1e-12)
    assert constant_action().momenta(some_path()) == pytest.approx(momenta, rel=1e-12)


def test_minimiser_is_that_of_the_dense_method() -> None:
    from qpot.solvers.paths.action_minimization import minimize_action

    path = some_path(3)
    dense = DiffusionLagrangian(
        drift, lambda x: central_jacobian(drift, x), lambda x: np.tile(NOISE, (len(x), 1, 1)), NOISE
    )
    expected = minimize_action(dense, path, quadrature=6, tolerance=1e-12, max_iterations=100)
    squares = np.full(path.nodes.shape[0], 2.0)
    found = minimize_large(
        constant_action(),
        path,
        lambda at: scalar_preconditioner(at, squares, lambda r: r @ NOISE),
        quadrature=6,
        tolerance=1e-11,
        max_iterations=50,
        max_products=1000,
        difference=1e-7,
    )
    assert found.status == CONVERGED
    assert found.action == pytest.approx(expected.action, rel=1e-9)
    assert found.path.nodes == pytest.approx(expected.path.nodes, abs=1e-4)


def test_negative_curvature_is_left_behind() -> None:
    """From the straight path of the Maier-Stein system, a saddle of the action for beta = 10, to a bowed one."""

    def b(z: Array) -> Array:
        x, y = z.T
        return np.stack([x - x**3 - 10 * x * y**2, -(1 + x**2) * y], axis=1)

    def transposed(z: Array, p: Array) -> Array:
        x, y = z.T
        u, w = p.T
        return np.stack([(1 - 3 * x**2 - 10 * y**2) * u - 2 * x * y * w, -20 * x * y * u - (1 + x**2) * w], axis=1)

    t = np.linspace(-1.0, 1.0, 49)
    nodes = np.stack([-0.5 + 0.5 * np.tanh(3 * t) / np.tanh(3.0), 1e-6 * (1 - t**2)], axis=1)
    path = ElementPath(np.linspace(0.0, 12.0, 13), nodes, 4)
    found = minimize_large(
        LargeAction(b, transposed, lambda x, r: r),
        path,
        lambda at: scalar_preconditioner(at, np.full(49, 1.5), lambda r: r),
        quadrature=6,
        tolerance=1e-6,
        max_iterations=100,
        max_products=3000,
        difference=1e-7,
    )
    assert found.action < 0.36  # the straight path costs 0.5, the minimum 0.34 and a little for the finite time


@pytest.mark.parametrize("kind", ["sparse", "diagonal"])
def test_stiff_preconditioner_inverts_the_linear_problem(kind: str) -> None:
    path = some_path(4, degree=3)
    n = path.nodes.shape[0]
    K, M = time_matrices(path, np.ones(n))
    linear = np.diag([1.0, 30.0, 500.0]) if kind == "diagonal" else A * 20.0
    residual = np.random.default_rng(5).normal(size=(n - 2, 3))
    given: Any = np.diag(linear).copy() if kind == "diagonal" else csc_array(linear)
    applied = stiff_preconditioner(path, given, 2.0)(residual)
    matrix = np.kron(K, np.eye(3)) + np.kron(M, linear @ linear)
    assert applied.ravel() == pytest.approx(2.0 * np.linalg.solve(matrix, residual.ravel()), rel=1e-9, abs=1e-12)


def test_a_shorter_step_needs_no_new_products() -> None:
    """The iterates of conjugate gradients do not depend on the radius: cut again, they give what a new start gives."""
    H = np.random.default_rng(0).normal(size=(30, 30))
    H = H @ H.T + np.eye(30)
    gradient = np.random.default_rng(1).normal(size=(10, 3))
    counted = 0

    def product(s: Array) -> Array:
        nonlocal counted
        counted += 1
        return np.asarray((H @ s.ravel()).reshape(s.shape))

    def model() -> _Model:
        return _Model(product, gradient, np.copy, 0.1, 0.0)

    walked = model()
    whole, change, length, used, inside = walked.step(None)
    assert inside
    assert counted == used
    assert change == pytest.approx(0.5 * np.vdot(gradient, whole), rel=1e-2)
    for share in (0.9, 0.4, 0.05):
        before = counted
        step, fall, cut_length, used, inside = walked.step(share * length)
        assert (used, inside) == (0, False)
        assert counted == before
        assert cut_length == share * length == pytest.approx(np.linalg.norm(step))
        fresh = model().step(share * length)
        assert step == pytest.approx(fresh[0], abs=1e-12)
        assert fall == pytest.approx(fresh[1], rel=1e-12)
