"""Minima of a model from training runs: many descents, counted modulo symmetries, with a bound on what they miss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from qpot._core.arrays import Array, format_point
from qpot._core.parallel import run_in_order
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.landscape.by_products import minimum_at, polished
from qpot.landscape.coverage import CONFIDENCE
from qpot.landscape.kinks import is_plain_sum, kink_minimum, settled_minimum, typical_gradient
from qpot.landscape.linear_rates import DENSE_SYMMETRIC, FlatDirectionError, dense_jacobian
from qpot.landscape.orbits import Orbits
from qpot.landscape.points import Minimum
from qpot.landscape.saddle_list import Clock
from qpot.landscape.symmetry import Symmetry, position_of_class
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.samples.quotient import Quotient
from qpot.solvers.landscape.descents import descend_together

# The training runs of one round, by the largest dimension for which they are as many.
_RUNS = ((50, 48), (200, 24), (2_000, 8), (20_000, 4))
# Above these dimensions a round has so many runs.
_FEW = 2
# Rounds end when one of them has found nothing new, when so many are done, or when the budget is spent.
_ROUNDS = 4
# Runs may go as far as this many times the largest coordinate of any start.
_ROOM = 50.0
# The box of the search is this many times as wide as what the runs have visited.
_WIDER = 1.5
# Two ends are one minimum where they agree to this fraction of the box.
_SAME = 1e-6
# Descents end where the slope is below this part of that at the starts, or after so many steps.
_REST, _STEPS = 1e-8, 5_000
# A direction at the end of a descent counts as flat where its rate is below this part of the largest.
_LEVEL_RATE = 1e-6
# A model with kinks falls on none of so many ways out of a minimum, which begin at this part of the size beside it and take
# so many steps, by more than this part of the loss.
_WAYS, _BESIDE, _FALL, _LOWER = 24, 1e-3, 40, 1e-10
# Descents slide along kinks for so many of the ends that are no minimum, as long as no minimum is known.
_SLIDES = 6
# So many descents go on at once, between which the budget is looked at.
_AT_ONCE = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """Minima at which training runs end.

    Attributes
    ----------
    minima : tuple of Minimum
        One of each class of images, the lowest loss first.
    hits : tuple of int
        How many runs ended at each.
    runs, lost : int
        The number of runs, and of those that ended at no minimum.
    unseen : float
        The upper confidence bound (95 %) on the share of runs that end at further minima.
    radius : float
        Half the edge of the box that holds what was visited, and its images.
    spent : bool
        Whether the budget ended the rounds.
    kinks : str
        What may be said about kinks of the model, at which runs end that come to no minimum.
    """

    minima: tuple[Minimum, ...]
    hits: tuple[int, ...]
    runs: int
    lost: int
    unseen: float
    radius: float
    spent: bool
    kinks: str = ""

    @property
    def summary(self) -> str:
        """One line that says what was found and what may be missing."""
        k = len(self.minima)
        share = f"{100 * self.unseen:.2g}" if self.unseen < 0.995 else "100"
        text = (
            f"{k} minim{'um' if k == 1 else 'a'} from {self.runs} training runs; with {100 * CONFIDENCE:.0f} % "
            f"confidence fewer than {share} % of such runs end at others"
        )
        if self.lost:
            text += f"; {self.lost} runs came to no minimum{self.kinks}"
        return text + ("; the budget ended the search" if self.spent else "")


def default_runs(dimension: int) -> int:
    """The training runs of one round."""
    return next((runs for largest, runs in _RUNS if dimension <= largest), _FEW)


def trained_minima(
    system: System,
    draw: Callable[[int], Array],
    group: Symmetry | None,
    *,
    runs: int | None,
    budget: float,
    executor: Executor | None = None,
    report: ProgressCallback,
    orbits: Orbits | None = None,
) -> Trained:
    """The minima at which training runs end, round by round until one finds nothing new.

    Parameters
    ----------
    system : System
    draw : callable
        A function of a number n that returns n starting points ``(n, d)``.
    group : Symmetry or None
        Ends that are images of one another are one minimum.
    runs : int or None
        The number of runs; by default rounds of a number that the dimension sets.
    budget : float
        The CPU seconds after which no further run begins.
    executor : Executor or None
        Descents are followed side by side in it.
    orbits : Orbits, optional
        The orbits of continuous symmetries: minima are isolated, and counted, but for these.

    Raises
    ------
    SolveError
        If no run ends at a minimum, or one at a minimum with flat directions that no symmetry explains (status
        NO_MINIMUM).
    """
    clock = Clock(budget)
    each = default_runs(system.dimension) if runs is None else runs
    found: list[Minimum] = []
    hits: list[int] = []
    done = lost = fresh = last = adrift = slides = 0
    reach, spent, rested = 0.0, False, None
    for _ in range(_ROUNDS if runs is None else 1):
        starts = draw(each)
        fresh = last = adrift = 0
        reach = max(reach, float(np.abs(starts).max()))
        tasks = [(system, starts[first : first + _AT_ONCE]) for first in range(0, len(starts), _AT_ONCE)]
        for ends, at_rest in run_in_order(_trained, tasks, executor):
            report(done, done + 1, f"training run {done}, {len(found)} minima")
            for point, rests in zip(ends, at_rest, strict=True):
                done, last = done + 1, last + 1
                reach = max(reach, float(np.abs(point).max()) if rests else 0.0)
                rested = point if rests else rested
                known = _known(system, point, found, group, reach, orbits) if rests else None
                new = _minimum_at(system, point, reach, orbits) if known is None else None
                if known is None and new is None and orbits is None and is_plain_sum(system):
                    new = _at_kink(system, point, reach, thorough=not found and slides < _SLIDES)
                    slides += new is None
                    reach = max(reach, 0.0 if new is None else float(np.abs(new.point).max()))
                # Newton's method may lead on from a point of rest that was none to a minimum that is known.
                known = _known(system, new.point, found, group, reach, orbits) if new is not None else known
                if known is not None:
                    hits[known] += 1
                elif new is not None:
                    found.append(new)
                    hits.append(1)
                    fresh += 1
                else:
                    lost, adrift = lost + 1, adrift + 1
            if clock.past(1.0) and found and done < each:
                spent = True
                break
        if spent or not fresh or clock.past(1.0):
            break
    if not found:
        raise SolveError(
            f"none of {done} training runs came to an isolated minimum, the last one from {format_point(starts[-1])}; "
            f"{_way_out(system, rested, orbits)}{_at_kinks(system)}",
            status=Status.NO_MINIMUM,
            partial=(),
        )
    order = sorted(range(len(found)), key=lambda k: found[k].loss)
    return Trained(
        minima=tuple(found[k] for k in order),
        hits=tuple(hits[k] for k in order),
        runs=done,
        lost=lost,
        # Where a run that came to no minimum would have ended is not known.
        unseen=float(betaincinv(fresh + adrift + 1, last - fresh - adrift, CONFIDENCE))
        if last > fresh + adrift
        else 1.0,
        radius=_WIDER * reach,
        spent=spent,
        kinks=_at_kinks(system),
    )


def _way_out(system: System, rested: Array | None, orbits: Orbits | None) -> str:
    """What to do where no run has come to an isolated minimum, as the last point of rest shows."""
    otherwise = "pass starts= or bounds="
    if rested is None or system.dimension > DENSE_SYMMETRIC:
        return f"add weight decay if there is none, or {otherwise}"
    if orbits is None:
        rates = np.linalg.eigvalsh(dense_jacobian(system, rested))
        flat = int((np.abs(rates) <= _LEVEL_RATE * np.abs(rates).max(initial=0.0)).sum())
    else:
        flat = orbits.unexplained(system, rested, _LEVEL_RATE)
    if not flat:
        return otherwise
    besides = "no symmetry of the layers explains" if orbits is None else f"{orbits.describe()} do not explain"
    which = "1 direction" if flat == 1 else f"{flat} directions"
    return (
        f"where it rests the loss is flat in {which} that {besides}: add weight decay if there is none, or remove or fix a "
        f"redundant parameter, or {otherwise}"
    )


def _at_kinks(system: System) -> str:
    """What to say where runs end at no minimum of a model with kinks; empty for a smooth one."""
    kinks = _kinks(system)
    if not kinks:
        return ""
    return (
        f". Minima may lie at kinks of {', '.join(kinks)}, where the gradient does not vanish: a smooth activation (GELU, "
        "softplus, SiLU) has minima that SGD rests at"
    )


def _kinks(system: System) -> tuple[str, ...]:
    """The functions with kinks of which a model is made."""
    total = system.finite_sum
    whole = total.whole if isinstance(total, Quotient) else total
    return tuple(whole.kinks) if isinstance(whole, ModelSum) else ()


def _falls_beside(system: System, rest: Array) -> bool:
    """Whether descents from beside a point of rest (d,) lead below it.

    Where a unit is off for all samples its weights decay to zero, and there the derivatives at the point itself know nothing
    of the sides on which the unit is on.
    """
    loss = system.unchecked.loss
    assert loss is not None
    ways = np.random.default_rng(0).standard_normal((_WAYS, rest.size))
    ways *= _BESIDE * (1.0 + np.linalg.norm(rest)) / np.linalg.norm(ways, axis=1)[:, None]
    run = descend_together(loss, system.unchecked.gradient, rest + ways, tolerance=0.0, most=_FALL)
    level = float(loss(rest[None])[0])
    return bool(loss(run.ends).min() < level - _LOWER * (1.0 + abs(level)))


def _trained(task: tuple[System, Array]) -> tuple[Array, NDArray[np.bool_]]:
    """The points (n, d) at which descents from starts end, and whether they rest there."""
    system, starts = task
    assert system.unchecked.loss is not None
    steep = float(np.median(np.linalg.norm(system.unchecked.gradient(starts), axis=1)))
    run = descend_together(
        system.unchecked.loss, system.unchecked.gradient, starts, tolerance=_REST * max(steep, 1e-300), most=_STEPS
    )
    return run.ends, run.at_rest


def _minimum_at(system: System, end: Array, reach: float, orbits: Orbits | None) -> Minimum | None:
    """The minimum to which Newton's method leads from the end of a descent, or None."""
    rest = polished(system, end) if orbits is None else orbits.polished(system, end)
    if rest is None or np.abs(rest).max() > _ROOM * max(reach, 1.0):
        return None
    try:
        found = (minimum_at if orbits is None else orbits.minimum)(system, rest, name="the end of a training run")
    except FlatDirectionError as error:
        raise SolveError(
            f"a training run ended at {format_point(rest)}, which is no isolated minimum; {_way_out(system, rest, orbits)}",
            status=Status.NO_MINIMUM,
            partial=(),
        ) from error
    return None if found is None or (_kinks(system) and _falls_beside(system, rest)) else found


def _at_kink(system: System, end: Array, reach: float, *, thorough: bool) -> Minimum | None:
    """The minimum at kinks of a sum next to the end of a descent, or None."""
    size = 2.0 * max(float(np.linalg.norm(end)), 1e-3 * reach)
    if not thorough:
        return settled_minimum(system, end, size)
    return kink_minimum(system, end, size, typical_gradient(system, end[None], size))


def _known(
    system: System, end: Array, found: Sequence[Minimum], group: Symmetry | None, reach: float, orbits: Orbits | None
) -> int | None:
    """The position of the minimum of whose class a point is, or None for a new one."""
    assert system.unchecked.loss is not None
    scale = np.full(end.size, 2.0 * _WIDER * reach)
    loss = float(system.unchecked.loss(end[None])[0])
    if orbits is not None:
        return orbits.position(end, loss, found, tolerance=10.0 * _SAME * float(scale[0]))
    return position_of_class(end, loss, found, group, scale, tolerance=_SAME)
