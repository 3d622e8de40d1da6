"""An order of elimination that fills in little, on lists of neighbours, down to a core that is kept as a full matrix.

The state with the least product of the numbers of routes into it and out of it is taken out next (H. M. Markowitz,
Management Science 3 (1957) 255). What is left when most of its entries would be filled is the core.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import njit
from qpot.solvers.common.deferred import deferred

Integers = NDArray[np.int64]

# A chain of so few states is a core as a whole, and every core has at least as many states.
SMALL = 64
# The rest is the core once it has more than this part of all possible routes.
_DENSE = 0.15


class Pattern(NamedTuple):
    """Where the filled matrix of rates has entries, in elimination numbers, as rows sorted by column and as columns.

    Row i has the columns ``columns[row_start[i]:row_start[i + 1]]``. Column c has the rows
    ``rows[column_start[c]:column_start[c + 1]]`` with entries at ``positions``; only entries with row > column are listed.
    Rows and columns from ``core`` on have all entries but the diagonal.
    """

    row_start: Integers  # (k + 1,)
    columns: Integers
    column_start: Integers  # (k + 1,)
    rows: Integers
    positions: Integers
    core: int


@njit(cache=True, nogil=True)
def _push(keys, nodes, size, key, node):  # type: ignore[no-untyped-def]
    """Add to a heap whose arrays have room; ties go to the lower node."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if keys[above] < key or (keys[above] == key and nodes[above] <= node):
            break
        keys[at], nodes[at] = keys[above], nodes[above]
        at = above
    keys[at], nodes[at] = key, node


@njit(cache=True, nogil=True)
def _pop(keys, nodes, size):  # type: ignore[no-untyped-def]
    """Take the least out of a heap of ``size`` entries; what is left has one less."""
    key, node = keys[size - 1], nodes[size - 1]
    at, end = 0, size - 1
    while True:
        below = 2 * at + 1
        if below >= end:
            break
        right = below + 1
        if right < end and (keys[right] < keys[below] or (keys[right] == keys[below] and nodes[right] < nodes[below])):
            below = right
        if key < keys[below] or (key == keys[below] and node <= nodes[below]):
            break
        keys[at], nodes[at] = keys[below], nodes[below]
        at = below
    keys[at], nodes[at] = key, node


@njit(cache=True, nogil=True)
def _append(pool, start, length, room, end, node, value):  # type: ignore[no-untyped-def]
    """Add a value to the list of a node, which moves to the end of the pool where it has no room; the pool and its end."""
    if length[node] == room[node]:
        wanted = 2 * room[node] + 4
        if end + wanted > pool.size:
            larger = np.empty(2 * pool.size + wanted, dtype=np.int64)
            larger[:end] = pool[:end]
            pool = larger
        for n in range(length[node]):
            pool[end + n] = pool[start[node] + n]
        start[node], room[node] = end, wanted
        end += wanted
    pool[start[node] + length[node]] = value
    length[node] += 1
    return pool, end


@njit(cache=True, nogil=True)
def _remove(pool, start, length, node, value):  # type: ignore[no-untyped-def]
    """Take a value out of the list of a node."""
    for n in range(start[node], start[node] + length[node]):
        if pool[n] == value:
            length[node] -= 1
            pool[n] = pool[start[node] + length[node]]
            return


@njit(cache=True, nogil=True)
def _ordered(k, out_start, out_pool, in_start, in_pool, last, most):  # type: ignore[no-untyped-def]
    """Take states out until the core is left; see `elimination_order`."""
    a_start, a_length = out_start[:k].copy(), out_start[1:] - out_start[:k]
    b_start, b_length = in_start[:k].copy(), in_start[1:] - in_start[:k]
    a_room, b_room = a_length.copy(), b_length.copy()
    a_pool, b_pool = out_pool, in_pool
    a_end, b_end = out_pool.size, in_pool.size
    keys, nodes, size = np.empty(2 * k + 16, dtype=np.int64), np.empty(2 * k + 16, dtype=np.int64), 0
    for i in range(k):
        if i != last:
            _push(keys, nodes, size, a_length[i] * b_length[i], i)
            size += 1
    taken, stamp = np.zeros(k, dtype=np.bool_), np.full(k, -1, dtype=np.int64)
    order = np.empty(k, dtype=np.int64)
    edges, left, filled, tag = out_pool.size, k, 0, 0
    while left > SMALL and edges <= _DENSE * left * left:
        key, s = keys[0], nodes[0]
        _pop(keys, nodes, size)
        size -= 1
        if taken[s] or key != a_length[s] * b_length[s]:
            continue
        order[k - left] = s
        taken[s] = True
        left -= 1
        filled += a_length[s] + b_length[s]
        edges -= a_length[s] + b_length[s]
        if filled > most:
            break
        for n in range(b_length[s]):
            i = b_pool[b_start[s] + n]
            _remove(a_pool, a_start, a_length, i, s)
            stamp[i] = tag
            for p in range(a_start[i], a_start[i] + a_length[i]):
                stamp[a_pool[p]] = tag
            for q in range(a_length[s]):
                j = a_pool[a_start[s] + q]
                if stamp[j] != tag:
                    a_pool, a_end = _append(a_pool, a_start, a_length, a_room, a_end, i, j)
                    b_pool, b_end = _append(b_pool, b_start, b_length, b_room, b_end, j, i)
                    edges += 1
            tag += 1
        for q in range(a_length[s]):
            _remove(b_pool, b_start, b_length, a_pool[a_start[s] + q], s)
        for n in range(a_length[s] + b_length[s]):
            i = a_pool[a_start[s] + n] if n < a_length[s] else b_pool[b_start[s] + n - a_length[s]]
            if i == last:
                continue
            if size == keys.size:
                more_keys, more_nodes = np.empty(2 * size, dtype=np.int64), np.empty(2 * size, dtype=np.int64)
                more_keys[:size], more_nodes[:size] = keys, nodes
                keys, nodes = more_keys, more_nodes
            _push(keys, nodes, size, a_length[i] * b_length[i], i)
            size += 1
    at = k - left
    for i in range(k):
        if not taken[i] and i != last:
            order[at] = i
            at += 1
    if last >= 0:
        order[k - 1] = last
    return order, k - left, filled, a_pool, a_start, a_length, b_pool, b_start, b_length


