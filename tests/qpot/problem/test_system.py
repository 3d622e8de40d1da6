"""System and its constructors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]


def loss(x: Array) -> Array:
    return np.asarray((x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 * (1 + x[:, 0] ** 2))


def gradient(x: Array) -> Array:
    a, b = x.T
    return np.stack([a**3 - a + 2 * a * b**2, 2 * b * (1 + a**2)], axis=1)


def covariance(x: Array) -> Array:
    a = np.tile(np.eye(2), (len(x), 1, 1))
    a[:, 0, 1] = a[:, 1, 0] = 0.5 * np.tanh(x[:, 0])
    return a


X = np.random.default_rng(0).normal(size=(7, 2))


def test_a_loss_gives_minus_its_gradient() -> None:
    system = qpot.System.from_loss(loss, gradient, covariance, dimension=2)
    np.testing.assert_array_equal(system.drift(X), -gradient(X))
    np.testing.assert_array_equal(system.gradient(X), gradient(X))
    assert system.loss is not None
    np.testing.assert_array_equal(system.loss(X), loss(X))
    assert system.gradient_drift
    assert system.constant_covariance is None


def test_missing_jacobians_are_central_differences() -> None:
    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=2)
    a, b = X.T
    exact = -np.moveaxis(np.array([[3 * a**2 - 1 + 2 * b**2, 4 * a * b], [4 * a * b, 2 * (1 + a**2)]]), 2, 0)
    np.testing.assert_allclose(system.jacobian(X), exact, atol=1e-8)
    given = qpot.System.from_loss(loss, gradient, 1.0, dimension=2, hessian=lambda x: np.zeros((len(x), 2, 2)))
    np.testing.assert_array_equal(given.jacobian(X), 0.0)


@pytest.mark.parametrize("value", [2.0, 2 * np.eye(2), 2, [[2, 0], [0, 2]]])
def test_constant_covariances(value: object) -> None:
    system = qpot.System(drift=lambda x: -x, covariance=value, dimension=2)
    np.testing.assert_array_equal(system.covariance(X), np.tile(2 * np.eye(2), (7, 1, 1)))
    np.testing.assert_array_equal(system.constant_covariance, 2 * np.eye(2))


def test_the_covariance_is_not_the_callers_array() -> None:
    matrix = np.eye(2)
    system = qpot.System(drift=lambda x: -x, covariance=matrix, dimension=2)
    matrix[0, 0] = 7.0
    assert system.covariance(X)[0, 0, 0] == 1.0
    system.covariance(X)[0, 0, 0] = 9.0
    assert system.covariance(X)[0, 0, 0] == 1.0


def test_nothing_is_normalised_and_rounding_asymmetry_is_healed() -> None:
    matrix = np.array([[3.0, 1.0 + 1e-12], [1.0, 5.0]])
    system = qpot.System(drift=lambda x: -x, covariance=matrix, dimension=2)
    assert system.constant_covariance is not None
    np.testing.assert_allclose(system.constant_covariance, matrix, atol=1e-11)
    np.testing.assert_array_equal(system.constant_covariance, system.constant_covariance.T)


def test_one_dimension_and_single_points() -> None:
    system = qpot.System(drift=lambda x: -(x**3), covariance=1.0, dimension=1)
    np.testing.assert_array_equal(system.drift([2.0]), [[-8.0]])
    assert system.jacobian([[2.0]]).shape == (1, 1, 1)


def test_a_general_drift_has_no_gradient() -> None:
    system = qpot.System(drift=lambda x: -x, covariance=1.0, dimension=2)
    with pytest.raises(ValueError, match=r"System\.from_loss"):
        system.gradient(X)


def test_systems_are_values() -> None:
    system = qpot.System(drift=lambda x: -x, covariance=1.0, dimension=2)
    with pytest.raises(AttributeError):
        system.dimension = 3  # type: ignore[misc]


def test_systems_of_module_level_functions_can_be_sent() -> None:
    system = qpot.System.from_loss(loss, gradient, covariance, dimension=2)
    again = pickle.loads(pickle.dumps(system))
    np.testing.assert_array_equal(again.jacobian(X), system.jacobian(X))
    np.testing.assert_array_equal(again.covariance(X), system.covariance(X))


def test_repr_says_what_it_is() -> None:
    assert repr(qpot.System.from_loss(loss, gradient, covariance, dimension=2)) == (
        "System(loss, dimension=2, state-dependent covariance)"
    )
    assert repr(qpot.System(drift=lambda x: -x, covariance=1.0, dimension=3)) == (
        "System(drift, dimension=3, constant covariance)"
    )
