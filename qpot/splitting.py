"""splitting_times: escapes too rare for plain simulation, by adaptive multilevel splitting of the real dynamics."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import solve_continuous_lyapunov
from scipy.stats import chi2

from qpot._arrays import Array, NonFiniteError, as_count, as_point, as_rng, format_point
from qpot.basins import Neighbourhoods, attracting_neighbourhoods, basin_of
from qpot.escapes import home_of, radii_of
from qpot.parallel import check_executor, check_sendable, run_in_order
from qpot.progress import ProgressLike, reporting
from qpot.reaction_coordinates import ReactionCoordinate, reaction_coordinate
from qpot.replicas import FunctionFailedError
from qpot.runs import Setting, diffusion_setting, sgd_setting
from qpot.sample_losses import Integers
from qpot.solution import SolveError, Status
from qpot.solvers.splitting import (
    ARRIVED,
    FAILED,
    FULL,
    RUNNING,
    Excursions,
    Region,
    set_out,
    sgd_excursions,
    split,
    unpacked,
    vectorised_excursions,
    with_room,
)
from qpot.splitting_times import Repetition, SplittingTimes, collected
from qpot.system import System
from qpot.updates import CompiledSum, MinibatchIncrement, VectorisedSteps

# Loops out and back before the one whose way back is split; their end points are then nearly independent of the start.
_LOOPS = 3
# The neighbourhood: returned within as many deviations as the noise has on average, left where 95 % lie within.
_LEAVING = 0.95
_CAPACITY = 64
# Steps of one call: how soon Ctrl-C is heard.
_SLICE = {True: 2_000_000, False: 500_000}
_MOST_EXIT_POINTS = 50


def splitting_times(
    system: System,
    *,
    start: Any,
    minima: Any,
    learning_rate: float | None = None,
    batch_size: int = 1,
    epsilon: float | None = None,
    time_step: float | None = None,
    momentum: float = 0.0,
    sampling: str | None = None,
    coordinate: Any = "loss",
    clones: int = 500,
    kill: float = 0.2,
    repetitions: int = 10,
    radius: float | Array | None = None,
    longest: int = 10_000_000,
    rng: np.random.Generator | int | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
) -> SplittingTimes:
    """Mean escape time from a minimum that plain simulation would never see left.

    Clones run excursions of the real dynamics out of the minimum's neighbourhood; those that come least far are killed
    and replaced by branches of the others, until all arrive at another minimum. The product of the shares that survive
    is an unbiased estimate of the probability p of one excursion to arrive; the mean time follows from p and the mean
    time of an excursion.

    Parameters
    ----------
    system : System
    start : object with ``.point`` or ``(d,)``
        The minimum that is left, or a point of its basin.
    minima : sequence of objects with ``.point``, or ``(k, d)``
        All minima: a clone that came to rest at another one unnoticed would never end.
    learning_rate, batch_size, epsilon, time_step, momentum, sampling, radius, executor, progress
        As in `qpot.exit_times`; not epoch reshuffling.
    coordinate : "loss", PathSolution, FieldSolution or callable ``(n, d) -> (n,)``
        How far an excursion has come. Any choice is unbiased; one that grows with the probability to arrive has little
        variance: the quasi-potential (``quasipotential(...)``), the cost along the minimum action path
        (``costs.path(i, j)``), or in few dimensions the loss. With compiled dynamics a function of up to three variables
        is tabulated.
    clones : int
        N. The relative variance of one repetition is about |log p| / N times 1 to 2 with a good coordinate.
    kill : float
        Share of the clones that is replaced at a time, strictly between 0 and 1.
    repetitions : int
        Independent estimates, at least 2: they give the error.
    longest : int
        Most steps of one excursion.
    rng : Generator or int, optional
        Seed 0 by default; the same ``rng`` gives the same result for every executor.

    Returns
    -------
    SplittingTimes
        ``.mean_steps``, ``.interval()``, and everything that `qpot.compare` needs.

    Raises
    ------
    ValueError
        For bad arguments, as `qpot.exit_times`; if epsilon is so large that the neighbourhood of the minimum reaches
        another one.
    SolveError
        When a clone diverges (`Status.NON_FINITE`), an excursion does not end (`Status.NOT_CONVERGED`), or on Ctrl-C
        (`Status.INTERRUPTED`; ``partial`` holds the repetitions that are finished, if at least two are).

    Notes
    -----
    Adaptive multilevel splitting (Cerou and Guyader, Stoch. Anal. Appl. 25 (2007) 417) for Markov chains, with the rule
    for ties of Brehier, Gazeau, Goudenege, Lelievre and Rousset, Ann. Appl. Probab. 26 (2016) 3559. The neighbourhood is
    the ellipsoid of the local stationary covariance, A S + S A^T = a.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> wells = qpot.System.from_loss(
    ...     lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
    >>> times = qpot.splitting_times(
    ...     wells, start=[-1.0], minima=np.array([[-1.0], [1.0]]), epsilon=0.05, time_step=0.05, clones=100, repetitions=4)
    >>> 1e6 < times.mean_steps < 4e6  # Kramers: 4.44 exp(10) / 0.05 = 2e6 steps
    True
    """
    N, m = as_count(clones, name="clones", minimum=2), as_count(repetitions, name="repetitions", minimum=2)
    if isinstance(kill, bool) or not isinstance(kill, (int, float, np.number)) or not 0.0 < kill < 1.0:
        raise ValueError(
            f"kill must lie strictly between 0 and 1, the share of clones replaced at a time, got {kill!r}"
        )
    limit = as_count(longest, name="longest")
    origin = as_point(start, dimension=system.dimension, name="start")
    setting = _setting(system, origin, learning_rate, batch_size, epsilon, time_step, momentum, sampling)
    near = attracting_neighbourhoods(system, minima)
    k = near.points.shape[0]
    if k < 2:
        raise ValueError(f"minima holds {k} minimum; an escape needs another one to go to")
    home = home_of(system, origin[None], near, minima)
    radii = near.radii if radius is None else radii_of(radius, k)
    others = np.delete(np.arange(k), home)
    compiled = isinstance(setting.update, CompiledSum)
    region = _region(system, near.points[home], setting.epsilon, near.points[others], radii[others])
    xi = reaction_coordinate(system, coordinate, near.points[home], near.points, compiled=compiled)
    if xi.arrays is None and isinstance(setting.update, CompiledSum) and system.finite_sum is not None:
        # a function of more than three variables cannot be tabulated: the same steps in NumPy
        increment = MinibatchIncrement(total=system.finite_sum, batch_size=batch_size, sampling=setting.sampling)
        setting = replace(setting, update=VectorisedSteps(increment=increment, momentum=setting.momentum))
    task = _Task(
        system=system, setting=setting, region=region, coordinate=xi, clones=N, limit=limit,
        kill=max(1, round(float(kill) * N)), others=others, near=near, home=home,
    )  # fmt: skip
    pool = check_executor(executor)
    check_sendable(task, pool, what="the system")
    finished: list[Repetition] = []
    settings = {
        "home": home, "time_step": setting.time_step, "epsilon": setting.epsilon, "coordinate": xi.name,
        "learning_rate": setting.learning_rate, "batch_size": setting.batch_size, "momentum": setting.momentum,
        "sampling": setting.sampling_name, "minima": near.points, "system": system,
    }  # fmt: skip
    with reporting(progress, "splitting_times") as report:
        try:
            tasks = [(task, child) for child in as_rng(rng).spawn(m)]
            for repetition in run_in_order(_repetition, tasks, pool):
                finished.append(repetition)
                report(len(finished), m, "repetitions")
        except KeyboardInterrupt:
            partial = collected(finished, **settings) if len(finished) >= 2 else None
            raise SolveError(
                f"interrupted after {len(finished)} of {m} repetitions", status=Status.INTERRUPTED, partial=partial
            ) from None
        except FunctionFailedError as error:
            raise SolveError(str(error), status=Status.NON_FINITE) from error
    return collected(finished, **settings)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """What a repetition needs; a value, so that it can be sent to another process."""

    system: System
    setting: Setting
    region: Region
    coordinate: ReactionCoordinate
    clones: int
    limit: int
    kill: int
    others: Integers
    near: Neighbourhoods
    home: int


def _setting(
    system: System,
    origin: Array,
    learning_rate: Any,
    batch_size: int,
    epsilon: float | None,
    time_step: float | None,
    momentum: float,
    sampling: str | None,
) -> Setting:
    if learning_rate is not None and epsilon is None and time_step is None:
        if np.ndim(learning_rate) != 0:
            raise ValueError("learning_rate is a schedule; an escape time needs one number")
        setting = sgd_setting(system, learning_rate, batch_size, origin, 1, 1, momentum, sampling)
    elif learning_rate is None and epsilon is not None and time_step is not None:
        setting = diffusion_setting(system, epsilon, time_step, origin, 1)
    else:
        raise ValueError(
            "pass either learning_rate (and batch_size) for SGD, or epsilon and time_step for the diffusion; "
            f"got learning_rate={learning_rate!r}, epsilon={epsilon!r}, time_step={time_step!r}"
        )
    if setting.sampling_name == "epoch reshuffling":
        raise ValueError(
            "sampling='epoch reshuffling' cannot be split: a clone would have to draw the rest of its parent's epoch; use "
            "'independent' or 'without replacement'"
        )
    if not isinstance(setting.update, (CompiledSum, VectorisedSteps)):
        raise ValueError(f"steps of kind {type(setting.update).__name__} cannot be split")
    if setting.epsilon <= 0.0:
        raise ValueError(f"batch_size={batch_size} is the whole sum: there is no noise, and nothing escapes")
    return setting


def _region(system: System, centre: Array, epsilon: float, targets: Array, radii: Array) -> Region:
    """Ellipsoids of the local stationary law around the minimum."""
    d = system.dimension
    S = solve_continuous_lyapunov(system.jacobian(centre)[0], -system.covariance(centre)[0])
    S = 0.5 * (S + S.T)
    values = np.linalg.eigvalsh(S)
    if values[0] <= 1e-12 * values[-1] or values[-1] <= 0.0:
        raise ValueError(
            f"the noise at the minimum {format_point(centre)} is singular (stationary covariance with eigenvalues "
            f"{values[0]:.3g} to {values[-1]:.3g}): there is no neighbourhood that excursions leave in every direction"
        )
    metric = np.ascontiguousarray(np.linalg.inv(S) / epsilon)
    outer = float(chi2.ppf(_LEAVING, d))
    gap = np.sqrt(np.einsum("ni,ij,nj->n", targets - centre, metric, targets - centre)) - radii / np.sqrt(
        epsilon * values[0]
    )
    if (gap <= np.sqrt(outer)).any():
        raise ValueError(
            f"epsilon={epsilon:.4g} is too large for splitting: the noise at the minimum {format_point(centre)} reaches "
            "another minimum at once; measure with qpot.exit_times"
        )
    return Region(centre, metric, float(d), outer, np.ascontiguousarray(targets), np.asarray(radii**2))


def _repetition(item: tuple[_Task, np.random.Generator]) -> Repetition:
    """Loops out of the neighbourhood and back, then the splitting of one more excursion for every clone."""
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
        # what has arrived starts again at home
        x = np.where(returned[:, None], paths.x, task.region.centre)
        v = np.where(returned[:, None], paths.velocity, 0.0)
    first = simulation.run(set_out(x, v, task.coordinate(x), _CAPACITY), rows, leaving=False)
    result = split(first, lambda p, dead: simulation.run(p, dead, leaving=False), rng, task.kill)
    paths = result.paths
    arrived = np.flatnonzero(paths.outcome >= ARRIVED) if result.probability > 0 else np.empty(0, dtype=np.int64)
    shares = np.zeros(task.near.points.shape[0])
    np.add.at(shares, task.others[paths.outcome[arrived] - ARRIVED], 1.0 / max(arrived.size, 1))
    return Repetition(
        probability=result.probability,
        out_steps=float(out.mean()),
        back_steps=float(back.mean()) if back.size else 0.0,
        reactive_steps=float(paths.elapsed[arrived].mean()) if arrived.size else np.nan,
        arrivals=shares,
        lineages=int(np.unique(result.ancestors[arrived]).size),
        rounds=result.rounds,
        steps=simulation.used,
        exit_points=_exit_points(task, paths, arrived),
    )


class _Simulation:
    """Runs excursions to their end in slices."""

    def __init__(self, task: _Task, rng: np.random.Generator) -> None:
        self.task, self.rng, self.used = task, rng, 0
        self.order = np.arange(task.setting.n_samples, dtype=np.int64)

    def run(self, paths: Excursions, rows: Integers, *, leaving: bool) -> Excursions:
        region = self.task.region
        region = region._replace(inner=-1.0) if leaving else region._replace(outer=np.inf)
        while True:
            paths = with_room(paths, rows)
            self.used += self._slice(paths, rows, region)
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

    def _slice(self, paths: Excursions, rows: Integers, region: Region) -> int:
        setting, coordinate = self.task.setting, self.task.coordinate
        update, rate = setting.update, setting.rate
        assert isinstance(rate, float)  # no schedules here
        if isinstance(update, CompiledSum):
            assert coordinate.arrays is not None  # checked at the beginning
            kernel: Any = sgd_excursions
            return int(
                kernel(
                    update.kind, update.table, update.constants, rate, update.batch_size, update.momentum,
                    update.sampling, self.order, self.rng, rows, _SLICE[True], *region, *unpacked(coordinate.arrays),
                    *paths,
                )
            )  # fmt: skip
        assert isinstance(update, VectorisedSteps)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return vectorised_excursions(
                    update.increment, coordinate, rate, update.momentum, self.rng, rows, _SLICE[False], region, paths
                )
        except NonFiniteError as error:
            raise FunctionFailedError(str(error)) from error


def _exit_points(task: _Task, paths: Excursions, arrived: Integers) -> Array:
    """Where some of the arrived clones crossed the boundary of the home basin, by bisection of the states kept.

    Clones whose last state kept is still at home say nothing and are left out.
    """
    chosen, d = arrived[:_MOST_EXIT_POINTS], task.region.centre.size

    def at_home(index: Integers) -> Any:
        points = paths.points[chosen, index]
        return basin_of(task.system, points, task.near.points, neighbourhoods=task.near) == task.home

    chosen = chosen[paths.kept[chosen] > 2]
    if not chosen.size:
        return np.empty((0, d))
    low, high = np.zeros(chosen.size, dtype=np.int64), paths.kept[chosen] - 2  # the last one is the target
    keep = at_home(low) & ~at_home(high)
    chosen, low, high = chosen[keep], low[keep], high[keep]
    while chosen.size and (high - low > 1).any():
        middle = (low + high) // 2
        inside = at_home(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.asarray(0.5 * (paths.points[chosen, low] + paths.points[chosen, high]), dtype=np.float64)
