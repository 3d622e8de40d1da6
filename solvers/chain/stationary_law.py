"""Elimination of the states of a Markov chain without subtraction, sparse and in scaled floats.

The method is that of Grassmann, Taksar and Heyman.
States are numbered in the order of their elimination. Taking out state s adds q_is q_sj / q_s to the rate
from i to j, which gives the chain as it is seen while it is outside s.
Every operation is a sum, product or quotient of positive
numbers, so every result has a relative error of a few units in the last place times the number of states,
however ill-conditioned the generator is (O'Cinneide 1993).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.chain.scaled_floats import ScaledFloats, add_to, over, plus, times
from qpot.solvers.common.compiled import UNCOUNTED, njit
from qpot.solvers.common.deferred import Deferred, deferred

Integers = NDArray[np.int64]


class Pattern(NamedTuple):
    """Where the filled matrix of rates has entries, in elimination numbers, as rows sorted by column and as columns.

    Row i has the columns ``columns[row_start[i]:row_start[i + 1]]``. Column c has the rows
    ``rows[column_start[c]:column_start[c + 1]]`` with entries at ``positions``; only entries with row > column are listed.
    """

    row_start: Integers  # (k + 1,)
    columns: Integers
    column_start: Integers  # (k + 1,)
    rows: Integers
    positions: Integers


@njit(cache=True, nogil=True)
def _count(word):  # type: ignore[no-untyped-def]
    n = 0
    while word != np.uint64(0):
        word &= word - np.uint64(1)
        n += 1
    return n


@njit(cache=True, nogil=True)
def elimination_order(k, tails, heads, last):  # type: ignore[no-untyped-def]
    """Order in which to eliminate so that little fills in (least Markowitz count), and the filled pattern.

    Parameters
    ----------
    k : int
    tails, heads : int64 arrays ``(m,)``
        Tails and heads of the edges; those from a node to itself are ignored.
    last : int
        This node is eliminated last; -1 for none.

    Returns
    -------
    order : ``(k,)``
        ``order[t]`` is the node eliminated at step t.
    out, into : uint64 arrays ``(k, ceil(k / 64))``
        Bit sets: the heads and the tails of the routes of each node at the moment it is eliminated.
    """
    words = (k + 63) // 64
    one = np.uint64(1)
    out = np.zeros((k, words), dtype=np.uint64)
    into = np.zeros((k, words), dtype=np.uint64)
    for e in range(tails.size):
        i, j = tails[e], heads[e]
        if i != j:
            out[i, j // 64] |= one << np.uint64(j % 64)
            into[j, i // 64] |= one << np.uint64(i % 64)
    n_out = np.zeros(k, dtype=np.int64)
    n_into = np.zeros(k, dtype=np.int64)
    for i in range(k):
        for w in range(words):
            n_out[i] += _count(out[i, w])
            n_into[i] += _count(into[i, w])
    order = np.empty(k, dtype=np.int64)
    taken = np.zeros(k, dtype=np.bool_)
    for step in range(k):
        s = -1
        least = np.int64(0)
        for i in range(k):
            if not taken[i] and (i != last or step == k - 1):
                fill = n_out[i] * n_into[i]
                if s < 0 or fill < least:
                    s, least = i, fill
        order[step] = s
        taken[s] = True
        left = k - step - 1
        full = n_out[s] == left and n_into[s] == left
        for i in range(k):
            bit = one << np.uint64(i % 64)
            for direction in range(2):
                near, far = (into, out) if direction == 0 else (out, into)
                count = n_out if direction == 0 else n_into
                if near[s, i // 64] & bit:
                    # A state i that leads to s now leads to all states to which s leads, and the same holds backwards.
                    if full and count[i] == left:
                        far[i, s // 64] &= ~(one << np.uint64(s % 64))
                        count[i] -= 1
                        continue
                    n = 0
                    for w in range(words):
                        far[i, w] |= far[s, w]
                    far[i, i // 64] &= ~bit
                    far[i, s // 64] &= ~(one << np.uint64(s % 64))
                    for w in range(words):
                        n += _count(far[i, w])
                    count[i] = n
    return order, out, into


@njit(cache=True, nogil=True)
def pattern_of(order, out, into):  # type: ignore[no-untyped-def]
    """Elimination number of every node, ``(k,)``, and the entries of the `Pattern` in their order."""
    k = order.size
    rank = np.empty(k, dtype=np.int64)
    for step in range(k):
        rank[order[step]] = step
    one = np.uint64(1)
    row_start = np.zeros(k + 1, dtype=np.int64)
    column_start = np.zeros(k + 1, dtype=np.int64)
    for s in range(k):
        node = order[s]
        for i in range(k):
            bit = one << np.uint64(i % 64)
            if out[node, i // 64] & bit:
                row_start[s + 1] += 1
            if into[node, i // 64] & bit:
                row_start[rank[i] + 1] += 1
                column_start[s + 1] += 1
    # The counts are summed, which gives where each row and column begins.
    for s in range(k):
        row_start[s + 1] += row_start[s]
        column_start[s + 1] += column_start[s]
    columns = np.empty(row_start[k], dtype=np.int64)
    rows = np.empty(column_start[k], dtype=np.int64)
    positions = np.empty(column_start[k], dtype=np.int64)
    fill = row_start[:k].copy()
    column_fill = column_start[:k].copy()
    # Below the diagonal, steps s in rising order give every row its columns in rising order.
    for s in range(k):
        node = order[s]
        for step in range(s + 1, k):
            i = order[step]
            if into[node, i // 64] & (one << np.uint64(i % 64)):
                columns[fill[step]] = s
                rows[column_fill[s]] = step
                positions[column_fill[s]] = fill[step]
                column_fill[s] += 1
                fill[step] += 1
    for s in range(k):
        node = order[s]
        for step in range(s + 1, k):
            i = order[step]
            if out[node, i // 64] & (one << np.uint64(i % 64)):
                columns[fill[s]] = step
                fill[s] += 1
    return rank, Pattern(row_start, columns, column_start, rows, positions)


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


@deferred(lambda count, tails, heads, rates, kill: 1e-5 * kill.m.size**2 + 1e-6 * kill.m.size**3)
@njit(cache=True, nogil=True)
def eliminated(
    count: int, tails: Integers, heads: Integers, rates: ScaledFloats, kill: ScaledFloats
) -> tuple[int, Integers, Pattern, ScaledFloats, ScaledFloats]:
    """Order the states of a chain and eliminate the first ``count`` of them.

    Parameters
    ----------
    count : int
    tails, heads, rates : ``(m,)``
        The routes; those from a state to itself are ignored.
    kill : ``(k,)``
        Each state's rate of leaving the chain.

    Returns
    -------
    stuck : int
        The first elimination number of a state that nothing leaves, or -1.
    order : ``(k,)``
    pattern, entries, total
        As `eliminate` leaves them.
    """
    k = kill.m.size
    order, out, into = elimination_order(k, tails, heads, -1)
    rank, pattern = pattern_of(order, out, into)
    entries = ScaledFloats(np.zeros(pattern.columns.size), np.zeros(pattern.columns.size, dtype=np.int64))
    leaving = ScaledFloats(np.empty(k), np.empty(k, dtype=np.int64))
    total = ScaledFloats(np.zeros(k), np.zeros(k, dtype=np.int64))
    for s in range(k):
        leaving.m[s], leaving.e[s] = kill.m[order[s]], kill.e[order[s]]
    fill_in(rank, tails, heads, rates, pattern, entries)
    stuck = eliminate(count, pattern, entries, leaving, total)
    return stuck, order, pattern, entries, total


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
