"""The action of a path, its gradient and its banded Hessian against dense twins."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from twins import dense_derivatives, from_lower_band, plain_action, polyline_geometric_action

from qpot.solvers.paths.action import action_expansion, action_value, geometric_action_value
from qpot.solvers.paths.elements import ElementPath, lobatto_nodes
from qpot.solvers.problem.lagrangian import DiffusionLagrangian

Array = NDArray[np.float64]


def drift(x: Array) -> Array:
    return np.stack([x[:, 0] - x[:, 0] ** 3 - 2 * x[:, 0] * x[:, 1] ** 2, -(1 + x[:, 0] ** 2) * x[:, 1]], axis=1)


def jacobian(x: Array) -> Array:
    a, b = x.T
    return np.moveaxis(np.array([[1 - 3 * a**2 - 2 * b**2, -4 * a * b], [-2 * a * b, -(1 + a**2)]]), 2, 0)


def covariance(x: Array) -> Array:
    off = 0.2 * x[:, 0]
    return np.moveaxis(np.array([[1 + 0.3 * x[:, 1] ** 2, off], [off, 1.5 + 0 * off]]), 2, 0)


def make(kind: str) -> DiffusionLagrangian:
    if kind == "constant":
        a = np.array([[1.5, 0.4], [0.4, 0.7]])
        return DiffusionLagrangian(drift, jacobian, lambda x: np.broadcast_to(a, (len(x), 2, 2)), a)
    return DiffusionLagrangian(drift, jacobian, covariance, None)


KINDS = pytest.mark.parametrize("kind", ["constant", "state-dependent"])


def wavy(degree: int, n: int) -> ElementPath:
    mesh = 2.0 * np.linspace(0, 1, n + 1) ** 1.3
    t = ElementPath(mesh, np.empty((n * degree + 1, 2)), degree).node_times() / 2.0
    return ElementPath(mesh, np.stack([t - 1, 0.4 * np.sin(np.pi * t) + 0.1 * np.cos(9 * t)], axis=1), degree)


@KINDS
@pytest.mark.parametrize(("degree", "n"), [(1, 5), (4, 3), (6, 2)])
def test_value_against_the_twin(kind: str, degree: int, n: int) -> None:
    lagrangian, path = make(kind), wavy(degree, n)
    twin = plain_action(drift, lagrangian.covariance, path.breaks, path.nodes, lobatto_nodes(degree), 7)
    assert action_value(lagrangian, path, 7) == pytest.approx(twin, rel=1e-12)


@KINDS
@pytest.mark.parametrize(("degree", "n"), [(1, 5), (2, 4), (4, 2)])
def test_gradient_and_band_against_dense_differences(kind: str, degree: int, n: int) -> None:
    lagrangian, path = make(kind), wavy(degree, n)
    value, gradient, band = action_expansion(lagrangian, path, degree + 3)
    assert value == pytest.approx(action_value(lagrangian, path, degree + 3), rel=1e-13)

    def action(interior: Array) -> float:
        nodes = np.concatenate([path.nodes[:1], interior, path.nodes[-1:]])
        return action_value(lagrangian, ElementPath(path.breaks, nodes, degree), degree + 3)

    expected_gradient, expected_hessian = dense_derivatives(action, path.nodes[1:-1])
    size = np.abs(expected_hessian).max()
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7 * size)
    np.testing.assert_allclose(from_lower_band(band), expected_hessian, atol=3e-6 * size)
    assert band.shape[0] == (degree + 1) * 2


@KINDS
def test_geometric_value_is_below_and_tends_to_the_polyline_twin(kind: str) -> None:
    lagrangian, path = make(kind), wavy(4, 6)
    geometric = geometric_action_value(lagrangian, path, 40)
    assert geometric < action_value(lagrangian, path, 12)
    errors = []
    for n in (200, 400, 800):
        # the joints of the elements, where the path has kinks, are corners of every polyline
        times = np.interp(np.arange(n * 6 + 1) / n, np.arange(7), path.breaks)
        curve = path.at(times)[0]
        errors.append(abs(polyline_geometric_action(curve, drift, lagrangian.covariance) - geometric))
    assert errors[-1] < 1e-5
    assert np.polyfit(np.log([200, 400, 800]), np.log(errors), 1)[0] == pytest.approx(-2, abs=0.3)


@KINDS
def test_geometric_value_is_invariant_under_reparametrisation(kind: str) -> None:
    lagrangian, path = make(kind), wavy(4, 6)
    # the same polynomials run through with another speed on every element
    other = ElementPath(np.cumsum([0.0, 0.1, 2.0, 0.7, 0.05, 9.0, 1.0]), path.nodes, 4)
    assert geometric_action_value(lagrangian, other, 9) == pytest.approx(
        geometric_action_value(lagrangian, path, 9), rel=1e-12
    )
    assert action_value(lagrangian, other, 9) > action_value(lagrangian, path, 9)
