"""Exponents of hitting times without rounding: the sparse elimination on numbers of several limbs."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot._core.memory import check_memory
from qpot.chain.routes import Integers
from qpot.chain.stationary import filled_pattern
from qpot.solvers.chain.exact_sums import to_float, to_integer, to_limbs
from qpot.solvers.chain.hitting import cheapest_routes
from qpot.solvers.chain.hitting import hitting_exponents as hitting_kernel


def exact_exponents(n: int, tails: Integers, heads: Integers, costs: Array) -> Array:
    """The exponents from n states, ``(n,)``; a head below zero is a target, and no route leads elsewhere."""
    within = heads >= 0
    order, pattern = filled_pattern(n, tails[within], heads[within])
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    # The exact costs of the reduced chain are sums of no more than so many of those that are given.
    values, unit = to_limbs(costs, 4 * n + 4)
    L = values.shape[1]
    check_memory(
        8.0 * L * (pattern.columns.size + 4 * n),
        what=f"the exact elimination of {n} minima",
        way_out="leave out routes",
    )
    entries, leave = np.zeros((pattern.columns.size, L), dtype=np.int64), np.zeros((n, L), dtype=np.int64)
    there, leaves = np.zeros(pattern.columns.size, dtype=bool), np.zeros(n, dtype=bool)
    room, exponent = np.zeros((3, L), dtype=np.int64), np.zeros((n, L), dtype=np.int64)
    cheapest_routes(
        rank[tails], np.where(within, rank[heads], -1), values, pattern, entries, there, leave, leaves, room
    )
    least, spent = np.zeros_like(leave), np.zeros_like(leave)
    hitting_kernel(pattern, entries, there, leave, leaves, least, spent, room, exponent)
    return np.array([to_float(to_integer(exponent[rank[i]]), unit) for i in range(n)])
