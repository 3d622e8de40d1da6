"""The motion of a finite sum's SGD along a path: against the plain functions, and what is computed how often."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import pytest
from sums_models import random_network, torch_sum

import qpot
from qpot.problem import sample_motion
from qpot.problem.sample_motion import SampleMotion
from qpot.problem.sample_noise import finite_sum_products
from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.local_preconditioner import linearised
from qpot.solvers.paths.newton_krylov import CONVERGED, minimize_large

Array = np.ndarray[Any, np.dtype[np.float64]]


def plain_action(total: qpot.FiniteSum, floor: float) -> LargeAction:
    """The action by functions that share nothing."""
    _, solve, gradient = finite_sum_products(total, floor)
    system = qpot.System.from_finite_sum(total)

    def product(x: Array, p: Array) -> Array:
        return np.asarray(np.einsum("nij,ni->nj", system.unchecked.jacobian(x), p))

    return LargeAction(system.unchecked.drift, product, solve, gradient)


def shared_action(motion: SampleMotion) -> LargeAction:
    """The action by functions that share what they compute, in the order of `minimize_large`."""

    def unused(x: Array, p: Array) -> Array:
        raise AssertionError("the force stands for it")

    return LargeAction(motion.drift, unused, motion.solve, force=motion.force, value_first=True)


def some_path(rng: np.random.Generator, d: int) -> ElementPath:
    start, end = 0.5 * rng.normal(size=(2, d))
    nodes = np.linspace(start, end, 13) + 0.05 * rng.normal(size=(13, d))
    return ElementPath(np.array([0.0, 1.0, 2.5, 3.0]), nodes, 4)


def some_sum(kind: str) -> qpot.FiniteSum:
    if kind == "torch":
        return torch_sum(60, weight_decay=0.03)
    if kind == "without gauges":
        return qpot.without_gauges(torch_sum(60, weight_decay=0.03))
    if kind == "logistic":
        rng = np.random.default_rng(1)
        return qpot.logistic_sum(rng.normal(size=(30, 4)), np.sign(rng.normal(size=30)), weight_decay=0.1)
    return random_network(3, samples=40)


@pytest.mark.parametrize(
    ("kind", "floor"), [("network", 0.0), ("network", 0.2), ("logistic", 0.0), ("logistic", 0.2), ("torch", 0.2)]
)
def test_the_action_and_its_gradient_are_those_of_the_plain_functions(kind: str, floor: float) -> None:
    total = some_sum(kind)
    motion = SampleMotion(total, floor)
    shared, plain = shared_action(motion), plain_action(total, floor)
    for seed in range(2):
        path = some_path(np.random.default_rng(seed), total.dimension)
        linearised(shared, motion, path, 6)
        value, gradient = shared.value_and_gradient(path, 6)
        expected, slope = plain.value_and_gradient(path, 6)
        assert value == pytest.approx(expected, rel=1e-9)
        assert shared.value(path, 6) == value
        np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-8 * np.abs(slope).max())


@pytest.mark.parametrize("missing", [(), ("weighted_hessian",), ("weighted_hessian", "weighted_hessian_product")])
@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_rates_and_bends_are_derivatives_of_the_motion(missing: tuple[str, ...], floor: float) -> None:
    """M = d(b + a p)/dx and H_xx, both at fixed p; differences of first order give them."""
    changes: dict[str, Any] = dict.fromkeys(missing)
    total = dataclasses.replace(random_network(samples=40), **changes)
    rng = np.random.default_rng(5)
    x, v, u = rng.normal(size=(3, 6, total.dimension))
    motion = SampleMotion(total, floor)
    rates, inverse, p, bend = motion(x, v)
    a = total.covariance(x) + floor * np.eye(total.dimension)
    np.testing.assert_allclose(p, finite_sum_products(total, floor)[1](x, v + total.gradient(x)), rtol=1e-8)
    np.testing.assert_allclose(inverse @ a, np.tile(np.eye(x.shape[1]), (6, 1, 1)), atol=1e-8)
    assert callable(bend)
    bent = bend(u, 1e-6)
    for k in range(6):

        def moving(y: Array, q: Array = p[k]) -> Array:
            return np.asarray(-total.gradient(y) + np.einsum("nij,j->ni", total.covariance(y), q))

        def force(y: Array, q: Array = p[k]) -> Array:
            return SampleMotion(total, floor).force(y, np.broadcast_to(q, y.shape))

        expected = central_jacobian(moving, x[k : k + 1])[0]
        np.testing.assert_allclose(rates[k], expected, rtol=0, atol=5e-4 * np.abs(expected).max())
        expected = central_jacobian(force, x[k : k + 1])[0] @ u[k]
        np.testing.assert_allclose(bent[k], expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("kept", [0, 2000, 100_000_000])
@pytest.mark.parametrize("samples", [6, 40])
def test_what_is_kept_does_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch, kept: int, samples: int) -> None:
    """Nothing is kept, matrices only, and everything; of fewer samples than parameters and of more."""
    total = random_network(2, samples=samples)
    n, d = 20, total.dimension
    x, v, u = np.random.default_rng(0).normal(size=(3, n, d))
    expected = SampleMotion(total, 0.3)(x, v)
    for name, value in (("_KEPT", kept), ("_NUMBERS", 4 * d * d), ("_PIECE", 3 * samples * d)):
        monkeypatch.setattr(sample_motion, name, value)
    motion = SampleMotion(total, 0.3)
    found = motion(x, v)
    for one, other in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10 * np.abs(other).max())
    assert callable(found[3])
    assert callable(expected[3])
    np.testing.assert_allclose(found[3](u, 1e-6), expected[3](u, 1e-6), rtol=0, atol=1e-5)
    np.testing.assert_allclose(motion.drift(x), -total.gradient(x), atol=1e-12)
    np.testing.assert_allclose(motion.solve(x, v - motion.drift(x)), expected[2], rtol=1e-9)
    np.testing.assert_allclose(motion.force(x, found[2]), SampleMotion(total, 0.3).force(x, found[2]), atol=1e-9)


def test_single_precision_gives_nearly_the_same_rates() -> None:
    """Differences over the same step in numbers of 32 bits, whose rounding is a part of a hundred of them."""
    torch = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
    double, single = (torch_sum(60, weight_decay=0.03, dtype=number) for number in (torch.float64, torch.float32))
    x, v = np.random.default_rng(0).normal(size=(2, 8, double.dimension))
    exact, rough = SampleMotion(double, 0.2)(x, v), SampleMotion(single, 0.2)(x, v)
    for one, other in zip(rough[:3], exact[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=0.1 * np.abs(other).max())


def test_gradients_are_computed_once_for_one_path() -> None:
    """Value, linearisation and gradient at one path evaluate the samples' gradients there once, and once beside it."""
    total = random_network(samples=40)
    points: list[int] = []

    def counted(x: Array) -> Array:
        points.append(len(x))
        return np.asarray(total.sample_gradients(x))

    watched = dataclasses.replace(total, sample_gradients=counted, kernel=None)
    watched.gradients_at(np.ones(total.dimension))  # The first use checks the function.
    motion = SampleMotion(watched, 0.1)
    action = shared_action(motion)
    path = some_path(np.random.default_rng(0), total.dimension)
    points.clear()
    action.value(path, 6)
    assert sum(points) == 18
    linearised(action, motion, path, 6)
    assert sum(points) == 36
    action.value_and_gradient(path, 6)
    action.value(path, 6)
    assert sum(points) == 36


