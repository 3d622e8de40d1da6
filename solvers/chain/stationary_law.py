"""Elimination of states of a Markov chain without subtraction (Grassmann, Taksar and Heyman), sparse and in
scaled floats.

States are numbered in the order of their elimination. Taking out state s adds q_is q_sj / q_s to the rate
from i to j: the chain watched only outside s. Every operation is a sum, product or quotient of positive
numbers, so every result has a relative error of a few units in the last place times the number of states,
however ill-conditioned the generator is (O'Cinneide 1993).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qpot.solvers.chain.scaled_floats import over, plus, times


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
        Edges; those from a node to itself are ignored.
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
                    # i leads to s: i now leads to whatever s leads to (and the same backwards)
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
    """The filled pattern in elimination numbers, as rows sorted by column and as columns.

    Returns ``row_start (k + 1,), columns, column_start (k + 1,), rows, positions``: column c has the rows
    ``rows[column_start[c]:column_start[c + 1]]`` with entries at ``positions``; only entries with row >
    column are listed.
    """
    k = order.size
    rank = np.empty(k, dtype=np.int64)
    for step in range(k):
        rank[order[step]] = step
    one = np.uint64(1)
    row_count = np.zeros(k + 1, dtype=np.int64)
    column_count = np.zeros(k + 1, dtype=np.int64)
    for s in range(k):
        node = order[s]
        for i in range(k):
            bit = one << np.uint64(i % 64)
            if out[node, i // 64] & bit:
                row_count[s + 1] += 1
            if into[node, i // 64] & bit:
                row_count[rank[i] + 1] += 1
                column_count[s + 1] += 1
    row_start = np.cumsum(row_count)
    column_start = np.cumsum(column_count)
    columns = np.empty(row_start[k], dtype=np.int64)
    rows = np.empty(column_start[k], dtype=np.int64)
    positions = np.empty(column_start[k], dtype=np.int64)
    fill = row_start[:k].copy()
    column_fill = column_start[:k].copy()
    # below the diagonal: steps s in rising order give every row its columns in rising order
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
    return rank, row_start, columns, column_start, rows, positions


@njit(cache=True, nogil=True)
def fill_in(rank, tails, heads, mantissas, exponents, row_start, columns, m, e):  # type: ignore[no-untyped-def]
    """Add the rates of the routes to the entries ``(m, e)`` of the pattern; parallel routes add up."""
    for n in range(tails.size):
        i, j = rank[tails[n]], rank[heads[n]]
        if i == j:
            continue
        low, high = row_start[i], row_start[i + 1]
        while low < high:
            middle = (low + high) // 2
            if columns[middle] < j:
                low = middle + 1
            else:
                high = middle
        m[low], e[low] = plus(m[low], e[low], mantissas[n], exponents[n])


@njit(cache=True, nogil=True)
def eliminate(  # type: ignore[no-untyped-def]
    count, row_start, columns, column_start, rows, positions, m, e, kill_m, kill_e, total_m, total_e
):
    """Eliminate states 0..count-1 in place.

    ``kill`` is each state's rate of leaving the chain, ``total`` receives the rate of leaving the state at
    the moment of its elimination. Entries below the diagonal become the weights q_is / q_s, those above it
    stay rates. Returns the first state that nothing leaves, or -1.
    """
    for s in range(count):
        stop = row_start[s + 1]
        begin = row_start[s]
        while begin < stop and columns[begin] < s:
            begin += 1
        sum_m, sum_e = kill_m[s], kill_e[s]
        for p in range(begin, stop):
            sum_m, sum_e = plus(sum_m, sum_e, m[p], e[p])
        if sum_m == 0.0:
            return s
        total_m[s], total_e[s] = sum_m, sum_e
        for n in range(column_start[s], column_start[s + 1]):
            i, at = rows[n], positions[n]
            if m[at] == 0.0:
                continue
            weight_m, weight_e = over(m[at], e[at], sum_m, sum_e)
            m[at], e[at] = weight_m, weight_e
            if kill_m[s] > 0.0:
                add_m, add_e = times(weight_m, weight_e, kill_m[s], kill_e[s])
                kill_m[i], kill_e[i] = plus(kill_m[i], kill_e[i], add_m, add_e)
            target = at + 1
            for p in range(begin, stop):
                j = columns[p]
                if j == i or m[p] == 0.0:
                    continue
                while columns[target] < j:
                    target += 1
                add_m, add_e = times(weight_m, weight_e, m[p], e[p])
                m[target], e[target] = plus(m[target], e[target], add_m, add_e)
    return -1


@njit(cache=True, nogil=True)
def stationary_weights(column_start, rows, positions, m, e):  # type: ignore[no-untyped-def]
    """Stationary weights, that of the last state one, after all states but the last were eliminated."""
    k = column_start.size - 1
    weight_m = np.zeros(k)
    weight_e = np.zeros(k, dtype=np.int64)
    weight_m[k - 1] = 1.0
    for s in range(k - 2, -1, -1):
        sum_m, sum_e = 0.0, np.int64(0)
        for n in range(column_start[s], column_start[s + 1]):
            i, at = rows[n], positions[n]
            add_m, add_e = times(weight_m[i], weight_e[i], m[at], e[at])
            if add_m > 0.0:
                sum_m, sum_e = plus(sum_m, sum_e, add_m, add_e)
        weight_m[s], weight_e[s] = sum_m, sum_e
    return weight_m, weight_e


@njit(cache=True, nogil=True)
def normalise(weight_m, weight_e):  # type: ignore[no-untyped-def]
    """Divide by the sum, in place."""
    sum_m, sum_e = 0.0, np.int64(0)
    for s in range(weight_m.size):
        sum_m, sum_e = plus(sum_m, sum_e, weight_m[s], weight_e[s])
    for s in range(weight_m.size):
        if weight_m[s] > 0.0:
            weight_m[s], weight_e[s] = over(weight_m[s], weight_e[s], sum_m, sum_e)


@njit(cache=True, nogil=True)
def accumulate(  # type: ignore[no-untyped-def]
    row_start, columns, column_start, rows, positions, m, e, total_m, total_e, gain_m, gain_e
):
    """Expected gain until the chain is killed, from every state, after all states were eliminated.

    ``gain (k,)`` is the gain per unit of time in each state; it is overwritten with the expectation.
    """
    k = total_m.size
    for s in range(k):
        if gain_m[s] > 0.0:
            for n in range(column_start[s], column_start[s + 1]):
                i, at = rows[n], positions[n]
                if m[at] > 0.0:
                    add_m, add_e = times(m[at], e[at], gain_m[s], gain_e[s])
                    gain_m[i], gain_e[i] = plus(gain_m[i], gain_e[i], add_m, add_e)
    for s in range(k - 1, -1, -1):
        sum_m, sum_e = gain_m[s], gain_e[s]
        for p in range(row_start[s], row_start[s + 1]):
            j = columns[p]
            if j > s and m[p] > 0.0 and gain_m[j] > 0.0:
                add_m, add_e = times(m[p], e[p], gain_m[j], gain_e[j])
                sum_m, sum_e = plus(sum_m, sum_e, add_m, add_e)
        if sum_m > 0.0:
            sum_m, sum_e = over(sum_m, sum_e, total_m[s], total_e[s])
        gain_m[s], gain_e[s] = sum_m, sum_e
