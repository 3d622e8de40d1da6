"""Exponents of mean hitting times, exact, by elimination of states where sums are minima and products are sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.chain.exact_sums import Limbs, add, sign_of
from qpot.solvers.chain.fill_reducing import Pattern
from qpot.solvers.common.compiled import njit
from qpot.solvers.common.deferred import deferred

Integers = NDArray[np.int64]


@njit(cache=True, nogil=True)
def _lower(a, b, difference):  # type: ignore[no-untyped-def]
    """Replace a by b where b is lower; ``difference`` is room for one number."""
    add(b, a, -1, difference)
    if sign_of(difference) < 0:
        a[:] = b


@njit(cache=True, nogil=True)
def _higher(a, b, difference):  # type: ignore[no-untyped-def]
    """Replace a by b where b is higher."""
    add(b, a, -1, difference)
    if sign_of(difference) > 0:
        a[:] = b


@njit(cache=True, nogil=True)
def _take_out(s, pattern, costs, there, leave, leaves, low, spent, room):  # type: ignore[no-untyped-def]
    """Eliminate state s; ``room`` holds three numbers."""
    columns = pattern.columns
    begin, stop = pattern.row_start[s], pattern.row_start[s + 1]
    while begin < stop and columns[begin] < s:
        begin += 1
    known = leaves[s]
    if known:
        low[:] = leave[s]
    for p in range(begin, stop):
        if there[p]:
            if known:
                _lower(low, costs[p], room[0])
            else:
                low[:], known = costs[p], True
    for n in range(pattern.column_start[s], pattern.column_start[s + 1]):
        i, at = pattern.rows[n], pattern.positions[n]
        if not there[at]:
            continue
        extra = room[1]
        add(costs[at], low, -1, extra)
        add(spent[s], extra, -1, room[2])
        _higher(spent[i], room[2], room[0])
        if leaves[s]:
            add(leave[s], extra, 1, room[2])
            if leaves[i]:
                _lower(leave[i], room[2], room[0])
            else:
                leave[i], leaves[i] = room[2], True
        target = at + 1
        for p in range(begin, stop):
            j = columns[p]
            if j == i or not there[p]:
                continue
            while columns[target] < j:
                target += 1
            add(costs[p], extra, 1, room[2])
            if there[target]:
                _lower(costs[target], room[2], room[0])
            else:
                costs[target], there[target] = room[2], True


@deferred(lambda pattern, *rest: 1e-5 * pattern.columns.size + 3e-6 * (pattern.row_start.size - pattern.core) ** 3)
@njit(cache=True, nogil=True)
def hitting_exponents(
    pattern: Pattern,
    costs: Limbs,
    there: NDArray[np.bool_],
    leave: Limbs,
    leaves: NDArray[np.bool_],
    least: Limbs,
    spent: Limbs,
    room: Limbs,
    exponent: Limbs,
) -> None:
    """Fill ``exponent`` with the exponents of the mean times until the chain leaves for the targets, ``(n, L)``.

    Parameters
    ----------
    pattern : Pattern
        Where routes between the states off the targets are or may come to be, in the order of elimination.
    costs, there : ``(m, L)``, ``(m,)``
        The costs at the entries of the pattern, and whether there is a route. Both are overwritten.
    leave, leaves : ``(n, L)``, ``(n,)``
        The same for the routes into the targets. Both are overwritten.
    least, spent : ``(n, L)``
        Zeros.
    room : ``(3, L)``

    Notes
    -----
    Taking out s turns the rate from i to j into exp(-min(c_ij, c_is + (c_sj - c_s)) / epsilon), where c_s is the
    least cost out of s. The time spent per unit of time in i, exp(w_i / epsilon), becomes the maximum of itself and
    w_s - (c_is - c_s). All numbers are exact.
    """
    n = leaves.size
    for s in range(n):
        _take_out(s, pattern, costs, there, leave, leaves, least[s], spent, room)
    for s in range(n - 1, -1, -1):
        add(spent[s], least[s], 1, exponent[s])
        for p in range(pattern.row_start[s], pattern.row_start[s + 1]):
            j = pattern.columns[p]
            if j > s and there[p]:
                add(costs[p], least[s], -1, room[1])
                add(exponent[j], room[1], -1, room[2])
                _higher(exponent[s], room[2], room[0])


@deferred(lambda tails, *rest: 1e-5 * tails.size)
@njit(cache=True, nogil=True)
def cheapest_routes(
    tails: Integers,
    heads: Integers,
    values: Limbs,
    pattern: Pattern,
    costs: Limbs,
    there: NDArray[np.bool_],
    leave: Limbs,
    leaves: NDArray[np.bool_],
    room: Limbs,
) -> None:
    """Write the cheapest of parallel routes into the pattern; a head below zero is a target.

    Tails and heads are elimination numbers; the other arrays are those of `hitting_exponents`.
    """
    for n in range(tails.size):
        i, j = tails[n], heads[n]
        if j < 0:
            if leaves[i]:
                _lower(leave[i], values[n], room[0])
            else:
                leave[i], leaves[i] = values[n], True
            continue
        low, high = pattern.row_start[i], pattern.row_start[i + 1]
        while low < high:
            middle = (low + high) // 2
            if pattern.columns[middle] < j:
                low = middle + 1
            else:
                high = middle
        if there[low]:
            _lower(costs[low], values[n], room[0])
        else:
            costs[low], there[low] = values[n], True
