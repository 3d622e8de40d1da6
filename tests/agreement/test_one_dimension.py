"""One-dimensional flows whose quasi-potential is an integral."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]


def line(drift: Callable[[Array], Array], covariance: Callable[[Array], Array]) -> qpot.System:
    return qpot.System(drift=drift, covariance=lambda x: covariance(x)[:, :, None], dimension=1)


@pytest.mark.parametrize(
    ("system", "end", "expected"),
    [
        (qpot.gallery.double_well().system, -0.5, ref.DOUBLE_WELL_HALF_WAY),
        (qpot.gallery.double_well().system, 0.0, ref.DOUBLE_WELL),
        (qpot.gallery.double_well().system, 1.0, ref.DOUBLE_WELL),
        (qpot.gallery.tilted_noise_well().system, 0.0, ref.TILTED_NOISE_LEFT),
    ],
)
def test_double_wells(system: qpot.System, end: float, expected: ref.Reference) -> None:
    path = qpot.minimum_action_path(system, [-1.0], [end])
    assert abs(path.action - expected.value) <= max(path.error, expected.accuracy)
    assert path.action == pytest.approx(expected.value, rel=1e-8)


def test_exits_of_an_interval() -> None:
    system = line(lambda x: -x, np.ones_like)
    assert qpot.minimum_action_path(system, [0.0], [-1.0]).action == pytest.approx(ref.EXIT_OF_INTERVAL.value, rel=1e-9)
    assert qpot.minimum_action_path(system, [0.0], [2.0]).action == pytest.approx(4.0, rel=1e-9)


def test_adaptive_preconditioning() -> None:
    C = 0.5
    system = line(lambda x: -x / np.sqrt(C + x**2), lambda x: C / (C + x**2))
    path = qpot.minimum_action_path(system, [0.0], [1.0])
    assert abs(path.action - ref.RMSPROP.value) <= max(path.error, ref.RMSPROP.accuracy)


def test_radial_noise_in_three_dimensions() -> None:
    def drift(x: Array) -> Array:
        return np.asarray(-x * (1 + (x**2).sum(axis=1))[:, None], dtype=np.float64)

    def covariance(x: Array) -> Array:
        return np.asarray((1 + (x**2).sum(axis=1))[:, None, None] * np.eye(3), dtype=np.float64)

    system = qpot.System(drift=drift, covariance=covariance, dimension=3)
    end = 2 * np.array([2.0, -1.0, 2.0]) / 3
    path = qpot.minimum_action_path(system, np.zeros(3), end)
    assert abs(path.action - ref.RADIAL.value) <= max(path.error, ref.RADIAL.accuracy)
    assert path.action == pytest.approx(ref.RADIAL.value, rel=1e-8)


def test_linear_systems_with_noise_that_does_not_commute() -> None:
    for A, a, expected in (
        ([[2.0, 1.0], [1.0, 3.0]], [[1.0, 0.6], [0.6, 2.0]], ref.OU_GRADIENT),
        ([[1.0, 2.0], [-1.0, 0.5]], [[1.0, 0.0], [0.0, 4.0]], ref.OU_ROTATING),
    ):
        case = qpot.gallery.ornstein_uhlenbeck(A, a)
        path = qpot.minimum_action_path(case.system, (0, 0), (1, 1))
        assert abs(path.action - expected.value) <= max(path.error, expected.accuracy)
        assert path.action == pytest.approx(expected.value, rel=1e-8)
        assert case.quasipotential is not None
        assert case.quasipotential(np.array([[1.0, 1.0]]))[0] == pytest.approx(expected.value, rel=1e-12)


def test_separable_at_a_point() -> None:
    case = qpot.gallery.separable_double_well(noise=(0.5, 2.0), stiffness=1.5)
    path = qpot.minimum_action_path(case.system, (-1, 0), (-0.5, 0.4))
    assert abs(path.action - ref.SEPARABLE_AT.value) <= max(path.error, ref.SEPARABLE_AT.accuracy)
    assert path.action == pytest.approx(ref.SEPARABLE_AT.value, rel=1e-8)
