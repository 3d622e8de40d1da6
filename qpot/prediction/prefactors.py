"""Rate prefactors of all transitions, from the paths behind their costs."""

from __future__ import annotations

from typing import Any, NamedTuple

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
# ... and if every second point of the path gives one that differs by less than this share.
_COARSE = 0.1
# A leg that passes through a point this close to a cycle, as a part of its extent, runs over it.
_ON_CYCLE = 1e-4
# Above this dimension the Hessian of the quasi-potential is not carried along paths: it takes seconds, growing like d^4.
_CARRIED = 16


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
    return prefactors_and_reasons(system, costs)[0]


@remembered
def prefactors_and_reasons(system: System, costs: TransitionCosts) -> tuple[Array, dict[tuple[int, int], str]]:
    """The `rate_prefactors`, and for pairs whose prefactor is NaN why it is, where there is more to say than that."""
    k = len(costs.minima)
    result = np.zeros((k, k))
    reasons: dict[tuple[int, int], str] = {}
    for (i, j), path in costs.paths.items():
        if not np.isfinite(path.action):
            result[i, j] = 0.0 if path.status.ok or not system.noise.gaussian else np.nan
            continue
        if not system.noise.gaussian:
            # The formula is that of diffusions; discrete steps have another one.
            result[i, j] = np.nan
            continue
        for leg in costs.parallel.get((i, j), (path,)):
            if not leg.bounded and leg.least <= path.action + path.error:
                result[i, j] = np.nan
            if leg.action - path.action > leg.error + path.error:
                continue
            for tied in (leg, *leg.alternatives):
                if tied.action - leg.action <= tied.error + leg.error:
                    rate = leg_rate(system, costs, i, leg, tied)
                    result[i, j] += rate.value
                    if rate.reason:
                        reasons.setdefault((i, j), rate.reason.rstrip("."))
    return result, reasons


class LegPrefactor(NamedTuple):
    """The prefactor of a leg with an estimate of its error, or NaN and the reason why it is not known."""

    value: float
    error: float = 0.0
    reason: str = ""


def leg_rate(system: System, costs: TransitionCosts, home: int, leg: PathSolution, one: PathSolution) -> LegPrefactor:
    """The prefactor over a leg out of the minimum ``home``, along the leg itself or ``one`` of its alternatives.

    It is NaN where it is not known. Where the cost or the report says so anyway, there is no reason in words.
    """
    if home in costs.cycles or _over_cycle(costs, leg):
        return LegPrefactor(np.nan)
    if costs.minima[home].kink:
        return LegPrefactor(np.nan, reason="the minimum lies at a kink of the loss")
    if over_degenerate_pass(costs, leg):
        return LegPrefactor(
            np.nan, reason="the pass is degenerate, and the formula for passes with one quartic direction does not hold"
        )
    sides = system.domain
    if sides is not None and (sides.on_a_side(costs.minima[home].point) or any(map(sides.on_a_side, leg.via))):
        return LegPrefactor(
            np.nan,
            reason="the minimum or the pass lies on a side of the domain, where the time depends on epsilon by another power",
        )
    # A leg over a saddle of its own that ties with no other minimiser has the closed form, if the system has one.
    tie = any(other.action - leg.action <= other.error + leg.error for other in leg.alternatives)
    over = _saddle(costs, leg) if len(leg.via) == 1 and one is leg and not tie else None
    # A leg through another basin is no climb against the drift, for which the closed form holds.
    over = None if over is not None and home not in over.connects else over
    closed = None if over is None else _eyring_kramers(system, costs.minima[home], over)
    if closed is not None:
        return LegPrefactor(closed)
    if system.dimension > _CARRIED:
        return _in_many_dimensions(system, costs, home, leg, one)
    # The formula does not hold for a path that comes to rest at a second saddle on its way.
    if len(one.via) > (1 if one is leg else 0):
        return LegPrefactor(np.nan, reason="the path comes to rest at a second pass on its way")
    if not leg.via:
        return LegPrefactor(np.nan)
    return carried_prefactor(system, one, costs.minima[home].point, leg.via[-1])


