"""Splines, heap, metric, characteristics and updates of the field solver, each against something independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from field_problems import Problem, double_well, polar, rotating_anisotropy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

import qpot
from qpot.solvers.fields.marching.characteristics import rhs
from qpot.solvers.fields.marching.heap import heap_pop, heap_push
from qpot.solvers.fields.marching.medium import make_medium
from qpot.solvers.fields.marching.sampling import make_work
from qpot.solvers.fields.marching.splines import basis, locate, spline_coefficients
from qpot.solvers.fields.marching.stencil import extreme_eigenvalues, noise_metric
from qpot.solvers.fields.marching.update import edge_update, segment_cost, triangle_update


@pytest.mark.parametrize("n", [7, 9, 33])
def test_spline_is_the_not_a_knot_spline(n: int) -> None:
    x = np.linspace(0.0, 2.0, n)
    f = np.exp(x) * np.sin(3 * x)
    c = spline_coefficients(f[:, None], (False,))[:, 0]
    reference = CubicSpline(x, f)
    weights = np.zeros((4, 4))
    h = x[1] - x[0]
    for z in np.linspace(0.011, 1.993, 41):
        i, u = locate(z, 0.0, 1.0 / h, n, False)
        basis(u, 1.0 / h, weights)
        for order in range(4):
            assert weights[order] @ c[i : i + 4] == pytest.approx(reference(z, order), abs=1e-10 * h**-order)


def test_periodic_spline_interpolates_and_closes() -> None:
    n = 16
    f = np.exp(np.sin(2 * np.pi * np.arange(n) / n))
    c = spline_coefficients(f[:, None], (True,))[:, 0]
    assert c.shape == (n + 3,)
    np.testing.assert_allclose((c[:n] + 4 * c[1 : n + 1] + c[2 : n + 2]) / 6, f, rtol=1e-14)
    np.testing.assert_allclose(c[:3], c[n:], rtol=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60))
def test_heap_sorts(numbers: list[float]) -> None:
    keys, items = np.zeros(len(numbers) + 1), np.zeros(len(numbers) + 1, np.int64)
    size = 0
    for i, x in enumerate(numbers):
        size = heap_push(keys, items, size, x, i)
    popped = []
    while size:
        key, item, size = heap_pop(keys, items, size)
        assert numbers[item] == key
        popped.append(key)
    assert popped == sorted(numbers)


@pytest.mark.parametrize("d", [2, 3])
def test_metric_has_unit_determinant_and_bounded_aspect(d: int) -> None:
    rng = np.random.default_rng(1)
    for scale in (1.0, 1e-4, 1e8):
        S = rng.normal(size=(d, d))
        A = scale * (S @ S.T + 0.1 * np.eye(d))
        low, high = extreme_eigenvalues(A, (0,) * d)
        values = np.linalg.eigvalsh(A)
        assert (low, high) == pytest.approx((values[0], values[-1]), rel=1e-9, abs=0.0)
        G, half = np.zeros((d, d)), np.zeros(d)
        assert noise_metric(A, G, half, (0,) * d)
        spectrum = np.linalg.eigvalsh(G)
        assert np.prod(spectrum) == pytest.approx(1.0, rel=1e-10)
        assert spectrum[-1] / spectrum[0] <= 16.0 * (1 + 1e-9)
        np.testing.assert_allclose(half, np.sqrt(np.diag(np.linalg.inv(G))), rtol=1e-9)
    assert not noise_metric(np.zeros((d, d)), np.zeros((d, d)), np.zeros(d), (0,) * d)


def _derivative(problem: Problem, x: np.ndarray, order: int) -> np.ndarray:
    """Derivatives of the exact V by nested sixth-order differences."""
    h, d = 0.02, x.size

    def along(f: Any, i: int) -> Any:
        e = np.zeros(d)
        e[i] = h
        return lambda z: (
            (45 * (f(z + e) - f(z - e)) - 9 * (f(z + 2 * e) - f(z - 2 * e)) + f(z + 3 * e) - f(z - 3 * e)) / (60 * h)
        )

    out = np.zeros((d,) * order)
    for index in np.ndindex(*out.shape):
        f: Any = lambda z: problem.exact(z[None])[0]  # noqa: E731
        for i in index:
            f = along(f, i)
        out[index] = f(x)
    return out


@pytest.mark.parametrize(
    ("problem", "x"), [(double_well(), (-0.8, 0.2)), (polar(), (3.1, 0.2)), (rotating_anisotropy(), (-0.8, 0.2))]
)
def test_jets_move_with_the_exact_field(problem: Problem, x: tuple[float, float]) -> None:
    """Along x' the exact gradient, Hessian and third derivative change by the next derivative times x'."""
    point, n = np.array(x), 257
    grid = qpot.Grid(problem.lower, problem.upper, n)
    samples = problem.system.drift(grid.points())
    constant = problem.system.constant_covariance
    if constant is None:
        a = problem.system.covariance(grid.points())
        samples = np.concatenate([samples, a[:, [0, 0, 1], [0, 1, 1]]], axis=1)
    medium = make_medium(samples.reshape(n, n, -1), grid.lower, grid.spacing, (False, False), constant)
    p, Q, T, U4 = (_derivative(problem, point, k) for k in (1, 2, 3, 4))
    y = np.concatenate([point, [problem.exact(point[None])[0]], p, Q.ravel(), T.ravel(), np.eye(2).ravel()])
    dy = np.zeros_like(y)
    rhs(y, dy, medium, make_work(2))
    v = dy[:2]
    assert dy[2] == pytest.approx(p @ v, rel=1e-6)
    np.testing.assert_allclose(dy[3:5], Q @ v, atol=1e-5 * np.abs(Q @ v).max() + 1e-6)
    np.testing.assert_allclose(dy[5:9].reshape(2, 2), T @ v, atol=3e-4 * max(1.0, np.abs(T @ v).max()))
    # third derivatives of a spline are first order in its spacing
    np.testing.assert_allclose(dy[9:17].reshape(2, 2, 2), U4 @ v, atol=2e-2 * max(1.0, np.abs(U4 @ v).max()))


def test_edge_update_finds_the_minimum_of_a_dense_search() -> None:
    rng = np.random.default_rng(3)
    work = np.zeros(2), np.zeros(2), np.zeros((2, 2))
    found_inside = 0
    for _ in range(60):
        S = rng.normal(size=(2, 2))
        M = np.stack([S @ S.T + 0.3 * np.eye(2)] * 2)
        b = rng.normal(size=(2, 2)) * 0.3 + rng.normal(size=2)
        dx = np.stack([rng.normal(size=2) * 0.3 + (1.0, 0.6), rng.normal(size=2) * 0.3 + (1.0, -0.6)])
        V, slope = np.array([0.0, rng.normal() * 0.2]), np.zeros(2)
        slope[:] = V[1] - V[0]
        s = np.linspace(0.0, 1.0, 4001)
        values = np.array(
            [
                (1 - t) * V[0] + t * V[1]
                + segment_cost((1 - t) * dx[0] + t * dx[1], (1 - t) * b[0] + t * b[1], M[0], 2)
                for t in s
            ]
        )  # fmt: skip
        best = int(values.argmin())
        value, where = edge_update(V, slope, dx, b, M, *work, 2)
        inside = 0.15 < s[best] < 0.85
        found_inside += inside
        if inside:
            assert value == pytest.approx(values[best], abs=1e-6)
            assert where == pytest.approx(s[best], abs=2e-2)
        else:
            assert value >= values[best] - 1e-7
    assert found_inside > 10


def test_triangle_update_finds_the_minimum_of_a_dense_search() -> None:
    rng = np.random.default_rng(5)
    work = np.zeros(3), np.zeros(3), np.zeros((3, 3))
    checked = 0
    for _ in range(12):
        M = np.stack([np.eye(3) * rng.uniform(0.5, 2.0)] * 3)
        b = np.tile((1.0, 0.0, 0.0) + 0.1 * rng.normal(size=3), (3, 1))
        corners = np.array([[1.0, 0.5, 0.0], [1.0, -0.4, 0.4], [1.0, -0.3, -0.5]])
        dx = corners + 0.1 * rng.normal(size=(3, 3))
        V = 0.01 * rng.normal(size=3)
        grid = np.linspace(0, 1, 61)
        values = [
            (
                (1 - s - t) * V[0] + s * V[1] + t * V[2]
                + segment_cost((1 - s - t) * dx[0] + s * dx[1] + t * dx[2], b[0], M[0], 3),
                s,
                t,
            )
            for s in grid
            for t in grid
            if s + t <= 1
        ]  # fmt: skip
        best, s, t = min(values)
        value, _, _ = triangle_update(V, dx, b, M, *work)
        if min(s, t, 1 - s - t) > 0.1:
            checked += 1
            assert value == pytest.approx(best, abs=1e-3)
        else:
            assert value >= best - 1e-3
    assert checked >= 2