@pytest.mark.parametrize("kind", ["network", "without gauges"])
def test_the_minimiser_is_that_of_the_plain_functions(kind: str) -> None:
    total, floor = some_sum(kind), 0.3
    motion = SampleMotion(total, floor)
    path = some_path(np.random.default_rng(4), total.dimension)
    found = [
        minimize_large(
            action,
            path,
            lambda at: lambda r: r,
            quadrature=6,
            tolerance=1e-11,
            max_iterations=60,
            max_products=5000,
            difference=1e-7,
            linearised=partial(linearised, action, motion),
        )
        for action in (shared_action(motion), plain_action(total, floor))
    ]
    assert all(one.status == CONVERGED for one in found)
    assert found[0].action == pytest.approx(found[1].action, rel=1e-9)


def test_a_point_without_noise_in_some_direction_is_named() -> None:
    pulls = np.array([[1.0, 0.0], [-1.0, 0.0]])
    total = qpot.FiniteSum(
        sample_losses=lambda x: 0.5 * ((x[:, None] - pulls) ** 2).sum(axis=2),
        sample_gradients=lambda x: x[:, None] - pulls,
        n_samples=2,
        dimension=2,
    )
    x = np.array([[0.3, -0.2]])
    for call in (lambda: SampleMotion(total).solve(x, x), lambda: SampleMotion(total)(x, x)):
        with pytest.raises(ValueError, match=r"covariance is singular at \(0.3, -0.2\)"):
            call()
    np.testing.assert_allclose(SampleMotion(total, 0.5).solve(x, x), x / np.array([1.5, 0.5]), rtol=1e-12)
