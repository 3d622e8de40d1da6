"""The function splitting_times: rare escapes by adaptive multilevel splitting of the real dynamics."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_count, as_point, format_point
from qpot._core.interrupts import interruptible, keeping
from qpot._core.parallel import check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import MinimaLike, PointLike
from qpot.landscape.symmetry import Symmetry
from qpot.problem.arguments import a_file, a_flag, a_system, an_executor, attractors, checked
from qpot.problem.checkpointed import checkpointed
from qpot.problem.system import System
from qpot.simulation.coordinates import reaction_coordinate
from qpot.simulation.destinations import Destinations
from qpot.simulation.dynamics import Dynamics
from qpot.simulation.excursions import SplittingTask, repetition_of
from qpot.simulation.rare_escapes import Repetition, SplittingTimes, collected
from qpot.simulation.replicas import Execution, FunctionFailedError
from qpot.simulation.settings import minibatch_steps, setting_of
from qpot.simulation.updates import CompiledSum
from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.simulation.excursions import Region

# Share of the local stationary law within the boundary beyond which a clone has left the neighbourhood; it has returned
# within the mean squared distance of that law.
_LEAVING = 0.95


@interruptible
@checked(system=a_system, minima=attractors, escape_points=a_flag, executor=an_executor, checkpoint=a_file)
@checkpointed("start", "minima")
def splitting_times(
    system: System,
    *,
    start: PointLike,
    minima: MinimaLike,
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
    symmetries: Symmetry | None = None,
    longest: int = 10_000_000,
    escape_points: bool = True,
    rng: np.random.Generator | int | None = None,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: ProgressLike = None,
) -> SplittingTimes:
    """Mean escape time from a minimum that plain simulation would never see left.

    Clones run excursions of the real dynamics out of the minimum's neighbourhood; those that come the least far are killed
    and replaced by branches of the others, until all arrive at another minimum. The product of the shares that survive
    is an unbiased estimate of the probability p of one excursion to arrive; the mean time follows from p and the mean
    time of an excursion.

    Parameters
    ----------
    system : System
    start : object with ``.point`` or ``(d,)``
        The minimum that is left, or a point of its basin.
    minima : sequence of objects with ``.point``, or ``(k, d)``
        All minima, since the excursion of a clone at rest at a minimum that is not listed would never end.
    learning_rate, batch_size, epsilon, time_step, momentum, sampling, radius, symmetries, executor, checkpoint, progress
        As in `qpot.escape_times`, but without epoch reshuffling.
    coordinate : "loss", PathSolution, sequence of these, FieldSolution or callable ``(n, d) -> (n,)``
        How far an excursion has come. Any choice is unbiased; one that grows with the probability to arrive has little
        variance: the quasi-potential (``quasipotential(...)``), the cost along the minimum action path
        (``costs.path(i, j)``), that along the nearest of several paths (``costs.parallel[i, j]``) where escapes may take
        any of them, or in few dimensions the loss. With compiled dynamics a function of up to three variables
        is tabulated.
    clones : int
        The number N of clones. The relative variance of one repetition is 1 to 2 times |log p| / N with a good coordinate.
    kill : float
        Share of the clones that is replaced at a time, strictly between 0 and 1.
    repetitions : int
        Number of independent estimates, at least 2, because the error is estimated from their spread.
    longest : int
        Most steps of one excursion.
    escape_points : bool
        Whether to find also where clones crossed the boundary of the basin, for up to 50 of each repetition.
    rng : Generator or int, optional
        Seed 0 by default; the same ``rng`` gives the same result for every executor.

    Returns
    -------
    SplittingTimes
        The result has ``.mean_steps``, ``.interval()`` and everything that `qpot.compare` needs.

    Raises
    ------
    ValueError
        For bad arguments, as `qpot.escape_times`; if epsilon is so large that the neighbourhood of the minimum reaches
        another one.
    SolveError
        When a clone diverges (`Status.NON_FINITE`), an excursion does not end (`Status.NOT_CONVERGED`), or on Ctrl-C
        (`Status.INTERRUPTED`; ``partial`` holds the repetitions that are finished, if at least two are).

    Notes
    -----
    The method is adaptive multilevel splitting (Cerou and Guyader, Stoch. Anal. Appl. 25 (2007) 417) for Markov chains,
    with the rule for ties of Brehier, Gazeau, Goudenege, Lelievre and Rousset, Ann. Appl. Probab. 26 (2016) 3559.
    The neighbourhood is the ellipsoid of the local stationary covariance, A S + S A^T = a.

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
    dynamics = Dynamics(
        system=system, learning_rate=learning_rate, batch_size=batch_size, momentum=momentum, sampling=sampling,
        epsilon=epsilon, time_step=time_step,
    )  # fmt: skip
    _check_splittable(dynamics)
    setting = setting_of(dynamics, origin, 1, 1)
    goals = Destinations.of(system, origin[None], minima, radius, event="an escape", symmetries=symmetries)
    compiled = isinstance(setting.update, CompiledSum)
    region = _region(system, dynamics.noise_level, goals)
    everywhere = goals.near.points
    xi = reaction_coordinate(system, coordinate, goals.centre, everywhere, compiled=compiled)
    if compiled and xi.arrays is None:
        # A function of more than three variables cannot be tabulated, so the same steps are taken in NumPy.
        setting = replace(setting, update=minibatch_steps(dynamics))
    task = SplittingTask(
        setting=setting, goals=goals, region=region, coordinate=xi, clones=N, limit=limit,
        kill=max(1, round(float(kill) * N)), escape_points=bool(escape_points),
    )  # fmt: skip
    return _repeated(task, m, Execution.of(rng, executor, progress, "splitting_times"))


