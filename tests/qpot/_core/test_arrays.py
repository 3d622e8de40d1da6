"""Conversion of arrays at the boundary."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds

from qpot._core.arrays import (
    as_bounds,
    as_count,
    as_float_array,
    as_point,
    as_points,
    as_positive,
    as_rng,
    call_batch,
    format_point,
)


def test_one_point_is_a_batch_of_one() -> None:
    assert as_points([1, 2], dimension=2, name="x").shape == (1, 2)
    strided = np.arange(12.0).reshape(3, 4)[:, ::2]
    converted = as_points(strided, dimension=2, name="x")
    assert converted.flags.c_contiguous
    assert converted.dtype == np.float64
    assert as_points(np.array([[1, 2]], dtype=np.float32), dimension=2, name="x").dtype == np.float64


def test_objects_with_a_point_are_points() -> None:
    np.testing.assert_array_equal(as_point(SimpleNamespace(point=[1.0, 2.0]), dimension=2, name="x"), [1.0, 2.0])


@pytest.mark.parametrize(
    "box",
    [
        [(-1, 1), (-2, 3), (0, 4)],
        np.array([[-1, 1], [-2, 3], [0, 4.0]]),
        Bounds([-1, -2, 0], [1, 3, 4]),
    ],
    ids=["pairs", "array", "Bounds"],
)
def test_ways_to_write_a_box(box: Any) -> None:
    lower, upper = as_bounds(box, dimension=3)
    np.testing.assert_array_equal(lower, [-1, -2, 0])
    np.testing.assert_array_equal(upper, [1, 3, 4])


@pytest.mark.parametrize("form", [tuple, list, np.array])
@pytest.mark.parametrize(
    ("corners", "way_out"),
    [
        (((-1.5, -3.5), (1.5, 3.5)), r"Bounds\(\(-1.5, -3.5\), \(1.5, 3.5\)\) for these corners$"),
        (
            ((-1.5, -1.0), (1.5, 1.0)),
            "for these corners$",
        ),  # As a pair the first would have low < high, the second not.
        (((-3.5, -1.5), (0.5, 3.5)), r"Bounds\(\(-3.5, 0.5\), \(-1.5, 3.5\)\) for these pairs$"),
        (((-1.0, -2.0, 0.0), (1.0, 3.0, 4.0)), "for these corners$"),
    ],
)
def test_two_corners_are_refused(corners: Any, way_out: str, form: Any) -> None:
    with pytest.raises(ValueError, match=r"looks like the two corners of a box") as error:
        as_bounds(form([form(c) for c in corners]), dimension=len(corners[0]))
    assert re.search(way_out, str(error.value))
    lower, upper = as_bounds(Bounds(*corners), dimension=len(corners[0]))
    np.testing.assert_array_equal(lower, corners[0])
    np.testing.assert_array_equal(upper, corners[1])


@pytest.mark.parametrize(
    "pairs",
    [((-2.0, 2.0), (-1.0, 1.0)), ((-1.5, 1.2), (-0.2, 2.0)), ((-1.0, 0.0), (0.0, 1.0)), ((1.0, 2.0), (-3.0, 0.0))],
)
def test_pairs_that_overlap_or_descend_are_pairs(pairs: Any) -> None:
    lower, upper = as_bounds(pairs, dimension=2)
    np.testing.assert_array_equal(np.column_stack([lower, upper]), pairs)


def test_scalar_bounds_are_those_of_every_coordinate() -> None:
    lower, upper = as_bounds(Bounds(-1, 2), dimension=3)
    np.testing.assert_array_equal(lower, -np.ones(3))
    np.testing.assert_array_equal(upper, 2 * np.ones(3))


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, True, "1", None, [1.0], 1j])
def test_no_positive_number(value: Any) -> None:
    with pytest.raises(ValueError, match=r"rate must be a finite number > 0, got"):
        as_positive(value, name="rate")


@pytest.mark.parametrize("value", [0, -3, 1.5, 2.0, True, "1", None])
def test_no_count(value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"starts must be an integer >= 1, got {value!r}")):
        as_count(value, name="starts")
    assert as_count(np.int32(3), name="starts") == 3


def test_generators_and_seeds() -> None:
    generator = np.random.default_rng(5)
    assert as_rng(generator) is generator
    assert as_rng(None).random() == np.random.default_rng(0).random()
    assert as_rng(7).random() == np.random.default_rng(7).random()
    for bad in (-1, 1.5, True, "seed", np.random.RandomState(0)):
        with pytest.raises(ValueError, match="rng must be"):
            as_rng(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [[1j], ["a"], [[1], [1, 2]], object()])
def test_no_real_numbers(value: Any) -> None:
    with pytest.raises(ValueError, match="start is not an array of real numbers"):
        as_float_array(value, name="start")


def test_long_points_are_cut_in_messages() -> None:
    assert format_point([1.0, 2.5]) == "(1, 2.5)"
    assert format_point(np.zeros(100)) == "(0, 0, 0, 0, 0, 0, ... 100 coordinates)"


def test_a_batch_function_is_told_what_shape_is_wanted() -> None:
    with pytest.raises(ValueError, match=r"drift returned shape \(2,\) for 3 points, expected \(3, 2\)"):
        call_batch(lambda x: x[0], np.zeros((3, 2)), shape=(2,), name="drift")


def test_a_function_of_one_point_is_told_that_a_batch_comes() -> None:
    with pytest.raises(
        ValueError, match=r"loss takes one point at a time, and must take a batch: points of shape \(3, 2\)"
    ):
        call_batch(lambda x: x @ x, np.zeros((3, 2)), shape=(), name="loss")


def test_a_function_that_fails_for_one_point_as_well_keeps_its_own_error() -> None:
    def function(_: Any) -> Any:
        raise IndexError("a mistake in the user's own code")

    with pytest.raises(IndexError, match="own code"):
        call_batch(function, np.zeros((3, 2)), shape=(), name="loss")
