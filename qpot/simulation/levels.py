"""Escapes from one minimum at several noise levels, each chosen by what the one before has shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

import numpy as np

from qpot._core.status import SolveError, Status
from qpot.landscape.symmetry import Symmetry
from qpot.paths.solution import PathSolution
from qpot.prediction.result import Prediction
from qpot.simulation.arrhenius import EscapeMeasurement, cheapest_neighbour
from qpot.simulation.escape_plan import (
    FIRST_COST,
    LAST_COST,
    LEAST_COST,
    LEVELS,
    REPETITIONS,
    Known,
    Level,
    affordable_reach,
    first_level,
    next_level,
    replicas_and_steps,
)
from qpot.simulation.escapes import EscapeTimes, escape_times
from qpot.simulation.process import Process
from qpot.simulation.rare_escapes import SplittingTimes
from qpot.simulation.settled_escapes import Surroundings, settled_escapes
from qpot.simulation.splitting import splitting_times

# A pilot run has so many replicas and this share of the steps; so many escapes tell the mean time well enough.
_PILOTS, _PILOT_SHARE, _SEEN = 24, 0.04, 6
# An escape at the first level takes at least so many steps, and so many relaxation times.
_FEWEST_STEPS, _RELAXED = 200.0, 3.0
# A pilot of a splitting has so many clones at least, or as many as step well together up to a limit, and repetitions.
_CLONES, _MOST_CLONES, _REPEATED = 50, 200, 2
# A clone takes about so many relaxation times, and a pilot at most this share of the steps that are left.
_CLONE_TIMES, _PILOT_LIMIT = 60.0, 0.25
# An excursion that lasts longer than so many relaxation times is stuck at a minimum that is not known.
_LONGEST = 300.0
# Where plain levels would span fewer epsilon than this, splitting is tried.
_WIDE_ENOUGH = 3.0
# Where balls do not tell an arrival, replicas are looked at after this share of a relaxation time.
_BETWEEN = 0.4
# A look takes some time by itself, so that many replicas share it.
_LOOKED_AT = 512
# In more dimensions the flow from escape points takes too long.
_MOST_DIMENSIONS = 20
# Escape points are looked for where there are at most so many escapes.
_MOST_POINTS = 200


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


def measured_escapes(
    prediction: Prediction,
    process: Process,
    group: Symmetry | None,
    escapes: Escapes,
    highest: float,
    steps: float,
    speed: float,
    *,
    rng: np.random.Generator,
    executor: Executor | None,
) -> Iterator[None]:
    """Measure level after level into ``escapes`` within so many ``steps``, and yield after each.

    ``highest`` is the largest epsilon allowed. A level at which a replica diverges is not tried again: the search begins
    once more at half of it.
    """
    runner = _Runner(prediction, process, group, escapes, speed, rng, executor)
    for _ in range(4):
        try:
            yield from runner.all_levels(highest, steps)
        except SolveError as error:
            if error.status is Status.NOT_CONVERGED:
                escapes.reason = "excursions out of it do not come back: is a minimum missing from the prediction?"
                return
            if error.status is not Status.NON_FINITE:
                raise
            highest = 0.5 * runner.largest
            escapes.measurements.clear()
            escapes.reason = f"the steps diverge down to epsilon {runner.largest:.4g}"
        else:
            return


class _Runner:
    """Plain runs and splittings out of one minimum, and how many steps they have taken."""

    def __init__(
        self, prediction: Prediction, process: Process, group: Symmetry | None, escapes: Escapes, speed: float,
        rng: np.random.Generator, executor: Executor | None,
    ) -> None:  # fmt: skip
        self.process, self.group, self.escapes, self.speed = process, group, escapes, speed
        self.executor, self.rng = executor, rng
        self.minima = np.array([m.point for m in prediction.minima])
        self.start = self.minima[escapes.home]
        self.slowest = float(prediction.minima[escapes.home].rates.real.min())
        pair = (escapes.home, cheapest_neighbour(prediction, escapes.home))
        # The samples' own noise may take another of the passes between the two minima than Gaussian noise would.
        self.paths: tuple[PathSolution, ...] = prediction.costs.parallel.get(pair, (prediction.costs.paths[pair],))
        self.around = Surroundings(process.system, self.minima, group)
        self.largest = np.inf
        self.taken, self.ratio, self.tried = 0.0, 1.0, False
        # How much longer a step takes where replicas are looked at.
        self.looks = 1.0

    def all_levels(self, highest: float, steps: float) -> Iterator[None]:
        """Find the first level, measure it and those that follow."""
        V = self.escapes.cost
        known = self._first(1.0 / min(highest, V / FIRST_COST), 1.0 / min(highest, V / LEAST_COST), steps)
        if known is None:
            return
        level: Level | None = first_level(known, steps / self.looks / LEVELS)
        for left in range(LEVELS, 0, -1):
            if left < LEVELS:
                rest, last = (
                    (steps - self.taken) / self.looks,
                    max(LAST_COST / V, known.inverse_epsilon + _WIDE_ENOUGH / V),
                )
                if not self.tried and affordable_reach(known, left, rest, last=last)[0] < min(
                    _WIDE_ENOUGH * left / (LEVELS - 1), V * (last - known.inverse_epsilon)
                ):
                    known = self._with_splitting(known, limit=_PILOT_LIMIT * rest * self.looks)
                level = next_level(known, left, (steps - self.taken) / self.looks, last=last)
            if level is None:
                self.escapes.reason = f"escapes at epsilon below {1 / known.inverse_epsilon:.4g} take too long"
                return
            measurement = self._measured(level, known, points=left in (1, 3))
            if not np.isfinite(measurement.log_mean_time[0]):
                self.escapes.reason = f"no escape was seen at epsilon {measurement.epsilon:.4g}"
                return
            self.escapes.measurements.append(measurement)
            known = self._after(known, measurement)
            yield

    def _first(self, x: float, least: float, steps: float) -> Known | None:
        """Where the levels begin: pilot runs at 1 / epsilon, made larger until an escape takes some time."""
        V = self.escapes.cost
        for _ in range(12):
            step = self.process.step(1.0 / x)
            pilots = _PILOTS if self.around.balls_suffice(self.escapes.home, 1.0 / x) else _LOOKED_AT
            pilot = self._plain(x, pilots, _PILOT_SHARE * steps / self.looks / pilots)
            if pilot.events < _SEEN:
                if least < x * (1.0 - 1e-9):
                    x = least
                    continue
                break
            enough = max(_FEWEST_STEPS, _RELAXED / (step * self.slowest))
            if pilot.mean_steps >= enough:
                known = Known(x, pilot.mean_steps, V)
                reach, _ = affordable_reach(known, LEVELS - 1, 0.8 * steps / self.looks, last=x + _WIDE_ENOUGH / V)
                if reach < _WIDE_ENOUGH - 0.5 and least < x * (1.0 - 1e-9):
                    # The budget is small: the levels begin at as much noise as they may.
                    x, least = least, x
                    continue
                return known
            x += max(0.5, min(2.0, float(np.log(enough / pilot.mean_steps)))) / V
        # Plain runs see nothing; a splitting does.
        x = max(x, FIRST_COST / V)
        known = self._with_splitting(Known(x, np.inf, V))
        if not np.isfinite(known.mean_steps):
            self.escapes.reason = f"no escape was seen at epsilon {1 / x:.4g} within the budget"
            return None
        return known

    def _with_splitting(self, known: Known, *, limit: float = np.inf) -> Known:
        """The same after a pilot of a splitting has shown what a clone takes; unchanged where nothing can be split.

        It is unchanged, too, where the pilot would take more steps than the ``limit``.
        """
        x = known.inverse_epsilon + (1.0 / known.slope if np.isfinite(known.mean_steps) else 0.0)
        begin, self.tried = time.process_time(), True
        clones = min(max(_CLONES, self.process.wide), _MOST_CLONES)
        if clones * _REPEATED * _CLONE_TIMES / (self.process.step(1.0 / x) * self.slowest) > limit:
            return known
        try:
            pilot = self._split(x, clones, _REPEATED, points=False)
        except ValueError:  # The noise is singular at the minimum, or so large that it reaches the next one.
            return known
        # How much longer a step takes here, rounded as the speed is.
        ratio = (time.process_time() - begin) * self.speed / pilot.simulated_steps
        self.ratio = _rounded(ratio)
        self.taken += self.ratio * pilot.simulated_steps
        each = self.ratio * pilot.simulated_steps / (clones * _REPEATED) / self.looks
        if not np.isfinite(known.mean_steps):
            known = replace(known, mean_steps=pilot.mean_steps)
        return replace(known, clone_steps=each, split_at=x)

    def _measured(self, level: Level, known: Known, *, points: bool) -> EscapeMeasurement:
        """Run a level; ``points`` asks for escape points, where these do not take too long."""
        x = level.inverse_epsilon
        points = points and self.start.size <= _MOST_DIMENSIONS
        if level.splitting:
            result = self._split(x, level.size, REPETITIONS, points=points)
            self.taken += self.ratio * result.simulated_steps
            return result
        relaxation = 1.0 / (self.process.step(1.0 / x) * self.slowest)
        wide = self.process.wide
        wide = wide if self.around.balls_suffice(self.escapes.home, 1.0 / x) else max(wide, _LOOKED_AT)
        replicas, steps = replicas_and_steps(level.size, known.steps(x), relaxation, wide)
        return self._plain(x, replicas, steps, points=points and level.size <= _MOST_POINTS)

    def _plain(self, x: float, replicas: int, steps: float, *, points: bool = False) -> EscapeTimes:
        self.largest = 1.0 / x
        if not self.around.balls_suffice(self.escapes.home, 1.0 / x):
            begin = time.process_time()
            settled = settled_escapes(
                self.around, self.escapes.home, steps=max(int(steps), 64), replicas=replicas,
                between=max(int(_BETWEEN / (self.process.step(1.0 / x) * self.slowest)), 1),
                settings=self.process.settings(1.0 / x), rng=self.rng, executor=self.executor,
            )  # fmt: skip
            done = float(settled.steps.sum())
            self.looks = _rounded((time.process_time() - begin) * self.speed / done)
            self.taken += self.looks * done
            return settled
        result = escape_times(
            self.process.system, start=self.start, minima=self.minima, steps=max(int(steps), 64), replicas=replicas,
            symmetries=self.group, escape_points=points, rng=self.rng, executor=self.executor,
            **self.process.settings(1.0 / x),
        )  # fmt: skip
        self.taken += float(result.steps.sum())
        return result

    def _split(
        self, x: float, clones: int, repetitions: int, *, points: bool, longest: int = 10_000_000
    ) -> SplittingTimes:
        self.largest = 1.0 / x
        return splitting_times(
            self.process.system, start=self.start, minima=self.minima, coordinate=self.paths, clones=clones,
            repetitions=repetitions, symmetries=self.group, longest=longest, escape_points=points, rng=self.rng,
            executor=self.executor, **self.process.settings(1.0 / x),
        )  # fmt: skip

    def _after(self, known: Known, measurement: EscapeMeasurement) -> Known:
        """What is known after a measurement: the mean steps there, and the slope over all levels so far."""
        x, V = 1.0 / measurement.epsilon, self.escapes.cost
        log_time, _ = measurement.log_mean_time
        slope, done = V, self.escapes.measurements
        if len(done) > 1:
            first = done[0]
            slope = (log_time - first.log_mean_time[0]) / (x - 1.0 / first.epsilon)
        return replace(
            known,
            inverse_epsilon=x,
            mean_steps=float(np.exp(log_time)) / measurement.time_step,
            slope=float(np.clip(slope, 0.5 * V, 2.0 * V)),
        )


def _rounded(ratio: float) -> float:
    """A ratio of times, rounded up to a power of the root of two, and one at least."""
    return float(2.0 ** (np.ceil(2.0 * np.log2(max(ratio, 1.0))) / 2.0))
