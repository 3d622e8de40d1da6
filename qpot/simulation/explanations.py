"""What a check says beside its verdict: what was run, and what explains a disagreement, with its sign."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot.problem.sample_noise import SampleNoise
from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.comparison import Comparison
from qpot.simulation.ensemble import Ensemble
from qpot.simulation.escape_points import EscapePoints
from qpot.simulation.levels import Escapes
from qpot.simulation.own_noise import own_noise
from qpot.simulation.process import Process
from qpot.simulation.rare_escapes import SplittingTimes
from qpot.simulation.shares import OccupationCheck
from qpot.solvers.common.spending import spending, spent

# Costs that reach fewer epsilon than this are no test of a law for small noise.
_SMALL_NOISE = 6.0
# The next term of the law may have this coefficient for every two directions, in units of epsilon / cost.
_NEXT_TERM = 3.0


def explanations(
    comparison: Comparison,
    process: Process,
    escapes: Sequence[Escapes],
    ensembles: Sequence[Ensemble] = (),
    *,
    burn_in: float = 0.5,
    seconds: float = np.inf,
) -> tuple[str, ...]:
    """Sentences that follow the verdict: what was run for each minimum, then what explains a disagreement.

    Costs for the samples' own noise are solved for within so many ``seconds`` of CPU time.
    """
    measured = {item.home: item for item in escapes if item.measurements}
    laws = [law for law in comparison.arrhenius if law.home in measured]
    remarks = [_run(process, [measured[law.home] for law in laws])] if laws else []
    remarks += [told for told in [_assumed(process)] if told and (escapes or ensembles)]
    evidence = [*(m for law in laws for m in measured[law.home].measurements), *ensembles]
    with spending(seconds):
        noise, explained = own_noise(comparison, process, evidence, burn_in)
        if noise and not explained and spent():
            noise = [
                *noise,
                f"The costs for the samples' own noise were searched for during {seconds:.0f} s, and not longer.",
            ]
    remarks += noise
    if explained or comparison.agrees is not False:
        return tuple(remarks)
    remarks += [_direction(comparison, law, measured[law.home]) for law in laws if _off(comparison, law)]
    remarks += [_destination(comparison, points) for points in comparison.escape_points]
    remarks += [_occupation(comparison, item) for item in comparison.occupations]
    return tuple(remark for remark in remarks if remark)


def _off(comparison: Comparison, law: ArrheniusLaw) -> bool:
    """Whether the slope, the intercept or the times of a law are beyond the threshold."""
    return bool((np.abs(law.judged) > comparison.threshold).any())


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


def _assumed(process: Process) -> str:
    """What the noise of the costs has beyond that of the samples, with which SGD was run; empty where they are the same."""
    noise = process.system.noise
    if process.batch_size is None or not isinstance(noise, SampleNoise) or noise.floor <= 0.0:
        return ""
    return (
        f"SGD was run with its samples' own noise, and the costs are for that noise with a floor of {noise.floor:.2g} in "
        "every direction, which makes them lower: that escapes are rarer than predicted is no contradiction, that they are "
        "more frequent would be one."
    )


def _direction(comparison: Comparison, law: ArrheniusLaw, escapes: Escapes) -> str:
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
    if high < _SMALL_NOISE or law.approaches is not None:
        return (
            f"The noise at which escapes from minimum {law.home} can be seen within the budget (costs of {low:.1f} to "
            f"{high:.1f} epsilon) is too large for the theory: {told}."
        )
    off = f"the cost is {law.slope / law.predicted_slope - 1:+.0%} off"
    term, fits = law.next_term
    dimension = comparison.prediction.minima[0].point.size
    largest = _NEXT_TERM * max(law.allowance, dimension / 2.0)
    if fits and abs(term) - 2.0 * law.next_term_error <= largest:
        return (
            f"Out of minimum {law.home} {told}: {off}, or the next term of the law, {term:+.2g} epsilon / cost in the "
            f"logarithm of the time, counts at costs of {low:.1f} to {high:.1f} epsilon in {dimension} dimensions; it "
            f"accounts for the slope, makes escapes {'slower' if term > 0 else 'faster'} at larger noise and fades at "
            "smaller noise."
        )
    return (
        f"Out of minimum {law.home} {told}, which neither the noise nor the learning rate explains: {off}, or a pass or a "
        "minimum is missing from the prediction."
    )


def _destination(comparison: Comparison, points: EscapePoints) -> str:
    """Where escapes go more often or more rarely than predicted; empty if they go where they should."""
    z = points.deviations
    j = int(np.abs(z).argmax())
    if abs(z[j]) <= comparison.threshold:
        return ""
    cost = comparison.prediction.costs.direct[points.home, j] / points.epsilon
    more = "more often" if z[j] > 0 else "more rarely"
    reason = (
        "a pass between the two is missing from the prediction"
        if not np.isfinite(cost)
        else f"at a cost of {cost:.1f} epsilon the noise is too large for the theory to tell shares"
        if cost < _SMALL_NOISE
        else "the difference between the costs of the routes is off"
    )
    return (
        f"At epsilon {points.epsilon:.3g} escapes from minimum {points.home} go to minimum {j} {more} than predicted "
        f"({points.shares[j]:.2f} instead of {points.predicted[j]:.2f}): {reason}."
    )


def _occupation(comparison: Comparison, item: OccupationCheck) -> str:
    """The minimum that holds more or less of the time than predicted; empty if all hold what they should."""
    z = item.deviations
    i = int(np.abs(z).argmax())
    if abs(z[i]) <= comparison.threshold:
        return ""
    direct = comparison.prediction.costs.direct
    least = float(direct[np.isfinite(direct) & (direct > 0.0)].min()) / item.epsilon
    reason = (
        f"at costs from {least:.1f} epsilon on the noise is too large for the theory to tell shares"
        if least < _SMALL_NOISE
        else "the difference between the costs of leaving and of coming back is off"
    )
    return (
        f"At epsilon {item.epsilon:.3g} minimum {i} holds {'more' if z[i] > 0 else 'less'} of the time than predicted "
        f"({item.fractions[i]:.2f} instead of {item.predicted[i]:.2f}): {reason}."
    )
