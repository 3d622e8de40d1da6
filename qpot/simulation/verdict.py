"""The function check: run the real algorithm where it can be seen to escape, and hold the prediction against it."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive, as_rng
from qpot._core.interrupts import interruptible, keeping
from qpot._core.parallel import check_executor
from qpot._core.progress import ProgressCallback, ProgressLike, reporting
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.periods import periods_of
from qpot.landscape.symmetry import Symmetry
from qpot.prediction.open_report import unknown_exits
from qpot.prediction.result import Prediction
from qpot.problem.arguments import a_positive, checked, non_negative
from qpot.problem.system import System
from qpot.simulation.arrhenius import LEAST_LEVELS, EscapeMeasurement, cheapest_neighbour
from qpot.simulation.comparison import Comparison, compare
from qpot.simulation.escape_plan import LEVELS
from qpot.simulation.explanations import explanations
from qpot.simulation.levels import RARE, Escapes, Search
from qpot.simulation.process import Process
from qpot.simulation.purse import Purse
from qpot.simulation.time_shares import shares_of_time

# Minima are measured while each has so many seconds of the budget, and at most so many of them.
_SECONDS_EACH, _MOST_HOMES = 4.0, 4
# Shares of the budget for the escapes, and for the shares of time; the rest goes to what surrounds the runs.
_ESCAPES, _OCCUPATION = 0.8, 0.1
# Runs end when they have taken so much more than their share.
_OVERRUN = 1.3
# A cost of more epsilon at the largest noise allowed cannot be seen within any budget, and one of fewer easily.
_HOPELESS, _EASY = 25.0, 8.0
# What the minima have left is spent on more levels, if it is more than this share of the budget.
_LEFT_OVER = 0.1
# Where nothing was seen of the first minima, another one is tried while this share of the budget is left.
_ANOTHER = 0.3
# A way out of the box that is dearer than the cheapest escape by so many epsilon, at costs of 3 epsilon, does not matter.
_DEARER = 2.0
# The share of an ensemble that is left out at its beginning.
_BURN_IN = 0.5
# At noise at which leaving the next minimum costs fewer epsilon than this, nothing stays there, and nothing has arrived.
_SHALLOW = 2.0

# What the report says where the explanations were interrupted.
_UNEXPLAINED = "what explains it, which was interrupted"


@interruptible
@checked(allowance=non_negative, threshold=a_positive)
def check(
    prediction: Prediction,
    *,
    budget: float,
    batch_size: int | None = None,
    system: System | None = None,
    symmetries: Symmetry | None = None,
    allowance: float | None = None,
    threshold: float = 3.0,
    rng: np.random.Generator | int | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = "auto",
) -> Comparison:
    """Run the real algorithm at noise levels where it can be seen to escape, and hold a prediction against it.

    Learning rates are chosen so that escapes from each minimum that matters take at least some 200 steps, at costs of three
    epsilon or more, below a third of the limit of stability. Pilot runs show how long escapes take; the levels that follow,
    by plain runs or by splitting along the predicted paths, are those that give the slope the least error within the
    budget, and every one that is measured tells where the next one lies.

    Parameters
    ----------
    prediction : Prediction
        From `qpot.predict`, which keeps the system. A finite sum is run as minibatch SGD, any other system as the diffusion.
    budget : float
        CPU seconds, at whose end runs stop; what they have seen by then counts. Code that has to be compiled comes on top.
        Less is used where more escapes would not help, or none can be seen. What the time is spent on depends on measured
        speeds, rounded to powers of the root of two. A disagreement is then held against costs for the samples' own noise,
        which takes as many seconds again at most. With an ``executor`` these are the seconds planned, of all workers.
    batch_size : int, optional
        Samples of a step of SGD, by default one: at a given epsilon a smaller batch means a smaller learning rate.
    system, symmetries : optional
        For predictions that were loaded from a file, which holds neither.
    allowance, threshold : float
        As in `qpot.compare`; by default the allowance is one in up to two dimensions, and (d / 2)^(1/2) above.
    rng : Generator or int, optional
        Seed 0 by default. The same ``rng`` gives the same numbers as long as the same rounded speeds are measured.
    executor : concurrent.futures.Executor, optional
        Where replicas and repetitions run.
    progress : callable, True, "auto" or None
        "auto" shows a bar on a terminal.

    Returns
    -------
    Comparison
        Its ``sentence`` says whether the algorithm agrees, by how many standard errors, what was run, and what explains a
        disagreement: noise that is not Gaussian, or learning rates that are too large for the theory, with the sign. Where
        nothing can be seen, as with one minimum or costs that are infinite, it says why.

    Raises
    ------
    ValueError
        For bad arguments, a prediction whose system is not known, and one with limit cycles or periodic axes; if its minima
        have more than 4096 images under the symmetries.
    SolveError
        If the run is interrupted (`Status.INTERRUPTED`). Its ``partial`` is the comparison of what was measured by then, or
        the tuple of measured escapes where they are too few to compare.

    Notes
    -----
    docs/verdict.md has the formulas of the comparison.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.double_well()
    >>> prediction = qpot.predict(case.system, case.bounds)
    >>> comparison = qpot.check(prediction, budget=8)
    >>> comparison.agrees
    True
    """
    if not isinstance(prediction, Prediction):
        raise ValueError(f"prediction must be a qpot.Prediction, from qpot.predict, got {type(prediction).__name__}")
    seconds = as_positive(budget, name="budget")
    if batch_size is not None:
        as_count(batch_size, name="batch_size")
    given, group = _known(prediction, system, symmetries)
    prediction = replace(prediction, system=given, symmetries=group)
    process = Process.of(prediction, given, batch_size)
    generator, pool = as_rng(rng), check_executor(executor)
    homes, most, left_out = _homes(prediction, seconds, process.largest_epsilon(prediction))
    minima = np.array([m.point for m in prediction.minima])
    # The next term of the law is a sum over the directions, of which a plane has two.
    granted = float(np.sqrt(max(given.dimension / 2.0, 1.0))) if allowance is None else allowance
    run = _Run(prediction, process, minima, group, generator, pool, granted, left_out=left_out)
    with reporting(progress, "check") as report:
        with keeping(lambda: _cut_off(run, threshold)):
            run.everything(homes, most, seconds, report)
        comparison = _judged(run, threshold)
        told = "check was interrupted while it looked for explanations; the comparison is in .partial"
        with keeping(lambda: (told, replace(comparison, outside=(*comparison.outside, _UNEXPLAINED)))):
            remarks = explanations(
                comparison, run.process, run.escapes, run.ensembles, burn_in=_BURN_IN, seconds=seconds
            )
        if comparison.agrees is None and run.escapes:
            remarks = (*remarks, f"The budget was {seconds:.3g} s of CPU time.")
        report(1, 1, "compared")
    return replace(comparison, remarks=remarks)


@dataclass
class _Run:
    """What is run, and what has been measured so far."""

    prediction: Prediction
    process: Process
    minima: Array
    group: Symmetry | None
    rng: np.random.Generator
    executor: Executor | None
    allowance: float
    escapes: list[Escapes] = field(default_factory=list)
    ensembles: list[Any] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def everything(self, homes: list[int], most: int, seconds: float, report: ProgressCallback) -> None:
        """Measure the escapes from the first homes, and from others if nothing is seen there, then the shares of time."""
        if not homes:
            return
        total = LEVELS * min(most, len(homes)) + 1
        report(0, total, "speed")
        highest = self.process.largest_epsilon(self.prediction)
        epsilon = min(highest, min(cheapest_cost(self.prediction, home) for home in homes) / 4.0)
        pace = self.process.pace(self.minima, epsilon, self.group)
        purse = Purse(seconds)
        searches: list[tuple[Search, float]] = []
        noises = {home: largest_noise(self.prediction, home, highest) for home in homes}
        for n, home in enumerate(homes):
            seen = any(len(item.measurements) >= LEAST_LEVELS for item in self.escapes)
            # What was planned to be taken decides, so that the same speeds lead to the same numbers; the purse ends the runs.
            rest = _ESCAPES * seconds - sum(search.taken for search, _ in searches)
            if n >= most and (seen or rest < _ANOTHER * seconds):
                self.left_out.append(
                    f"escapes from minimum {home}, for which the budget of {seconds:.3g} s leaves no time"
                )
                continue
            escapes = Escapes(home=home, cost=cheapest_cost(self.prediction, home))
            self.escapes.append(escapes)
            search = Search(
                self.prediction, self.process, self.group, escapes, noises[home], pace,
                allowance=self.allowance, rng=self.rng, executor=self.executor,
            )  # fmt: skip
            # What a minimum leaves is there for the next ones; those whose escapes are rare get what the others leave.
            coming = homes[n : max(most, n + 1)]
            usual = [i for i in coming if cheapest_cost(self.prediction, i) < RARE * noises[i]]
            each = rest / max(len(usual), 1)
            searches.append((search, each))
            for _ in search.levels(each, Purse(min(_OVERRUN * each, purse.left))):
                done = min(LEVELS * n + len(escapes.measurements), total - 1)
                report(done, total, f"escapes from minimum {home}")
        for search, each in searches:
            rest = _ESCAPES * seconds - sum(item.taken for item, _ in searches)
            if rest > _LEFT_OVER * seconds:
                few = len(search.escapes.measurements) < LEAST_LEVELS
                more, own = (
                    search.levels if few and rest > each else search.further,
                    Purse(min(_OVERRUN * rest, purse.left)),
                )
                for _ in more(search.taken + rest if few else rest, own):
                    report(total - 1, total, f"more escapes from minimum {search.home}")
        if len(homes) == len(self.minima):
            with purse.limited(_OVERRUN * _OCCUPATION * seconds):
                self.ensembles += shares_of_time(
                    self.process, self.minima, self.group, self.escapes, _OCCUPATION * seconds, pace,
                    known=self.prediction.prefactors is not None and not np.isnan(self.prediction.prefactors).any(),
                    rng=self.rng, executor=self.executor,
                )  # fmt: skip
        report(total - 1, total, "comparison")


def _known(prediction: Prediction, system: System | None, symmetries: Any) -> tuple[System, Symmetry | None]:
    """The system and the group, from the arguments or the prediction; ValueError where they are missing or cannot be run."""
    given = prediction.system if system is None else system
    if not isinstance(given, System):
        raise ValueError(
            f"system={given!r}: the prediction does not know its system (it was loaded from a file, or made from costs); "
            "pass system="
        )
    if given.dimension != prediction.minima[0].point.size:
        raise ValueError(f"system has dimension {given.dimension}, the prediction {prediction.minima[0].point.size}")
    if any(isinstance(m, LimitCycle) for m in prediction.minima):
        raise ValueError("a limit cycle is among the states, and escapes from it or to it are not simulated")
    if periods_of(prediction.minima) is not None:
        raise ValueError("the prediction has periodic axes, on which escapes are not simulated; use qpot.simulate_sgd")
    group = prediction.symmetries if symmetries is None else symmetries
    if group is None and any(getattr(s, "views", None) is not None for s in prediction.saddles):
        raise ValueError(
            "the prediction counts minima modulo symmetries that it does not know (it was loaded from a file); pass "
            "symmetries="
        )
    return given, group


def cheapest_cost(prediction: Prediction, home: int) -> float:
    """The cost of the cheapest direct route to another minimum."""
    return float(np.delete(prediction.costs.direct[home], home).min())


def largest_noise(prediction: Prediction, home: int, highest: float) -> float:
    """The largest epsilon up to ``highest`` at which what has left ``home`` stays in the minimum that it has come to."""
    following = cheapest_cost(prediction, cheapest_neighbour(prediction, home))
    return min(highest, following / _SHALLOW)


def _homes(prediction: Prediction, seconds: float, highest: float) -> tuple[list[int], int, list[str]]:
    """The minima whose escapes can be measured, how many of them the budget has time for, and why others are left out.

    Those that hold most of the time come first, after those from which escapes are seen easily at the largest noise allowed.
    """
    homes: list[int] = []
    left_out: list[str] = []
    least: dict[int, float] = {}
    if len(prediction.minima) < 2:
        return [], 1, ["escapes from minimum 0, the only one that was found"]
    unknown, W = unknown_exits(prediction.costs), np.nan_to_num(prediction.stationary_costs, nan=np.inf)
    for i in range(len(prediction.minima)):
        cost = cheapest_cost(prediction, i)
        out = min((way.cost for way in prediction.costs.ways_out if way.minimum == i), default=np.inf)
        if i in unknown:
            left_out.append(
                f"escapes from minimum {i}, since a leg out of it was not solved, and its cost is not known"
            )
        elif not np.isfinite(cost) or cost <= 0.0:
            left_out.append(f"escapes from minimum {i}, whose predicted cost is {cost:.4g}")
        elif not out > (1.0 + _DEARER / 3.0) * cost:
            left_out.append(f"escapes from minimum {i}, from where a way leads out of the box at a cost of {out:.4g}")
        else:
            largest = largest_noise(prediction, i, highest)
            least[i] = cost / largest
            if least[i] > _HOPELESS:
                why = (
                    "that is allowed" if largest == highest else "at which what has left it stays where it has come to"
                )
                left_out.append(
                    f"escapes from minimum {i}, which cost {least[i]:.0f} epsilon at the largest noise {why}"
                )
            else:
                homes.append(i)
    homes.sort(key=lambda i: (max(least[i], _EASY), i not in prediction.selected, W[i]))
    return homes, int(min(max(seconds / _SECONDS_EACH, 1), _MOST_HOMES)), left_out


def _cut_off(run: _Run, threshold: float) -> tuple[str, Any]:
    """What can be compared after an interruption, and what was measured where that is too little."""
    measured = tuple(m for escapes in run.escapes for m in escapes.measurements)
    run.left_out.append("what the interruption cut off")
    if not _evidence(run) and not run.ensembles:
        return f"check was interrupted with {len(measured)} escape times measured, too few to compare", measured
    told = f"check was interrupted with {len(measured)} escape times measured; what they say is in .partial"
    return told, _judged(run, threshold)


def _evidence(run: _Run) -> list[EscapeMeasurement]:
    """The escape times from minima at which enough levels were measured."""
    return [m for escapes in run.escapes if _levels(escapes) >= LEAST_LEVELS for m in escapes.measurements]


def _levels(escapes: Escapes) -> int:
    return len({m.epsilon for m in escapes.measurements})


def _judged(run: _Run, threshold: float) -> Comparison:
    """Hold the prediction against what was measured, and say what was not run."""
    evidence, left_out = _evidence(run), list(run.left_out)
    for escapes in run.escapes:
        if _levels(escapes) < LEAST_LEVELS:
            why = escapes.reason or f"{_levels(escapes)} levels were measured, and {LEAST_LEVELS} are needed"
            left_out.append(f"escapes from minimum {escapes.home} ({why})")
    if evidence or run.ensembles:
        comparison = compare(
            run.prediction, evidence, run.ensembles, allowance=run.allowance, threshold=threshold, burn_in=_BURN_IN,
            system=run.process.system,
        )  # fmt: skip
    else:
        comparison = Comparison(
            prediction=run.prediction, arrhenius=(), occupations=(), escape_points=(), outside=(),
            threshold=threshold, system=run.process.system,
        )  # fmt: skip
    return replace(comparison, outside=(*comparison.outside, *left_out))
