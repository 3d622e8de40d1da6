"""Escapes from one minimum at several noise levels, each chosen by what the one before has shown."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

import numpy as np

from qpot._core.status import SolveError, Status
from qpot.landscape.symmetry import Symmetry
from qpot.prediction.result import Prediction
from qpot.simulation.arrhenius import LEAST_LEVELS, EscapeMeasurement
from qpot.simulation.escape_plan import (
    FEWEST,
    FIRST_COST,
    LEAST_COST,
    LEVELS,
    MOST_LEVELS,
    Done,
    Known,
    Level,
    Plan,
    best_plan,
    one_more,
)
from qpot.simulation.escape_runs import SEEN, EscapeRuns
from qpot.simulation.escapes import EscapeTimes
from qpot.simulation.process import Pace, Process
from qpot.simulation.purse import Purse
from qpot.simulation.transients import steady, transient

# Pilot runs take these shares of the time at most, all but the first at the largest noise.
_PILOT_SHARES = (0.04, 0.08, 0.2)
# So many of them are run at most, and none where the least cost is so many epsilon.
_MOST_PILOTS, RARE = 12, 14.0
# An escape at the first level takes at least so many steps, and so many relaxation times.
_FEWEST_STEPS, _RELAXED = 200.0, 3.0
# A pilot of a splitting takes at most this share of the time that is left.
_PILOT_LIMIT = 0.25
# A splitting is tried where it promises to lower the error of the slope by this factor.
_WORTH_TRYING = 0.8
# Before slopes are measured, the predicted one counts as known up to this share.
_TRUSTED = 0.25
# More levels than usual are measured while this share of the time is left.
_LEFT_OVER = 0.2
# A logarithm of a mean time with a larger standard error is no measurement.
VAGUE = 1.0


@dataclass
class Escapes:
    """What was measured of the escapes from one minimum, and why no more."""

    home: int
    cost: float
    measurements: list[EscapeMeasurement] = field(default_factory=list)
    reason: str = ""

    @property
    def cost_range(self) -> tuple[float, float]:
        """The predicted cost in units of epsilon at the first level and at the last."""
        return self.cost / self.measurements[0].epsilon, self.cost / self.measurements[-1].epsilon


class Search(EscapeRuns):
    """The search for the levels of one minimum, which measures into ``escapes``.

    ``highest`` is the largest epsilon allowed; ``allowance`` is that for the next term of the law.
    """

    def __init__(
        self, prediction: Prediction, process: Process, group: Symmetry | None, escapes: Escapes, highest: float, pace: Pace,
        *, allowance: float, rng: np.random.Generator, executor: Executor | None,
    ) -> None:  # fmt: skip
        super().__init__(prediction, process, group, escapes.home, escapes.cost, pace, rng, executor)
        self.escapes, self.highest, self.allowance, self.tried = escapes, highest, allowance, False
        # What was run, and the steps of a relaxation time in each.
        self.runs: list[tuple[EscapeMeasurement, float]] = []
        self.known: Known | None = None

    def levels(self, seconds: float, purse: Purse) -> Iterator[None]:
        """Measure level after level within so many ``seconds`` of the purse, and yield after each.

        A level at which a replica diverges is not tried again: the search begins once more at half of it.
        """
        self.purse = purse
        for _ in range(4):
            try:
                yield from self._all_levels(seconds)
            except SolveError as error:
                if error.status is not Status.NON_FINITE:
                    self._ended(error)
                    return
                self.highest = 0.5 * self.largest
                self.runs.clear()
                self.escapes.measurements.clear()
                self.escapes.reason = f"the steps diverge down to epsilon {self.largest:.4g}"
            else:
                return

    def further(self, seconds: float, purse: Purse) -> Iterator[None]:
        """Measure more levels, where a regression is possible and time is left over."""
        self.purse = purse
        until = self.taken + seconds
        while (
            self.known is not None and len(self.runs) < MOST_LEVELS and len(self.escapes.measurements) >= LEAST_LEVELS
        ):
            level = one_more(self.known, self._done, until - self.taken, cost=self.cost, allowance=self.allowance)
            if level is None or not purse.left:
                return
            try:
                self.known = self._measured_at(level, self.known)
            except SolveError as error:
                self._ended(error)
                return
            yield

    def _ended(self, error: SolveError) -> None:
        """Keep the reason why a search has ended; errors that do not belong to it are raised."""
        if error.status is Status.BUDGET:
            self.escapes.reason = self.escapes.reason or "the time was over"
        elif error.status is Status.NOT_CONVERGED:
            self.escapes.reason = "excursions out of it do not come back: is a minimum missing from the prediction?"
        else:
            raise error

    def _all_levels(self, seconds: float) -> Iterator[None]:
        """Find the first level, measure it and those that follow."""
        V, highest = self.cost, self.highest
        least = 1.0 / min(highest, V / LEAST_COST)
        known = self._first(1.0 / min(highest, V / FIRST_COST), least, seconds)
        if known is None:
            return
        # An escape takes some steps.
        enough = max(_FEWEST_STEPS, _RELAXED * known.relaxation)
        least = max(least, known.inverse_epsilon - max(np.log(known.mean_steps / enough), 0.0) / known.slope)
        for _ in range(MOST_LEVELS):
            known, level = self._next(known, self._done, seconds, least)
            if level is None:
                self.escapes.reason = f"escapes at epsilon below {1 / known.inverse_epsilon:.4g} take too long"
                return
            self.known = known = self._measured_at(level, known)
            yield
            if not self.purse.left:
                return

    @property
    def _done(self) -> list[Done]:
        return [Done(1.0 / m.epsilon, m.log_mean_time[1] ** 2) for m in self.escapes.measurements]

    def _measured_at(self, level: Level, known: Known) -> Known:
        """Run a level, and say what is known after it."""
        run = self.measured(level, known, points=len(self.runs) in (0, 3))
        self.runs.append((run, known.relaxation_at(level.inverse_epsilon)))
        self.transient = transient([(m, r) for m, r in self.runs if isinstance(m, EscapeTimes)])
        every = [steady(m, r, self.transient) if isinstance(m, EscapeTimes) else m for m, r in self.runs]
        told = [m for m in every if m.log_mean_time[1] <= VAGUE]
        self.escapes.measurements[:] = sorted(told, key=lambda m: -m.epsilon)
        return self._after(known, every[-1])

    def _next(self, known: Known, done: list[Done], seconds: float, least: float) -> tuple[Known, Level | None]:
        """The next level within what is left of so many ``seconds``, and what a pilot of a splitting has shown."""
        rest = seconds - self.taken
        if len(done) >= LEAST_LEVELS:
            enough = len(done) >= LEVELS and rest < _LEFT_OVER * seconds
            return known, None if enough else one_more(known, done, rest, cost=self.cost, allowance=self.allowance)
        known, plan = self._planned(known, done, rest, least)
        if plan is not None:
            return known, plan.levels[0]
        return known, self._between(known, done, seconds - self.taken)

    def _planned(self, known: Known, done: list[Done], seconds: float, least: float) -> tuple[Known, Plan | None]:
        """The best plan, for which a pilot of a splitting is run where it promises to be worth it."""
        V = self.cost
        plan = best_plan(known, done, seconds, cost=V, least=least, allowance=self.allowance)
        if self.tried:
            return known, plan
        hoped = best_plan(
            self.guessed(known), done, (1.0 - _PILOT_LIMIT) * seconds, cost=V, least=least, allowance=self.allowance
        )
        split = [level for level in hoped.levels if level.splitting] if hoped is not None else []
        if hoped is None or not split or (plan is not None and hoped.error > _WORTH_TRYING * plan.error):
            return known, plan
        self.tried, before = True, self.taken
        known = self.with_splitting(known, split[0].inverse_epsilon, _PILOT_LIMIT * seconds)
        return known, best_plan(
            known, done, seconds - (self.taken - before), cost=V, least=least, allowance=self.allowance
        )

    def _between(self, known: Known, done: list[Done], seconds: float) -> Level | None:
        """A level among those that are done, where no smaller noise can be afforded and too few levels are."""
        x = np.array([d.inverse_epsilon for d in done])
        if x.size < 2:
            return None
        n = int(np.diff(x).argmax())
        middle = float(0.5 * (x[n] + x[n + 1]))
        return Level(middle, splitting=False, size=FEWEST) if known.run(middle, FEWEST)[0] <= seconds else None

    def _first(self, x: float, least: float, seconds: float) -> Known | None:
        """What pilot runs at 1 / epsilon show, which is made larger until an escape takes some time."""
        V = self.cost
        begin, shares = x, list(_PILOT_SHARES) if V * least < RARE else []
        for _ in range(_MOST_PILOTS if shares else 0):
            relaxation = 1.0 / (self.process.step(1.0 / x) * self.slowest)
            pilot = self.pilot(x, relaxation, shares[0] * seconds)
            if pilot.events < SEEN:
                shares.pop(0)
                if not shares:
                    break
                x = least
                continue
            if pilot.mean_steps >= max(_FEWEST_STEPS, _RELAXED * relaxation):
                return self.known_at(x, pilot.mean_steps)
            least = x = x + max(0.5, min(2.0, float(np.log(_FEWEST_STEPS / pilot.mean_steps)))) / V
        # Plain runs see nothing; a splitting may.
        x = max(begin, FIRST_COST / V)
        guessed = self.guessed(self.known_at(x, np.inf))
        if guessed.split(x)[1] <= seconds - self.taken:
            self.tried = True
            known = self.with_splitting(guessed, x, _PILOT_LIMIT * seconds)
            if np.isfinite(known.mean_steps):
                return known
        self.escapes.reason = (
            f"no escape was seen at epsilon {1 / x:.4g} within the budget, where the cost is {V * x:.1f} epsilon"
        )
        return None

    def _after(self, known: Known, latest: EscapeMeasurement) -> Known:
        """What is known after a measurement: the mean steps at the smallest noise, and the slope over all levels so far.

        The predicted slope counts as one more measurement, so that few escapes do not lead the plan astray.
        """
        V, seen = self.cost, [*self.escapes.measurements]
        if np.isfinite(latest.log_mean_time[0]) and latest not in seen:
            seen.append(latest)
        if not seen:
            return known
        done = sorted(seen, key=lambda m: -m.epsilon)
        x = np.array([1.0 / m.epsilon for m in done])
        times, errors = (np.array(column) for column in zip(*(m.log_mean_time for m in done), strict=True))
        weights = 1.0 / errors**2
        middle = float(weights @ x / weights.sum())
        information = float(weights @ (x - middle) ** 2)
        prior = 1.0 / (_TRUSTED * V) ** 2
        slope = (float(weights @ ((x - middle) * times)) + prior * V) / (information + prior)
        mean = float(np.exp(times[-1])) / done[-1].time_step
        return replace(
            self.known_at(float(x[-1]), mean),
            slope=float(np.clip(slope, 0.5 * V, 2.0 * V)),
            clone_seconds=known.clone_seconds,
            split_at=known.split_at,
            depth=known.depth,
        )
