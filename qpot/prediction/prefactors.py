"""Rate prefactors of all transitions, from the paths behind their costs."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot._core.checkpoint import remembered
from qpot._core.status import SolveError
from qpot.landscape.cycle_search import distance_to, extent_of
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.periods import periods_of
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.solution import PathSolution
from qpot.prediction.along_paths import bouchet_reygner
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.kramers import eyring_kramers
from qpot.problem.system import System

# Parts of a path within these shares of the distance between its ends are left out near the ends, since differences of
# nearly equal numbers would decide there; the formula continues the path linearly.
_CUTS = (1e-3, 1e-2, 1e-4, 3e-3)
# A prefactor is trusted if two cuts give values that differ by less than this share.
_AGREEMENT = 0.03
# A leg that passes through a point this close to a cycle, as a part of its extent, runs over it.
_ON_CYCLE = 1e-4
# Above this dimension the Hessian of the quasi-potential is not carried along paths: it takes seconds, growing like d^4.
_CARRIED = 16


@remembered
def rate_prefactors(system: System, costs: TransitionCosts) -> Array:
    """Prefactors A(i, j) of the rates A exp(-V / epsilon) between minima, ``(k, k)``.

    Parameters
    ----------
    system : System
    costs : TransitionCosts

    Returns
    -------
    array (k, k)
        Transitions per unit of time of the diffusion; zero where no saddle connects the two minima. The prefactors of paths
        that tie (over several saddles, or several minimisers over one saddle) add up. An entry is NaN where the formula
        does not hold, or where its integration gives different values for different cuts of the path, for example at a
        caustic or a degenerate saddle. All are NaN for the exact noise of discrete SGD, which has other prefactors. Above 16
        dimensions only the closed form of Eyring and Kramers is used, for gradient systems under isotropic noise or
        constant noise that commutes with the Hessians; the entries of other systems are NaN.

    Notes
    -----
    F. Bouchet, J. Reygner, Ann. Henri Poincare 17 (2016) 3499; see `qpot.prediction.kramers.bouchet_reygner`.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> case = qpot.gallery.double_well()
    >>> costs = qpot.transition_costs(case.system, qpot.find_minima(case.system, case.bounds))
    >>> np.allclose(rate_prefactors(case.system, costs)[0, 1], np.sqrt(2) / (2 * np.pi), rtol=1e-3)
    True
    """
    k = len(costs.minima)
    result = np.zeros((k, k))
    if not system.noise.gaussian:
        # The formula is that of diffusions; discrete steps have another one.
        for pair, path in costs.paths.items():
            result[pair] = np.nan if np.isfinite(path.action) else 0.0
        return result
    for (i, j), path in costs.paths.items():
        if not np.isfinite(path.action):
            result[i, j] = 0.0 if path.status.ok else np.nan
            continue
        for leg in costs.parallel.get((i, j), (path,)):
            if not leg.bounded and leg.least <= path.action + path.error:
                result[i, j] = np.nan
            if leg.action - path.action > leg.error + path.error:
                continue
            for tied in (leg, *leg.alternatives):
                if tied.action - leg.action <= tied.error + leg.error:
                    result[i, j] += leg_rate(system, costs, i, leg, tied)
    return result


def leg_rate(system: System, costs: TransitionCosts, home: int, leg: PathSolution, one: PathSolution) -> float:
    """The prefactor over a leg out of the minimum ``home``, along the leg itself or ``one`` of its alternatives.

    It is NaN where it is not known.
    """
    if home in costs.cycles or costs.minima[home].kink or over_degenerate_pass(costs, leg) or _over_cycle(costs, leg):
        return float("nan")
    sides = system.domain
    if sides is not None and (sides.on_a_side(costs.minima[home].point) or any(map(sides.on_a_side, leg.via))):
        return float("nan")  # Next to such a side the time depends on epsilon by another power.
    # A leg over a saddle of its own that ties with no other minimiser has the closed form, if the system has one.
    tie = any(other.action - leg.action <= other.error + leg.error for other in leg.alternatives)
    over = _saddle(costs, leg) if len(leg.via) == 1 and one is leg and not tie else None
    # A leg through another basin is no climb against the drift, for which the closed form holds.
    over = None if over is not None and home not in over.connects else over
    closed = None if over is None else _eyring_kramers(system, costs.minima[home], over)
    if closed is not None:
        return closed
    if system.dimension > _CARRIED:
        return _in_many_dimensions(system, costs, home, leg, one)
    # The formula does not hold for a path that comes to rest at a second saddle on its way.
    if len(one.via) > (1 if one is leg else 0):
        return float("nan")
    return leg_prefactor(system, one, costs.minima[home].point, leg.via[-1])


def over_degenerate_pass(costs: TransitionCosts, leg: PathSolution) -> bool:
    """Whether a leg runs over a degenerate saddle, for which there is no formula."""
    points = [s.seen_from(i) for s in _saddles(costs) if s.degenerate for i in s.connects if i is not None]
    return any(np.array_equal(x, leg.via[-1]) for x in points)


def _over_cycle(costs: TransitionCosts, leg: PathSolution) -> bool:
    """Whether a leg runs over an unstable limit cycle, for which there is no formula either."""
    return any(
        distance_to(s, np.array(leg.via[:1])).min() <= _ON_CYCLE * extent_of(s)
        for s in costs.saddles
        if isinstance(s, LimitCycle) and leg.via
    )


def _saddles(costs: TransitionCosts) -> list[Saddle]:
    return [s for s in costs.saddles if isinstance(s, Saddle)]


def _in_many_dimensions(
    system: System, costs: TransitionCosts, home: int, leg: PathSolution, one: PathSolution
) -> float:
    """The closed form, which counts a saddle once however many paths lead to it; NaN where there is none."""
    if one is not leg:
        return 0.0
    saddle = _saddle(costs, leg)
    rate = None if saddle is None else _eyring_kramers(system, costs.minima[home], saddle)
    return float("nan") if rate is None else rate


def _saddle(costs: TransitionCosts, leg: PathSolution) -> Saddle | None:
    """The saddle over which a leg runs first; None where that is one's image under a symmetry, which may turn its Hessian."""
    reach = 1e-9 * float(np.linalg.norm(leg.via[0] - leg.start))
    periods = periods_of(costs.minima)
    for s in _saddles(costs):
        away = s.point - leg.via[0]
        if np.linalg.norm(away if periods is None else periods.shortest(away)) <= reach:
            return s
    return None


