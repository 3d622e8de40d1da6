"""Piecewise-polynomial paths."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial import legendre
from numpy.typing import NDArray

from qpot.solvers.paths.elements import ElementPath, lagrange_basis, lobatto_nodes

Array = NDArray[np.float64]
breaks = np.array([0.0, 0.3, 1.1, 1.5, 4.0])


def sampled(degree: int, function: np.ufunc | None = None) -> ElementPath:
    path = ElementPath(breaks, np.zeros((4 * degree + 1, 2)), degree)
    t = path.node_times()
    f = np.sin if function is None else function
    return ElementPath(breaks, np.stack([f(t), t**degree], axis=1), degree)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 6, 8])
def test_lobatto_nodes_are_exact_for_degree_2m_minus_1(degree: int) -> None:
    nodes = lobatto_nodes(degree)
    assert nodes.size == degree + 1
    assert nodes[0] == -1.0
    assert nodes[-1] == 1.0
    np.testing.assert_allclose(nodes, -nodes[::-1], atol=1e-14)
    weights = 2 / (degree * (degree + 1) * legendre.Legendre.basis(degree)(nodes) ** 2)
    for power in range(2 * degree):
        assert weights @ nodes**power == pytest.approx((1 + (-1) ** power) / (power + 1), abs=1e-13)
    with pytest.raises(ValueError, match="read-only"):
        nodes[0] = 0.0


@pytest.mark.parametrize("degree", [1, 4, 8])
def test_basis_is_nodal_and_sums_to_one(degree: int) -> None:
    values, _ = lagrange_basis(degree, lobatto_nodes(degree))
    np.testing.assert_allclose(values, np.eye(degree + 1), atol=1e-12)
    values, slopes = lagrange_basis(degree, np.linspace(-1, 1, 23))
    np.testing.assert_allclose(values.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(slopes.sum(axis=1), 0.0, atol=1e-11)


@pytest.mark.parametrize("degree", [2, 4, 6])
def test_polynomials_of_the_degree_are_exact(degree: int) -> None:
    path = sampled(degree)
    t = np.linspace(0, 4, 57)
    x, v = path.at(t)
    np.testing.assert_allclose(x[:, 1], t**degree, rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(v[:, 1], degree * t ** (degree - 1), rtol=1e-10, atol=1e-9)


def test_nodes_of_neighbours_are_shared_and_times_increase() -> None:
    path = sampled(4)
    local = path.element_nodes()
    assert local.shape == (4, 5, 2)
    np.testing.assert_array_equal(local[:-1, -1], local[1:, 0])
    times = path.node_times()
    assert (np.diff(times) > 0).all()
    assert set(breaks) <= set(times)
    x, _ = path.at(times)
    np.testing.assert_allclose(x, path.nodes, atol=1e-10)


def test_quadrature_integrates_positions_and_velocities() -> None:
    path = sampled(6)
    x, v, w = path.at_quadrature(9)
    assert w.sum() == pytest.approx(4.0, rel=1e-14)
    assert (w * x[..., 1]).sum() == pytest.approx(4.0**7 / 7, rel=1e-12)
    np.testing.assert_allclose((w[..., None] * v).sum(axis=(0, 1)), path.nodes[-1] - path.nodes[0], rtol=1e-11)


def test_interpolation_error_falls_at_the_order_of_the_degree() -> None:
    errors = []
    t = np.linspace(0, 4, 500)
    for n in (8, 16, 32):
        mesh = np.linspace(0, 4, n + 1)
        path = ElementPath(mesh, np.empty((4 * n + 1, 1)), 4)
        filled = ElementPath(mesh, np.sin(3 * path.node_times())[:, None], 4)
        errors.append(np.abs(filled.at(t)[0][:, 0] - np.sin(3 * t)).max())
    slope = np.polyfit(np.log([8, 16, 32]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-5, abs=0.3)


def test_moving_to_a_finer_mesh_changes_nothing() -> None:
    path = sampled(4)
    finer = path.on(np.union1d(breaks, np.linspace(0, 4, 9)), 6)
    assert finer.degree == 6
    t = np.linspace(0, 4, 41)
    np.testing.assert_allclose(finer.at(t)[0], path.at(t)[0], atol=1e-10)
    np.testing.assert_array_equal(finer.nodes[[0, -1]], path.nodes[[0, -1]])


def test_top_coefficients_vanish_where_the_degree_is_not_used() -> None:
    path = sampled(4)
    lower = path.on(breaks, 4)
    quadratic = ElementPath(breaks, path.node_times()[:, None] ** 2 @ np.ones((1, 2)), 4)
    assert np.abs(quadratic.top_coefficients()).max() < 1e-12
    assert np.abs(lower.top_coefficients()[:, 1, 1]).max() > 1e-3
