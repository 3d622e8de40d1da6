"""Roots of inverse covariances: by factors or by eigenvalues, and refused where there is no noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from qpot.problem.inverse_roots import by_cholesky, inverse_roots, times


def matrices(smallest: float) -> np.ndarray:
    """Two matrices, the second of which has an eigenvalue of this size."""
    turn = ortho_group.rvs(4, random_state=1)
    return np.stack([np.diag([1.0, 2.0, 3.0, 1.0]), turn @ np.diag([1.0, 0.5, 2.0, smallest]) @ turn.T])


def test_pivots_decide_only_where_there_is_no_doubt() -> None:
    """Well conditioned: the factor. Near singular, singular, indefinite: None, so that eigenvalues decide."""
    roots = by_cholesky(matrices(0.1))
    assert roots is not None
    product = np.swapaxes(roots, 1, 2) @ roots
    np.testing.assert_allclose(matrices(0.1) @ product, np.tile(np.eye(4), (2, 1, 1)), atol=1e-12)
    for smallest in (1e-12, 0.0, -0.1):
        assert by_cholesky(matrices(smallest)) is None


@pytest.mark.parametrize("smallest", [1.0, 1e-4, 1e-10])
def test_the_inverse_is_right_for_any_condition_above_rounding(smallest: float) -> None:
    a, p = matrices(smallest), np.random.default_rng(0).normal(size=(2, 4))
    roots = inverse_roots(a, np.zeros((2, 4)))
    r = times(a, p)
    found = times(np.swapaxes(roots, 1, 2), times(roots, r))
    np.testing.assert_allclose(times(a, found), r, atol=1e-13 / np.sqrt(smallest))


def test_no_noise_is_refused_and_the_point_is_named() -> None:
    for smallest in (0.0, -1e-3):
        with pytest.raises(ValueError, match=r"singular at \(5, 6, 7, 8\)"):
            inverse_roots(matrices(smallest), np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]))


def test_matrices_that_are_given_stay_as_they_are() -> None:
    a = matrices(0.5)
    inverse_roots(a, np.zeros((2, 4)))
    np.testing.assert_array_equal(a, matrices(0.5))
