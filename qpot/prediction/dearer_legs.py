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
from qpot.prediction.prefactors import attempt_rate, leg_rate
from qpot.prediction.quartic_passes import PowerRate, quartic_rate
from qpot.prediction.soft_rows import factor_of, rescaled_row
from qpot.prediction.uniform_rates import NOTHING_SOFT, LegShapes
from qpot.problem.system import System

# Legs that cost more than this multiple of the cheapest are left out: where rates have a meaning, theirs does not matter.
_MOST = 2.0
# A leg whose prefactor is not known makes the sum of rates unknown if its exponential exceeds this part of the cheapest's.
_NEGLIGIBLE = 1e-3

# What epsilon E^2 / V may be for a prefactor with the factor e^E: a factor of ten. The exponent of the rate is -V / epsilon
# + E + O(epsilon). Where noise that grows away from the path lowers the cost by a factor, it is V / epsilon times a
# function of epsilon E / V, and the next term is of the size of epsilon E^2 / V. For 533 rates of random systems, held
# against the backward equation, the error of the logarithm was 0.4 to 1.6 times that for eight of ten, and nowhere more
# than log 10 where the rate was given (docs/how_to/read_a_report.md).
_NEXT = float(np.log(10.0))

# For a pair (i, j) the rows (gap, prefactor, power, attempt, cost) of its dearer legs. The gap is their cost minus that of
# the cheapest, epsilon**power belongs to the prefactor, and attempt is that of `attempt_rate`: zero where the prefactor
# holds at every noise level. A pair with a power that is not zero has rows for all of its legs. A row with the prefactor
# zero stands for the legs that tie with the cheapest, whose prefactors are in another matrix. Where a direction is soft at a
# pass or a minimum, there are further columns (`LegShape.row`), by which the prefactor depends on epsilon, and also rows for
# all legs of the pair.
DearerLegs = Mapping[tuple[int, int], Array]


@remembered
def dearer_legs(system: System, costs: TransitionCosts, prefactors: Array | None = None) -> DearerLegs:
    """Gaps and prefactors of the legs that `rate_prefactors` leaves out, since they do not tie with the cheapest.

    Parameters
    ----------
    system : System
    costs : TransitionCosts
    prefactors : array (k, k), optional
        Those of `rate_prefactors`, where they have been computed.

    Returns
    -------
    mapping (i, j) -> array (m, 5) or (m, 14)
        Each row holds a leg's cost minus that of the cheapest leg from i to j, the prefactor of its rate, which is NaN where
        it is not known, and the power of epsilon that multiplies it: zero but at quartic passes (`quartic_rate`). Where one
        of these is not zero there are rows for all legs of the pair, also for those that tie. The last two columns are the
        rate of the unstable direction at the pass over 2 pi, or zero where the prefactor has a closed form, and the cost of
        the leg. A row whose prefactor is zero has them for the legs that tie with the cheapest. Where a direction is soft at
        a pass or a minimum there are nine more (`qpot.prediction.uniform_rates.LegShape.row`).
    """
    found: dict[tuple[int, int], Array] = {}
    if not system.noise.gaussian:
        return found
    shapes = LegShapes(system, costs)
    for pair, path in costs.paths.items():
        rows: list[tuple[float, ...]] = []
        legs = costs.parallel.get(pair, (path,))
        powers = {id(leg): rate for leg in legs if (rate := _over_quartic(system, costs, pair[0], leg)) is not None}
        soft = {id(leg): shapes(pair[0], leg) for leg in legs}
        some = not all(shape.ordinary for shape in soft.values())
        attempt = 0.0 if powers or some or not path.bounded else attempt_rate(system, costs, pair[0], path)
        if attempt > 0.0:
            rows.append((0.0, 0.0, 0.0, attempt, path.action))
        for leg in legs:
            further = soft[id(leg)].row() if some else ()
            if not leg.bounded and leg.least <= _MOST * path.action < np.inf:
                none = NOTHING_SOFT.row() if some else ()
                rows.append((max(leg.least - path.action, 0.0), np.nan, 0.0, 0.0, leg.least, *none))
                continue
            if id(leg) in powers:
                if leg.action <= _MOST * path.action:
                    rows.append((max(leg.action - path.action, 0.0), *powers[id(leg)], 0.0, leg.action, *further))
                continue
            for one in (leg, *leg.alternatives):
                gap = one.action - path.action
                tied = _tied(leg, path) and _tied(one, leg) and not powers and not some
                if tied or not gap <= (_MOST - 1.0) * path.action:
                    continue
                alone = len(legs) == 1 and not leg.alternatives and prefactors is not None
                factor = prefactors[pair] if alone else leg_rate(system, costs, pair[0], leg, one).value  # type: ignore[index]
                tries = attempt_rate(system, costs, pair[0], leg)
                rows.append((max(gap, 0.0), factor, 0.0, tries, one.action, *further))
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
        if rows.shape[1] > 4:
            found[pair][:, 3] /= time
            found[pair][:, 4] *= noise
        if rows.shape[1] > 5:
            found[pair][:, 5:] = rescaled_row(rows[:, 5:], noise)
    return found


def summed_prefactors(prefactors: Array, legs: DearerLegs | None, epsilon: float) -> Array:
    """The prefactors (k, k) with which exp(-V / epsilon) gives the rates over all legs, NaN where a part is not known."""
    total = prefactors.copy()
    for pair, rows in ({} if legs is None else legs).items():
        # Rows of older files have no powers.
        powers = rows[:, 2] if rows.shape[1] > 2 else np.zeros(len(rows))
        weights = np.exp(-rows[:, 0] / epsilon) * epsilon**powers
        factors = rows[:, 1] * [factor_of(row, epsilon) for row in rows[:, 5:]] if rows.shape[1] > 5 else rows[:, 1]
        known = np.isfinite(factors)
        doubtful = _beyond(rows, float(prefactors[pair]), epsilon)
        if powers.any() or rows.shape[1] > 5:
            # The rows hold all legs of the pair, also those of the cheapest cost.
            total[pair] = 0.0
        total[pair] += float((weights[known] * factors[known]).sum())
        # A leg whose expansion does not hold has a cost that may be as low as the prefactor says.
        matters = np.maximum(weights, weights * np.nan_to_num(factors) / max(float(total[pair]), 1e-300))
        if (weights[~known] > _NEGLIGIBLE).any() or (matters[doubtful] > _NEGLIGIBLE).any():
            total[pair] = np.nan
    return total


def _beyond(rows: Array, tied: float, epsilon: float) -> Array:
    """Whether the noise is too strong for the prefactor of a row, in which case the next order is not known to be small."""
    if rows.shape[1] <= 4:  # Rows of older files do not tell.
        return np.zeros(len(rows), dtype=bool)
    attempt, cost = rows[:, 3], rows[:, 4]
    prefactor = np.where(rows[:, 1] == 0.0, tied, rows[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.log(prefactor / attempt)
    return np.asarray((attempt > 0.0) & (prefactor > 0.0) & (epsilon * exponent**2 > _NEXT * cost))
