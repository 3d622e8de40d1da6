"""The compiled sample gradients against their NumPy formulas, and what `pack` refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sums_simulation import NAMES, finite_sum, packed

from qpot.solvers.common.sample_gradients import (
    KINDS,
    SHAPES,
    all_sample_gradients,
    gradient_moments,
    mean_gradients,
    pack,
)


def test_every_kernel_is_covered() -> None:
    assert set(NAMES) == set(KINDS) == set(SHAPES)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.1, 1.0, 5.0]))
@settings(max_examples=15, deadline=None)
def test_kernel_equals_the_numpy_formula(name: str, seed: int, spread: float) -> None:
    total = finite_sum(name, seed)
    points = spread * np.random.default_rng(seed + 1).normal(size=(9, total.dimension))
    kind, table, constants = packed(total)
    expected = total.gradients_at(points)
    scale = 1.0 + np.abs(expected).max()
    compiled = all_sample_gradients(kind, table, constants, points, total.n_samples)
    np.testing.assert_allclose(compiled, expected, rtol=1e-12, atol=1e-13 * scale)
    mean = mean_gradients(kind, table, constants, points, total.n_samples)
    np.testing.assert_allclose(mean, expected.mean(axis=1), rtol=1e-12, atol=1e-13 * scale)


@pytest.mark.parametrize("seed", range(3))
def test_moments_of_points_that_share_their_frequency(seed: int) -> None:
    """Cosines are kept while the frequency stays; in any order of the points the moments are those of one at a time."""
    total, rng = finite_sum("sinusoid", seed), np.random.default_rng(seed)
    points = rng.normal(size=(40, 3))
    points[:, 0] = rng.choice(points[:4, 0], size=40)
    points[7] = points[8]
    kind, table, constants = packed(total)
    mean, covariance = gradient_moments(kind, table, constants, points, total.n_samples)
    for row, point in enumerate(points):
        g = total.gradients_at(point[None])[0]
        np.testing.assert_allclose(mean[row], g.mean(axis=0), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(covariance[row], np.cov(g.T, bias=True), rtol=1e-11, atol=1e-13)
        alone = gradient_moments(kind, table, constants, point[None], total.n_samples)
        np.testing.assert_array_equal(alone[0][0], mean[row])
        np.testing.assert_array_equal(alone[1][0], covariance[row])


def test_large_margins_neither_overflow_nor_turn_into_nan() -> None:
    total = finite_sum("logistic")
    kind, table, constants = packed(total)
    points = np.array([[1e4, 0.0, 0.0], [-1e4, 0.0, 0.0]])
    compiled = all_sample_gradients(kind, table, constants, points, total.n_samples)
    np.testing.assert_allclose(compiled, total.gradients_at(points), rtol=1e-12)
    total = finite_sum("embedded_double_well")
    kind, table, constants = packed(total)
    points = np.array([[1e3, 0.0], [-1e3, 1.0]])
    compiled = all_sample_gradients(kind, table, constants, points, 6)
    np.testing.assert_allclose(compiled, total.gradients_at(points), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "arrays", "N", "d", "message"),
    [
        ("cubic", (), 3, 1, "unknown"),
        ("quadratic", (np.ones((3, 1)),), 3, 1, "takes 2 arrays, got 1"),
        ("quadratic", (np.ones((3, 1)), np.ones((3, 2))), 3, 1, r"array 1 .* has shape \(3, 2\)"),
        ("least_squares", (np.ones((3, 1)), [1.0, np.nan, 0.0], 0.0), 3, 1, "array 1"),
        ("sinusoid", (np.ones(4), np.ones(4)), 4, 2, "dimension 3"),
        ("embedded_double_well", (0.5,), 4, 2, "6 samples"),
    ],
)
def test_pack_refuses_what_does_not_fit(name: str, arrays: tuple[Any, ...], N: int, d: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack(name, arrays, N, d)
