"""Plain runs and splittings out of one minimum, within the CPU time that is left, and what they tell of the next ones."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from qpot._core.status import SolveError, Status
from qpot.landscape.symmetry import Symmetry
from qpot.paths.solution import PathSolution
from qpot.prediction.result import Prediction
from qpot.simulation.arrhenius import EscapeMeasurement, cheapest_neighbour
from qpot.simulation.escape_plan import REPETITIONS, Known, Level
from qpot.simulation.escapes import EscapeTimes, escape_times
from qpot.simulation.process import Pace, Process, rounded
from qpot.simulation.purse import Purse
from qpot.simulation.rare_escapes import SplittingTimes
from qpot.simulation.settled_escapes import Surroundings, settled_escapes
from qpot.simulation.splitting import splitting_times
from qpot.simulation.transients import SHORTEST

# So many escapes tell the mean time well enough for the next run.
SEEN = 5
# Pilot runs last so many relaxation times, and longer if these do not show enough, if need be with so few replicas.
_PILOT_TIMES, _FEWEST_PILOTS = 24.0, 16
# A pilot of a splitting has so many clones and repetitions.
_CLONES, _REPEATED = 100, 2
# Before it is known, a clone takes about so many relaxation times at a cost of five epsilon; a step that all clones take
# together is shared by so many that are still under way.
_CLONE_TIMES, _COST, _UNDER_WAY = 60.0, 5.0, 20
# An excursion that lasts longer than so many relaxation times is stuck at a minimum that is not known.
_LONGEST = 3000.0
# A plain run lasts so many times as long as it takes until the rate is steady, and at least so many relaxation times.
_STEADY, _LEAST = 4.0, 24.0
# Where balls do not tell an arrival, replicas are looked at after this share of a relaxation time.
_BETWEEN = 0.4
# A look takes some time by itself, so that many replicas share it.
_LOOKED_AT = 512
# In more dimensions the flow from escape points takes too long.
_MOST_DIMENSIONS = 20
# Escape points are looked for where there are at most so many escapes.
_MOST_POINTS = 200
# Seconds of a splitting that is run in order to compile its code.
_BRIEF = 1e-3
# Repetitions without which a splitting that the end of the time has cut off is no measurement.
_LEAST_REPETITIONS = 5


class EscapeRuns:
    """Plain runs and splittings out of one minimum, and how many seconds they have taken."""

    def __init__(
        self, prediction: Prediction, process: Process, group: Symmetry | None, home: int, cost: float, pace: Pace,
        rng: np.random.Generator, executor: Executor | None,
    ) -> None:  # fmt: skip
        self.process, self.group, self.home, self.cost, self.pace = process, group, home, cost, pace
        self.purse = Purse(np.inf)
        self.executor, self.rng = executor, rng
        self.minima = np.array([m.point for m in prediction.minima])
        self.start = self.minima[home]
        self.slowest = float(prediction.minima[home].rates.real.min())
        pair = (home, cheapest_neighbour(prediction, home))
        # The samples' own noise may take another of the passes between the two minima than Gaussian noise would.
        self.paths: tuple[PathSolution, ...] = prediction.costs.parallel.get(pair, (prediction.costs.paths[pair],))
        self.around = Surroundings(process.system, self.minima, group)
        self.largest = np.inf
        self.taken = 0.0
        # How many relaxation times it takes until the rate is steady.
        self.transient = SHORTEST
        # How much longer a run takes where replicas are looked at, and the seconds of a step of a clone.
        self.looks, self.clone_step = 1.0, pace.one(_UNDER_WAY)

    def known_at(self, x: float, mean_steps: float) -> Known:
        """What is known at x = 1 / epsilon, where the mean steps are these."""
        wide = self.wide(x)
        return Known(
            inverse_epsilon=x, mean_steps=mean_steps, slope=self.cost,
            relaxation=1.0 / (self.process.step(1.0 / x) * self.slowest), pace=self.pace, looks=self.looks, wide=wide,
            shrinking=self.process.batch_size is not None, settled=max(_STEADY * self.transient, _LEAST),
        )  # fmt: skip

    def wide(self, x: float) -> int:
        """How many replicas are run together at 1 / epsilon."""
        wide = self.process.wide
        return wide if self.around.balls_suffice(self.home, 1.0 / x) else max(wide, _LOOKED_AT)

    def with_splitting(self, known: Known, x: float, limit: float) -> Known:
        """The same after a pilot of a splitting has shown what a clone takes; unchanged where none is possible in time."""
        longest = max(int(_LONGEST * known.relaxation), 1000)
        try:
            with self.purse.aside():  # Code is compiled.
                self._brief(x, longest)
            begin = time.process_time()
            pilot = self.split(x, _CLONES, _REPEATED, points=False, limit=limit, longest=longest)
        except ValueError:  # The noise is singular at the minimum, or so large that it reaches the next one.
            return known
        except SolveError as error:
            if error.status is not Status.BUDGET:
                raise
            self.taken += limit
            return known
        # Seconds of a step, rounded as the pace is.
        self.clone_step = rounded(max(time.process_time() - begin, 1e-6) / pilot.simulated_steps)
        self.taken += self.clone_step * pilot.simulated_steps
        if not pilot.probability > 0.0:
            return known
        if not np.isfinite(known.mean_steps):
            known = self.known_at(x, pilot.mean_steps)
        each = self.clone_step * pilot.simulated_steps / (_CLONES * _REPEATED)
        return replace(known, clone_seconds=each, split_at=x, depth=max(-float(np.log(pilot.probability)), 1.0))

    def _brief(self, x: float, longest: int) -> None:
        """A splitting that ends almost at once."""
        try:
            self.split(x, 2, 2, points=False, limit=_BRIEF, longest=longest)
        except SolveError as error:
            if error.status is not Status.BUDGET:
                raise

    def guessed(self, known: Known) -> Known:
        """The same with what a clone may take, before that is known."""
        V, x = self.cost, known.inverse_epsilon
        depth = max(V * x, 1.0)
        each = _CLONE_TIMES * known.relaxation * self.clone_step * depth / _COST
        return replace(known, clone_seconds=each, split_at=x, depth=depth)

    def pilot(self, x: float, relaxation: float, seconds: float) -> EscapeTimes:
        """A run within so many seconds, which is short if that shows enough."""
        wide = self.wide(x)
        widths = [wide // 2**n for n in range(8) if wide // 2**n >= _FEWEST_PILOTS] if self.pace.call else [wide]
        # Nothing escapes in the first relaxation times, so that fewer replicas that last longer may show more.
        lengths = [seconds / (self.looks * R * self.pace.one(R)) for R in widths]
        R, steps = max(zip(widths, lengths, strict=True), key=lambda item: item[0] * (item[1] - SHORTEST * relaxation))
        if steps > _PILOT_TIMES * relaxation:
            pilot = self.plain(x, R, _PILOT_TIMES * relaxation)
            if pilot.events >= SEEN:
                return pilot
        return self.plain(x, R, steps)

    def measured(self, level: Level, known: Known, *, points: bool) -> EscapeMeasurement:
        """Run a level; ``points`` asks for escape points, where these do not take too long."""
        x = level.inverse_epsilon
        points = points and self.start.size <= _MOST_DIMENSIONS
        if level.splitting:
            times = self.split(x, level.size, REPETITIONS, points=points)
            if times.probabilities.size < _LEAST_REPETITIONS:
                raise SolveError("too few repetitions of a splitting have ended", status=Status.BUDGET)
            self.taken += self.clone_step * times.simulated_steps
            return times
        _, replicas, steps = known.run(x, level.size)
        return self.plain(x, replicas, steps, points=points and level.size <= _MOST_POINTS)

    def plain(self, x: float, replicas: int, steps: float, *, points: bool = False) -> EscapeTimes:
        self.largest = 1.0 / x
        with self.purse.limited():
            if not self.around.balls_suffice(self.home, 1.0 / x):
                begin = time.process_time()
                settled = settled_escapes(
                    self.around, self.home, steps=max(int(steps), 64), replicas=replicas,
                    between=max(int(_BETWEEN / (self.process.step(1.0 / x) * self.slowest)), 1),
                    settings=self.process.settings(1.0 / x), rng=self.rng, executor=self.executor,
                )  # fmt: skip
                taken = self.pace.taken(settled.steps)
                self.looks = max(rounded((time.process_time() - begin + 1e-9) / taken), 1.0)
                self.taken += self.looks * taken
                return settled
            result = escape_times(
                self.process.system, start=self.start, minima=self.minima, steps=max(int(steps), 64), replicas=replicas,
                symmetries=self.group, escape_points=points, rng=self.rng, executor=self.executor,
                **self.process.settings(1.0 / x),
            )  # fmt: skip
        self.taken += self.pace.taken(result.steps) + self.pace.fixed
        return result

    def split(
        self, x: float, clones: int, repetitions: int, *, points: bool, limit: float = np.inf, longest: int = 10_000_000
    ) -> SplittingTimes:
        self.largest = 1.0 / x
        with self.purse.limited(limit):
            return splitting_times(
                self.process.system, start=self.start, minima=self.minima, coordinate=self.paths, clones=clones,
                repetitions=repetitions, symmetries=self.group, longest=longest, escape_points=points, rng=self.rng,
                executor=self.executor, **self.process.settings(1.0 / x),
            )  # fmt: skip
