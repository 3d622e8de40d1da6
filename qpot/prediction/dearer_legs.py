"""Rates over the legs that are dearer than the cheapest between two minima.

At a finite noise level they count as well, so that times are continuous where the costs of two legs cross.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qpot._core.arrays import Array
from qpot._core.checkpoint import remembered
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.prefactors import leg_rate
from qpot.problem.system import System

# Legs that cost more than this multiple of the cheapest are left out: where rates have a meaning, theirs does not matter.
_MOST = 2.0
# A leg whose prefactor is not known makes the sum of rates unknown if its exponential exceeds this part of the cheapest's.
_NEGLIGIBLE = 1e-3

# For a pair (i, j) the rows (gap, prefactor) of its dearer legs, where the gap is their cost minus that of the cheapest.
DearerLegs = Mapping[tuple[int, int], Array]


@remembered
def dearer_legs(system: System, costs: TransitionCosts) -> DearerLegs:
    """Gaps and prefactors of the legs that `rate_prefactors` leaves out, since they do not tie with the cheapest.

    Parameters
    ----------
    system : System
    costs : TransitionCosts

    Returns
    -------
    mapping (i, j) -> array (m, 2)
        Each row holds a leg's cost minus that of the cheapest leg from i to j, and the prefactor of its rate, which is NaN
        where it is not known.
    """
    found: dict[tuple[int, int], Array] = {}
    if not system.noise.gaussian:
        return found
    for pair, path in costs.paths.items():
        rows = []
        for leg in costs.parallel.get(pair, (path,)):
            if not leg.bounded and leg.least <= _MOST * path.action < np.inf:
                rows.append((max(leg.least - path.action, 0.0), np.nan))
                continue
            for one in (leg, *leg.alternatives):
                gap = one.action - path.action
                if (_tied(leg, path) and _tied(one, leg)) or not gap <= (_MOST - 1.0) * path.action:
                    continue
                rows.append((max(gap, 0.0), leg_rate(system, costs, pair[0], leg, one)))
        if rows:
            found[pair] = np.array(rows)
    return found


def _tied(one: PathSolution, other: PathSolution) -> bool:
    return one.action - other.action <= one.error + other.error


def summed_prefactors(prefactors: Array, legs: DearerLegs | None, epsilon: float) -> Array:
    """The prefactors (k, k) with which exp(-V / epsilon) gives the rates over all legs, NaN where a part is not known."""
    total = prefactors.copy()
    for pair, rows in ({} if legs is None else legs).items():
        weights = np.exp(-rows[:, 0] / epsilon)
        known = np.isfinite(rows[:, 1])
        total[pair] += float((weights[known] * rows[known, 1]).sum())
        if (weights[~known] > _NEGLIGIBLE).any():
            total[pair] = np.nan
    return total
