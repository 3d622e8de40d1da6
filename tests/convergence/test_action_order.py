"""Orders of convergence by regression."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import lyapunov_quasipotential

from qpot.solvers.paths.action import action_value, geometric_action_value
from qpot.solvers.paths.action_minimization import minimize_action
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.problem.lagrangian import DiffusionLagrangian

Array = NDArray[np.float64]
A, NOISE = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.diag([1.0, 4.0])
END = np.array([1.0, 1.0])
EXACT = float(lyapunov_quasipotential(A, NOISE, END[None])[0])
LINEAR = DiffusionLagrangian(
    lambda x: -x @ A.T,
    lambda x: np.broadcast_to(-A, (len(x), 2, 2)),
    lambda x: np.broadcast_to(NOISE, (len(x), 2, 2)),
    NOISE,
)


def solved(n: int, degree: int, span: float) -> ElementPath:
    mesh = np.linspace(-span, 0, n + 1)
    t = ElementPath(mesh, np.empty((n * degree + 1, 2)), degree).node_times()
    nodes = np.exp(0.75 * t)[:, None] * END
    nodes[0] = 0.0
    guess = ElementPath(mesh, nodes, degree)
    return minimize_action(LINEAR, guess, quadrature=degree + 3, tolerance=1e-14, max_iterations=100).path


def finite_time(span: float) -> float:
    """Exact minimum over paths from 0 in the given time: x^T C(span)^{-1} x / 2, C the controllability Gramian."""
    from scipy.linalg import expm, solve_continuous_lyapunov

    S = solve_continuous_lyapunov(A, NOISE)
    decay = expm(-A * span)
    return float(0.5 * END @ np.linalg.solve(S - decay @ S @ decay.T, END))


@pytest.mark.parametrize(
    ("degree", "sizes"), [(1, (16, 32, 64, 128)), (2, (8, 16, 32, 64)), (3, (8, 16, 32)), (4, (6, 12, 24))]
)
def test_the_action_converges_at_twice_the_degree(degree: int, sizes: tuple[int, ...]) -> None:
    span = 6.0
    exact = finite_time(span)
    errors = [action_value(LINEAR, solved(n, degree, span), degree + 3) - exact for n in sizes]
    assert min(errors) > -1e-12, "a true curve costs at least the minimum"
    order = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert order == pytest.approx(2 * degree, abs=0.35)


def test_the_finite_time_costs_exponentially_little() -> None:
    spans = np.array([3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    errors = [action_value(LINEAR, solved(int(4 * T), 6, T), 9) - EXACT for T in spans]
    np.testing.assert_allclose(errors, [finite_time(T) - EXACT for T in spans], rtol=1e-4)
    rate = -np.polyfit(spans, np.log(errors), 1)[0]
    # eigenvalues of A have real part 3/4: the excess decays like exp(-2 * 3/4 * span), with an oscillation on top
    assert rate == pytest.approx(1.5, abs=0.25)


def test_the_geometric_value_of_the_same_curve_is_between() -> None:
    for T in (3.0, 5.0, 8.0):
        path = solved(int(4 * T), 6, T)
        geometric = geometric_action_value(LINEAR, path, 40)
        assert EXACT - 1e-9 <= geometric <= action_value(LINEAR, path, 9) + 1e-12
