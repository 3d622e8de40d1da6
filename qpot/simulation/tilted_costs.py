"""Costs under the samples' own noise in many dimensions: the legs of a prediction, solved again by tilted sample weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array
from qpot.paths.solution import PathSolution
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.samples.finite_sum import FiniteSum
from qpot.simulation.arrhenius import cheapest_neighbour
from qpot.solvers.common.polyline import interpolated
from qpot.solvers.common.spending import spending
from qpot.solvers.paths.tilted_samples import REACHED, Tilted, cheapest_tilts

# CPU seconds for one leg.
_SECONDS = 60.0
# A motion lasts as long as the leg takes to pay its cost but for this share at both ends, and so many relaxation times more.
_PAID, _LONGER = 0.01, 5.0
# The share of the additional time that follows the leg.
_AFTER = 0.4
# It ends on the descent from the saddle, this share of the way to the other minimum beyond it.
_BEYOND = 0.1
# The length of a step times the fastest rate at the minimum, and how many steps there are at most.
_STEP, _MOST_STEPS = 0.25, 600
# What a finite time and steps of this length leave undecided, as a share of the cost: 1 percent was measured.
_ERROR = 0.03
# A leg whose rough cost is dearer than the cheapest by this factor is not solved further.
_DEARER = 1.3


def tilted_costs(prediction: Prediction, total: FiniteSum, homes: list[int]) -> Prediction | None:
    """The same prediction with the cheapest legs out of ``homes`` priced under the exact noise of samples drawn one by one.

    All legs that the prediction knows between a home and its cheapest neighbour are solved roughly, from the leg on, and
    those that are not much dearer than the cheapest of them in full. None where one of these does not come to its end in
    time; prefactors are left out, since they belong to Gaussian noise.
    """
    costs = prediction.costs
    paths, parallel = dict(costs.paths), dict(costs.parallel)
    direct, errors = costs.direct.copy(), costs.errors.copy()
    for home in homes:
        pair = (home, cheapest_neighbour(prediction, home))
        legs = costs.parallel.get(pair, (costs.paths[pair],))
        rates = np.abs(costs.minima[home].rates)
        found = _priced(total, legs, rates)
        if not found:
            return None
        paths[pair], direct[pair], errors[pair] = found[0], found[0].action, found[0].error
        parallel.pop(pair, None)
        if len(found) > 1:
            parallel[pair] = tuple(found)
    # Costs between minima with others between them are not looked at by a comparison, which reads the direct ones.
    changed = replace(costs, paths=paths, parallel=parallel, direct=direct, values=direct.copy(), errors=errors)
    return replace(prediction_from_costs(changed), system=prediction.system, symmetries=prediction.symmetries)


def _priced(total: FiniteSum, legs: Sequence[PathSolution], rates: Array) -> list[PathSolution]:
    """The legs with their costs under exact noise, cheapest first; empty where one that matters is not solved.

    An unfinished solution is an upper bound of any size, and counts as none.
    """
    rough = [_solved(total, leg, rates) for leg in legs]
    if any(motion is None for motion in rough):
        return []
    started = sorted(
        ((motion, leg) for motion, leg in zip(rough, legs, strict=True) if motion is not None),
        key=lambda item: item[0].cost,
    )
    result: list[PathSolution] = []
    for motion, leg in started:
        if result and motion.cost > _DEARER * result[0].action:
            break
        full = _solved(total, leg, rates, logits=motion.logits)
        if full is None or full.status != REACHED:
            return []
        result.append(replace(leg, action=full.cost, error=_ERROR * full.cost, alternatives=()))
    return sorted(result, key=lambda leg: leg.action)


def _solved(total: FiniteSum, leg: PathSolution, rates: Array, *, logits: Array | None = None) -> Tilted | None:
    """A rough solution from the Gaussian leg, or the full one from the ``logits`` of the rough one."""
    top, end = _places(leg)
    slowest, fastest = float(rates.min()), float(rates.max())
    if end is None:
        return None
    paid = np.cumsum(np.r_[0.0, np.einsum("ni,ni->n", leg.momenta[1:], np.diff(leg.points, axis=0))])
    first, last = int(np.searchsorted(paid, _PAID * leg.action)), int(np.searchsorted(paid, (1.0 - _PAID) * leg.action))
    last = min(max(last, first + 1), top)
    more = _LONGER / slowest
    span = float(leg.times[last] - leg.times[first]) + more
    step = max(_STEP / fastest, span / _MOST_STEPS)
    K = max(int(span / step), 2)
    # The controls of the Gaussian leg, up to where it has paid for its way; the motion is free before.
    at = leg.times[last] + _AFTER * more + step * (np.arange(K) - K)
    times = np.clip(at, leg.times[0], leg.times[top])
    rough = logits is None
    if logits is None:
        points, momenta = (
            interpolated(leg.times[: top + 1], each[: top + 1], times) for each in (leg.points, leg.momenta)
        )
        logits = -total.derivatives_along(points, momenta)

    def gradients(x: Array) -> Array:
        return np.asarray(total.sample_gradients(x), dtype=np.float64)

    with spending(_SECONDS):
        return cheapest_tilts(gradients, leg.points[0], end, logits, step, scale=leg.action, rough=rough)


def _places(leg: PathSolution) -> tuple[int, Array | None]:
    """The last row on the way up, and a point on the descent that follows; None without a descent."""
    top = int(np.flatnonzero(leg.uphill)[-1])
    lengths = np.linalg.norm(np.diff(leg.points[top:], axis=0), axis=1)
    if not lengths.size or not lengths.sum() > 0.0:
        return top, None
    share = np.cumsum(lengths) / lengths.sum()
    return top, leg.points[top + 1 + int(np.searchsorted(share, _BEYOND))]
