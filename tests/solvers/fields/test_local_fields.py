"""Polynomials at equilibria, the line, and Hermite interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from reference import SIGN_FLOW

from qpot.solvers.fields.hermite import interpolate
from qpot.solvers.fields.line import line_quasipotential
from qpot.solvers.fields.local_quadratic import cubic_at_equilibrium, quadratic_at_attractor, quadratic_at_saddle


def test_quadratic_solves_riccati() -> None:
    J = np.array([[-1.0, -2.0], [1.0, -0.5]])
    a = np.diag([1.0, 4.0])
    Q = quadratic_at_attractor(J, a)
    np.testing.assert_allclose(Q @ J + J.T @ Q + Q @ a @ Q, 0.0, atol=1e-12)
    # published stationary covariance of this system
    np.testing.assert_allclose(np.linalg.inv(Q), [[2.5, -1.0], [-1.0, 2.0]], atol=1e-12)


def test_quadratic_at_a_saddle_vanishes_along_the_way_down() -> None:
    J = np.array([[1.0, 0.3], [0.0, -2.0]])
    Q = quadratic_at_saddle(J, np.eye(2))
    unstable = np.array([1.0, 0.0])
    np.testing.assert_allclose(Q @ unstable, 0.0, atol=1e-13)
    np.testing.assert_allclose(Q @ J + J.T @ Q + Q @ Q, 0.0, atol=1e-12)
    assert np.linalg.eigvalsh(Q)[-1] > 1.0


def test_cubic_of_a_gradient_system() -> None:
    """b = -grad L, a = I: V = 2 L, so T = 2 L'''."""
    third = np.zeros((2, 2, 2))
    third[0, 0, 0] = 6.0
    for index in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        third[index] = -2.0
    hessian = np.diag([2.0, 0.5])
    T = cubic_at_equilibrium(-hessian, -third, np.eye(2), np.zeros((2, 2, 2)), 2 * hessian)
    np.testing.assert_allclose(T, 2 * third, atol=1e-12)


def test_line_double_well_with_variable_noise() -> None:
    """D = 1 + x / 2 breaks the tie of the symmetric double well: 52/3 - 24 log 2 and 24 log(3/2) - 28/3."""
    nodes = np.linspace(-1.5, 1.5, 40)
    for source, barrier in ((-1.0, 52 / 3 - 24 * np.log(2)), (1.0, 24 * np.log(1.5) - 28 / 3)):
        V, slope, error = line_quasipotential(lambda x: x - x**3, lambda x: 1 + x / 2, source, nodes)
        beyond = nodes * source < 0
        flat = beyond & (np.abs(nodes) < 1)
        np.testing.assert_allclose(V[flat], barrier, rtol=1e-12)
        assert (slope[flat] == 0).all()
        assert error < 1e-9
        assert (np.diff(V)[nodes[1:] < min(source, 0) - 0.1] <= 0).all()


def test_line_with_a_drift_that_jumps_at_its_source() -> None:
    nodes = np.linspace(-1.5, 1.5, 31)
    V, slope, error = line_quasipotential(lambda x: -np.sign(x), np.ones_like, 0.0, nodes)
    assert V[[0, -1]] == pytest.approx([SIGN_FLOW.value] * 2, abs=SIGN_FLOW.accuracy)
    np.testing.assert_allclose(V, 2 * np.abs(nodes), atol=1e-14)
    np.testing.assert_allclose(slope[np.abs(nodes) > 1e-9], 2 * np.sign(nodes[np.abs(nodes) > 1e-9]))
    assert error < 1e-12


@pytest.mark.parametrize("d", [2, 3])
def test_hermite_order_four(d: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.9, (200, d))
    errors = []
    for n in (17, 33):
        axes = [np.linspace(0, 1, n)] * d
        mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        phase = 2 * mesh.sum(axis=-1) + mesh[..., 0] ** 2
        gradient = np.stack([2 * np.cos(phase)] * d, axis=-1)
        gradient[..., 0] *= 1 + mesh[..., 0]
        value, slope = interpolate(np.sin(phase), gradient, x, np.zeros(d), np.full(d, 1 / (n - 1)), (False,) * d)
        at = 2 * x.sum(axis=1) + x[:, 0] ** 2
        errors.append((np.abs(value - np.sin(at)).max(), np.abs(slope[:, -1] - 2 * np.cos(at)).max()))
    (v0, s0), (v1, s1) = errors
    assert np.log2(v0 / v1) > 3.5
    assert np.log2(s0 / s1) > 2.4
