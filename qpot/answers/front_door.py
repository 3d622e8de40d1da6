"""select: any problem is handed over to what answers it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array, BoundsLike, as_rng, format_point
from qpot._core.interrupts import interruptible
from qpot._core.progress import ProgressLike
from qpot._core.status import SolveError, Status
from qpot._core.types import SeedLike
from qpot.answers.answer import Answer
from qpot.answers.at_infinity import at_infinity, in_words
from qpot.landscape.points import Minimum
from qpot.prediction.around_minimum import local_law
from qpot.prediction.pipeline import predict
from qpot.prediction.result import Prediction
from qpot.problem.arguments import a_seed, an_executor, checked
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum

# The covariance vanishes at a minimum where it is below this part of what it is around it.
_NONE = 1e-12


@interruptible
@checked(rng=a_seed, executor=an_executor)
def select(
    problem: System | FiniteSum,
    bounds: BoundsLike | None = None,
    *,
    rng: SeedLike = None,
    executor: Executor | None = None,
    progress: ProgressLike = "auto",
    **options: Any,
) -> Answer:
    """What selects, how surely, when, and by what evidence, for any loss with noise.

    Parameters
    ----------
    problem : System or FiniteSum
    bounds : (low, high) pair for each coordinate, optional
        The box that is searched; needed for a System.
    rng, executor, progress
        As for `predict`.
    **options
        Further arguments of `predict`, which answers where there are several minima.

    Returns
    -------
    Answer
        Several minima: noise selects (`Prediction`). One minimum: the law around it (`LocalLaw`). Minima that fit every
        sample: SGD never leaves the one that it comes to first. No minimum, since the data is separable: the direction of
        maximum margin (`MarginFlow`), and for other homogeneous models of up to 200 parameters that of a KKT point
        (`HomogeneousMarginFlow`).

    Raises
    ------
    ValueError
        For bad arguments.
    SolveError
        Where none of these answers holds, for example where no minimum lies in the box of a System.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.symmetric_minima(s=-0.5)
    >>> qpot.select(case.system, case.bounds, audit=False, second_opinion=False).kind
    'noise'
    >>> separable = qpot.logistic_sum([[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]], [1, 1, 1])
    >>> answer = qpot.select(separable, progress=None)
    >>> answer.kind, answer.points.round(4)
    ('infinity', array([[0.8944, 0.4472]]))
    """
    if not isinstance(problem, System | FiniteSum):
        raise ValueError(
            f"problem must be a qpot.System or a finite sum (qpot.from_torch, qpot.logistic_sum, ...), got {problem!r}"
        )
    try:
        prediction = predict(problem, bounds, rng=rng, executor=executor, progress=progress, **options)
    except SolveError as error:
        alone = error.partial if isinstance(error.partial, Sequence) else ()
        if len(alone) == 1 and isinstance(alone[0], Minimum):
            return _alone(_system(problem), alone[0], ["one minimum was found in the box"])
        total = problem if isinstance(problem, FiniteSum) else problem.finite_sum
        if total is None or error.status is not Status.NO_MINIMUM:
            raise
        found = at_infinity(total, rng=as_rng(0 if rng is None else rng))
        if found is None:
            raise
        what, how_surely, when, evidence = in_words(found)
        return Answer(
            kind="infinity", what=what, how_surely=how_surely, when=when, evidence=tuple(evidence),
            points=found.direction[None], margin=found.flow,
        )  # fmt: skip
    if len(prediction.minima) == 1:
        evidence = [prediction.costs.coverage] if prediction.costs.coverage else []
        answer = _alone(prediction.system or _system(problem), prediction.minima[0], evidence)
        return replace(answer, prediction=prediction)
    return _several(prediction)


def _system(problem: System | FiniteSum) -> System:
    return problem if isinstance(problem, System) else System.from_finite_sum(problem)


def _alone(system: System, minimum: Minimum, evidence: list[str]) -> Answer:
    """The answer where one minimum was found."""
    x = minimum.point
    if _fits_all(system, x):
        return Answer(
            kind="interpolation",
            what=f"SGD comes to the minimum {format_point(x)} and never leaves it: every sample is fitted there",
            how_surely="certainly, for learning rates that are stable there: the noise vanishes with the losses",
            when=_settles(minimum),
            evidence=(
                *evidence,
                f"the covariance at the minimum is {_noise_at(system, x):.1e}, and it is not so around it",
            ),
            points=x[None],
        )
    try:
        if minimum.kink:
            raise ValueError("the loss has a kink there, so that there is no Gaussian around it")
        law = local_law(system, minimum)
    except ValueError as error:
        return Answer(
            kind="one minimum", what=f"nothing to select: SGD stays at the minimum {format_point(x)}, the only one found",
            how_surely=f"the law around it is not known: {error}", when=_settles(minimum), evidence=tuple(evidence),
            points=x[None],
        )  # fmt: skip
    spread = np.sqrt(np.linalg.eigvalsh(law.covariance))
    excess = (
        "" if np.isnan(law.loss_excess) else f", and its mean loss is {law.loss_excess:.4g} epsilon above the minimum's"
    )
    return Answer(
        kind="one minimum",
        what=f"nothing to select: SGD stays around the minimum {format_point(x)}, the only one found",
        how_surely=f"its distance is {spread.min():.4g} to {spread.max():.4g} times sqrt(epsilon){excess}",
        when=f"it forgets the start within {law.relaxation_time:.4g} / learning rate steps",
        evidence=tuple(evidence),
        points=x[None],
        local=law,
    )


def _several(prediction: Prediction) -> Answer:
    """The answer where noise decides between minima, or leaves each alone."""
    points = np.array([prediction.minima[i].point for i in prediction.selected])
    listed = ", ".join(f"{i} at {format_point(prediction.minima[i].point)}" for i in prediction.selected)
    costs = prediction.costs
    out = np.where(np.eye(len(costs.minima), dtype=bool), np.inf, costs.values).min(axis=1)
    evidence = [line for line in (costs.coverage, costs.audited, *costs.notes) if line]
    if not np.isfinite(out[list(prediction.selected)]).any():
        system, reasons = prediction.system, sorted({path.reason for path in costs.paths.values() if path.reason})
        if system is not None and not any(_fits_all(system, x) for x in points):
            one = len(prediction.selected) == 1
            return Answer(
                kind="noise",
                what=f"SGD never leaves the {'minimum' if one else 'minima'} {listed}, although there is noise",
                how_surely="the noise pushes along no way that leads out; "
                + ("the others are left for it" if one else "which of them it is depends on the start"),
                when="for good, once it is there",
                evidence=(*evidence, *reasons),
                points=points,
                prediction=prediction,
            )
        return Answer(
            kind="interpolation",
            what=f"SGD never leaves the minima {listed}, and stays at the one that it comes to first",
            how_surely="which of them depends on the start: the shares of starts are those of their basins; the cost of "
            "leaving from a level of the loss is qpot.escape_cost(system, minimum, from_loss=...)",
            when="noise fades with the losses, so that no time is long enough",
            evidence=(*evidence, *reasons),
            points=points,
            prediction=prediction,
        )
    tie = len(prediction.selected) > 1
    what = f"noise leaves {'a tie between the minima' if tie else 'SGD at minimum'} {listed}"
    what += "" if tie else ", whose W is least"
    # The slowest way down to the selected ones sets the time.
    others = [i for i in range(len(out)) if i not in prediction.selected and np.isfinite(out[i])]
    leave = max((float(out[i]) for i in others), default=float(out[list(prediction.selected)].min()))
    stay = float(out[list(prediction.selected)].min())
    return Answer(
        kind="noise",
        what=what,
        how_surely=f"by a margin of {prediction.margin:.6g} +- {prediction.margin_error:.1g} in W: it holds "
        "exp(margin / epsilon) times the weight of the next one",
        when=f"the others are left within about exp({leave:.4g} / epsilon) / learning rate steps, the selected one after "
        f"exp({stay:.4g} / epsilon)",
        evidence=tuple(evidence),
        points=points,
        prediction=prediction,
    )


def _settles(minimum: Minimum) -> str:
    if minimum.kink:
        return "the flow comes onto the kink in a finite time, and SGD jumps across it with every step"
    slowest = float(minimum.rates.real.min()) if minimum.rates.size else np.nan
    return (
        f"it settles within {1.0 / slowest:.4g} / learning rate steps"
        if slowest > 0.0
        else "slowly: a direction is flat"
    )


def _noise_at(system: System, x: Array) -> float:
    return float(np.abs(system.unchecked.covariance(x[None])).max())


def _fits_all(system: System, x: Array) -> bool:
    """Whether the noise vanishes at the minimum, and not around it."""
    size = 0.1 * (float(np.linalg.norm(x)) or 1.0)
    around = x + size * np.random.default_rng(0).standard_normal((8, x.size)) / np.sqrt(x.size)
    return _noise_at(system, x) <= _NONE * float(np.abs(system.unchecked.covariance(around)).max())
