"""Central differences of batch functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpot.solvers.common.differences import STEP, central_jacobian


def test_the_last_axis_is_the_direction() -> None:
    x = np.array([[0.3, -1.2], [2.0, 0.1]])
    jacobian = central_jacobian(lambda z: np.stack([z[:, 0] ** 2 * z[:, 1], np.sin(z[:, 1])], axis=1), x)
    expected = np.array([[[2 * a * b, a**2], [0.0, np.cos(b)]] for a, b in x])
    assert jacobian.shape == (2, 2, 2)
    np.testing.assert_allclose(jacobian, expected, atol=1e-9)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_any_value_shape(shape: tuple[int, ...]) -> None:
    weights = np.arange(1.0, 1.0 + np.prod(shape, dtype=int)).reshape(shape)
    x = np.array([[0.5], [1.5], [-2.0]])

    def cube(z: np.ndarray) -> np.ndarray:
        return np.asarray(np.multiply.outer(z[:, 0] ** 3, weights))

    result = central_jacobian(cube, x)
    assert result.shape == (3, *shape, 1)
    np.testing.assert_allclose(result[..., 0], np.multiply.outer(3 * x[:, 0] ** 2, weights), rtol=1e-8)


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4), st.lists(st.floats(-50, 50), min_size=2, max_size=2))
@settings(max_examples=30, deadline=None)
def test_linear_functions_are_exact_to_rounding(entries: list[float], point: list[float]) -> None:
    A = np.array(entries).reshape(2, 2)
    result = central_jacobian(lambda z: z @ A.T, np.array([point]))[0]
    magnitude = np.abs(A).max() * (1 + np.abs(point).max())
    np.testing.assert_allclose(result, A, atol=1e-14 / STEP * (1 + magnitude))


def test_one_call_for_all_points_and_directions() -> None:
    calls = []

    def recorded(z: np.ndarray) -> np.ndarray:
        calls.append(z.shape)
        return z

    central_jacobian(recorded, np.zeros((7, 3)))
    assert calls == [(2 * 3 * 7, 3)]


@pytest.mark.parametrize("x", [0.0, 0.1, 1.0, 30.0, 1e3])
def test_the_error_is_about_1e_10_of_the_functions_scale(x: float) -> None:
    slope = central_jacobian(lambda z: np.sin(z) + z**3, np.array([[x]]))[0, 0, 0]
    assert abs(slope - np.cos(x) - 3 * x**2) < 1e-9 * (1 + abs(x)) ** 2
