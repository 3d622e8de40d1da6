"""Sums of floats without rounding: fixed-point numbers of several 32-bit limbs, most significant first.

A set of floats is a set of integers times one power of two. Rows of ``L`` limbs (int64, all but the first in
[0, 2^32), the first signed) hold those integers, so that sums and differences of costs that span any number
of decades are exact, and two of them are equal exactly when they are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import UNCOUNTED, njit
from qpot.solvers.common.deferred import deferred

Limbs = NDArray[np.int64]

# Bits of a limb.
LIMB = 32
# The bits of one limb, all set.
_MASK = (1 << LIMB) - 1


def to_limbs(values: NDArray[np.float64], terms: int) -> tuple[Limbs, int]:
    """Rows of limbs for finite ``values >= 0`` with room for sums of ``terms`` of them.

    The function returns ``(limbs (n, L), exponent)``; a row stands for its integer times ``2**exponent``.
    """
    mantissa, exponent = np.frexp(values)
    integers = np.ldexp(mantissa, 53).astype(np.int64)
    positive = integers > 0
    if not positive.any():
        return np.zeros((values.size, 1), dtype=np.int64), 0
    # Trailing zero bits are dropped, so that round numbers stay short.
    zeros = np.zeros(values.size, dtype=np.int64)
    zeros[positive] = np.log2((integers & -integers)[positive]).astype(np.int64)
    lowest = int((exponent - 53 + zeros)[positive].min())
    bits = int(exponent[positive].max()) - lowest + math.ceil(math.log2(terms + 1)) + 2
    L = max(1, -(-bits // LIMB))
    limbs = np.zeros((values.size, L), dtype=np.int64)
    shifted = np.where(positive, integers >> np.minimum(zeros, 62), 0)
    shift = np.where(positive, exponent - 53 + zeros - lowest, 0).astype(np.int64)
    _place(shifted, shift, limbs)
    return limbs, lowest


def to_integer(row: Limbs) -> int:
    """The integer that a row of limbs stands for."""
    total = 0
    for limb in row.tolist():
        total = (total << LIMB) + limb
    return total


def to_float(integer: int, exponent: int) -> float:
    """``integer * 2**exponent``, correctly rounded."""
    if exponent >= 0:
        return float(integer << exponent)
    return integer / (1 << -exponent)


@deferred(lambda integers, *rest: 5e-6 * integers.size)
@njit(**UNCOUNTED)
def _place(integers, shifts, limbs):  # type: ignore[no-untyped-def]
    L = limbs.shape[1]
    for n in range(integers.size):
        rest = integers[n]
        word = shifts[n] // LIMB
        offset = shifts[n] % LIMB
        # The 53 bits are taken in two parts, either of which fits into 63 bits after a shift by at most 31.
        low = (rest & _MASK) << offset
        carry = low & _MASK
        top = ((rest >> LIMB) << offset) + (low >> LIMB)
        for value in (carry, top & _MASK, top >> LIMB):
            if value != 0:
                limbs[n, L - 1 - word] += value
            word += 1


@njit(**UNCOUNTED)
def add(a, b, sign, out):  # type: ignore[no-untyped-def]
    """Compute ``out = a + sign * b``; ``out`` may be ``a`` or ``b``."""
    carry = 0
    for limb in range(a.size - 1, 0, -1):
        total = a[limb] + sign * b[limb] + carry
        out[limb] = total & _MASK
        carry = total >> LIMB
    out[0] = a[0] + sign * b[0] + carry


@njit(**UNCOUNTED)
def sign_of(a):  # type: ignore[no-untyped-def]
    """The sign of a number, -1, 0 or 1."""
    if a[0] < 0:
        return -1
    for limb in range(a.size):
        if a[limb] != 0:
            return 1
    return 0


@njit(**UNCOUNTED)
def at_most(a, tolerance, b):  # type: ignore[no-untyped-def]
    """Whether ``a <= tolerance * b`` for ``a, b >= 0`` and ``tolerance < 1``; rounded, but exact where one is zero."""
    if sign_of(a) == 0:
        return True
    if tolerance == 0.0:
        return False
    first = 0
    while first < b.size and b[first] == 0:
        first += 1
    if first == b.size:
        return False
    for limb in range(first):
        if a[limb] != 0:
            return False
    left = 0.0
    right = 0.0
    unit = 1.0
    for limb in range(first, b.size):
        left += a[limb] * unit
        right += b[limb] * unit
        unit *= 2.3283064365386963e-10
    return left <= tolerance * right
