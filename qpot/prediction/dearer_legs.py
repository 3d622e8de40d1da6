"""Rates over the legs that are dearer than the cheapest between two minima.

At a finite noise level they count as well, so that times are continuous where the costs of two legs cross.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qpot._core.arrays import Array
from qpot._core.checkpoint import remembered
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.prefactors import leg_rate
from qpot.prediction.quartic_passes import PowerRate, quartic_rate
from qpot.problem.system import System

# Legs that cost more than this multiple of the cheapest are left out: where rates have a meaning, theirs does not matter.
_MOST = 2.0
# A leg whose prefactor is not known makes the sum of rates unknown if its exponential exceeds this part of the cheapest's.
_NEGLIGIBLE = 1e-3

# For a pair (i, j) the rows (gap, prefactor, power) of its dearer legs, where the gap is their cost minus that of the
# cheapest, and epsilon**power belongs to the prefactor. A pair with a power that is not zero has rows for all of its legs.
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
    mapping (i, j) -> array (m, 3)
        Each row holds a leg's cost minus that of the cheapest leg from i to j, the prefactor of its rate, which is NaN where
        it is not known, and the power of epsilon that multiplies it: zero but at quartic passes (`quartic_rate`). Where one
        of these is not zero there are rows for all legs of the pair, also for those that tie.
    """
    found: dict[tuple[int, int], Array] = {}
    if not system.noise.gaussian:
        return found
    for pair, path in costs.paths.items():
        rows = []
        legs = costs.parallel.get(pair, (path,))
        powers = {id(leg): rate for leg in legs if (rate := _over_quartic(system, costs, pair[0], leg)) is not None}
        for leg in legs:
            if not leg.bounded and leg.least <= _MOST * path.action < np.inf:
                rows.append((max(leg.least - path.action, 0.0), np.nan, 0.0))
                continue
            if id(leg) in powers:
                if leg.action <= _MOST * path.action:
                    rows.append((max(leg.action - path.action, 0.0), *powers[id(leg)]))
                continue
            for one in (leg, *leg.alternatives):
                gap = one.action - path.action
                if (_tied(leg, path) and _tied(one, leg) and not powers) or not gap <= (_MOST - 1.0) * path.action:
                    continue
                rows.append((max(gap, 0.0), leg_rate(system, costs, pair[0], leg, one), 0.0))
        if rows:
            found[pair] = np.array(rows)
    return found


def _over_quartic(system: System, costs: TransitionCosts, home: int, leg: PathSolution) -> PowerRate | None:
    """The rate over a degenerate pass, or None where the leg runs over another, or the rate is not known."""
    minimum = costs.minima[home]
    if not leg.via or not isinstance(minimum, Minimum) or minimum.kink:
        return None
    for saddle in costs.saddles:
        if not (isinstance(saddle, Saddle) and saddle.degenerate and home in saddle.connects and saddle.views is None):
            continue
        if np.array_equal(saddle.point, leg.via[-1]):
            rate = quartic_rate(system, minimum, saddle)
            return rate if np.isfinite(rate.prefactor) else None
    return None


def _tied(one: PathSolution, other: PathSolution) -> bool:
    return one.action - other.action <= one.error + other.error


def rescaled_legs(legs: DearerLegs, noise: float, time: float) -> DearerLegs:
    """The same rows where costs and noise levels are ``noise`` times as large, and times ``time`` times as long."""
    found = {}
    for pair, rows in legs.items():
        found[pair] = rows.copy()
        found[pair][:, 0] *= noise
        found[pair][:, 1] /= time * noise ** (rows[:, 2] if rows.shape[1] > 2 else 0.0)
    return found


def summed_prefactors(prefactors: Array, legs: DearerLegs | None, epsilon: float) -> Array:
    """The prefactors (k, k) with which exp(-V / epsilon) gives the rates over all legs, NaN where a part is not known."""
    total = prefactors.copy()
    for pair, rows in ({} if legs is None else legs).items():
        # Rows of older files have no powers.
        powers = rows[:, 2] if rows.shape[1] > 2 else np.zeros(len(rows))
        weights = np.exp(-rows[:, 0] / epsilon) * epsilon**powers
        known = np.isfinite(rows[:, 1])
        if powers.any():
            # The rows hold all legs of the pair, also those of the cheapest cost.
            total[pair] = 0.0
        total[pair] += float((weights[known] * rows[known, 1]).sum())
        if (weights[~known] > _NEGLIGIBLE).any():
            total[pair] = np.nan
    return total
