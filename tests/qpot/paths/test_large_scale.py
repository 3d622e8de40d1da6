"""Many dimensions: exact costs without a d x d matrix, products that do not grow, stiff drifts, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from large_problems import allen_cahn, turned_well
from scipy.sparse import eye_array
from scipy.sparse.linalg import LinearOperator

import qpot
from qpot.problem.covariance import factored

Array = np.ndarray[Any, np.dtype[np.float64]]


@pytest.mark.parametrize("d", [40, 300])
@pytest.mark.parametrize("kind", ["differences", "products", "operator"])
def test_correlated_noise_is_exact(d: int, kind: str) -> None:
    system, start, exact = turned_well(d, products=kind == "products", operator=kind == "operator")
    path = qpot.minimum_action_path(system, start, np.zeros(d))
    assert isinstance(path.method, qpot.LargeScaleAction)
    assert abs(path.action - exact) <= path.error
    assert path.error <= 1e-6 * exact
    # the path leaves the straight line
    along = path.points @ start
    assert np.abs(path.points - along[:, None] * start).max() > 1e-3


def test_products_do_not_grow_with_the_dimension() -> None:
    counts = []
    for d in (100, 400, 1600):
        system, start, exact = turned_well(d, products=True)
        path = qpot.minimum_action_path(system, start, np.zeros(d))
        assert abs(path.action - exact) <= path.error
        counts.append(path.iterations)
    assert 5 < max(counts) < 1.5 * min(counts) + 10, counts


@pytest.mark.slow
def test_ten_thousand_dimensions() -> None:
    system, start, exact = turned_well(10_000, rank=64, products=True)
    path = qpot.minimum_action_path(system, start, np.zeros(10_000))
    assert abs(path.action - exact) <= path.error <= 1e-6 * exact


def test_dense_covariance_in_the_gallery() -> None:
    case = qpot.gallery.high_dimensional_well(60)
    path = qpot.minimum_action_path(case.system, case.minima[0], case.saddles[0])
    assert isinstance(path.method, qpot.LargeScaleAction)
    assert abs(path.action - 0.5) <= path.error < 1e-6
    # the dense method, one start, agrees
    dense = qpot.gallery.high_dimensional_well(6)
    both = [
        qpot.minimum_action_path(dense.system, dense.minima[0], dense.saddles[0], method=m)
        for m in (qpot.LargeScaleAction(), qpot.GeometricAction(starts=1))
    ]
    assert abs(both[0].action - both[1].action) <= both[0].error + both[1].error


def test_a_drift_without_a_loss_and_an_ordinary_end() -> None:
    """A turning Ornstein-Uhlenbeck process: half x.S^{-1} x."""
    from scipy.linalg import solve_continuous_lyapunov

    d = 32
    rng = np.random.default_rng(3)
    skew = rng.normal(size=(d, d)) / np.sqrt(d)
    A = -np.diag(1 + np.arange(d) / d) + 0.5 * (skew - skew.T)
    F = rng.normal(size=(d, 4))
    system = qpot.System(
        drift=lambda x: x @ A.T,
        covariance=factored(F, 0.5),
        dimension=d,
        jacobian_transpose_product=lambda x, p: p @ A,
    )
    S = solve_continuous_lyapunov(A, -(F @ F.T + 0.5 * np.eye(d)))
    end = rng.normal(size=d)
    exact = 0.5 * end @ np.linalg.solve(S, end)
    path = qpot.minimum_action_path(system, np.zeros(d), end)
    assert abs(path.action - exact) <= path.error <= 1e-6 * exact
    # p is the gradient of the quasi-potential at the end
    assert path.momenta[-1] == pytest.approx(np.linalg.solve(S, end), rel=1e-2)


def test_a_factor_that_depends_on_the_state() -> None:
    """Radial loss r^2/2 + r^4/4 under (1 + r^2) I in factors: V = r^2 (no rank, all in the factor's diagonal)."""
    d = 4

    def factor(x: Array) -> Array:
        r = np.sqrt(0.5 + (x**2).sum(axis=1))
        return np.asarray(r[:, None, None] * np.eye(d))

    noise = factored(factor, 0.5, gradient=lambda x, p: 2 * (p**2).sum(axis=1, keepdims=True) * x)
    system = qpot.System.from_loss(
        lambda x: (x**2).sum(axis=1) / 2 + (x**2).sum(axis=1) ** 2 / 4,
        lambda x: x * (1 + (x**2).sum(axis=1, keepdims=True)),
        noise,
        dimension=d,
    )
    end = np.array([0.6, -0.3, 0.2, 0.4])
    path = qpot.minimum_action_path(system, np.zeros(d), end, method=qpot.LargeScaleAction())
    assert abs(path.action - end @ end) <= path.error <= 1e-6 * (end @ end)


@pytest.mark.parametrize("n", [64, 256])
def test_stiff_allen_cahn(n: int) -> None:
    """From +1 to the saddle 0: grid spacing times action is pi / 2."""
    system, linear, h = allen_cahn(n)
    method = qpot.LargeScaleAction(linear_part=linear)
    path = qpot.minimum_action_path(system, np.ones(n), np.zeros(n), method=method)
    assert abs(h * path.action - np.pi / 2) <= h * path.error < 2e-6
    assert 3 < path.iterations < 30


def test_stiff_drift_with_noise_that_varies_in_space() -> None:
    """The instanton is no longer uniform; grids agree to second order and the number of products stays."""
    values, counts = [], []
    for n in (16, 32, 64):
        x = np.arange(n) * np.pi / n
        system, linear, h = allen_cahn(n, factored(np.zeros((n, 0)), 1 + 0.5 * np.cos(2 * x)))
        path = qpot.minimum_action_path(
            system, np.ones(n), np.zeros(n), method=qpot.LargeScaleAction(linear_part=linear)
        )
        values.append(h * path.action)
        counts.append(path.iterations)
    assert (values[1] - values[0]) / (values[2] - values[1]) == pytest.approx(4.0, rel=0.1)
    assert 3 < max(counts) <= min(counts) + 15, counts
    assert values[2] < np.pi / 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.floats(0.01, 10.0))
