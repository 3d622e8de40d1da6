"""Transition matrices of a Markov chain with rates over any number of decades."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.chain.fill_reducing import Pattern
from qpot.solvers.chain.scaled_floats import ScaledFloats
from qpot.solvers.chain.stationary_law import accumulate
from qpot.solvers.common.compiled import UNCOUNTED, njit
from qpot.solvers.common.deferred import deferred

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@deferred(lambda states, pattern, *rest: 5e-6 * states.size * pattern.columns.size)
@njit(**UNCOUNTED)
def _resolvent_columns(
    states: Integers, pattern: Pattern, entries: ScaledFloats, total: ScaledFloats, gain: ScaledFloats, R: Array
) -> None:
    for s in range(states.size):
        for t in range(states.size):
            gain.m[t], gain.e[t] = 1.0 if t == s else 0.0, 0
        accumulate(pattern, entries, total, gain)
        for t in range(states.size):
            if gain.e[t] > -1074:
                R[states[t], states[s]] = gain.m[t] * 2.0 ** gain.e[t]


def resolvent_columns(states: Integers, pattern: Pattern, entries: ScaledFloats, total: ScaledFloats) -> Array:
    """(1 - Q)^-1 as floats ``(k, k)`` from the elimination of Q with every state killed at rate one."""
    R = np.zeros((states.size, states.size))
    _resolvent_columns(states, pattern, entries, total, ScaledFloats.zeros(states.size), R)
    return R


def repeated_square(P: Array, squarings: int) -> Array:
    """``P ** (2 ** squarings)`` for a stochastic matrix that is accurate entry by entry off the diagonal.

    The diagonal is set to one minus the rest of its row where that is the accurate way to get it, so that errors of
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
