"""Paths whose ends move on surfaces and whose duration changes: derivatives, closed forms, transversality."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov

from qpot.solvers.paths.action import action_expansion, action_value, full_expansion
from qpot.solvers.paths.action_minimization import CONVERGED, minimize_action
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.free_ends import minimize_with_free_ends
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.paths.limits import Limits
from qpot.solvers.paths.path_refinement import refine_path
from qpot.solvers.problem.lagrangian import DiffusionLagrangian

Array = NDArray[np.float64]
A, NOISE = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([[1.0, 0.4], [0.4, 3.0]])
METRIC = np.linalg.inv(solve_continuous_lyapunov(A, NOISE))  # V = x.METRIC x / 2
LINEAR = DiffusionLagrangian(
    lambda x: -x @ A.T,
    lambda x: np.broadcast_to(-A, (len(x), 2, 2)),
    lambda x: np.broadcast_to(NOISE, (len(x), 2, 2)),
    NOISE,
)
CURVED = DiffusionLagrangian(
    lambda x: np.stack([x[:, 0] - x[:, 0] ** 3 - x[:, 0] * x[:, 1] ** 2, -(1 + x[:, 0] ** 2) * x[:, 1]], axis=1),
    lambda x: np.stack(
        [
            np.stack([1 - 3 * x[:, 0] ** 2 - x[:, 1] ** 2, -2 * x[:, 0] * x[:, 1]], axis=1),
            np.stack([-2 * x[:, 0] * x[:, 1], -(1 + x[:, 0] ** 2)], axis=1),
        ],
        axis=1,
    ),
    lambda x: (1 + 0.3 * x[:, 0] ** 2)[:, None, None] * NOISE,
    None,
)


class Ellipse:
    """x.M x / 2 = level."""

    def __init__(self, M: Array, level: float) -> None:
        self.M, self.level = M, level

    def normal(self, x: Array) -> Array:
        return np.asarray(self.M @ x)

    def curvature(self, x: Array) -> Array:
        return self.M

    def projected(self, x: Array) -> Array:
        return np.asarray(x * np.sqrt(self.level / (0.5 * x @ self.M @ x)))


def wiggly() -> ElementPath:
    breaks = np.array([0.0, 0.3, 1.0, 1.4])
    path = ElementPath(breaks, np.empty((13, 2)), 4)
    t = path.node_times()
    return ElementPath(breaks, np.stack([0.4 + 0.5 * t + 0.1 * np.sin(3 * t), 0.2 * np.cos(2 * t)], axis=1), 4)


def scaled(path: ElementPath, tau: float) -> ElementPath:
    return ElementPath(np.exp(tau) * path.breaks, path.nodes, path.degree)


def test_derivatives_in_all_nodes_and_the_time_scale() -> None:
    path, q = wiggly(), 7
    e = full_expansion(CURVED, path, q)
    assert e.value == pytest.approx(action_value(CURVED, path, q), rel=1e-14)
    h = 1e-5
    up, down = (action_value(CURVED, scaled(path, s * h), q) for s in (1, -1))
    assert e.slope == pytest.approx((up - down) / (2 * h), rel=1e-7)
    above, below = (full_expansion(CURVED, scaled(path, s * h), q) for s in (1, -1))
    assert e.curvature == pytest.approx((above.slope - below.slope) / (2 * h), rel=1e-6)
    np.testing.assert_allclose(e.mixed, (above.gradient - below.gradient) / (2 * h), atol=1e-6 * np.abs(e.mixed).max())
    n, d = path.nodes.shape
    hessian = np.zeros((n * d, n * d))
    for k in range(n * d):
        moved = []
        for sign in (1, -1):
            nodes = path.nodes.copy()
            nodes.ravel()[k] += sign * h
            moved.append(full_expansion(CURVED, ElementPath(path.breaks, nodes, path.degree), q))
        assert e.gradient.ravel()[k] == pytest.approx((moved[0].value - moved[1].value) / (2 * h), abs=1e-6)
        hessian[:, k] = (moved[0].gradient - moved[1].gradient).ravel() / (2 * h)
    full = np.zeros_like(hessian)
    for offset in range(e.band.shape[0]):
        for j in range(n * d - offset):
            full[j + offset, j] = full[j, j + offset] = e.band[offset, j]
    np.testing.assert_allclose(full, hessian, atol=2e-5 * np.abs(hessian).max())


def test_the_interior_part_is_that_of_fixed_ends() -> None:
    path = wiggly()
    e = full_expansion(CURVED, path, 7)
    value, gradient, band = action_expansion(CURVED, path, 7)
    assert e.value == value
    np.testing.assert_array_equal(e.gradient[1:-1].ravel(), gradient)
    np.testing.assert_array_equal(e.band[0, 2:-2], band[0])


def line(start: Array, end: Array, time: float) -> ElementPath:
    breaks = np.linspace(0.0, time, 13)
    s = ElementPath(breaks, np.empty((12 * 6 + 1, 2)), 6).node_times()[:, None] / time
    return ElementPath(breaks, start + s * (end - start), 6)


def test_from_a_level_of_v_to_a_point() -> None:
    y = np.array([1.0, 1.0])
    top = 0.5 * y @ METRIC @ y
    inner = Ellipse(METRIC, 0.2 * top)
    guess = line(inner.projected(np.array([1.0, 0.2])), y, 1.0)
    found = minimize_with_free_ends(
        LINEAR, guess, FreeEnds(inner, None, True), quadrature=9, tolerance=1e-12, max_iterations=100
    )
    assert found.status == CONVERGED
    assert found.action == pytest.approx(0.8 * top, rel=1e-9)
    # the path is the one that comes from the origin: x' = (A' turned) x, and the duration follows from it
    x, v, _ = found.path.at_quadrature(9)
    p = x @ METRIC
    np.testing.assert_allclose(v, -x @ A.T + p @ NOISE, atol=1e-4)
    assert np.abs(LINEAR.hamiltonian(x.reshape(-1, 2), p.reshape(-1, 2))).max() < 1e-8


def test_between_a_level_of_v_and_a_circle() -> None:
    inner, outer = Ellipse(METRIC, 0.05), Ellipse(np.eye(2), 0.5)
    guess = line(inner.projected(np.array([0.3, 1.0])), outer.projected(np.array([0.4, 1.0])), 2.0)
    found = minimize_with_free_ends(
        LINEAR, guess, FreeEnds(inner, outer, True), quadrature=9, tolerance=1e-12, max_iterations=100
    )
    assert found.status == CONVERGED
    assert found.action == pytest.approx(0.5 * np.linalg.eigvalsh(METRIC)[0] - 0.05, rel=1e-9)


def test_fixed_ends_and_time_are_the_ordinary_minimum() -> None:
    guess = line(np.array([0.2, 0.1]), np.array([1.0, 0.5]), 1.5)
    found = minimize_with_free_ends(CURVED, guess, FreeEnds(), quadrature=9, tolerance=1e-12, max_iterations=100)
    plain = minimize_action(CURVED, guess, quadrature=9, tolerance=1e-12, max_iterations=100)
    assert found.action == pytest.approx(plain.action, rel=1e-11)
    np.testing.assert_allclose(found.path.nodes, plain.path.nodes, atol=1e-5)


def test_a_free_time_is_the_best_of_fixed_times() -> None:
    start, end = np.array([0.3, 0.4]), np.array([0.8, 0.9])
    free = minimize_with_free_ends(
        CURVED, line(start, end, 3.0), FreeEnds(None, None, True), quadrature=9, tolerance=1e-12, max_iterations=200
    )
    assert free.status == CONVERGED
    best = free.path.breaks[-1]
    for time in (0.9 * best, 1.1 * best):
        fixed = minimize_action(CURVED, line(start, end, time), quadrature=9, tolerance=1e-12, max_iterations=200)
        assert fixed.action > free.action


class Wall:
    """normal . x = 1."""

    def __init__(self, normal: Array) -> None:
        self.n = normal

    def normal(self, x: Array) -> Array:
        return self.n

    def curvature(self, x: Array) -> Array:
        return np.zeros((x.size, x.size))

    def projected(self, x: Array) -> Array:
        return np.asarray(x + self.n * (1.0 - self.n @ x) / (self.n @ self.n))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("most", [2, 5, 100])
def test_errors_hold_under_strongly_non_normal_drifts(number: int, most: int) -> None:
    """Directions softer than the floor of the shift are followed, and what is left after a cut is told."""
    rng = np.random.default_rng([3, number])
    d = 3 + number % 3
    J = np.triu(rng.normal(size=(d, d)), 1) * 12.0 - np.diag(np.exp(rng.uniform(-1.0, 1.0, size=d)))
    B = rng.normal(size=(d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
    a = B @ B.T
    system = DiffusionLagrangian(
        lambda x: x @ J.T,
        lambda x: np.broadcast_to(J, (len(x), d, d)),
        lambda x: np.broadcast_to(a, (len(x), d, d)),
        a,
    )
    n = rng.normal(size=d)
    C = solve_continuous_lyapunov(J, -a)
    wall, value = Wall(n), 0.5 / float(n @ C @ n)
    goal = wall.projected(rng.normal(size=d))
    rate = float(-np.linalg.eigvals(J).real.max())
    guess = timed_path(
        np.linspace(0, 1, 30)[:, None] * goal, system.speed, slow_start=rate, slow_end=0.0, n_elements=20, degree=6
    )
    found = refine_path(
        system,
        guess,
        Limits(1e-9, most, 500, None, 0.0),
        slow_start=rate,
        slow_end=0.0,
        spreads=(C, None),
        ends=FreeEnds(None, wall, False),
    )
    assert abs(found.action - value) <= found.error + 1e-12 * value
    assert most < 100 or found.status == CONVERGED
