"""Fixed-point sums against Python's integers and fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpot.solvers.chain.exact_sums import add, at_most, sign_of, to_float, to_integer, to_limbs

positive = st.floats(0, 1e300)


@settings(deadline=None)
@given(st.lists(positive, min_size=1, max_size=6))
def test_limbs_hold_the_floats_exactly(values: list[float]) -> None:
    limbs, exponent = to_limbs(np.array(values), 4)
    for row, value in zip(limbs, values, strict=True):
        assert Fraction(to_integer(row)) * Fraction(2) ** exponent == Fraction(value)
        assert to_float(to_integer(row), exponent) == value
        assert (row[1:] >= 0).all()
        assert (row[1:] < 2**32).all()


@settings(deadline=None)
@given(positive, positive, st.sampled_from([-1, 1]))
def test_sums_and_signs_are_exact(a: float, b: float, sign: int) -> None:
    limbs, exponent = to_limbs(np.array([a, b]), 4)
    out = np.zeros_like(limbs[0])
    add(limbs[0], limbs[1], sign, out)
    exact = Fraction(a) + sign * Fraction(b)
    assert Fraction(to_integer(out)) * Fraction(2) ** exponent == exact
    assert sign_of(out) == (exact > 0) - (exact < 0)


@settings(deadline=None)
@given(positive, positive)
def test_room_for_the_promised_number_of_terms(a: float, b: float) -> None:
    limbs, exponent = to_limbs(np.array([a, b]), 1000)
    total = limbs[0].copy()
    for _ in range(999):
        add(total, limbs[0], 1, total)
    assert Fraction(to_integer(total)) * Fraction(2) ** exponent == 1000 * Fraction(a)
    assert sign_of(total) == (a > 0)


@pytest.mark.parametrize(
    ("a", "tolerance", "b", "expected"),
    [
        (0.0, 0.0, 0.0, True),
        (0.0, 0.0, 1.0, True),
        (1e-300, 0.0, 1.0, False),
        (1e-13, 1e-12, 1.0, True),
        (1e-11, 1e-12, 1.0, False),
        (1e-300, 1e-12, 1e300, True),
        (1e287, 1e-12, 1e300, True),
        (1e289, 1e-12, 1e300, False),
        (1.0, 0.4, 0.0, False),
    ],
)
def test_comparison_to_a_relative_tolerance(a: float, tolerance: float, b: float, expected: bool) -> None:
    limbs, _ = to_limbs(np.array([a, b]), 4)
    assert bool(at_most(limbs[0], tolerance, limbs[1])) is expected


def test_round_numbers_stay_short() -> None:
    shapes: list[Any] = [to_limbs(np.array(v), 8)[0].shape[1] for v in ([1.0, 2.0, 64.0], [0.1, 0.7])]
    assert shapes == [1, 2]