def test_factors_solve_what_they_multiply(seed: int, rank: int, floor: float) -> None:
    rng = np.random.default_rng(seed)
    x, p = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    constant = factored(rng.normal(size=(6, rank)), floor * rng.uniform(0.5, 2.0, size=6))
    F = rng.normal(size=(6, rank))
    varying = factored(lambda z: np.sin(z)[:, :, None] * F, floor)
    for noise in (constant, varying):
        assert noise.solve(x, noise.times(x, p)) == pytest.approx(p, rel=1e-8, abs=1e-8)
        assert noise.times(x, p) == pytest.approx(np.einsum("nij,nj->ni", noise(x), p), rel=1e-10, abs=1e-12)


def test_small_systems_in_factors_use_the_dense_methods() -> None:
    case = qpot.gallery.separable_double_well(noise=(0.5, 2.0))
    system = case.system
    loss, gradient = system.loss, system.gradient
    assert loss is not None
    noise = factored(np.array([[0.5, 0.0], [0.0, 1.0]]), np.array([0.25, 1.0]))
    rebuilt = qpot.System.from_loss(loss, gradient, noise, dimension=2)
    assert rebuilt.constant_covariance == pytest.approx(np.diag([0.5, 2.0]))
    assert qpot.minimum_action_path(rebuilt, (-1, 0), (0, 0)).action == pytest.approx(1.0, rel=1e-8)


def test_bad_input_is_named() -> None:
    system, start, _ = turned_well(40)
    origin = np.zeros(40)
    loss, gradient = system.loss, system.gradient
    assert loss is not None
    with pytest.raises(ValueError, match="does not attract"):
        qpot.minimum_action_path(system, origin, start)
    with pytest.raises(ValueError, match="is not a minimum"):
        qpot.minimum_action_path(system, 0.5 * start, origin)
    many, far, _ = turned_well(300)
    for method in (None, qpot.LargeScaleAction()):
        with pytest.raises(ValueError, match="attracts: in 300 dimensions pass the saddle"):
            qpot.minimum_action_path(many, far, -far, method=method)
    turning = qpot.System(
        drift=lambda x: -x,
        covariance=factored(np.ones((300, 1)), 1.0),
        dimension=300,
        jacobian_transpose_product=lambda _, p: -p,
    )
    with pytest.raises(ValueError, match="in 300 dimensions a box is not searched for saddles"):
        qpot.find_saddles(turning, qpot.find_minima(turning, [(-2, 2)] * 300, starts=[0.1 * far]), [(-2, 2)] * 300)
    with pytest.raises(ValueError, match="method must be a"):
        qpot.transition_costs(system, qpot.find_minima(system, [(-2, 2)] * 40, starts=[start, -start]), method="large")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dimension 3, but the system has dimension 2"):
        qpot.System(drift=lambda x: -x, covariance=factored(np.ones((3, 1)), 1.0), dimension=2)
    with pytest.raises(ValueError, match="floor must be a number >= 0"):
        factored(np.ones((3, 1)), -1.0)
    with pytest.raises(ValueError, match="factor must be a finite array"):
        factored(np.ones(3), 1.0)
    bare = qpot.System.from_loss(loss, gradient, factored(np.ones((40, 1))), dimension=40)
    with pytest.raises(ValueError, match="floor of zero"):
        qpot.minimum_action_path(bare, start, origin, method=qpot.LargeScaleAction())
    with pytest.raises(ValueError, match="not symmetric"):
        qpot.System(
            drift=lambda x: -x,
            covariance=LinearOperator((2, 2), matvec=lambda p: np.array([p[1], 2 * p[0]]), dtype=float),
            dimension=2,
        )
    big = qpot.System(drift=lambda x: -x, covariance=1.0, dimension=3000)
    with pytest.raises(ValueError, match="pass jacobian_transpose_product"):
        qpot.minimum_action_path(big, np.zeros(3000), np.ones(3000))
    method = qpot.LargeScaleAction(linear_part=eye_array(3))
    with pytest.raises(ValueError, match="linear_part: shape"):
        qpot.minimum_action_path(system, start, origin, method=method)
    with pytest.raises(ValueError, match="tolerance must lie"):
        qpot.LargeScaleAction(tolerance=0.5)
    with pytest.raises(ValueError, match="dense matrices of 3000 x 3000"):
        big.covariance(np.zeros((5, 3000)))


def test_a_budget_that_is_too_small_returns_what_it_has() -> None:
    system, start, exact = turned_well(40)
    method = qpot.LargeScaleAction(max_products=5, max_iterations=2)
    path = qpot.minimum_action_path(system, start, np.zeros(40), method=method, throw=False)
    assert path.status is qpot.Status.NOT_CONVERGED
    assert path.action > exact
    with pytest.raises(qpot.SolveError) as caught:
        qpot.minimum_action_path(system, start, np.zeros(40), method=method)
    assert caught.value.partial.action == path.action
