"""The pointwise Lagrangian: duality, derivatives, and the cancellation-free geometric integrand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot.solvers.problem.lagrangian import DiffusionLagrangian, SingularCovarianceError

Array = NDArray[np.float64]
rng = np.random.default_rng(3)


def drift(x: Array) -> Array:
    return np.stack([x[:, 0] - x[:, 0] ** 3 - 3 * x[:, 0] * x[:, 1] ** 2, -(1 + x[:, 0] ** 2) * x[:, 1]], axis=1)


def jacobian(x: Array) -> Array:
    a, b = x.T
    rows = [[1 - 3 * a**2 - 3 * b**2, -6 * a * b], [-2 * a * b, -(1 + a**2)]]
    return np.moveaxis(np.array(rows), 2, 0)


def covariance(x: Array) -> Array:
    off = 0.3 * np.sin(x[:, 0] * x[:, 1])
    rows = [[1 + 0.5 * x[:, 0] ** 2, off], [off, 2 + np.cos(x[:, 1])]]
    return np.moveaxis(np.array(rows), 2, 0)


def varying() -> DiffusionLagrangian:
    return DiffusionLagrangian(drift, jacobian, covariance, None)


def constant(a: Array) -> DiffusionLagrangian:
    return DiffusionLagrangian(drift, jacobian, lambda x: np.broadcast_to(a, (len(x), 2, 2)), a)


BOTH = pytest.mark.parametrize(
    "lagrangian", [varying(), constant(np.array([[1.5, 0.4], [0.4, 0.7]]))], ids=["state-dependent", "constant"]
)


@BOTH
def test_value_is_the_quadratic_form(lagrangian: DiffusionLagrangian) -> None:
    x, v = rng.normal(size=(2, 20, 2))
    for k in range(20):
        r = v[k] - drift(x[k : k + 1])[0]
        expected = 0.5 * r @ np.linalg.solve(lagrangian.covariance(x[k : k + 1])[0], r)
        assert lagrangian.value(x, v)[k] == pytest.approx(expected, rel=1e-12)


@BOTH
def test_legendre_duality(lagrangian: DiffusionLagrangian) -> None:
    x, v = rng.normal(size=(2, 20, 2))
    p = lagrangian.momentum(x, v)
    gap = lagrangian.value(x, v) + lagrangian.hamiltonian(x, p) - np.einsum("ni,ni->n", p, v)
    assert np.abs(gap).max() < 1e-13 * max(1.0, np.abs(p * v).max())


@BOTH
def test_expansion_against_differences_of_the_value(lagrangian: DiffusionLagrangian) -> None:
    x, v = rng.normal(size=(2, 10, 2))
    e = lagrangian.expand(x, v)
    h = 1e-5
    np.testing.assert_allclose(e.value, lagrangian.value(x, v), rtol=1e-13)
    np.testing.assert_allclose(e.v, lagrangian.momentum(x, v), rtol=1e-12)

    def slope(f: Any, i: int, which: str) -> Array:
        shift = h * np.eye(2)[i]
        if which == "x":
            return np.asarray((f(x + shift, v) - f(x - shift, v)) / (2 * h))
        return np.asarray((f(x, v + shift) - f(x, v - shift)) / (2 * h))

    for i in range(2):
        np.testing.assert_allclose(e.x[:, i], slope(lagrangian.value, i, "x"), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(e.vv[:, :, i], slope(lagrangian.momentum, i, "v"), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            e.xv[:, i, :], slope(lagrangian.momentum, i, "x"), rtol=1e-5, atol=1e-5, err_msg="order is (x, v)"
        )
        np.testing.assert_allclose(
            e.xx[:, :, i], slope(lambda a, b: lagrangian.expand(a, b).x, i, "x"), rtol=1e-4, atol=1e-3
        )
    assert np.abs(e.xx - np.swapaxes(e.xx, 1, 2)).max() < 1e-12 * np.abs(e.xx).max()


@BOTH
def test_geometric_is_the_value_at_the_best_speed(lagrangian: DiffusionLagrangian) -> None:
    x, v = rng.normal(size=(2, 30, 2))
    b, inverse = drift(x), lagrangian.inverse_covariance(x)
    # min over T of L(x, v / T) T is reached at |v| / T = |b| in the metric of the noise
    T = np.sqrt(np.einsum("ni,nij,nj->n", v, inverse, v) / np.einsum("ni,nij,nj->n", b, inverse, b))
    best = lagrangian.value(x, v / T[:, None]) * T
    np.testing.assert_allclose(lagrangian.geometric(x, v), best, rtol=1e-10, atol=1e-13)
    worse = lagrangian.value(x, v / (1.3 * T[:, None])) * 1.3 * T
    assert (lagrangian.geometric(x, v) <= worse + 1e-13).all()


def test_geometric_does_not_cancel_downhill() -> None:
    lagrangian = varying()
    x = rng.normal(size=(50, 2))
    b = drift(x)
    across = np.stack([-b[:, 1], b[:, 0]], axis=1)
    tiny = 1e-9
    got = lagrangian.geometric(x, b + tiny * across)
    inverse = lagrangian.inverse_covariance(x)
    bb = np.einsum("ni,nij,nj->n", b, inverse, b)
    cc = np.einsum("ni,nij,nj->n", across, inverse, across)
    bc = np.einsum("ni,nij,nj->n", b, inverse, across)
    expected = 0.5 * tiny**2 * (cc - bc**2 / bb)  # |b||v| - <b, v> to second order; far below rounding of |b||v|
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert (lagrangian.geometric(x, b) >= 0).all()
    assert lagrangian.geometric(x, b).max() < 1e-25


@BOTH
def test_geometric_scales_with_the_curve_and_not_with_the_drifts_zero(lagrangian: DiffusionLagrangian) -> None:
    x, v = rng.normal(size=(2, 10, 2))
    np.testing.assert_allclose(lagrangian.geometric(x, 7 * v), 7 * lagrangian.geometric(x, v), rtol=1e-11)
    rest = np.array([[-1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(lagrangian.geometric(rest, v[:2]), 0.0)


def test_singular_covariance_names_the_point_and_eigenvalues() -> None:
    def flat(x: Array) -> Array:
        a = np.tile(np.eye(2), (len(x), 1, 1))
        a[:, 1, 1] = np.where(x[:, 0] > 0.5, 0.0, 1.0)
        return a

    lagrangian = DiffusionLagrangian(drift, jacobian, flat, None)
    x = np.array([[0.0, 0.0], [0.75, 2.0]])
    with pytest.raises(SingularCovarianceError) as caught:
        lagrangian.value(x, x)
    np.testing.assert_array_equal(caught.value.point, [0.75, 2.0])
    np.testing.assert_allclose(caught.value.eigenvalues, [0.0, 1.0], atol=1e-15)
    with pytest.raises(SingularCovarianceError):
        DiffusionLagrangian(drift, jacobian, flat, np.diag([1.0, 0.0]))
    with pytest.raises(SingularCovarianceError):  # an indefinite matrix is no covariance either
        DiffusionLagrangian(drift, jacobian, flat, np.diag([1.0, -1.0]))
