"""Positive numbers as mantissas times powers of two, which neither underflow nor lose relative accuracy.

A number is a pair (m, e) with m = 0 or 1 <= m < 2 and a 64-bit exponent e. Logarithms would not do instead: at an
exponent of a million they have ten digits left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import LEAF, UNCOUNTED, njit
from qpot.solvers.common.deferred import deferred

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# The rounded ln 2; with the next constant it is the sum of two doubles.
_LN2_HIGH = 0.6931471805599453
# What rounding took from ln 2.
_LN2_LOW = 2.3190468138462996e-17
# The powers of two from 1 downwards, by which the smaller of two numbers is shifted before it is added.
_POWERS = 2.0 ** -np.arange(64.0)
# Dekker's constant, 2^27 + 1, by which a double is split into two halves.
_SPLIT = 134217729.0


class ScaledFloats(NamedTuple):
    """Arrays of mantissas m and exponents e, which stand for the numbers ``m 2**e``."""

    m: Array
    e: Integers

    @staticmethod
    def zeros(n: int) -> ScaledFloats:
        return ScaledFloats(np.zeros(n), np.zeros(n, dtype=np.int64))

    def copy(self) -> ScaledFloats:
        return ScaledFloats(self.m.copy(), self.e.copy())


def exponentials(costs: Array, epsilon: float, prefactors: Array) -> tuple[Array, Integers]:
    """The rates ``prefactors * exp(-costs / epsilon)``, accurate to a few units in the last place.

    The quotient is kept to twice the working precision; quotients up to 1e17 are allowed.
    """
    quotient = costs / epsilon
    product, rest = _two_product(quotient, np.full_like(quotient, epsilon))
    low = ((costs - product) - rest) / epsilon
    n = np.round(quotient / _LN2_HIGH)
    product, rest = _two_product(n, np.full_like(n, _LN2_HIGH))
    remainder = (quotient - product) + ((low - rest) - n * _LN2_LOW)
    # Above 2^53 the first difference can leave a remainder of a few ln 2, which the exponential takes.
    mantissa, exponent = np.frexp(np.exp(-remainder))
    front, power = np.frexp(prefactors)
    mantissa, shift = np.frexp(mantissa * front)
    exponents = exponent.astype(np.int64) + power + shift - 1 - n.astype(np.int64)
    mantissas = 2.0 * mantissa
    return mantissas, np.where(mantissas == 0, 0, exponents)


def from_floats(values: Array) -> tuple[Array, Integers]:
    """Mantissas and exponents of floats ``>= 0``."""
    mantissa, exponent = np.frexp(values)
    return 2.0 * mantissa, np.where(values == 0, 0, exponent.astype(np.int64) - 1)


def to_floats(mantissas: Array, exponents: Integers) -> Array:
    """The numbers as floats; those below the smallest float become zero, those above the largest one infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(mantissas, np.clip(exponents, -5000, 5000).astype(np.int32)))


def logarithms(mantissas: Array, exponents: Integers) -> Array:
    """Natural logarithms of the numbers, minus infinity for zero."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(mantissas) + exponents * _LN2_HIGH)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """``a * b`` as a rounded product and its exact error (Dekker)."""
    product = a * b
    a_high = _SPLIT * a - (_SPLIT * a - a)
    b_high = _SPLIT * b - (_SPLIT * b - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@njit(**UNCOUNTED)
def plus(m1, e1, m2, e2):  # type: ignore[no-untyped-def]
    """The sum of two numbers."""
    if m1 == 0.0:
        return m2, e2
    if m2 == 0.0:
        return m1, e1
    d = e1 - e2
    if d >= 0:
        if d > 63:
            return m1, e1
        m = m1 + m2 * _POWERS[d]
        e = e1
    else:
        if d < -63:
            return m2, e2
        m = m2 + m1 * _POWERS[-d]
        e = e2
    if m >= 2.0:
        m *= 0.5
        e += 1
    return m, e


@njit(**UNCOUNTED)
def times(m1, e1, m2, e2):  # type: ignore[no-untyped-def]
    """The product of two numbers."""
    m = m1 * m2
    e = e1 + e2
    if m >= 2.0:
        m *= 0.5
        e += 1
    return m, e


@njit(**UNCOUNTED)
def over(m1, e1, m2, e2):  # type: ignore[no-untyped-def]
    """The quotient of two numbers, of which the second is not zero."""
    m = m1 / m2
    e = e1 - e2
    if 0.0 < m < 1.0:
        m *= 2.0
        e -= 1
    return m, e


@njit(**LEAF)
def add_to(x: ScaledFloats, i: int, m: float, e: int) -> None:
    """Add a number to ``x[i]``."""
    x.m[i], x.e[i] = plus(x.m[i], x.e[i], m, e)


def product(a: tuple[Array, Integers], b: tuple[Array, Integers]) -> tuple[Array, Integers]:
    """The products of two arrays of numbers, entry by entry."""
    mantissa, shift = np.frexp(a[0] * b[0])
    return 2.0 * mantissa, np.where(mantissa == 0, 0, a[1] + b[1] + shift - 1)


@deferred(lambda places, *rest: 5e-6 * places.size)
@njit(**UNCOUNTED)
def _add_at(places: Integers, terms: ScaledFloats, sums: ScaledFloats) -> None:
    for n in range(places.size):
        add_to(sums, places[n], terms.m[n], terms.e[n])


def add_at(places: Integers, mantissas: Array, exponents: Integers, size: int) -> ScaledFloats:
    """Sums of the numbers that belong to each of ``size`` places."""
    sums = ScaledFloats.zeros(size)
    _add_at(places, ScaledFloats(mantissas, exponents), sums)
    return sums
