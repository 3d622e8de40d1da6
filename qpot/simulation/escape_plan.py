"""Which noise level to measure next, and how: what gives the least error of the slope in a given time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qpot._core.arrays import Array

# Levels of the regression for each minimum, so few where that gives a smaller error, and so many where time is left over.
LEVELS, FEWEST_LEVELS, MOST_LEVELS = 5, 4, 7
# One more level is worth it if it lowers the error of the slope by this factor.
_WORTH_MORE = 0.97
# Costs in units of epsilon: least that a level may have, where the first one is tried, and what the last one has at most.
LEAST_COST, FIRST_COST, LAST_COST = 3.0, 4.0, 14.0
# All levels of one minimum span so many epsilon at least and at most, in steps of the third number.
_NARROWEST, _WIDEST, _FINE = 0.75, 8.0, 0.25
# Escapes of a plain run: as many as are affordable within these bounds, and so few for a level between the ends.
FEWEST, MOST, FEWEST_BETWEEN = 16, 1500, 8
# Clones of a splitting within the budget, and its repetitions.
FEWEST_CLONES, MOST_CLONES, REPETITIONS = 100, 600, 10
# The variance of the logarithm of a splitting's probability p is this times |log p| over all clones.
_SPLIT_VARIANCE = 2.0
# A level between the ends tells little of the slope, and gets this share of the time.
_BETWEEN = 0.1
# Steps grow a little faster than the plan reckons; a level takes at most this share of what is left for it.
_SHARE = 0.9
# Rather than to leave the levels incomplete, what is left is overdrawn by this factor.
_OVERDRAWN = 1.25
# Where a step of all replicas is one call, a run may have fewer of them than step well together, by these factors.
_FEWER = (1, 2, 4, 8, 16)
# Prices of plain runs are compared at so many escapes.
_USUAL = 80
# A plain run lasts at most so many mean escape times.
_PATIENCE = 2.5


@dataclass(frozen=True)
class Level:
    """The next noise level: 1 / epsilon, whether by splitting, and the escapes, or the clones of each repetition."""

    inverse_epsilon: float
    splitting: bool
    size: int


class Speed(Protocol):
    """Seconds of one step of all replicas whatever their number, and of each of them on top."""

    @property
    def call(self) -> float: ...
    @property
    def each(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the escapes from one minimum, at one level 1 / epsilon.

    ``mean_steps`` of an escape and the steps of a ``relaxation`` time there; the ``slope`` of the logarithm of mean times by
    1 / epsilon; the ``pace`` of plain runs, which take ``looks`` times as long, how many replicas step together well, and
    the relaxation times that a run lasts at least (``settled``). ``clone_seconds`` are those of one clone in one repetition
    of a splitting at ``split_at``, whose probability has the logarithm ``-depth``; they are infinite where splitting is not
    possible. The steps of SGD become shorter with epsilon (``shrinking``), those of a diffusion do not.
    """

    inverse_epsilon: float
    mean_steps: float
    slope: float
    relaxation: float
    pace: Speed
    looks: float = 1.0
    wide: int = 1
    settled: float = 24.0
    shrinking: bool = True
    clone_seconds: float = math.inf
    split_at: float = 1.0
    depth: float = 1.0

    def _longer(self, x: float, reference: float) -> float:
        """By which factor times take more steps at x than at the reference."""
        return x / reference if self.shrinking else 1.0

    def steps(self, x: float) -> float:
        """Mean steps of an escape at x = 1 / epsilon."""
        exponent = self.slope * (x - self.inverse_epsilon)
        return self.mean_steps * self._longer(x, self.inverse_epsilon) * math.exp(min(exponent, 600.0))

    def relaxation_at(self, x: float) -> float:
        """Steps of a relaxation time at x."""
        return self.relaxation * self._longer(x, self.inverse_epsilon)

    def depth_at(self, x: float) -> float:
        """The logarithm of one over the probability that an excursion arrives."""
        return max(self.depth + self.slope * (x - self.split_at), 1.0)

    def clone(self, x: float) -> float:
        """Seconds of one clone: it is replaced the more often, the smaller the probability to arrive is."""
        return self.clone_seconds * self._longer(x, self.split_at) * self.depth_at(x) / self.depth

    def run(self, x: float, escapes: int) -> tuple[float, int, int]:
        """Seconds, replicas and steps of the plain run at x that sees so many escapes in the least time."""
        mean, relaxation = self.steps(x), self.relaxation_at(x)
        best = (math.inf, 0, 0)
        for fewer in _FEWER if self.pace.call else _FEWER[:1]:
            replicas, steps = replicas_and_steps(escapes, mean, self.settled * relaxation, max(self.wide // fewer, 1))
            # Replicas that have escaped are not stepped on, unless a step is one call for all.
            stepped = steps if self.pace.call else mean * -math.expm1(-steps / mean)
            seconds = self.looks * stepped * (self.pace.call + replicas * self.pace.each)
            if seconds < best[0]:
                best = (seconds, replicas, steps)
        return best

    def split(self, x: float) -> tuple[float, float]:
        """Seconds of a splitting for a variance of one of the log time, and the least that it takes."""
        each = self.clone(x)
        return _SPLIT_VARIANCE * self.depth_at(x) * each, FEWEST_CLONES * REPETITIONS * each


@dataclass(frozen=True)
class _Choice:
    """A level, the seconds that it gets and the variance of its log time."""

    level: Level
    seconds: float
    variance: float


@dataclass(frozen=True)
class Done:
    """A level that has been measured: 1 / epsilon, and the variance of its log time."""

    inverse_epsilon: float
    variance: float


@dataclass(frozen=True)
class Plan:
    """The levels that are left, and the standard error that the slope is expected to have, as a share of the cost."""

    levels: tuple[Level, ...]
    error: float


def best_plan(
    known: Known, done: Sequence[Done], seconds: float, *, cost: float, least: float, allowance: float = 1.0
) -> Plan | None:
    """The levels that are left after those ``done``, whose slope has the least error that so many ``seconds`` afford.

    The error is that of the regression, with the ``allowance`` for the next term of the law. A first level lies at ``least``
    = 1 / epsilon or beyond. None where not even the narrowest span can be afforded.
    """
    best: Plan | None = None
    begins = [done[-1].inverse_epsilon] if done else _begins(least, cost)
    for levels in (LEVELS, FEWEST_LEVELS):
        for begin in begins if levels > len(done) else []:
            plan = _widest_plan(known, done, seconds, levels - len(done), begin, cost, allowance)
            if plan is not None and (best is None or plan.error < best.error):
                best = plan
    return best


def one_more(
    known: Known, done: Sequence[Done], seconds: float, *, cost: float, allowance: float = 1.0
) -> Level | None:
    """The level that lowers the error of the slope most within so many ``seconds``, after a regression is possible.

    It is one of those that are done, which are known better then, or one beyond them; None where none is worth it.
    """
    points = np.array([d.inverse_epsilon for d in done])
    variances = np.array([d.variance for d in done])
    least = _WORTH_MORE * slope_error(points, variances, allowance / cost)
    best: Level | None = None
    beyond = np.arange(_FINE, _WIDEST, _FINE) / cost + points[-1]
    for x in [*points, *beyond[cost * beyond <= max(LAST_COST, cost * points[0] + 3.0)]]:
        chosen = _chosen(known, [float(x)], _SHARE * seconds, first=True)
        if chosen is None:
            continue
        error = slope_error(np.append(points, x), np.append(variances, chosen[0].variance), allowance / cost)
        if error < least:
            best, least = chosen[0].level, error
    return best


def _widest_plan(
    known: Known, done: Sequence[Done], seconds: float, left: int, begin: float, cost: float, allowance: float
) -> Plan | None:
    """The best plan with so many levels ``left``, of which the first lies at ``begin`` or is the next one after it."""
    best: Plan | None = None
    first = done[0].inverse_epsilon if done else begin
    reach = _NARROWEST
    while reach <= _WIDEST and cost * first + reach <= max(LAST_COST, cost * first + 3.0):
        end = first + reach / known.slope
        reach += _FINE
        if end <= begin:
            continue
        xs = [float(x) for x in np.linspace(begin, end, left + bool(done))[bool(done) :]]
        chosen = _chosen(known, xs, _SHARE * seconds, first=not done)
        if chosen is None and reach <= _NARROWEST + _FINE:
            chosen = _chosen(known, xs, _OVERDRAWN * seconds, first=not done)
        if chosen is None:
            break
        points = np.array([*(d.inverse_epsilon for d in done), *xs])
        variances = np.array([*(d.variance for d in done), *(c.variance for c in chosen)])
        error = slope_error(points, variances, allowance / cost) / cost
        if best is None or error < best.error:
            best = Plan(tuple(c.level for c in chosen), error)
    return best


def slope_error(x: Array, variances: Array, amplitude: float) -> float:
    """Standard error of the slope of log times by x = 1 / epsilon; c in a term c / x has the deviation ``amplitude``."""
    design = np.column_stack([np.ones_like(x), x])
    covariance = np.diag(variances) + amplitude**2 * np.outer(1.0 / x, 1.0 / x)
    return float(np.sqrt(np.linalg.inv(design.T @ np.linalg.solve(covariance, design))[1, 1]))


def _begins(least: float, cost: float) -> list[float]:
    """Where the first level may lie."""
    return [least + extra / cost for extra in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)]


def _chosen(known: Known, xs: Sequence[float], seconds: float, *, first: bool) -> list[_Choice] | None:
    """How the time is divided among the levels at ``xs``; None if it does not suffice for all."""
    fewest = [FEWEST if x == xs[-1] or (first and x == xs[0]) else FEWEST_BETWEEN for x in xs]
    ways = [_way(known, x, few) for x, few in zip(xs, fewest, strict=True)]
    least = np.array([way[2] for way in ways])
    if not least.sum() <= seconds:
        return None
    # The slope is told by the two ends: their times are in proportion to the root of what a unit of information costs.
    prices = np.sqrt([way[1] for way in ways])
    ends = np.zeros(len(xs))
    ends[-1] = prices[-1]
    if first:
        ends[0] = prices[0]
    between = _BETWEEN * (ends == 0.0)
    wanted = np.maximum(seconds * (between + (1.0 - between.sum()) * ends / ends.sum()), least)
    # What the least times of some levels take is missing for the others.
    spare = wanted - least
    if wanted.sum() > seconds:
        wanted = least + spare * (seconds - least.sum()) / max(spare.sum(), 1e-300)
    return [
        _choice(known, x, split, float(s), few)
        for x, (split, _, _), s, few in zip(xs, ways, wanted, fewest, strict=True)
    ]


def _way(known: Known, x: float, fewest: int) -> tuple[bool, float, float]:
    """Whether splitting is the better way at x, the seconds for a variance of one, and the least seconds."""
    usual, least = known.run(x, _USUAL)[0], known.run(x, fewest)[0]
    split = known.split(x)
    if usual <= max(_USUAL * split[0], split[1]) or not math.isfinite(split[0]):
        return False, usual / _USUAL, least
    return True, *split


def _choice(known: Known, x: float, split: bool, seconds: float, fewest: int) -> _Choice:
    """The level at x with as many escapes or clones as so many seconds afford."""
    if not split:
        size = fewest
        while size < MOST and known.run(x, larger := min(size * 5 // 4, MOST))[0] <= seconds:
            size = larger
        return _Choice(Level(x, splitting=False, size=size), seconds, 1.0 / size)
    size = int(min(max(seconds / (REPETITIONS * known.clone(x)), FEWEST_CLONES), MOST_CLONES))
    variance = _SPLIT_VARIANCE * known.depth_at(x) / (size * REPETITIONS)
    return _Choice(Level(x, splitting=True, size=size), seconds, variance)


def replicas_and_steps(escapes: int, mean_steps: float, least: float, wide: int) -> tuple[int, int]:
    """Replicas and steps of a plain run that is to see so many escapes, if possible with as many replicas as ``wide``.

    A run takes so many steps at ``least``, since nothing escapes in the first ones.
    """
    share = escapes / max(wide, escapes / _SHARE)
    times = min(max(-math.log1p(-share), least / mean_steps), _PATIENCE)
    return max(round(escapes / -math.expm1(-times)), 2), max(int(times * mean_steps), 1)
