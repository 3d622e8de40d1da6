"""Elimination of a full matrix of rates, in scaled floats, by blocks of states.

States are eliminated one by one within a block. What a whole block adds to the rest is a product of two matrices of
positive numbers. Its rows and columns are divided by powers of two, so that it is formed in plain floats; where a sum
comes out so small that underflow may have taken a part of it, as most do where epsilon is small against the costs, it is
formed again, divided by its own largest part.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.chain.scaled_floats import ScaledFloats, add_to, over, plus, times
from qpot.solvers.common.compiled import LEAF, UNCOUNTED, njit

Array = NDArray[np.float64]

# States in a block.
_BLOCK = 64
# Columns of which sums are formed at a time, so that their part of the block stays in the cache.
_TILE = 512
# Parts of a sum below 2^-1022 are lost, which is nothing to a sum above this.
_SAFE = 2.0**-900
# The exponent of zero, which is below all others; twice of it is an integer still.
_NONE = -(2**61)
# Parts of a sum below the largest one by 2 to this power do not change its last digit, however many there are in a block.
_NOTHING = -70
# Powers of two from 1 down to the smallest float.
_DOWN = 2.0 ** -np.arange(1075.0)


@njit(**UNCOUNTED)
def _shifted(m, d):  # type: ignore[no-untyped-def]
    """``m 2**d`` for ``d <= 0``, zero where that is no float."""
    return m * _DOWN[-d] if d > -1075 else 0.0


@njit(**UNCOUNTED)
def _eliminate_block(m, e, first, end, count, kill, total):  # type: ignore[no-untyped-def]
    """Eliminate the states of one block; rows beyond it are updated in its columns only."""
    n = m.shape[0]
    for s in range(first, min(end, count)):
        sum_m, sum_e = kill.m[s], kill.e[s]
        for j in range(s + 1, n):
            sum_m, sum_e = plus(sum_m, sum_e, m[s, j], e[s, j])
        if sum_m == 0.0:
            return s
        total.m[s], total.e[s] = sum_m, sum_e
        for i in range(s + 1, n):
            if m[i, s] == 0.0:
                continue
            w_m, w_e = over(m[i, s], e[i, s], sum_m, sum_e)
            m[i, s], e[i, s] = w_m, w_e
            if kill.m[s] > 0.0:
                p_m, p_e = times(w_m, w_e, kill.m[s], kill.e[s])
                add_to(kill, i, p_m, p_e)
            for j in range(s + 1, n if i < end else end):
                if m[s, j] != 0.0 and j != i:
                    p_m, p_e = times(w_m, w_e, m[s, j], e[s, j])
                    m[i, j], e[i, j] = plus(m[i, j], e[i, j], p_m, p_e)
    return -1


@njit(**LEAF)
def _scaled_sum(m_in, e_in, m_out, e_out, above):  # type: ignore[no-untyped-def]
    """The sum over s of ``m_in[s] m_out[s] 2**(e_in[s] + e_out[s])``; zero where it is below ``2**above`` by far."""
    largest = np.int64(_NONE)
    for s in range(m_in.size):
        largest = max(largest, e_in[s] + e_out[s])
    if largest < above + _NOTHING or largest < _NONE // 2:
        return 0.0, np.int64(0)
    total = 0.0
    for s in range(m_in.size):
        below = e_in[s] + e_out[s] - largest
        if below > _NOTHING:
            total += m_in[s] * m_out[s] * _DOWN[-below]
    half, power = math.frexp(total)
    return 2.0 * half, power - 1 + largest


@njit(**LEAF)
def _exponent(m, e):  # type: ignore[no-untyped-def]
    """The exponent of a number, which is lower than all others for zero."""
    return e if m != 0.0 else np.int64(_NONE)


@njit(cache=True, nogil=True)
def _update_rest(m, e, first, end):  # type: ignore[no-untyped-def]
    """Add to the rates between the states beyond a block what leads through its states."""
    n, b = m.shape[0], end - first
    rest = n - end
    high = np.full(rest, -(2**62), dtype=np.int64)
    U = np.zeros((b, rest))
    for s in range(b):
        for j in range(rest):
            if m[first + s, end + j] != 0.0:
                high[j] = max(high[j], e[first + s, end + j])
    for s in range(b):
        for j in range(rest):
            if m[first + s, end + j] != 0.0:
                U[s, j] = _shifted(m[first + s, end + j], e[first + s, end + j] - high[j])
    L, top = np.zeros((rest, b)), np.full(rest, -(2**62), dtype=np.int64)
    for i in range(rest):
        for s in range(b):
            if m[end + i, first + s] != 0.0:
                top[i] = max(top[i], e[end + i, first + s])
        for s in range(b):
            if m[end + i, first + s] != 0.0:
                L[i, s] = _shifted(m[end + i, first + s], e[end + i, first + s] - top[i])
    sums = np.empty(min(_TILE, rest))
    e_in = np.empty(b, dtype=np.int64)
    m_out, e_out = np.empty((sums.size, b)), np.empty((sums.size, b), dtype=np.int64)
    for left in range(0, rest, _TILE):
        width = min(_TILE, rest - left)
        part = np.ascontiguousarray(U[:, left : left + width])
        for s in range(b):
            for c in range(width):
                m_out[c, s] = m[first + s, end + left + c]
                e_out[c, s] = _exponent(m_out[c, s], e[first + s, end + left + c])
        for i in range(rest):
            if top[i] == -(2**62):
                continue
            sums[:width] = 0.0
            for s in range(b):
                e_in[s] = _exponent(m[end + i, first + s], e[end + i, first + s])
            for s in range(b):
                weight = L[i, s]
                if weight != 0.0:
                    for j in range(width):
                        sums[j] += weight * part[s, j]
            for c in range(width):
                j = left + c
                if j == i or high[j] == -(2**62):
                    continue
                if sums[c] >= _SAFE:
                    half, power = math.frexp(sums[c])
                    add_m, add_e = 2.0 * half, power - 1 + top[i] + high[j]
                else:
                    own = _exponent(m[end + i, end + j], e[end + i, end + j])
                    add_m, add_e = _scaled_sum(m[end + i, first:end], e_in, m_out[c], e_out[c], own)
                if add_m != 0.0:
                    at, to = end + i, end + j
                    m[at, to], e[at, to] = plus(m[at, to], e[at, to], add_m, add_e)


@njit(cache=True, nogil=True)
def eliminate_dense(m, e, count, kill: ScaledFloats, total: ScaledFloats):  # type: ignore[no-untyped-def]
    """Eliminate states 0..count-1 of the rates ``m 2**e``, ``(n, n)``, in place; the diagonal is not read.

    ``kill`` and ``total`` and what becomes of the entries are as for `qpot.solvers.chain.stationary_law.eliminate`. The
    function returns the first state that nothing leaves, or -1.
    """
    n = m.shape[0]
    for first in range(0, count, _BLOCK):
        end = min(first + _BLOCK, n)
        stuck = _eliminate_block(m, e, first, end, count, kill, total)
        if stuck >= 0:
            return stuck
        if end < n:
            _update_rest(m, e, first, end)
    return -1
