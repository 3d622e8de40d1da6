"""Excursions of clones in the real dynamics: one repetition of a splitting, from its loops to its arrivals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.status import SolveError, Status
from qpot.samples.formulas import Integers
from qpot.simulation.coordinates import ReactionCoordinate
from qpot.simulation.destinations import Destinations
from qpot.simulation.dynamics import Dynamics
from qpot.simulation.rare_escapes import Repetition
from qpot.simulation.replicas import FunctionFailedError
from qpot.simulation.settings import Setting
from qpot.simulation.updates import CompiledSum, VectorisedSteps
from qpot.solvers.common.spending import spent
from qpot.solvers.simulation.excursions import (
    ARRIVED,
    FAILED,
    FULL,
    RETURNED,
    RUNNING,
    Excursions,
    Region,
    set_out,
    sgd_excursions,
    vectorised_excursions,
    with_room,
)
from qpot.solvers.simulation.splitting import split

# Loops that every clone makes, out of the neighbourhood and back, before the excursion that is split: by then its start
# hardly depends on where the loops began.
_LOOPS = 3
# States of an excursion for which there is room at first; the room is doubled when it is used up.
_CAPACITY = 64
# Steps of one call, in all for compiled clones (True) and of each clone in NumPy (False); between calls Ctrl-C is heard
# and an excursion that does not end is noticed.
_SLICE = {True: 2_000_000, False: 1_000}
# Escape points that one repetition looks for at most, since each takes a bisection with the flow.
_MOST_EXIT_POINTS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class SplittingTask:
    """What a repetition needs, as one value that can be sent to another process."""

    by_reference: ClassVar[bool] = True

    setting: Setting
    goals: Destinations
    region: Region
    coordinate: ReactionCoordinate
    clones: int
    limit: int
    kill: int
    escape_points: bool = True

    @property
    def dynamics(self) -> Dynamics:
        return self.setting.dynamics


def repetition_of(item: tuple[SplittingTask, np.random.Generator]) -> Repetition:
    """Let every clone loop out of the neighbourhood and back, then split one more excursion of each."""
    task, rng = item
    simulation = _Simulation(task, rng)
    N, d = task.clones, task.region.centre.size
    x, v = np.tile(task.region.centre, (N, 1)), np.zeros((N, d))
    rows = np.arange(N)
    out, back, returned = np.empty(0), np.empty(0), np.ones(N, dtype=bool)
    for loop in range(_LOOPS):
        paths = simulation.run(Excursions.of(x, v, 0), rows, leaving=True)
        if loop > 0:
            out = np.append(out, paths.elapsed)
        x, v = paths.x, paths.velocity
        if loop == _LOOPS - 1:
            break
        paths = simulation.run(Excursions.of(x, v, 0), rows, leaving=False)
        returned = paths.outcome < ARRIVED
        if loop > 0:
            back = np.append(back, paths.elapsed[returned])
        # A clone that has arrived starts again at home.
        x = np.where(returned[:, None], paths.x, task.region.centre)
        v = np.where(returned[:, None], paths.velocity, 0.0)
    first = simulation.run(set_out(x, v, task.coordinate(x), _CAPACITY), rows, leaving=False)
    result = split(first, lambda p, dead: simulation.run(p, dead, leaving=False), rng, task.kill)
    paths = result.paths
    arrived = np.flatnonzero(paths.outcome >= ARRIVED) if result.probability > 0 else np.empty(0, dtype=np.int64)
    shares = np.zeros(task.goals.minima.shape[0])
    np.add.at(shares, task.goals.others[paths.outcome[arrived] - ARRIVED], 1.0 / max(arrived.size, 1))
    return Repetition(
        probability=result.probability,
        out_steps=float(out.mean()),
        back_steps=float(back.mean()) if back.size else 0.0,
        reactive_steps=float(paths.elapsed[arrived].mean()) if arrived.size else np.nan,
        arrivals=shares,
        lineages=int(np.unique(result.ancestors[arrived]).size),
        rounds=result.rounds,
        steps=simulation.used,
        escape_points=_escape_points(task, paths, arrived),
    )


class _Simulation:
    """Runs excursions to their end in slices."""

    def __init__(self, task: SplittingTask, rng: np.random.Generator) -> None:
        self.task, self.rng, self.used = task, rng, 0
        self.order = np.arange(task.dynamics.n_samples, dtype=np.int64)[None].copy()

    def run(self, paths: Excursions, rows: Integers, *, leaving: bool) -> Excursions:
        region = self.task.region
        region = region._replace(inner=-1.0) if leaving else region._replace(outer=np.inf)
        while True:
            if spent():
                raise SolveError("the CPU time was over before the excursions had ended", status=Status.BUDGET)
            paths = with_room(paths, rows)
            self.used += self._slice(paths, rows, region)
            self._return_from_copies(paths, rows)
            outcome = paths.outcome[rows]
            if (outcome == FAILED).any():
                bad = rows[int(np.flatnonzero(outcome == FAILED)[0])]
                raise FunctionFailedError(
                    f"a clone has run away (beyond 1e50) to {format_point(paths.x[bad])}; lower the learning rate (time step)"
                )
            going = (outcome == RUNNING) | (outcome == FULL)
            if not going.any():
                return paths
            if int(paths.elapsed[rows[going]].max()) > self.task.limit:
                raise SolveError(
                    f"an excursion has not ended after longest={self.task.limit} steps, at "
                    f"{format_point(paths.x[rows[going]][0])}; is a minimum missing from minima?",
                    status=Status.NOT_CONVERGED,
                )

    def _return_from_copies(self, paths: Excursions, rows: Integers) -> None:
        """Let clones that have come to another image of the home minimum count as returned, with the score they had."""
        first = ARRIVED + self.task.goals.others.size
        back = rows[paths.outcome[rows] >= first]
        paths.outcome[back] = RETURNED
        paths.kept[back] -= paths.kept[back] > 0  # the state in the ball, whose height is infinite
        paths.x[back], paths.velocity[back] = self.task.region.centre, 0.0

    def _slice(self, paths: Excursions, rows: Integers, region: Region) -> int:
        update, rate, coordinate = self.task.setting.update, self.task.dynamics.rate, self.task.coordinate
        assert isinstance(rate, float)  # `splitting_times` refuses schedules
        if isinstance(update, CompiledSum):
            assert coordinate.arrays is not None  # a compiled run gets a compiled coordinate
            return sgd_excursions(
                update.rule, rate, self.order, self.rng, rows, _SLICE[True], region, coordinate.arrays, paths
            )
        assert isinstance(update, VectorisedSteps)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return vectorised_excursions(
                    update.increment, coordinate, rate, update.momentum, self.rng, rows, _SLICE[False], region, paths
                )
        except NonFiniteError as error:
            raise FunctionFailedError(str(error)) from error


def _escape_points(task: SplittingTask, paths: Excursions, arrived: Integers) -> Array:
    """Where some of the arrived clones crossed the boundary of the home basin, by bisection of their kept states.

    Clones whose last kept state is still at home do not show where they crossed, and are left out.
    """
    chosen, d = arrived[: _MOST_EXIT_POINTS if task.escape_points else 0], task.region.centre.size

    def at_home(index: Integers) -> NDArray[np.bool_]:
        points = paths.points[chosen, index]
        return task.goals.at_home(task.dynamics.system, points)

    chosen = chosen[paths.kept[chosen] > 2]
    if not chosen.size:
        return np.empty((0, d))
    low, high = np.zeros(chosen.size, dtype=np.int64), paths.kept[chosen] - 2  # the last state is the target's
    keep = at_home(low) & ~at_home(high)
    chosen, low, high = chosen[keep], low[keep], high[keep]
    while chosen.size and (high - low > 1).any():
        middle = (low + high) // 2
        inside = at_home(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.asarray(0.5 * (paths.points[chosen, low] + paths.points[chosen, high]), dtype=np.float64)
