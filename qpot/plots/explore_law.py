"""The law of the chain over a grid of noise levels and numbers of steps, as the page of `explore` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from qpot._core.arrays import Array, as_float_array
from qpot._core.status import SolveError
from qpot.chain.relaxation import transition_matrix
from qpot.prediction.dearer_legs import summed_prefactors
from qpot.prediction.open_report import unknown_exits
from qpot.prediction.result import Prediction

# Default noise levels: the highest cost of an escape is this many times epsilon, at the weakest and the strongest noise.
_WEAKEST, _STRONGEST = 20.0, 2.0
# The number of default noise levels, and that of default durations for each factor of ten.
_LEVELS, _PER_DECADE = 25, 4
# More steps than this are not offered by default.
_LONGEST = 1e15
# The noise levels of the sliders' range at which the leading minima are compared.
_COMPARED = 129
# Shares that differ by less than this are equal: each holds an error of rounding.
EQUAL = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class LawTable:
    """Where the chain is, for each noise level, duration and start.

    Attributes
    ----------
    epsilons, learning_rates : array (n,)
        The noise levels and the learning rates that belong to them.
    durations : array (m,)
        Numbers of steps, or times where ``in_time``.
    in_time : bool
    starts : tuple of int
        The minima where the chain may start.
    law : array (n, m, s, k) or (n, m, s, k + 1)
        The probability of each minimum and, where ways lead out of the box, that of the outside. Without prefactors it is
        one at the minimum that holds the chain, shared among several; NaN where it is not known.
    long_run : array (n, k)
        The stationary law; without prefactors it is shared among the selected minima; NaN where it is not known.
    known : bool array (n,)
        Whether the prefactors of all rates are known at this noise level, so that ``law`` holds probabilities.
    changes : tuple of (epsilon, before, after)
        Where the largest share of the stationary law goes from one minimum to another as epsilon grows.
    """

    epsilons: Array
    learning_rates: Array
    durations: Array
    in_time: bool
    starts: tuple[int, ...]
    law: Array
    long_run: Array
    known: NDArray[np.bool_]
    changes: tuple[tuple[float, int, int], ...]


def cheapest_exits(prediction: Prediction) -> Array:
    """The least known cost of leaving each minimum, for another or for the outside, ``(k,)``; inf where there is none."""
    costs = prediction.costs
    off = np.where(np.eye(len(prediction.minima), dtype=bool) | np.isnan(costs.direct), np.inf, costs.direct)
    exits = off.min(axis=1)
    for way in costs.ways_out:
        exits[way.minimum] = np.fmin(exits[way.minimum], way.cost)
    return np.asarray(exits)


def slider_values(
    prediction: Prediction,
    *,
    batch_size: int,
    learning_rates: ArrayLike | None,
    epsilons: ArrayLike | None,
    durations: ArrayLike | None,
    in_time: bool,
) -> tuple[Array, Array, Array]:
    """Noise levels ``(n,)``, their learning rates ``(n,)`` and durations ``(m,)``: those given, or ranges of interest."""
    unit = prediction.epsilon(1.0, batch_size)
    exits = cheapest_exits(prediction)
    highest = float(exits[np.isfinite(exits) & (exits > 0.0)].max(initial=0.0)) or 1.0
    if learning_rates is not None:
        rates = _increasing(learning_rates, "learning_rates")
        levels = rates * unit
    elif epsilons is not None:
        levels = _increasing(epsilons, "epsilons")
        rates = levels / unit
    else:
        levels = np.geomspace(highest / _WEAKEST, highest / _STRONGEST, _LEVELS)
        # A person reads three digits of the number that the slider shows.
        rates = _rounded(levels / (1.0 if in_time else unit), 3)
        levels, rates = (rates, rates / unit) if in_time else (rates * unit, rates)
    if durations is not None:
        lengths = _increasing(durations, "steps")
    else:
        unit_of_time = 1.0 if in_time else float(rates[0])
        longest = min(10.0 * np.exp(min(highest / levels[0], 600.0)) / unit_of_time, _LONGEST)
        decades = max(int(np.ceil(np.log10(longest))), 2)
        lengths = _rounded(np.geomspace(1.0, 10.0**decades, _PER_DECADE * decades + 1), 1)
    return levels, rates, lengths


def law_table(
    prediction: Prediction,
    *,
    starts: Sequence[int],
    batch_size: int,
    levels: Array,
    rates: Array,
    durations: Array,
    in_time: bool,
) -> LawTable:
    """The law at every position of the sliders; see `LawTable`."""
    k, leads_out = len(prediction.minima), bool(prediction.costs.ways_out)
    law = np.full((levels.size, durations.size, len(starts), k + leads_out), np.nan)
    long_run = np.full((levels.size, k), np.nan)
    known = np.zeros(levels.size, dtype=bool)
    for n, (epsilon, rate) in enumerate(zip(levels, rates, strict=True)):
        factors = _all_prefactors(prediction, float(epsilon))
        known[n] = factors is not None
        times = durations if in_time else durations * rate
        long_run[n] = _long_run(prediction, float(rate), batch_size, factors is not None)
        for m, time in enumerate(times):
            if factors is not None:
                direct = prediction.costs.with_outside() if leads_out else prediction.costs.direct
                moves = transition_matrix(direct, float(epsilon), float(epsilon * np.log(time)), prefactors=factors)
                law[n, m] = moves[list(starts)]
            else:
                for s, start in enumerate(starts):
                    law[n, m, s] = _held(prediction, float(time / rate), float(rate), batch_size, start, leads_out)
    return LawTable(
        epsilons=levels,
        learning_rates=rates,
        durations=durations,
        in_time=in_time,
        starts=tuple(starts),
        law=law,
        long_run=long_run,
        known=known,
        changes=_changes(prediction, batch_size, rates) if known.all() else (),
    )


def _all_prefactors(prediction: Prediction, epsilon: float) -> Array | None:
    """The prefactors of all rates at one noise level, with the outside as the last state; None where one is not known."""
    costs = prediction.costs
    if prediction.prefactors is None or unknown_exits(costs):
        return None
    factors = summed_prefactors(prediction.prefactors, prediction.dearer, epsilon)
    factors = np.where(factors == 0.0, 1.0, factors)  # No route leads there, and the number is not used.
    if not costs.ways_out:
        return None if np.isnan(factors).any() else factors
    k = len(prediction.minima)
    result, direct = np.ones((k + 1, k + 1)), costs.with_outside()
    result[:k, :k], result[:k, k] = factors, 0.0
    for way in costs.ways_out:
        if np.isfinite(way.cost):
            result[way.minimum, k] += way.prefactor_at(epsilon) * np.exp(-(way.cost - direct[way.minimum, k]) / epsilon)
    result[:k, k] = np.where(np.isfinite(direct[:k, k]), result[:k, k], 1.0)
    return None if np.isnan(result).any() else result


def _long_run(prediction: Prediction, rate: float, batch_size: int, known: bool) -> Array:
    """The stationary law, or equal shares of the selected minima where prefactors are not known; NaN where there is none."""
    k = len(prediction.minima)
    closed = np.isfinite(prediction.stationary_costs).all()
    if known and closed:
        return prediction.occupation(rate, batch_size)
    if not known and len(prediction.selected) == 1:
        return np.asarray(np.arange(k) == prediction.selected[0], dtype=float)
    return np.full(k, np.nan)


def _held(prediction: Prediction, steps: float, rate: float, batch_size: int, start: int, leads_out: bool) -> Array:
    """One at the minimum that holds the chain, shared where several tie; NaN where a leg of unknown cost may be taken."""
    k = len(prediction.minima)
    shares = np.zeros(k + leads_out)
    try:
        ids = list(prediction.after(steps, rate, batch_size, start))
    except SolveError:
        return np.full(k + leads_out, np.nan)
    ids = ids or [k]
    shares[ids] = 1.0 / len(ids)
    return shares


def _changes(prediction: Prediction, batch_size: int, rates: Array) -> tuple[tuple[float, int, int], ...]:
    """Noise levels within the sliders' range where another minimum gets the largest share of the stationary law."""
    if rates.size < 2 or not np.isfinite(prediction.stationary_costs).all():
        return ()
    compared = np.geomspace(rates[0], rates[-1], _COMPARED)
    laws = np.array([prediction.occupation(float(rate), batch_size) for rate in compared])
    # Of equal shares the first one counts, so that rounding makes no changes.
    leads = (laws >= laws.max(axis=1, keepdims=True) - EQUAL).argmax(axis=1)
    found = []
    for n in np.flatnonzero(leads[1:] != leads[:-1]):
        i, j = int(leads[n]), int(leads[n + 1])

        def difference(log_rate: float, i: int = i, j: int = j) -> float:
            law = prediction.occupation(float(np.exp(log_rate)), batch_size)
            return float(law[i] - law[j])

        low, high = float(np.log(compared[n])), float(np.log(compared[n + 1]))
        # Shares that are equal at one end leave nothing to search for.
        crossing = difference(low) * difference(high) < 0.0
        log_rate = brentq(difference, low, high, xtol=1e-10) if crossing else low
        found.append((prediction.epsilon(float(np.exp(log_rate)), batch_size), i, j))
    return tuple(found)


def _rounded(values: Array, digits: int) -> Array:
    return np.array([float(f"{value:.{digits - 1}e}") for value in values])


def _increasing(values: ArrayLike, name: str) -> Array:
    """Positive finite numbers in increasing order, ``(n,)``, as the positions of a slider."""
    array = np.unique(np.atleast_1d(as_float_array(values, name=name)).ravel())
    if array.size == 0 or not (np.isfinite(array) & (array > 0.0)).all():
        raise ValueError(f"{name} must be positive finite numbers of shape (n,), got {values!r}")
    return array
