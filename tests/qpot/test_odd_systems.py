"""Systems that are hard on a solver: stiff, badly scaled, with hardly any noise, or not smooth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]


def well(stiffness: float, covariance: Any) -> qpot.System:
    return qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + stiffness * x[:, 1] ** 2 / 2,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], stiffness * x[:, 1]], axis=1),
        covariance,
        dimension=2,
    )


def held(path: qpot.PathSolution, exact: float, relative: float = 1e-8) -> None:
    assert abs(path.action - exact) <= path.error
    assert path.error <= relative * exact


@pytest.mark.parametrize("stiffness", [1e-4, 1e-2, 1e2, 1e4])
def test_stiff_minima(stiffness: float) -> None:
    held(qpot.minimum_action_path(well(stiffness, 1.0), (-1, 0), (0, 0)), 0.5)
    held(
        qpot.minimum_action_path(well(stiffness, 1.0), (-1, 0), (-0.5, 0.1)),
        2 * (0.75**2 / 4) + stiffness * 0.01,
    )


@pytest.mark.parametrize("noise", [1e-8, 1e-3, 1e3, 1e8])
def test_any_amount_of_noise(noise: float) -> None:
    held(qpot.minimum_action_path(well(1.0, noise), (-1, 0), (0, 0)), 0.5 / noise)


@pytest.mark.parametrize("ratio", [1e-4, 1e4])
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_nearly_singular_noise(ratio: float, angle: float) -> None:
    a = qpot.covariance.rotated(angle, (1.0, ratio))
    # x moves on its own: only a_xx matters
    held(qpot.minimum_action_path(well(1.0, a), (-1, 0), (0, 0)), 0.5 / a[0, 0])


@pytest.mark.parametrize("sizes", [(1e3, 1e3), (1e3, 1e-3), (1e-2, 1e2), (1e-3, 1e3)])
def test_coordinates_of_unequal_size(sizes: tuple[float, float]) -> None:
    s = np.array(sizes)

    def drift(y: Array) -> Array:
        x = y / s
        return np.asarray(s * np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1), dtype=np.float64)

    def jacobian(y: Array) -> Array:
        J = np.zeros((len(y), 2, 2))
        J[:, 0, 0], J[:, 1, 1] = 1 - 3 * (y[:, 0] / s[0]) ** 2, -1.0
        return J

    system = qpot.System(drift=drift, covariance=np.diag(s**2), dimension=2, jacobian=jacobian)
    box = [(-2 * s[0], 2 * s[0]), (-1.5 * s[1], 1.5 * s[1])]
    minima = qpot.find_minima(system, box)
    np.testing.assert_allclose(np.array([m.point for m in minima]) / s, [[-1, 0], [1, 0]], atol=1e-10)
    (saddle,) = qpot.find_saddles(system, minima, box)
    np.testing.assert_allclose(saddle.point / s, [0, 0], atol=1e-10)
    assert saddle.connects == (0, 1)
    held(qpot.minimum_action_path(system, minima[0], saddle), 0.5)


def jump_of_the_noise(dimension: int) -> qpot.System:
    """A double well in the first coordinate, where the noise doubles at -0.4, and a bowl in the others."""

    def covariance(x: Array) -> Array:
        return (1.0 + (x[:, 0] > -0.4))[:, None, None] * np.eye(dimension)

    def gradient(x: Array) -> Array:
        return np.concatenate([x[:, :1] ** 3 - x[:, :1], x[:, 1:]], axis=1)

    return qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + (x[:, 1:] ** 2).sum(axis=1) / 2,
        gradient,
        covariance,
        dimension=dimension,
    )


LEVEL = (0.4**2 - 1) ** 2 / 4
BEYOND_THE_JUMP = 2 * LEVEL + (0.25 - LEVEL)


def test_a_jump_of_the_noise_on_a_line_is_solved() -> None:
    system = jump_of_the_noise(1)
    held(qpot.minimum_action_path(system, [-1.0], [0.0]), BEYOND_THE_JUMP)
    held(qpot.minimum_action_path(system, [1.0], [0.0]), 0.25)


def test_a_path_across_a_jump_of_the_noise_is_one_in_two_pieces() -> None:
    system = jump_of_the_noise(2)
    path = qpot.minimum_action_path(system, [-1.0, 0.0], [0.0, 0.0])
    held(path, BEYOND_THE_JUMP)
    assert np.abs(path.points[:, 0] + 0.4).min() < 1e-9  # The corner is a point of the path.
    # the other side does not meet the jump
    held(qpot.minimum_action_path(system, [1.0, 0.0], [0.0, 0.0]), 0.25)


def test_a_minimum_that_is_a_focus_with_many_turns() -> None:
    case = qpot.gallery.ornstein_uhlenbeck([[0.3, 5.0], [-5.0, 0.3]], [[1.0, 0.3], [0.3, 0.5]])
    assert case.quasipotential is not None
    end = np.array([[0.7, 0.2]])
    held(qpot.minimum_action_path(case.system, (0, 0), end[0]), float(case.quasipotential(end)[0]))
