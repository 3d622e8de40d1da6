"""Covariance constructors and checks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import spd_matrices

from qpot.problem.covariance import check_semidefinite, check_symmetric, isotropic, rotated, with_floor

Array = NDArray[np.float64]


def test_isotropic_is_a_multiple_of_the_identity() -> None:
    np.testing.assert_array_equal(isotropic(2.5, 3), 2.5 * np.eye(3))
    with pytest.raises(ValueError, match="value must be a finite number > 0, got -1"):
        isotropic(-1, 3)


@given(st.floats(-10, 10), st.floats(0, 5), st.floats(0, 5))
@settings(max_examples=30, deadline=None)
def test_rotated_has_the_eigenvalues_and_the_axis(angle: float, first: float, second: float) -> None:
    a = rotated(angle, (first, second))
    np.testing.assert_allclose(np.linalg.eigvalsh(a), np.sort([first, second]), atol=1e-13)
    axis = np.array([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(a @ axis, first * axis, atol=1e-13)


@pytest.mark.parametrize("values", [(1.0,), (1.0, -0.1), (1.0, 2.0, 3.0)])
def test_rotated_refuses(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="eigenvalues must be two numbers >= 0"):
        rotated(0.1, values)


def test_a_floor_is_added_and_nothing_else() -> None:
    def rank_one(x: Array) -> Array:
        return np.asarray(x[:, :, None] * x[:, None, :])

    x = np.array([[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(np.asarray(with_floor(rank_one, 0.1)(x)), rank_one(x) + 0.1 * np.eye(2))
    with pytest.raises(ValueError, match="floor must be a finite number > 0, got 0"):
        with_floor(rank_one, 0)


@given(spd_matrices(3))
@settings(max_examples=20, deadline=None)
def test_covariances_pass(a: Array) -> None:
    np.testing.assert_array_equal(check_symmetric(a[None], None, name="covariance")[0], a)
    check_semidefinite(a[None], None, name="covariance")
    check_semidefinite(np.linalg.outer(a[0], a[0])[None], None, name="covariance")


def test_scale_does_not_enter_the_checks() -> None:
    for scale in (1e-200, 1e-20, 1e20):
        check_semidefinite(scale * np.diag([1.0, 0.0])[None], None, name="covariance")
        with pytest.raises(ValueError, match="not positive semidefinite"):
            check_semidefinite(scale * np.diag([1.0, -1e-6])[None], None, name="covariance")
        with pytest.raises(ValueError, match="not symmetric"):
            check_symmetric(scale * np.array([[[1.0, 0.1], [0.0, 1.0]]]), None, name="covariance")
