"""What a prediction for Gaussian noise becomes with the samples' own noise, and what a check makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qpot._core.status import SolveError
from qpot.paths.gaussianity import check_gaussianity
from qpot.paths.geometric import GeometricAction
from qpot.prediction.open_report import unknown_exits
from qpot.prediction.reduced_model import reduced_model
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.prediction.transitions import transition_costs
from qpot.problem.system import System
from qpot.simulation.arrhenius import cheapest_neighbour
from qpot.simulation.comparison import Comparison, compare
from qpot.simulation.process import Process
from qpot.simulation.tilted_costs import tilted_costs
from qpot.solvers.common.spending import left

# Paths under the samples' own noise are solved in at most so many dimensions, for chains of so many minima.
_MOST_DIMENSIONS, _MOST_MINIMA = 8, 4
# A change of the cost by this share is told even where nothing disagrees.
_TOLD = 0.05
# CPU seconds of a leg, and its tolerance, which is small beside the errors of measured slopes.
_SECONDS, _TOLERANCE = 5.0, 1e-3
# What a leg takes before it asks whether time is left, times the squared dimension: 5 s were measured in 8 dimensions.
_FIRST_PASS = 0.08


def first_order(comparison: Comparison, process: Process) -> dict[int, tuple[float, float]]:
    """For each law the change of its cost through the samples' own noise, to first order, and as a share of the cost.

    It is empty where the prediction is not for Gaussian noise, or where no minibatches were run.
    """
    system, costs = process.system, comparison.prediction.costs
    total = system.finite_sum
    if total is None or not system.noise.gaussian or process.batch_size is None:
        return {}
    result = {}
    for law in comparison.arrhenius:
        found = check_gaussianity(
            total, costs.paths[law.home, cheapest_neighbour(comparison.prediction, law.home)], batch_size=process.batch_size,
            replacement=system.replacement,
        )  # fmt: skip
        result[law.home] = (found.action_change, found.relative_change)
    return result


def own_noise(
    comparison: Comparison, process: Process, evidence: Sequence[Any], burn_in: float
) -> tuple[list[str], bool]:
    """Sentences on what the samples' own noise changes, and whether it explains the disagreement.

    There are none where it changes little and nothing disagrees.
    """
    changes = first_order(comparison, process)
    disagrees = comparison.agrees is False
    if not changes or not (disagrees or any(abs(share) >= _TOLD for _, share in changes.values())):
        return [], False
    parts = [f"{change:+.3g} ({share:+.0%}) out of minimum {home}" for home, (change, share) in changes.items()]
    first = (
        "The prediction takes noise to be Gaussian; the samples' own noise changes the costs, to first order, by "
        f"{', '.join(parts)}"
    )
    if not disagrees:
        return [f"{first}, which is within the errors."], False
    exact, few = with_own_noise(comparison.prediction, process), True
    if exact is None:
        exact, few = _by_tilts(comparison, process), False
    if exact is None:
        return _with_changes(comparison, changes, first)
    # At one batch size the correction for the learning rate changes no slope, and it is not known for tilted samples.
    second = compare(
        exact, *evidence, allowance=comparison.arrhenius[0].allowance, threshold=comparison.threshold, burn_in=burn_in,
        system=process.system, finite_rate=few,
    )  # fmt: skip
    before = {law.home: law.cost for law in comparison.arrhenius}
    costs = ", ".join(
        f"{law.cost:.3g} rather than {before[law.home]:.3g} out of minimum {law.home}" for law in second.arrhenius
    )
    solved = f"The prediction takes noise to be Gaussian; with the samples' own noise the costs are {costs}"
    deviations = second.deviations
    if not deviations:
        return [f"{solved}, from which these measurements could not tell anything."], False
    name, worst = max(deviations.items(), key=lambda item: abs(item[1]))
    if abs(worst) <= comparison.threshold:
        return [
            f"{solved}, which explains the disagreement: of {len(deviations)} comparisons the farthest, the {name}, is "
            f'then {abs(worst):.1f} standard errors away. Predict with System.from_finite_sum(..., noise="exact").'
        ], True
    return [
        f"{solved}, which does not explain the whole disagreement: the {name} is still {abs(worst):.1f} standard errors "
        f"too {'large' if worst > 0 else 'small'}."
    ], False


def _by_tilts(comparison: Comparison, process: Process) -> Prediction | None:
    """The prediction with the laws' costs for the samples' own noise, in any dimension; None where they are not solved."""
    system = process.system
    if system.finite_sum is None or not system.replacement:
        return None
    return tilted_costs(comparison.prediction, system.finite_sum, [law.home for law in comparison.arrhenius])


def _with_changes(
    comparison: Comparison, changes: dict[int, tuple[float, float]], first: str
) -> tuple[list[str], bool]:
    """Whether the first-order changes of the costs explain all that disagrees, in a sentence and as an answer."""
    limit, worst = comparison.threshold, 0.0
    for law in comparison.arrhenius:
        change, share = changes[law.home]
        # What the first order leaves out is about its square.
        error = float(np.hypot(law.slope_error, share * change))
        worst = max(worst, abs(law.slope - law.predicted_slope - change) / error, key=abs)
    others = [
        name for name, z in comparison.deviations.items() if abs(z) > limit and not name.startswith("cost out of")
    ]
    if worst > limit:
        return [f"{first}, which does not explain the slopes: one is still {worst:.1f} standard errors away."], False
    if not others:
        return [
            f"{first}, which explains the slopes: they are then {worst:.1f} standard errors away at most. Predict with "
            'System.from_finite_sum(..., noise="exact").'
        ], True
    # Prefactors belong to Gaussian noise, and steps of other noise have others of the same order.
    only = all(name.startswith("prefactor") for name in others)
    rest = "; prefactors are those of Gaussian noise, and minibatch steps have others" if only else ""
    return [f"{first}, with which the slopes are {worst:.1f} standard errors away at most{rest}."], only


def with_own_noise(prediction: Prediction, process: Process) -> Prediction | None:
    """The same prediction with costs for the exact noise of minibatches; None where they cannot be computed."""
    total, system = process.system.finite_sum, process.system
    assert total is not None  # Only finite sums have noise of their own.
    if total.dimension > _MOST_DIMENSIONS or len(prediction.minima) > _MOST_MINIMA:
        return None
    if 2 * len(prediction.saddles) * _FIRST_PASS * total.dimension**2 > left():
        return None  # Both legs over every pass would not be begun within the time.
    model = reduced_model(total, prediction.symmetries)
    reduced = model.system.finite_sum
    assert reduced is not None
    exact = System.from_finite_sum(
        reduced, noise="exact", replacement=system.replacement,
        batch_size=None if system.replacement else process.batch_size,
    )  # fmt: skip
    try:
        costs = transition_costs(
            exact, model.into(prediction.minima), saddles=model.into(prediction.saddles), budget=_SECONDS,
            method=GeometricAction(tolerance=_TOLERANCE),
        )  # fmt: skip
    except SolveError:
        return None
    if unknown_exits(costs):
        return None
    result: Prediction = model.read(prediction_from_costs(costs))
    return replace(result, system=system, symmetries=prediction.symmetries)