@deferred(lambda k, *rest: 2e-5 * k + 1e-5 * rest[1].size + (0.0 if k <= SMALL else 1.0))
@njit(cache=True, nogil=True)
def elimination_order(k, out_start, out, in_start, into, last, most):  # type: ignore[no-untyped-def]
    """Order in which to eliminate so that little fills in (least Markowitz count), and the filled pattern.

    Parameters
    ----------
    k : int
    out_start, out : ``(k + 1,)``, ``(m,)``
        The heads of the routes of each state, without the state itself and without repeats.
    in_start, into : ``(k + 1,)``, ``(m,)``
        The same for the tails of the routes into each state.
    last : int
        This state is eliminated last; -1 for none.
    most : int
        Nothing is made where the pattern has more entries than this.

    Returns
    -------
    order : ``(k,)``
        ``order[t]`` is the state eliminated at step t.
    entries : int
        The number of entries of the pattern, or a lower bound where it exceeds ``most``.
    pattern : Pattern
        Without entries where there would be more than ``most``.
    """
    found = _ordered(k, out_start, out, in_start, into, last, most)
    order, core, filled, a_pool, a_start, a_length, b_pool, b_start, b_length = found
    inner = k - core
    entries = filled + inner * (inner - 1)
    row_start, column_start = np.zeros(k + 1, dtype=np.int64), np.zeros(k + 1, dtype=np.int64)
    none = np.empty(0, dtype=np.int64)
    if entries > most:
        return order, entries, Pattern(row_start, none, column_start, none, none, core)
    rank = np.empty(k, dtype=np.int64)
    for step in range(k):
        rank[order[step]] = step
    for s in range(core):
        node = order[s]
        row_start[s + 1] += a_length[node]
        column_start[s + 1] += b_length[node]
        for n in range(b_length[node]):
            row_start[rank[b_pool[b_start[node] + n]] + 1] += 1
    for s in range(core, k):
        row_start[s + 1] += inner - 1
        column_start[s + 1] += k - 1 - s
    for s in range(k):
        row_start[s + 1] += row_start[s]
        column_start[s + 1] += column_start[s]
    columns = np.empty(row_start[k], dtype=np.int64)
    rows, positions = np.empty(column_start[k], dtype=np.int64), np.empty(column_start[k], dtype=np.int64)
    fill, column_fill = row_start[:k].copy(), column_start[:k].copy()
    # Below the diagonal, steps s in rising order give every row its columns in rising order.
    for s in range(core):
        node = order[s]
        for n in range(b_length[node]):
            i = rank[b_pool[b_start[node] + n]]
            columns[fill[i]], rows[column_fill[s]], positions[column_fill[s]] = s, i, fill[i]
            column_fill[s] += 1
            fill[i] += 1
    for s in range(core):
        node, begin = order[s], fill[s]
        for n in range(a_length[node]):
            columns[begin + n] = rank[a_pool[a_start[node] + n]]
        columns[begin : begin + a_length[node]] = np.sort(columns[begin : begin + a_length[node]])
    for i in range(core, k):
        for j in range(core, k):
            if j != i:
                columns[fill[i]] = j
                if j < i:
                    rows[column_fill[j]], positions[column_fill[j]] = i, fill[i]
                    column_fill[j] += 1
                fill[i] += 1
    return order, entries, Pattern(row_start, columns, column_start, rows, positions, core)


def neighbours(k: int, tails: Integers, heads: Integers) -> tuple[Integers, Integers, Integers, Integers]:
    """The heads and the tails of the routes of each state, as `elimination_order` takes them."""
    kept = tails != heads
    keys = np.unique(tails[kept] * k + heads[kept])
    out_of, out = keys // k, keys % k
    turned = np.argsort(out, kind="stable")
    count = np.arange(k + 1)
    return np.searchsorted(out_of, count), out, np.searchsorted(out[turned], count), out_of[turned]
