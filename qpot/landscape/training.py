"""Minima of a model from training runs: many descents, counted modulo symmetries, with a bound on what they miss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from qpot._core.arrays import Array, format_point
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.landscape.by_products import minima_from
from qpot.landscape.coverage import CONFIDENCE
from qpot.landscape.points import Minimum
from qpot.landscape.saddle_list import Clock
from qpot.landscape.symmetry import Symmetry, same_class
from qpot.problem.system import System

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
    """

    minima: tuple[Minimum, ...]
    hits: tuple[int, ...]
    runs: int
    lost: int
    unseen: float
    radius: float
    spent: bool

    @property
    def summary(self) -> str:
        """One line that says what was found and what may be missing."""
        k = len(self.minima)
        text = (
            f"{k} minim{'um' if k == 1 else 'a'} from {self.runs} training runs; with {100 * CONFIDENCE:.0f} % "
            f"confidence fewer than {100 * self.unseen:.2g} % of such runs end at others"
        )
        if self.lost:
            text += f"; {self.lost} runs came to no minimum"
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
    report: ProgressCallback,
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

    Raises
    ------
    SolveError
        If no run ends at a minimum (status NO_MINIMUM).
    """
    clock = Clock(budget)
    each = default_runs(system.dimension) if runs is None else runs
    found: list[Minimum] = []
    hits: list[int] = []
    done = lost = fresh = last = 0
    reach, spent = 0.0, False
    for _ in range(_ROUNDS if runs is None else 1):
        starts = draw(each)
        fresh, last = 0, 0
        reach = max(reach, float(np.abs(starts).max()))
        for start in starts:
            report(done, done + 1, f"training run {done}, {len(found)} minima")
            end = _end_of(system, start, reach)
            done, last = done + 1, last + 1
            if end is None:
                lost += 1
            else:
                reach = max(reach, float(np.abs(end.point).max()))
                known = _known(end, found, group, reach)
                if known is None:
                    found.append(end)
                    hits.append(1)
                    fresh += 1
                else:
                    hits[known] += 1
            if clock.past(1.0) and len(found) > 1:
                spent = True
                break
        if spent or not fresh:
            break
    if not found:
        raise SolveError(
            f"none of {done} training runs came to an isolated minimum, the last one from {format_point(starts[-1])}; "
            "add weight decay, or pass starts= or bounds=",
            status=Status.NO_MINIMUM,
            partial=(),
        )
    order = sorted(range(len(found)), key=lambda k: found[k].loss)
    return Trained(
        minima=tuple(found[k] for k in order),
        hits=tuple(hits[k] for k in order),
        runs=done,
        lost=lost,
        unseen=float(beta.ppf(CONFIDENCE, fresh + 1, last - fresh)) if last > fresh else 1.0,
        radius=_WIDER * reach,
        spent=spent,
    )


def _end_of(system: System, start: Array, reach: float) -> Minimum | None:
    """The minimum at which the descent from a start ends, or None."""
    far = np.full(start.size, _ROOM * max(reach, 1.0))
    ends = minima_from(system, start[None], -far, far)
    return ends[0] if ends else None


def _known(end: Minimum, found: Sequence[Minimum], group: Symmetry | None, reach: float) -> int | None:
    """The position of a minimum among those found, or None for a new one."""
    scale = np.full(end.point.size, 2.0 * _WIDER * reach)
    for k, other in enumerate(found):
        if abs(other.loss - end.loss) > 1e-6 * (1.0 + abs(end.loss)):
            continue
        if np.linalg.norm((end.point - other.point) / scale) <= 10 * _SAME:
            return k
        if group is not None and same_class(end.point, other.point, group, scale, tolerance=_SAME):
            return k
    return None
