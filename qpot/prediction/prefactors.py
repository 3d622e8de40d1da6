"""Rate prefactors of all transitions, from the paths behind their costs."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import SolveError
from qpot.paths.solution import PathSolution
from qpot.prediction.along_paths import bouchet_reygner
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.kramers import eyring_kramers
from qpot.problem.system import System

# Share of a leg's length that is left out next to its ends, where differences of nearly equal numbers would decide:
# the formula continues the path linearly there. Two cuts must agree, or the prefactor is not trusted.
_CUTS = (1e-3, 1e-2, 1e-4, 3e-3)
_AGREEMENT = 0.03
# Above this dimension the Hessian of the quasi-potential is not carried along paths (seconds, growing like d^4).
_CARRIED = 16


def rate_prefactors(system: System, costs: TransitionCosts) -> Array:
    """Prefactors A(i, j) of the rates A exp(-V / epsilon) between minima, (k, k).

    Parameters
    ----------
    system : System
    costs : TransitionCosts

    Returns
    -------
    array (k, k)
        Transitions per unit of SDE time, zero where no saddle connects the two minima. Paths that tie (several saddles
        or several minimisers over one saddle) add up. NaN where the formula does not hold or its integration does not
        come out the same for two cuts of the path, for example at a caustic or a degenerate saddle, and for the exact
        noise of discrete SGD, which has other prefactors. Above 16 dimensions only the closed form of Eyring and Kramers
        is used, for gradient systems under constant noise that commutes with the Hessians; NaN for others.

    Notes
    -----
    F. Bouchet, J. Reygner, Ann. Henri Poincare 17 (2016) 3499; see `qpot.rates.bouchet_reygner`.

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
        # the formula is for diffusions; that of discrete steps is another one
        for pair, path in costs.paths.items():
            result[pair] = np.nan if np.isfinite(path.action) else 0.0
        return result
    if system.dimension > _CARRIED:
        return _closed_form(system, costs)
    for (i, j), path in costs.paths.items():
        for leg in costs.parallel.get((i, j), (path,)):
            if leg.action - path.action > leg.error + path.error:
                continue
            for tied in (leg, *leg.alternatives):
                if tied.action - leg.action <= tied.error + leg.error:
                    # the formula knows nothing of a path that rests at a second saddle on its way
                    known = len(tied.via) <= (1 if tied is leg else 0)
                    result[i, j] += leg_prefactor(system, tied, costs.minima[i].point, leg.via[-1]) if known else np.nan
    return result


def _closed_form(system: System, costs: TransitionCosts) -> Array:
    """Eyring-Kramers prefactors of gradient systems under isotropic or commuting constant noise; NaN elsewhere."""
    result = np.zeros((len(costs.minima),) * 2)
    noise = system.noise.constant if system.noise.isotropic is None else system.noise.isotropic
    for (i, j), path in costs.paths.items():
        for leg in costs.parallel.get((i, j), (path,)):
            if leg.action - path.action > leg.error + path.error:
                continue
            saddle = next(s for s in costs.saddles if np.array_equal(s.point, leg.via[0]))
            known = system.gradient_drift and noise is not None and saddle.hessian.size > 0
            try:
                rate = eyring_kramers(costs.minima[i].hessian, saddle.hessian, covariance=noise) if known else np.nan
            except ValueError:  # degenerate, or without detailed balance
                rate = np.nan
            result[i, j] += rate
    return result


def leg_prefactor(system: System, leg: PathSolution, minimum: Array, saddle: Array) -> float:
    """The prefactor of one leg, or NaN where it cannot be trusted."""
    if system.noise.singular_at(minimum):
        return float("nan")  # the formula assumes noise in every direction
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
