"""Exponents of mean hitting times, by elimination of states where sums are minima and products are sums."""

from __future__ import annotations

import numpy as np

from qpot.solvers.common.compiled import njit
from qpot.solvers.common.deferred import deferred


@deferred(lambda costs, leave: 1e-6 * leave.size**2 + 3e-7 * leave.size**3)
@njit(cache=True, nogil=True)
def hitting_exponents(costs, leave):  # type: ignore[no-untyped-def]
    """Exponents of the mean times until the chain leaves for the targets, ``(n,)``.

    Parameters
    ----------
    costs : ``(n, n)``
        Rates between the states off the targets are exp(-costs / epsilon); infinite where there is no route.
        The array is overwritten.
    leave : ``(n,)``
        The same for the rates into the targets. The array is overwritten.

    Notes
    -----
    Taking out s turns the rate from i to j into exp(-min(c_ij, c_is + (c_sj - c_s)) / epsilon), where c_s is the
    least cost out of s. The time spent per unit of time in i, exp(w_i / epsilon), becomes the maximum of itself and
    w_s - (c_is - c_s). All differences are of the form (cost less least cost), so that nothing is lost that
    the input had.
    """
    n = leave.size
    least = np.empty(n)
    spent = np.zeros(n)
    for s in range(n):
        low = leave[s]
        for j in range(s + 1, n):
            low = min(low, costs[s, j])
        least[s] = low
        for i in range(s + 1, n):
            if costs[i, s] == np.inf:
                continue
            leave[i] = min(leave[i], costs[i, s] + (leave[s] - low))
            spent[i] = max(spent[i], spent[s] - (costs[i, s] - low))
            for j in range(s + 1, n):
                if j != i:
                    costs[i, j] = min(costs[i, j], costs[i, s] + (costs[s, j] - low))
    exponent = np.empty(n)
    for s in range(n - 1, -1, -1):
        value = spent[s] + least[s]
        for j in range(s + 1, n):
            if costs[s, j] < np.inf:
                value = max(value, exponent[j] - (costs[s, j] - least[s]))
        exponent[s] = value
    return exponent
