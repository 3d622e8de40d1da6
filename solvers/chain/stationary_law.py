"""Elimination of the states of a Markov chain without subtraction, sparse and in scaled floats.

The method is that of Grassmann, Taksar and Heyman.
States are numbered in the order of their elimination. Taking out state s adds q_is q_sj / q_s to the rate
from i to j, which gives the chain as it is seen while it is outside s.
Every operation is a sum, product or quotient of positive
numbers, so every result has a relative error of a few units in the last place times the number of states,
however ill-conditioned the generator is (O'Cinneide 1993).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.chain.dense_elimination import eliminate_dense
from qpot.solvers.chain.fill_reducing import Pattern
from qpot.solvers.chain.scaled_floats import ScaledFloats, add_to, over, plus, times
from qpot.solvers.common.compiled import UNCOUNTED, njit
from qpot.solvers.common.deferred import Deferred, deferred

Integers = NDArray[np.int64]


@njit(**UNCOUNTED)
def fill_in(
    rank: Integers, tails: Integers, heads: Integers, rates: ScaledFloats, pattern: Pattern, entries: ScaledFloats
) -> None:
    """Add the rates of the routes to the entries of the pattern; parallel routes add up."""
    for n in range(tails.size):
        i, j = rank[tails[n]], rank[heads[n]]
        if i == j:
            continue
        low, high = pattern.row_start[i], pattern.row_start[i + 1]
        while low < high:
            middle = (low + high) // 2
            if pattern.columns[middle] < j:
                low = middle + 1
            else:
                high = middle
        add_to(entries, low, rates.m[n], rates.e[n])


@njit(**UNCOUNTED)
def eliminate(count: int, pattern: Pattern, entries: ScaledFloats, kill: ScaledFloats, total: ScaledFloats) -> int:
    """Eliminate states 0..count-1 in place.

    ``kill`` is each state's rate of leaving the chain, ``total`` receives the rate of leaving the state at
    the moment of its elimination. Entries below the diagonal become the weights q_is / q_s, those above it
    stay rates. The function returns the first state that nothing leaves, or -1.
    """
    columns = pattern.columns
    for s in range(count):
        stop = pattern.row_start[s + 1]
        begin = pattern.row_start[s]
        while begin < stop and columns[begin] < s:
            begin += 1
        sum_m, sum_e = kill.m[s], kill.e[s]
        for p in range(begin, stop):
            sum_m, sum_e = plus(sum_m, sum_e, entries.m[p], entries.e[p])
        if sum_m == 0.0:
            return s
        total.m[s], total.e[s] = sum_m, sum_e
        for n in range(pattern.column_start[s], pattern.column_start[s + 1]):
            i, at = pattern.rows[n], pattern.positions[n]
            if entries.m[at] == 0.0:
                continue
            weight_m, weight_e = over(entries.m[at], entries.e[at], sum_m, sum_e)
            entries.m[at], entries.e[at] = weight_m, weight_e
            if kill.m[s] > 0.0:
                add_m, add_e = times(weight_m, weight_e, kill.m[s], kill.e[s])
                add_to(kill, i, add_m, add_e)
            target = at + 1
            for p in range(begin, stop):
                j = columns[p]
                if j == i or entries.m[p] == 0.0:
                    continue
                while columns[target] < j:
                    target += 1
                add_m, add_e = times(weight_m, weight_e, entries.m[p], entries.e[p])
                add_to(entries, target, add_m, add_e)
    return -1


@deferred(lambda count, order, *rest: 1e-5 * order.size**2 + 1e-6 * order.size**3)
@njit(cache=True, nogil=True)
def eliminated(
    count: int,
    order: Integers,
    pattern: Pattern,
    tails: Integers,
    heads: Integers,
    rates: ScaledFloats,
    kill: ScaledFloats,
) -> tuple[int, ScaledFloats, ScaledFloats]:
    """Eliminate the first ``count`` states of a chain in the given order.

    Parameters
    ----------
    count : int
    order : ``(k,)``
    pattern : Pattern
        As `qpot.solvers.chain.fill_reducing.elimination_order` makes them.
    tails, heads, rates : ``(m,)``
        The routes; those from a state to itself are ignored.
    kill : ``(k,)``
        Each state's rate of leaving the chain.

    Returns
    -------
    stuck : int
        The first elimination number of a state that nothing leaves, or -1.
    entries, total
        As `eliminate` leaves them.
    """
    k, core = order.size, pattern.core
    rank = np.empty(k, dtype=np.int64)
    leaving = ScaledFloats(np.empty(k), np.empty(k, dtype=np.int64))
    for s in range(k):
        rank[order[s]] = s
        leaving.m[s], leaving.e[s] = kill.m[order[s]], kill.e[order[s]]
    entries = ScaledFloats(np.zeros(pattern.columns.size), np.zeros(pattern.columns.size, dtype=np.int64))
    total = ScaledFloats(np.zeros(k), np.zeros(k, dtype=np.int64))
    fill_in(rank, tails, heads, rates, pattern, entries)
    stuck = eliminate(min(count, core), pattern, entries, leaving, total)
    if stuck >= 0 or count <= core:
        return stuck, entries, total
    n = k - core
    m, e = np.zeros((n, n)), np.zeros((n, n), dtype=np.int64)
    for i in range(n):
        # The core's part of a row is its end, without the diagonal.
        place = pattern.row_start[core + i + 1] - n + 1
        for j in range(n):
            if j != i:
                m[i, j], e[i, j] = entries.m[place], entries.e[place]
                place += 1
    inner = ScaledFloats(total.m[core:], total.e[core:])
    stuck = eliminate_dense(m, e, count - core, ScaledFloats(leaving.m[core:], leaving.e[core:]), inner)
    for i in range(n):
        place = pattern.row_start[core + i + 1] - n + 1
        for j in range(n):
            if j != i:
                entries.m[place], entries.e[place] = m[i, j], e[i, j]
                place += 1
    return (stuck if stuck < 0 else stuck + core), entries, total


@deferred(lambda pattern, *rest: 5e-6 * pattern.columns.size)
@njit(**UNCOUNTED)
def stationary_law(pattern: Pattern, entries: ScaledFloats, weights: ScaledFloats) -> None:
    """Fill ``weights`` with the stationary law, after all states but the last were eliminated."""
    k = weights.m.size
    weights.m[k - 1], weights.e[k - 1] = 1.0, 0
    for s in range(k - 2, -1, -1):
        sum_m, sum_e = 0.0, np.int64(0)
        for n in range(pattern.column_start[s], pattern.column_start[s + 1]):
            i, at = pattern.rows[n], pattern.positions[n]
            add_m, add_e = times(weights.m[i], weights.e[i], entries.m[at], entries.e[at])
            if add_m > 0.0:
                sum_m, sum_e = plus(sum_m, sum_e, add_m, add_e)
        weights.m[s], weights.e[s] = sum_m, sum_e
    total_m, total_e = 0.0, np.int64(0)
    for s in range(k):
        total_m, total_e = plus(total_m, total_e, weights.m[s], weights.e[s])
    for s in range(k):
        if weights.m[s] > 0.0:
            weights.m[s], weights.e[s] = over(weights.m[s], weights.e[s], total_m, total_e)


@njit(**UNCOUNTED)
def accumulate(pattern: Pattern, entries: ScaledFloats, total: ScaledFloats, gain: ScaledFloats) -> None:
    """Compute the expected gain until the chain is killed, from every state, after all states were eliminated.

    ``gain (k,)`` is the gain per unit of time in each state; it is overwritten with the expectation.
    """
    k = total.m.size
    for s in range(k):
        if gain.m[s] > 0.0:
            for n in range(pattern.column_start[s], pattern.column_start[s + 1]):
                at = pattern.positions[n]
                if entries.m[at] > 0.0:
                    add_m, add_e = times(entries.m[at], entries.e[at], gain.m[s], gain.e[s])
                    add_to(gain, pattern.rows[n], add_m, add_e)
    for s in range(k - 1, -1, -1):
        sum_m, sum_e = gain.m[s], gain.e[s]
        for p in range(pattern.row_start[s], pattern.row_start[s + 1]):
            j = pattern.columns[p]
            if j > s and entries.m[p] > 0.0 and gain.m[j] > 0.0:
                add_m, add_e = times(entries.m[p], entries.e[p], gain.m[j], gain.e[j])
                sum_m, sum_e = plus(sum_m, sum_e, add_m, add_e)
        if sum_m > 0.0:
            sum_m, sum_e = over(sum_m, sum_e, total.m[s], total.e[s])
        gain.m[s], gain.e[s] = sum_m, sum_e


# The same, for callers that are not compiled themselves.
expected_gain = Deferred(accumulate, lambda pattern, *rest: 5e-6 * pattern.columns.size)
