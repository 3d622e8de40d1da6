"""The Lagrangian of discrete steps: duality, hull, derivatives, and the geometric integrand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from twins_exact import cumulant, dual_value, inside_hull, root_of_hamiltonian

from qpot.solvers.paths.action_minimization import INFEASIBLE, minimize_action
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.feasible_path import feasible_path
from qpot.solvers.problem.cumulant import CumulantLagrangian
from qpot.solvers.problem.lagrangian import DiffusionLagrangian, SingularCovarianceError

Array = NDArray[np.float64]


def constant_steps(g: Array, w: Array | None = None) -> CumulantLagrangian:
    weights = np.full(len(g), 1.0 / len(g)) if w is None else w

    def steps(x: Array) -> tuple[Array, Array]:
        return np.tile(g, (len(x), 1, 1)), np.tile(weights, (len(x), 1))

    return CumulantLagrangian(steps)


def bent_steps(x: Array) -> tuple[Array, Array]:
    """Five gradients and probabilities that vary with the point."""
    a, b = x[:, 0], x[:, 1]
    one = np.ones_like(a)
    g = np.stack(
        [
            np.stack([a**3 - a + one, b + 0.3 * np.sin(a)], axis=1),
            np.stack([a - 2.0 * one, b * a], axis=1),
            np.stack([0.2 * b + one, 2.0 * one - b], axis=1),
            np.stack([-one, -2.0 * one + 0.5 * a * b], axis=1),
            np.stack([2.0 * np.cos(b), -one], axis=1),
        ],
        axis=1,
    )
    w = 1.0 + 0.5 * np.stack([np.sin(k * a + b) for k in range(5)], axis=1)
    return g, w / w.sum(axis=1, keepdims=True)


def feasible_velocities(n: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(n, 2))
    g, w = bent_steps(x)
    share = rng.dirichlet(np.ones(5), size=n) * 0.9 + 0.1 * w
    return x, -np.einsum("nk,nki->ni", share, g)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_dual_value_is_the_supremum(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    g, w = rng.normal(size=(d + 4, d)) * 10 ** rng.uniform(-2, 2), rng.dirichlet(np.ones(d + 4) * 3)
    v = -(rng.dirichlet(np.ones(d + 4)) * 0.8 + 0.2 * w) @ g
    lagrangian = constant_steps(g, w)
    x = np.zeros((1, d))
    assert lagrangian.value(x, v[None])[0] == pytest.approx(dual_value(g, w, v), rel=1e-5, abs=1e-7)
    p = lagrangian.momentum(x, v[None])
    # the momentum solves H_p = v: the tilted mean of the steps
    tilted = w * np.exp(-g @ p[0] - cumulant(g, w, p[0]))
    np.testing.assert_allclose(-tilted @ g, v, atol=1e-8 * np.abs(g).max())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_finite_exactly_within_the_hull_of_the_steps(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(d + 3, d))
    v = rng.normal(size=d)
    value = constant_steps(g).value(np.zeros((1, d)), v[None])[0]
    assert np.isfinite(value) == inside_hull(g, v)
    if np.isfinite(value):
        assert 0.0 <= value <= np.log(d + 3) + 1e-9


def test_two_steps_have_the_entropy_as_their_lagrangian() -> None:
    v = np.linspace(-0.999, 0.999, 31)
    value = constant_steps(np.array([[1.0], [-1.0]])).value(np.zeros((31, 1)), v[:, None])
    up, down = (1 + v) / 2, (1 - v) / 2
    np.testing.assert_allclose(value, np.log(2) + up * np.log(up) + down * np.log(down), atol=1e-14)


def test_derivatives_are_those_of_the_value() -> None:
    lagrangian = CumulantLagrangian(bent_steps, scale=0.4)
    x, v = feasible_velocities(30, 1)
    v *= 0.98
    e = lagrangian.expand(x, v)
    h = 1e-5
    for j in range(2):
        shift = h * np.eye(2)[j]
        above, below = lagrangian.expand(x + shift, v), lagrangian.expand(x - shift, v)
        np.testing.assert_allclose((above.value - below.value) / (2 * h), e.x[:, j], rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose((above.x - below.x) / (2 * h), e.xx[:, j], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose((above.v - below.v) / (2 * h), e.xv[:, j], rtol=1e-5, atol=1e-5)
        above, below = lagrangian.expand(x, v + shift), lagrangian.expand(x, v - shift)
        np.testing.assert_allclose((above.value - below.value) / (2 * h), e.v[:, j], rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose((above.v - below.v) / (2 * h), e.vv[:, j], rtol=1e-5, atol=1e-5)


def test_duality_and_scaling() -> None:
    x, v = feasible_velocities(50, 2)
    for scale in (1.0, 0.3):
        lagrangian = CumulantLagrangian(bent_steps, scale=scale)
        p = lagrangian.momentum(x, v)
        gap = lagrangian.value(x, v) + lagrangian.hamiltonian(x, p) - np.einsum("ni,ni->n", p, v)
        assert np.abs(gap).max() < 1e-12
        np.testing.assert_allclose(
            lagrangian.value(x, v), scale * CumulantLagrangian(bent_steps).value(x, v), rtol=1e-12
        )


def test_geometric_integrand_is_the_support_function_of_the_zero_level() -> None:
    lagrangian = CumulantLagrangian(bent_steps)
    x, v = feasible_velocities(40, 3)
    value = lagrangian.geometric(x, v)
    speed = lagrangian.speed(x, v)
    ok = np.isfinite(value)
    assert ok.sum() > 20
    for k in np.flatnonzero(ok):
        g, w = (a[0] for a in bent_steps(x[k : k + 1]))
        # every momentum on H <= 0 gives a lower bound, every speed an upper one
        for s in np.geomspace(0.2, 5.0, 9):
            assert lagrangian.value(x[k : k + 1], s * v[k : k + 1])[0] / s >= value[k] - 1e-10
        unit = v[k] / np.linalg.norm(v[k])
        p = lagrangian.momentum(x[k : k + 1], speed[k] * unit[None])[0]
        assert abs(cumulant(g, w, p)) < 1e-7
        assert p @ v[k] == pytest.approx(value[k], abs=1e-7)
    # independent of the parametrisation
    np.testing.assert_allclose(lagrangian.geometric(x, 37.0 * v), 37.0 * value, rtol=1e-9)


def test_geometric_integrand_in_one_dimension_is_the_root() -> None:
    g = np.array([0.9, -1.1, 2.0, 0.1])
    weights = np.full(4, 0.25)
    lagrangian = constant_steps(g[:, None])
    up = lagrangian.geometric(np.zeros((1, 1)), np.ones((1, 1)))[0]
    assert up == pytest.approx(root_of_hamiltonian(g, weights), rel=1e-12)
    assert lagrangian.geometric(np.zeros((1, 1)), -np.ones((1, 1)))[0] == pytest.approx(0.0, abs=1e-14)


def test_a_direction_without_steps_costs_infinitely_much() -> None:
    lagrangian = constant_steps(np.array([[0.5], [0.1]]))
    assert lagrangian.geometric(np.zeros((1, 1)), np.ones((1, 1)))[0] == np.inf
    assert lagrangian.speed(np.zeros((1, 1)), np.ones((1, 1)))[0] == 0.0
    assert np.isnan(lagrangian.momentum(np.zeros((1, 1)), np.ones((1, 1)))).all()


def test_small_spread_is_gaussian_to_second_order() -> None:
    rng = np.random.default_rng(5)
    g = rng.normal(size=(7, 2))
    C = np.cov(g.T, bias=True)
    gaps = []
    for small in (0.1, 0.05, 0.025):
        # momenta of order one for noise of order small: the cumulants beyond the second are of relative order small
        exact = constant_steps(small * (g - g.mean(axis=0)))
        gauss = DiffusionLagrangian(np.zeros_like, None, None, small**2 * C)  # type: ignore[arg-type]
        p = np.array([[0.7, -0.4]])
        gaps.append(exact.hamiltonian(np.zeros((1, 2)), p)[0] / gauss.hamiltonian(np.zeros((1, 2)), p)[0] - 1.0)
    order = np.polyfit(np.log([0.1, 0.05, 0.025]), np.log(np.abs(gaps)), 1)[0]
    assert abs(order - 1.0) < 0.1


def test_steps_in_one_plane_only_are_refused() -> None:
    lagrangian = constant_steps(np.array([[1.0, 0.0], [-1.0, 0.0], [0.3, 0.0]]))
    with pytest.raises(SingularCovarianceError):
        lagrangian.value(np.zeros((1, 2)), np.zeros((1, 2)))


def straight(low: float, high: float, duration: float) -> ElementPath:
    breaks = np.linspace(0.0, duration, 9)
    nodes = np.linspace(low, high, 33)[:, None]
    return ElementPath(breaks, nodes, 4)


def walls(push: float) -> Any:
    """x - x^3 with steps of +- push."""

    def steps(x: Array) -> tuple[Array, Array]:
        gradient = x**3 - x
        g = np.stack([gradient + push, gradient - push], axis=1)
        return g, np.full(g.shape[:2], 0.5)

    return CumulantLagrangian(steps)


def test_too_fast_a_path_is_slowed_down_and_an_impossible_one_is_not_made_up() -> None:
    fast = straight(-0.9, -0.1, 2.0)
    assert minimize_action(walls(0.5), fast, quadrature=7, tolerance=1e-6, max_iterations=5).status == INFEASIBLE
    assert feasible_path(walls(0.5), fast) is not None
    assert feasible_path(walls(0.3), fast) is None


def test_added_noise_makes_every_velocity_feasible() -> None:
    helped = walls(0.3).with_added(0.1)
    assert np.isfinite(helped.value(np.array([[-0.5]]), np.array([[5.0]]))).all()


def test_a_path_is_led_around_a_place_that_no_noise_crosses() -> None:
    # a strong current against the path near the axis, which steps of +-1 overcome only away from it
    def steps(x: Array) -> tuple[Array, Array]:
        current = 1.5 * np.exp(-8.0 * (x[:, 0] ** 2 + x[:, 1] ** 2))
        base = np.stack([current + 0.2, np.zeros(len(x))], axis=1)
        g = base[:, None] + np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        return g, np.full(g.shape[:2], 0.25)

    lagrangian = CumulantLagrangian(steps)
    s = np.linspace(0.0, 1.0, 49)
    nodes = np.stack([2.0 * s - 1.0, 0.05 * np.sin(np.pi * s)], axis=1)
    found = feasible_path(lagrangian, ElementPath(np.linspace(0, 12.0, 13), nodes, 4))
    assert found is not None
    assert np.abs(found.nodes[:, 1]).max() > 0.2


def test_the_geometric_integrand_where_the_first_speed_is_the_largest_there_is() -> None:
    # steps -3x and x with equal odds: |b| = |x| is the hull's edge; H = log((exp(-3 q) + exp(q)) / 2) with q = p x
    def steps(x: Array) -> tuple[Array, Array]:
        return np.stack([3 * x, -x], axis=1), np.full((len(x), 2), 0.5)

    lagrangian = CumulantLagrangian(steps)
    x = np.linspace(1.0, 3.0, 5)[:, None]
    q = 0.6093778634360  # the root of exp(q) + exp(-3 q) = 2
    assert np.exp(q) + np.exp(-3 * q) == pytest.approx(2.0, abs=1e-12)
    for speed in (0.2, 1.0, 7.0):
        np.testing.assert_allclose(lagrangian.geometric(x, speed * x), speed * q, rtol=1e-10)