def _eyring_kramers(system: System, minimum: Minimum, saddle: Saddle) -> float | None:
    """The closed form for a gradient system under isotropic or commuting constant noise; None where it does not hold."""
    noise = system.noise.constant if system.noise.isotropic is None else system.noise.isotropic
    if not system.gradient_drift or noise is None or saddle.hessian.size == 0 or minimum.hessian.size == 0:
        return None
    try:
        return eyring_kramers(minimum.hessian, saddle.hessian, covariance=noise)
    except ValueError:  # A critical point is degenerate, or there is no detailed balance.
        return None


def leg_prefactor(system: System, leg: PathSolution, minimum: Array, saddle: Array) -> float:
    """The prefactor of one leg, or NaN where it cannot be trusted."""
    if system.noise.singular_at(minimum):
        return float("nan")  # The formula assumes noise in every direction.
    x, p = leg.points[leg.uphill], leg.momenta[leg.uphill]
    size = float(np.linalg.norm(saddle - minimum))
    values: list[float] = []
    for cut in _CUTS:
        inner = (np.linalg.norm(x - minimum, axis=1) > cut * size) & (np.linalg.norm(x - saddle, axis=1) > cut * size)
        try:
            value = bouchet_reygner(system, x[inner], p[inner], minimum=minimum, saddle=saddle)
        except (ValueError, SolveError):
            continue
        if any(abs(value - other) <= _AGREEMENT * other for other in values):
            return values[0]
        values.append(value)
    return float("nan")
