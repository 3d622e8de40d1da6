"""The batched flow: orders of its two methods, stiffness, and every way in which a point can end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpot._core.arrays import Array
from qpot.solvers.landscape.flow import (
    ARRIVED,
    AT_REST,
    LEFT,
    NON_FINITE,
    OUT_OF_TIME,
    Attractors,
    Limits,
    _explicit_step,
    _inverse,
    _rosenbrock_step,
    relax,
)

WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def wells(x: Array) -> Array:
    return np.column_stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]])


def wells_jacobian(x: Array) -> Array:
    J = np.zeros((x.shape[0], 2, 2))
    J[:, 0, 0], J[:, 1, 1] = 1 - 3 * x[:, 0] ** 2, -1.0
    return J


def run(
    drift: Any, jacobian: Any, points: Any, attractors: Array = WELLS, radius: float = 0.3, **options: Any
) -> tuple[Any, Any, Any]:
    k, d = attractors.shape
    accuracy = {name: options.pop(name) for name in ("tolerance",) if name in options}
    near = Attractors(attractors, np.tile(np.eye(d), (k, 1, 1)), np.full(k, radius))
    limits = Limits(np.zeros(d), escape_radius=50.0, rest_speed=1e-9, **options)
    return relax(drift, jacobian, np.asarray(points, dtype=float), near, limits, **accuracy)


@pytest.mark.parametrize("implicit", [True, False])
def test_global_order_of_both_methods(implicit: bool) -> None:
    # x' = -x^3: x(t) = x0 / sqrt(1 + 2 x0^2 t), in two independent copies
    def drift(x: Array) -> Any:
        return -(x**3)

    def jacobian(x: Array) -> Any:
        return -3 * x[:, :, None] ** 2 * np.eye(2)

    start = np.array([[1.0, 0.5]])
    exact = start / np.sqrt(1 + 2 * start**2)
    counts, errors = np.array([20, 40, 80, 160]), []
    for count in counts:
        x, h = start.copy(), np.full(1, 1.0 / count)
        for _ in range(count):
            if implicit:
                x, _, _ = _rosenbrock_step(drift, jacobian(x), x, drift(x), h)
            else:
                x, _, _ = _explicit_step(drift, x, drift(x), h)
        errors.append(np.abs(x - exact).max())
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order == pytest.approx(2.0 if implicit else 3.0, abs=0.15)


@pytest.mark.parametrize("jacobian", [wells_jacobian, None])
def test_points_reach_their_well_and_the_end_is_on_the_trajectory(jacobian: Any) -> None:
    points = np.random.default_rng(0).uniform(-3, 3, (400, 2))
    points[:, 0] += np.where(points[:, 0] > 0, 1e-3, -1e-3)
    label, end, status = run(wells, jacobian, points, tolerance=1e-6)
    assert (status == ARRIVED).all()
    np.testing.assert_array_equal(label, points[:, 0] > 0)
    # y decays as exp(-t) and x^2 / (1 - x^2) grows as exp(2 t): y^2 x^2 / (1 - x^2) is conserved
    far = (np.linalg.norm(points - WELLS[label], axis=1) > 0.3) & (np.abs(np.abs(points[:, 0]) - 1) > 0.05)

    def conserved(p: Array) -> Any:
        return p[:, 1] ** 2 * p[:, 0] ** 2 / (1 - p[:, 0] ** 2)

    np.testing.assert_allclose(conserved(end[far]), conserved(points[far]), rtol=2e-3, atol=1e-5)


@given(seed=st.integers(0, 10_000), d=st.integers(1, 10))
@settings(max_examples=25, deadline=None)
def test_every_point_of_a_stable_linear_flow_arrives(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(d, d))
    A = -(A @ A.T + 0.3 * np.eye(d)) + 2.0 * (A - A.T)  # symmetric part negative definite: distance decreases
    label, _, status = run(
        lambda x: x @ A.T,
        lambda x: np.tile(A, (x.shape[0], 1, 1)),
        rng.normal(size=(20, d)),
        np.zeros((1, d)),
        1e-3,
    )
    assert (label == 0).all()
    assert (status == ARRIVED).all()


def test_stiffness_costs_no_steps() -> None:
    # time 7 / 1 and a rate of 1e7: an explicit method needs some 3e7 steps
    rates = np.array([1.0, 1e7])
    points = np.random.default_rng(0).normal(size=(50, 2))

    def jacobian(x: Array) -> Any:
        return np.tile(np.diag(-rates), (x.shape[0], 1, 1))

    for function, expected in ((jacobian, ARRIVED), (None, OUT_OF_TIME)):
        _, _, status = run(lambda x: -rates * x, function, points, np.zeros((1, 2)), 1e-3, max_steps=150)
        assert (status == expected).all()


@pytest.mark.parametrize("d", [9, 40])
def test_a_stiff_flow_in_many_dimensions_goes_over_to_implicit_steps(d: int) -> None:
    """Rates from 1 to 1e5: the explicit steps that come first are too many, and the Jacobian is asked only after them."""
    rates = np.geomspace(1.0, 1e5, d)
    asked: list[int] = []

    def jacobian(x: Array) -> Array:
        asked.append(x.shape[0])
        return np.broadcast_to(-np.diag(rates), (x.shape[0], d, d))

    start, origin = np.ones((3, d)), np.zeros((1, d))
    label, _, status = run(lambda x: -x * rates, jacobian, start, origin, 1e-3)
    assert (status == ARRIVED).all()
    assert (label == 0).all()
    assert 0 < len(asked) < 200
    _, _, explicit = run(lambda x: -x * rates, None, start, origin, 1e-3)
    assert (explicit == OUT_OF_TIME).all()
    asked.clear()
    _, _, status = run(lambda x: -x, jacobian, start, origin, 1e-3)
    assert (status == ARRIVED).all()
    assert not asked, "what is not stiff needs no Jacobian"


def test_every_way_to_end() -> None:
    def drift(x: Array) -> Any:
        moved = wells(x)
        moved[x[:, 1] > 8.0] = [0.0, 5.0]  # a wind that carries points off
        return np.where(x[:, :1] < -5.0, np.nan, moved)

    points = [[0.5, 0.0], [0.0, 1.0], [0.0, 9.0], [-6.0, 0.0], [0.9, 0.0]]
    label, end, status = run(drift, wells_jacobian, points)
    assert status.tolist() == [ARRIVED, AT_REST, LEFT, NON_FINITE, ARRIVED]
    assert label.tolist() == [1, -1, -1, -1, 1]
    np.testing.assert_array_equal(end[4], [0.9, 0.0])  # inside from the beginning: not moved
    assert run(drift, wells_jacobian, [[0.01, 0.0]], max_time=0.5)[2].tolist() == [OUT_OF_TIME]
    assert run(drift, wells_jacobian, [[0.01, 0.0]], max_steps=1)[2].tolist() == [OUT_OF_TIME]
    assert run(drift, wells_jacobian, np.empty((0, 2)))[0].size == 0


def test_a_trial_step_out_of_the_domain_is_halved() -> None:
    def drift(x: Array) -> Any:
        with np.errstate(invalid="ignore"):
            return -np.sqrt(x) * (x - 0.01)  # not defined below zero; attractor at 0.01

    def jacobian(x: Array) -> Any:
        return (-np.sqrt(x) - (x - 0.01) / (2 * np.sqrt(x)))[:, :, None]

    for function in (jacobian, None):
        label, _, _ = run(drift, function, [[4.0], [1e-3]], np.array([[0.01]]), 1e-4)
        assert label.tolist() == [0, 0]


@given(seed=st.integers(0, 10_000), d=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_inverse(seed: int, d: int) -> None:
    W = np.random.default_rng(seed).normal(size=(6, d, d)) + 3 * np.eye(d)
    np.testing.assert_allclose(_inverse(W) @ W, np.tile(np.eye(d), (6, 1, 1)), atol=1e-8)


def test_inverse_keeps_the_regular_matrices_beside_a_singular_one() -> None:
    W = np.array([np.eye(3), np.zeros((3, 3))])
    inverse = _inverse(W)
    np.testing.assert_array_equal(inverse[0], np.eye(3))
    assert np.isnan(inverse[1]).all()


def test_a_rejected_step_does_not_ask_for_its_jacobian_again() -> None:
    asked: list[Array] = []

    def jacobian(x: Array) -> Array:
        asked.append(x.copy())
        return wells_jacobian(x)

    # A jump of the drift makes steps fail.
    def drift(x: Array) -> Array:
        return wells(x) - np.where(x[:, :1] > 0.5, [[0.0, 1.0]], 0.0)

    points = np.random.default_rng(0).uniform(-2.0, 2.0, size=(40, 2))
    labels, ends, status = run(drift, jacobian, points, radius=0.05, tolerance=1e-8)
    alone = [run(drift, wells_jacobian, p[None], radius=0.05, tolerance=1e-8) for p in points]
    assert (labels == [label[0] for label, *_ in alone]).all()
    assert (status == [s[0] for *_, s in alone]).all()
    np.testing.assert_allclose(ends, [end[0] for _, end, _ in alone], atol=1e-9)
    # The first call is that for the first steps.
    later = np.concatenate(asked[1:])
    assert len(np.unique(later, axis=0)) == len(later)
