"""What a check says beside its verdict: what was run, and what explains a disagreement, with its sign."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot.paths.gaussianity import check_gaussianity
from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.comparison import Comparison
from qpot.simulation.levels import Escapes
from qpot.simulation.process import Process
from qpot.simulation.rare_escapes import SplittingTimes

# Costs that reach fewer epsilon than this are no test of a law for small noise.
_SMALL_NOISE = 6.0
# A change of the cost by this share is told even where nothing disagrees.
_TOLD = 0.05


def explanations(comparison: Comparison, process: Process, escapes: Sequence[Escapes]) -> tuple[str, ...]:
    """Sentences that follow the verdict: what was run for each minimum, then what explains a disagreement."""
    measured = {item.home: item for item in escapes if item.measurements}
    laws = [law for law in comparison.arrhenius if law.home in measured]
    remarks = [_run(process, [measured[law.home] for law in laws])] if laws else []
    for law in laws:
        changed = _exact_noise(comparison, process, law)
        remarks += [changed] if changed else []
        if not changed and _off(comparison, law):
            remarks.append(_direction(law, measured[law.home]))
    return tuple(remarks)


def _off(comparison: Comparison, law: ArrheniusLaw) -> bool:
    """Whether the slope or the intercept of a law is beyond the threshold."""
    z = np.array([law.slope_deviation, law.intercept_deviation])
    return bool((np.abs(z[np.isfinite(z)]) > comparison.threshold).any())


def _run(process: Process, escapes: Sequence[Escapes]) -> str:
    """What was run: the process, its rates, the costs in units of epsilon, and how escapes were seen."""
    kind = "The diffusion" if process.batch_size is None else "SGD"
    rates = [m.learning_rate if m.batch_size is not None else m.epsilon for item in escapes for m in item.measurements]
    numbers = np.array([rate for rate in rates if rate is not None])
    name = "at epsilon" if process.batch_size is None else f"with batches of {process.batch_size} at learning rates"
    costs = "; ".join(
        f"{low:.1f} to {high:.1f} epsilon out of minimum {item.home}"
        for item in escapes
        for low, high in [item.cost_range]
    )
    split = sum(isinstance(m, SplittingTimes) for item in escapes for m in item.measurements)
    how = f", {split} of {len(rates)} times by splitting" if split else ""
    return f"{kind} was run {name} {numbers.min():.3g} to {numbers.max():.3g}{how}, where the costs are {costs}."


def _exact_noise(comparison: Comparison, process: Process, law: ArrheniusLaw) -> str:
    """What the samples' own noise, to first order, changes in a cost that is predicted for Gaussian noise; or nothing."""
    system, costs = process.system, comparison.prediction.costs
    total = system.finite_sum
    if total is None or not system.noise.gaussian or process.batch_size is None:
        return ""
    direct = np.where(np.arange(len(costs.minima)) == law.home, np.inf, costs.direct[law.home])
    gaussianity = check_gaussianity(
        total, costs.paths[law.home, int(np.argmin(direct))], batch_size=process.batch_size,
        replacement=system.replacement,
    )  # fmt: skip
    change, share = gaussianity.action_change, gaussianity.relative_change
    if abs(law.slope_deviation) <= comparison.threshold and abs(share) < _TOLD:
        return ""
    # What the first order leaves out is about its square.
    error = float(np.hypot(law.slope_error, share * change))
    z = (law.slope - law.predicted_slope - change) / error
    first = (
        f"The prediction takes noise to be Gaussian; the samples' own noise changes the cost out of minimum {law.home} by "
        f"{change:+.3g} ({share:+.0%}, to first order)"
    )
    if abs(law.slope_deviation) <= comparison.threshold:
        return f"{first}, which is within the errors."
    if abs(z) <= comparison.threshold:
        return (
            f"{first}, which explains the slope: it is then {abs(z):.1f} standard errors away. Predict with "
            'System.from_finite_sum(..., noise="exact").'
        )
    return f"{first}, which does not explain the slope: it is still {abs(z):.1f} standard errors away."


def _direction(law: ArrheniusLaw, escapes: Escapes) -> str:
    """Whether escapes are faster or slower than predicted, and whether the noise is too large to tell more."""
    low, high = escapes.cost_range
    if np.isfinite(law.predicted_intercept):
        factor = np.exp(law.log_times - law.predicted_log_times)
        pace = "slower" if np.log(factor).mean() > 0 else "faster"
        ratio = np.sort(factor if pace == "slower" else 1.0 / factor)
        told = f"escapes are {pace} than predicted, by a factor of {ratio[0]:.2g} to {ratio[-1]:.2g}"
    else:
        rarer = "faster" if law.slope > law.predicted_slope else "more slowly"
        told = f"as the noise falls, escapes get rarer {rarer} than predicted"
    if high >= _SMALL_NOISE and law.approaches is None:
        return f"Out of minimum {law.home} {told}."
    return (
        f"The noise at which escapes from minimum {law.home} can be seen within the budget (costs of {low:.1f} to "
        f"{high:.1f} epsilon) is too large for the theory: {told}."
    )
