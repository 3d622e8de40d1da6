"""Paths under a covariance that jumps, against minimisation over the crossing point and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm, solve_continuous_lyapunov
from scipy.optimize import minimize

import qpot
from qpot import System

Array = NDArray[np.float64]


def bowl(before: float = 1.0, after: float = 4.0) -> System:
    """A round bowl whose noise jumps at x = 1."""
    return System.from_loss(
        lambda x: (x**2).sum(1) / 2,
        lambda x: x,
        lambda x: np.where(x[:, 0] < 1, before, after)[:, None, None] * np.eye(2),
        dimension=2,
    )


def linear(J: Array, inside: Array, outside: Array, radius: float) -> System:
    """A linear drift whose noise jumps on a circle around its fixed point."""
    return System(
        drift=lambda x: x @ J.T,
        covariance=lambda x: np.where(((x**2).sum(axis=1) < radius**2)[:, None, None], inside, outside),
        dimension=len(J),
    )


def test_on_a_line_the_cost_is_a_quadrature() -> None:
    wells = System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4,
        lambda x: x**3 - x,
        lambda x: np.where(x[:, 0] < -0.5, 1.0, 3.0)[:, None, None],
        dimension=1,
    )
    costs = qpot.predict(wells, [(-1.5, 1.5)]).costs
    assert costs.values[0, 1] == pytest.approx(17 / 48, rel=1e-9)
    assert costs.values[1, 0] == pytest.approx(1 / 6, rel=1e-9)


def test_refraction_in_the_plane() -> None:
    path = qpot.minimum_action_path(bowl(), [0.0, 0.0], [1.6, 1.0])
    # V of the inner piece is |y|^2; the outer one follows from the Gramian of the linear drift, over its time.

    def total(z: Array) -> float:
        w = np.array([1.6, 1.0]) - np.exp(-z[1]) * np.array([1.0, z[0]])
        return float(1.0 + z[0] ** 2 + w @ w / (4.0 * (1.0 - np.exp(-2.0 * z[1]))))

    best = minimize(total, [0.2, 0.7], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14})
    assert path.status.ok
    assert abs(path.action - best.fun) <= path.error + 1e-9
    assert path.action == pytest.approx(1.709259, abs=5e-7)
    corner = path.points[np.argmin(np.abs(path.points[:, 0] - 1.0))]
    np.testing.assert_allclose(corner, [1.0, best.x[0]], atol=1e-6)
    assert corner[1] == pytest.approx(0.136368, abs=5e-6)


@pytest.mark.parametrize(
    "boundary",
    [
        qpot.HalfSpace(normal=[1.0, 0.0], offset=1.6),
        pytest.param(qpot.Region(g=lambda x: x[:, 0] - 1.6), marks=pytest.mark.slow),
    ],
)
def test_exit_beyond_the_jump(boundary: qpot.Domain) -> None:
    found = qpot.exit_cost(bowl(), [0.0, 0.0], boundary=boundary)
    assert found.cost == pytest.approx(1.39, rel=1e-8)
    np.testing.assert_allclose(found.point, [1.6, 0.0], atol=1e-6)
    assert abs(found.cost - 1.39) <= found.error


@pytest.mark.slow
def test_a_path_that_runs_along_the_jump() -> None:
    # It enters at (1, 1 / sqrt 48), runs along x = 1 under the stronger noise, leaves along a tangent; found by minimising
    # over where it leaves and ends, with a penalty on what lies beyond.
    found = qpot.exit_cost(bowl(), [0.0, 0.0], boundary=qpot.HalfSpace(normal=[3.0, 4.0], offset=8.0))
    assert abs(found.cost - 1.5329801) <= found.error <= 1e-3
    assert (np.abs(found.path.points[:, 0] - 1.0) < 1e-9).sum() > 5


def test_the_drift_turns_and_so_does_the_covariance() -> None:
    J = np.array([[-1.0, 0.8], [-0.6, -1.5]])
    inside, outside = np.array([[1.0, 0.3], [0.3, 0.5]]), np.array([[0.6, -0.4], [-0.4, 1.4]])
    radius, end = 0.7, np.array([1.1, 0.5])
    inner = np.linalg.inv(solve_continuous_lyapunov(J, -inside))
    outer = solve_continuous_lyapunov(J, -outside)

    def total(z: Array) -> float:
        y, flow = radius * np.array([np.cos(z[0]), np.sin(z[0])]), expm(J * np.exp(z[1]))
        w, gramian = end - flow @ y, outer - flow @ outer @ flow.T
        return float(y @ inner @ y / 2 + w @ np.linalg.solve(gramian, w) / 2)

    best = min(
        minimize(total, [angle, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).fun
        for angle in np.linspace(0.0, 6.0, 8)
    )
    path = qpot.minimum_action_path(linear(J, inside, outside, radius), [0.0, 0.0], end)
    assert path.status.ok
    assert abs(path.action - best) <= path.error + 1e-9


def strip(width: float, period: float) -> System:
    """A round bowl with strips of stronger noise from x = 1 on."""

    def noise(x: Array) -> Array:
        y = x[:, 0] - 1.0
        strong = (y > 0.0) & (y < width) & (np.floor(y / period + 1e-9) % 2 == 0)
        return np.asarray(np.where(strong, 4.0, 1.0)[:, None, None] * np.eye(2))

    return System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, noise, dimension=2)


def test_a_strip_on_the_way() -> None:
    path = qpot.minimum_action_path(strip(0.2, 0.2), [0.0, 0.0], [1.5, 0.0])
    assert path.action == pytest.approx(1.5**2 - 0.75 * (1.2**2 - 1.0), rel=1e-8)


@pytest.mark.slow
def test_many_strips_on_the_way_are_flagged() -> None:
    many = qpot.minimum_action_path(strip(0.4, 0.01), [0.0, 0.0], [1.5, 0.0], budget=20.0, throw=False)
    assert not many.status.ok
    assert many.error > 0.01 * many.action


def test_what_both_sides_together_may_do_cheaper_is_flagged() -> None:
    # The noise drives towards the line on both sides: in turn they carry the path along it at the cost 1,
    # that of their mean, while either alone costs 1 / 0.19.
    up, down = np.array([[1.0, 0.9], [0.9, 1.0]]), np.array([[1.0, -0.9], [-0.9, 1.0]])
    system = System(
        drift=lambda x: -x, covariance=lambda x: np.where((x[:, 1] > 0.0)[:, None, None], down, up), dimension=2
    )
    path = qpot.minimum_action_path(
        system, [0.0, 0.0], [1.0, 0.0], method=qpot.GeometricAction(starts=2), budget=20.0, throw=False
    )
    assert not path.status.ok
    assert path.action - path.error <= 1.0


def test_drift_and_noise_jump_together() -> None:
    # On the axis: the integral of 2 |b| / a, where the slope of the loss and the noise change at x = 1.
    def slope(x: Array) -> Array:
        return np.stack([np.where(x[:, 0] < 1.0, x[:, 0], 1.7 * x[:, 0]), x[:, 1]], axis=1)

    system = System(
        drift=lambda x: -slope(x),
        covariance=lambda x: np.where(x[:, 0] < 1.0, 1.0, 4.0)[:, None, None] * np.eye(2),
        dimension=2,
    )
    path = qpot.minimum_action_path(system, [0.0, 0.0], [1.6, 0.0])
    assert abs(path.action - (1.0 + 1.7 * (1.6**2 - 1.0) / 4.0)) <= path.error + 1e-9
