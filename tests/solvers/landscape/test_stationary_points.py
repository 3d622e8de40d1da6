"""Zeros of vector fields from many starts, and the separatrix between basins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qpot.solvers.landscape.stationary_points import bisect_labels, distinct, find_roots, nearest_rest

Array = NDArray[np.float64]


def cubic(x: Array) -> Array:
    return np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1)


def cubic_jacobian(x: Array) -> Array:
    J = np.zeros((len(x), 2, 2))
    J[:, 0, 0], J[:, 1, 1] = 1 - 3 * x[:, 0] ** 2, -1.0
    return J


LOWER, UPPER = np.array([-2.0, -2.0]), np.array([2.0, 2.0])


def test_all_roots_of_a_cubic() -> None:
    starts = np.random.default_rng(0).uniform(-2, 2, (60, 2))
    roots, found = find_roots(cubic, cubic_jacobian, starts, lower=LOWER, upper=UPPER)
    assert found.mean() > 0.9
    kept = roots[found][distinct(roots[found], tolerance=1e-6)]
    np.testing.assert_allclose(kept[np.argsort(kept[:, 0])], [[-1, 0], [0, 0], [1, 0]], atol=1e-12)


def test_no_root_is_found_where_there_is_none() -> None:
    _, found = find_roots(
        lambda x: 1 + x**2,
        lambda x: 2 * x[:, :, None],
        np.linspace(-2, 2, 9)[:, None],
        lower=-2 * np.ones(1),
        upper=2 * np.ones(1),
    )
    assert not found.any()


def test_starts_at_which_the_function_fails_are_given_up() -> None:
    def root(x: Array) -> Array:
        return np.where(x > 0, np.log(np.maximum(x, 1e-300)), np.nan)

    roots, found = find_roots(
        root, lambda x: (1 / x)[:, :, None], np.array([[-1.0], [0.5], [3.0]]), lower=np.zeros(1), upper=4 * np.ones(1)
    )
    np.testing.assert_array_equal(found, [False, True, True])
    np.testing.assert_allclose(roots[1:], 1.0, atol=1e-12)


@pytest.mark.parametrize("scale", [(1e-3, 1e3), (1e3, 1e-3), (1e-6, 1.0)])
def test_coordinates_of_unequal_size(scale: tuple[float, float]) -> None:
    s = np.array(scale)
    starts = np.random.default_rng(0).uniform(-2, 2, (60, 2)) * s
    roots, found = find_roots(
        lambda x: s * cubic(x / s),
        lambda x: s[:, None] * cubic_jacobian(x / s) / s,
        starts,
        lower=LOWER * s,
        upper=UPPER * s,
    )
    inside = np.abs(roots[found] / s)
    assert found.any()
    # every point that is called a root is one, in each coordinate at its own scale
    np.testing.assert_allclose(np.minimum(inside[:, 0], np.abs(inside[:, 0] - 1)), 0.0, atol=1e-9)
    np.testing.assert_allclose(inside[:, 1], 0.0, atol=1e-9)


@given(st.floats(1e-12, 1e12))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_time_does_not_matter(rate: float) -> None:
    starts = np.random.default_rng(1).uniform(-2, 2, (10, 2))
    plain = find_roots(cubic, cubic_jacobian, starts, lower=LOWER, upper=UPPER)
    scaled = find_roots(lambda x: rate * cubic(x), lambda x: rate * cubic_jacobian(x), starts, lower=LOWER, upper=UPPER)
    both = plain[1] & scaled[1]
    assert both.sum() >= 8
    np.testing.assert_allclose(plain[0][both], scaled[0][both], atol=1e-9)


@given(st.integers(0, 40), st.floats(1e-3, 1.0))
@settings(max_examples=40, deadline=None)
def test_distinct_against_pairwise_distances(seed: int, tolerance: float) -> None:
    points = np.random.default_rng(seed).uniform(0, 1, (seed, 2))
    kept: list[int] = []
    for i in range(seed):
        if all(np.linalg.norm(points[i] - points[j]) > tolerance for j in kept):
            kept.append(i)
    np.testing.assert_array_equal(distinct(points, tolerance=tolerance), kept)


def test_nearest_rest_is_next_to_the_saddle() -> None:
    x = nearest_rest(cubic, np.array([1e-9, 1.5]), time=40.0)
    assert np.linalg.norm(x) < 1e-3


def test_bisection_runs_into_the_border() -> None:
    def label(x: Array) -> NDArray[np.int64]:
        return (x[:, 0] > 0.1 * x[:, 1]).astype(np.int64)

    a, b = bisect_labels(label, np.array([[-1.0, 0.5], [-2.0, -1.0]]), np.array([[1.0, 1.0], [0.5, 0.0]]), steps=46)
    np.testing.assert_allclose(a, b, atol=1e-12)
    np.testing.assert_allclose(a[:, 0], 0.1 * a[:, 1], atol=1e-12)
    assert (label(a) == 0).all()
    assert (label(b) == 1).all()


def test_no_jacobian_is_asked_for_twice_at_one_point() -> None:
    asked: list[Array] = []

    def jacobian(x: Array) -> Array:
        asked.append(x.copy())
        return cubic_jacobian(x)

    starts = np.random.default_rng(1).uniform(-2, 2, (60, 2))
    roots, found = find_roots(cubic, jacobian, starts, lower=LOWER, upper=UPPER)
    points = np.concatenate(asked)
    # Iterates at rest may be at the same root.
    away = np.abs(cubic(points)).max(axis=1) > 1e-6
    assert len(np.unique(points[away], axis=0)) == away.sum()
    alone = [find_roots(cubic, cubic_jacobian, s[None], lower=LOWER, upper=UPPER) for s in starts]
    assert (found == [f[0] for _, f in alone]).all()
    np.testing.assert_allclose(roots[found], np.array([r[0] for r, _ in alone])[found], atol=1e-12)