def _repeated(task: SplittingTask, repetitions: int, execution: Execution) -> SplittingTimes:
    """Make independent estimates, each with a generator of its own, and put them together."""
    check_sendable(task, execution.executor, what="the system")
    finished: list[Repetition] = []
    goals = task.goals
    facts = {"home": goals.home, "minima": goals.minima, "coordinate": task.coordinate.name} | task.dynamics.facts

    def known() -> tuple[str, SplittingTimes | None]:
        partial = collected(finished, **facts) if finished else None
        return f"interrupted after {len(finished)} of {repetitions} repetitions", partial

    with reporting(execution.progress, execution.description) as report, keeping(known):
        try:
            tasks = [(task, child) for child in execution.rng.spawn(repetitions)]
            for repetition in run_in_order(repetition_of, tasks, execution.executor):
                finished.append(repetition)
                report(len(finished), repetitions, "repetitions")
        except SolveError as error:
            if error.status is not Status.BUDGET or len(finished) < 2:
                raise
        except FunctionFailedError as error:
            raise SolveError(str(error), status=Status.NON_FINITE) from error
    return collected(finished, **facts)


def _check_splittable(dynamics: Dynamics) -> None:
    """ValueError for dynamics whose clones cannot be branched, or that have no noise."""
    if isinstance(dynamics.rate, np.ndarray):
        raise ValueError("learning_rate is a schedule; an escape time needs one number")
    if dynamics.sampling == "epoch reshuffling":
        raise ValueError(
            "sampling='epoch reshuffling' cannot be split: a clone would have to draw the rest of its parent's epoch; use "
            "'independent' or 'without replacement'"
        )
    if dynamics.noise_level <= 0.0:
        raise ValueError(f"batch_size={dynamics.batch_size} is the whole sum: there is no noise, and nothing escapes")


def _region(system: System, epsilon: float, goals: Destinations) -> Region:
    """Return the ellipsoids of the local stationary law around the minimum, and the targets."""
    from scipy.stats import chi2

    d = system.dimension
    centre = goals.centre
    S = stationary_covariance(system.unchecked.jacobian(centre[None])[0], system.unchecked.covariance(centre[None])[0])
    S = 0.5 * (S + S.T)
    values = np.linalg.eigvalsh(S)
    if values[0] <= 1e-12 * values[-1] or values[-1] <= 0.0:
        raise ValueError(
            f"the noise at the minimum {format_point(centre)} is singular (stationary covariance with eigenvalues "
            f"{values[0]:.3g} to {values[-1]:.3g}): there is no neighbourhood that excursions leave in every direction"
        )
    metric = np.ascontiguousarray(np.linalg.inv(S) / epsilon)
    # A clone at another image of the minimum is at home again once it has come as close as it is on average.
    at_copy = min(float(goals.near.radii[goals.classes == goals.home][0]), float(np.sqrt(epsilon * values.sum())))
    targets = np.concatenate([goals.points, goals.copies])
    radii = np.concatenate([goals.radii, np.full(len(goals.copies), at_copy)])
    outer = float(chi2.ppf(_LEAVING, d))
    gap = np.sqrt(np.einsum("ni,ij,nj->n", targets - centre, metric, targets - centre)) - radii / np.sqrt(
        epsilon * values[0]
    )
    if (gap <= np.sqrt(outer)).any():
        raise ValueError(
            f"epsilon={epsilon:.4g} is too large for splitting: the noise at the minimum {format_point(centre)} reaches "
            "another minimum at once; measure with qpot.escape_times"
        )
    return Region(centre, metric, float(d), outer, np.ascontiguousarray(targets), np.asarray(radii**2))
