"""Transition matrices of a Markov chain with rates over any number of decades."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qpot.solvers.chain.stationary_law import accumulate

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def resolvent_columns(  # type: ignore[no-untyped-def]
    states, row_start, columns, column_start, rows, positions, m, e, total_m, total_e
):
    """(1 - Q)^-1 as floats ``(k, k)`` from the elimination of Q with every state killed at rate one."""
    k = states.size
    R = np.zeros((k, k))
    for s in range(k):
        gain_m = np.zeros(k)
        gain_e = np.zeros(k, dtype=np.int64)
        gain_m[s] = 1.0
        accumulate(row_start, columns, column_start, rows, positions, m, e, total_m, total_e, gain_m, gain_e)
        for t in range(k):
            if gain_e[t] > -1074:
                R[states[t], states[s]] = gain_m[t] * 2.0 ** gain_e[t]
    return R


def repeated_square(P: Array, squarings: int) -> Array:
    """``P ** (2 ** squarings)`` for a stochastic matrix that is accurate entry by entry off the diagonal.

    The diagonal always is one minus the rest where that is the accurate way to get it, so that errors of
    small entries are not doubled by the next squaring; rows with less than half on the diagonal are divided
    by their sum.
    """
    for step in range(squarings + 1):
        if step:
            P = P @ P
        diagonal = np.diagonal(P).copy()
        np.fill_diagonal(P, 0.0)
        rest = P.sum(axis=1)
        rare = rest < 0.5
        total = rest + diagonal
        P[~rare] /= total[~rare, None]
        np.fill_diagonal(P, np.where(rare, 1.0 - rest, diagonal / total))
    return P
