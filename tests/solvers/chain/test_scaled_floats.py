"""Scaled floats against mpmath."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qpot.solvers.chain.scaled_floats import (
    add_at,
    exponentials,
    from_floats,
    logarithms,
    over,
    plus,
    product,
    times,
    to_floats,
)

numbers = st.tuples(st.floats(1.0, 2.0, exclude_max=True), st.integers(-(10**6), 10**6))


def value(pair: Any) -> Any:
    return mp.ldexp(mp.mpf(float(pair[0])), int(pair[1]))


@settings(deadline=None)
@given(numbers, numbers)
def test_arithmetic_has_the_relative_accuracy_of_floats(a: Any, b: Any) -> None:
    with mp.workdps(60):
        for found, exact in (
            (times(*a, *b), value(a) * value(b)),
            (over(*a, *b), value(a) / value(b)),
        ):
            assert abs(value(found) / exact - 1) < 2.3e-16
            assert 1.0 <= found[0] < 2.0
    with mp.workprec(2_100_000 if abs(a[1] - b[1]) > 150 else 400):
        exact = value(a) + value(b)
        found = plus(*a, *b)
        assert abs(value(found) - exact) < 2.3e-16 * exact
        assert plus(*b, *a) == found


def test_zero_is_neutral() -> None:
    assert plus(0.0, 0, 1.5, 7) == plus(1.5, 7, 0.0, 0) == (1.5, 7)
    assert times(0.0, 0, 1.5, 7)[0] == 0.0
    assert over(0.0, 0, 1.5, 7)[0] == 0.0


@settings(deadline=None)
@given(st.floats(0, 1e6), st.floats(1e-6, 1e3), st.floats(1e-5, 1e5))
def test_exponentials_keep_their_digits_at_any_exponent(cost: float, epsilon: float, factor: float) -> None:
    m, e = exponentials(np.array([cost]), epsilon, np.array([factor]))
    with mp.workdps(60):
        exact = mp.mpf(factor) * mp.exp(-mp.mpf(cost) / mp.mpf(epsilon))
        assert abs(value((m[0], e[0])) / exact - 1) < 1e-15
    assert 1.0 <= m[0] < 2.0


def test_conversions() -> None:
    values = np.array([0.0, 1.0, 3.5, 1e-310, 1e300])
    m, e = from_floats(values)
    np.testing.assert_array_equal(to_floats(m, e), values)
    assert to_floats(np.array([1.0, 1.0]), np.array([-5000, 5000])).tolist() == [0.0, np.inf]
    np.testing.assert_allclose(logarithms(np.array([1.0, 0.0]), np.array([10, 0])), [10 * np.log(2), -np.inf])


def test_sums_by_place_and_products() -> None:
    m, e = from_floats(np.array([1.0, 2.0, 4.0]))
    total_m, total_e = add_at(np.array([0, 2, 0]), m, e, 3)
    assert to_floats(total_m, total_e).tolist() == [5.0, 0.0, 2.0]
    assert to_floats(*product((m, e), (m, e))).tolist() == [1.0, 4.0, 16.0]