def attempt_rate(system: System, costs: TransitionCosts, home: int, leg: PathSolution) -> float:
    """The rate lambda / (2 pi) of the unstable direction at the pass of a leg, or zero where its prefactor has a closed form.

    A prefactor is this rate times e^E, where E comes from the curvatures and from the integral along the path.
    """
    if not leg.via:
        return 0.0
    over = _saddle(costs, leg) if len(leg.via) == 1 else None
    if over is not None and home in over.connects and _eyring_kramers(system, costs.minima[home], over) is not None:
        return 0.0
    rates = np.linalg.eigvals(system.unchecked.jacobian(leg.via[-1][None])[0])
    return max(float(rates.real.max()), 0.0) / (2.0 * np.pi)


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
) -> LegPrefactor:
    """The closed form, which counts a saddle once however many paths lead to it; NaN where there is none."""
    if one is not leg:
        return LegPrefactor(0.0)
    saddle = _saddle(costs, leg)
    rate = None if saddle is None else _eyring_kramers(system, costs.minima[home], saddle)
    if rate is not None:
        return LegPrefactor(rate)
    return LegPrefactor(
        np.nan, reason=f"there is no closed form, and above {_CARRIED} dimensions none is carried along the path"
    )


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
    """The prefactor of one leg, or NaN where it cannot be trusted; see `carried_prefactor`."""
    return carried_prefactor(system, leg, minimum, saddle).value


def carried_prefactor(system: System, leg: PathSolution, minimum: Array, saddle: Array) -> LegPrefactor:
    """The prefactor along a leg, held against that of other cuts near its ends and that of every second of its points.

    Two cuts test the linear flow with which the ends are continued. They share the curve between the points, which every
    second point tests: next to a saddle with a small curvature, errors of the direction of the curve enter as parts of it.
    """
    if system.noise.singular_at(minimum):
        return LegPrefactor(
            np.nan, reason="the formula assumes noise in every direction, and it is singular at the minimum"
        )
    x, p = leg.points[leg.uphill], leg.momenta[leg.uphill]
    size = float(np.linalg.norm(saddle - minimum))
    values: list[float] = []
    kept: list[np.ndarray[Any, np.dtype[np.intp]]] = []
    reason = ""
    for cut in _CUTS:  # The first agreement counts, at the cut that was tried first.
        inner = (np.linalg.norm(x - minimum, axis=1) > cut * size) & (np.linalg.norm(x - saddle, axis=1) > cut * size)
        try:
            value = bouchet_reygner(system, x[inner], p[inner], minimum=minimum, saddle=saddle)
        except (ValueError, SolveError) as error:
            reason = reason or str(error)
            continue
        close = [other for other in values if abs(value - other) <= _AGREEMENT * other]
        if not close:
            values.append(value)
            kept.append(np.flatnonzero(inner))
            continue
        chosen = close[0]
        here = kept[values.index(chosen)]
        half = np.append(here[:-1:2], here[-1])
        try:
            coarse = bouchet_reygner(system, x[half], p[half], minimum=minimum, saddle=saddle)
        except (ValueError, SolveError):
            coarse = np.nan
        off = abs(coarse / chosen - 1.0)
        if not off <= _COARSE:
            return LegPrefactor(
                np.nan,
                reason=f"it is not resolved by the {here.size} points of the path: every second of them gives "
                f"{coarse:.3g} instead of {chosen:.3g}; a smaller tolerance of the method has more points",
            )
        return LegPrefactor(chosen, max(abs(value - chosen), abs(coarse - chosen)))
    if len(values) > 1:
        reason = f"cuts of the path near its ends give {', '.join(f'{v:.3g}' for v in values)}"
    return LegPrefactor(np.nan, reason=reason or "the path has too few points")
