"""Escape times: when replicas reach another minimum, and the mean time in spite of censoring."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_count
from qpot._core.checkpoint import kept
from qpot._core.deprecated import renamed, renamed_property, warn_renamed
from qpot._core.interrupts import interruptible, keeping
from qpot._core.progress import ProgressLike
from qpot._core.types import MinimaLike, PointLike
from qpot.landscape.symmetry import Symmetry
from qpot.problem.arguments import a_file, a_flag, a_system, an_executor, attractors, checked
from qpot.problem.checkpointed import checkpointed
from qpot.problem.system import System
from qpot.simulation.censored import CensoredTimes
from qpot.simulation.destinations import Destinations
from qpot.simulation.dynamics import Dynamics
from qpot.simulation.replicas import Execution, raise_unless_finished, run_replicas
from qpot.simulation.settings import setting_of
from qpot.simulation.tables import EscapeTables
from qpot.simulation.updates import Targets

# So many of the latest positions of every replica are kept, to find its escape point.
_TRACE = 256
# How many relaxation times of the slowest minimum these positions cover.
_TRACED = 25.0


@dataclass(frozen=True, kw_only=True, eq=False)
class EscapeTimes(EscapeTables, CensoredTimes):
    """First passages of independent replicas from one minimum to the others.

    Attributes
    ----------
    steps : ``(replicas,)`` int
        Steps until the replica reached another minimum; for one that did not, the steps it was watched.
    destination : ``(replicas,)`` int
        The minimum reached; -1 for a replica that had reached none when the run ended (censored).
    home : int
        The minimum at which the replicas started.
    time_step : float
        SDE time of one step: the learning rate (over 1 - momentum).
    epsilon : float
        Noise level of the run.
    learning_rate : float or None
        None for a diffusion.
    batch_size : int or None
        None for a diffusion.
    momentum : float
        Heavy-ball parameter.
    sampling : str or None
        How minibatches were drawn; None without a finite sum.
    minima : ``(k, d)`` or None
        The minima that ``home`` and ``destination`` count.
    escape_points : ``(replicas, d)`` or None
        Where each replica crossed from its home basin into another one; NaN for one that did not escape, or whose last
        crossing lies further back than its latest positions.
    system : System or None
        What was simulated.
    """

    steps: NDArray[np.int64]
    destination: NDArray[np.int64]
    home: int
    time_step: float
    epsilon: float
    learning_rate: float | None = None
    batch_size: int | None = None
    momentum: float = 0.0
    sampling: str | None = None
    minima: Array | None = None
    escape_points: Array | None = None
    system: System | None = None

    exited = renamed_property("EscapeTimes", "exited", "escaped")
    exit_points = renamed_property("EscapeTimes", "exit_points", "escape_points")

    @property
    def escaped(self) -> NDArray[np.bool_]:
        """Say of each replica whether it reached another minimum, ``(replicas,)``."""
        return self.destination >= 0

    @property
    def ended(self) -> NDArray[np.bool_]:
        """The same as `escaped`: whether the event was seen."""
        return self.escaped

    @property
    def arrivals(self) -> dict[int, float]:
        """How many replicas reached each minimum."""
        reached, counts = np.unique(self.destination[self.escaped], return_counts=True)
        return {int(j): float(n) for j, n in zip(reached, counts, strict=True)}

    def __repr__(self) -> str:
        low, high = self.interval()
        return (
            f"EscapeTimes(from minimum {self.home}: {self.events} of {self.steps.size} replicas left, "
            f"mean {self.mean_steps:.4g} steps, 95% interval {low:.4g} to {high:.4g})"
        )


@interruptible
@checked(
    system=a_system,
    minima=attractors,
    escape_points=a_flag,
    exit_points=a_flag,
    executor=an_executor,
    checkpoint=a_file,
)
@checkpointed("start", "minima")
def escape_times(
    system: System,
    *,
    start: PointLike,
    minima: MinimaLike,
    steps: int,
    replicas: int,
    learning_rate: float | None = None,
    batch_size: int = 1,
    epsilon: float | None = None,
    time_step: float | None = None,
    momentum: float = 0.0,
    sampling: str | None = None,
    radius: float | Array | None = None,
    symmetries: Symmetry | None = None,
    escape_points: bool = False,
    exit_points: bool | None = None,
    rng: np.random.Generator | int | None = None,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: ProgressLike = None,
) -> EscapeTimes:
    """Simulate replicas until each comes close to another minimum, or for ``steps`` steps.

    Parameters
    ----------
    system : System
    start : object with ``.point``, ``(d,)`` or ``(replicas, d)``
        Where the replicas start, all within one basin.
    minima : sequence of objects with ``.point``, or ``(k, d)``
        At least two minima, that of the start among them.
    steps : int
        Steps of every replica; one that has not arrived by then is recorded as censored.
    replicas : int
    learning_rate, batch_size, momentum, sampling : float, int, float, str
        The parameters of SGD, as in `simulate_sgd`.
    epsilon, time_step : float
        Given instead of the learning rate: the diffusion, as in `simulate_diffusion`.
    radius : float or ``(k,)``, optional
        A replica has arrived at minimum j when it is within this distance of it, checked after every step. By
        default the largest ball near which the flow, tested on samples, stays; see
        `qpot.landscape.basins.attracting_neighbourhoods`.
    symmetries : SignedPermutations or DenseLayerSymmetries, optional
        Minima are then classes of images, at most 4096 in all: a replica that comes to an image of its own minimum goes on,
        and one that comes to any image of another one has arrived.
    escape_points : bool
        Whether to find also where each replica crossed the boundary of its basin, for `qpot.compare`; the flow from its
        latest positions tells.
    exit_points : bool, optional
        The old name of ``escape_points``, which will go with the next release.
    rng, executor, checkpoint, progress
        As in `simulate_sgd`.

    Raises
    ------
    ValueError
        For bad arguments, a start outside every basin or in several, or within the radius of another minimum.
    SolveError
        As `simulate_sgd`; ``partial`` holds the `EscapeTimes` so far.

    Notes
    -----
    The time is measured until the other minimum's neighbourhood is reached, not the saddle: Kramers' formula gives
    this one, and the time to the saddle is about half of it.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> wells = qpot.System.from_loss(
    ...     lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
    >>> times = escape_times(wells, start=[-1.0], minima=np.array([[-1.0], [1.0]]), epsilon=0.5, time_step=0.05,
    ...                    steps=4000, replicas=64)
    >>> times.home, times.events
    (0, 64)
    """
    if exit_points is not None:
        warn_renamed("exit_points=", "escape_points=")
        escape_points = exit_points
    R, limit = as_count(replicas, name="replicas"), as_count(steps, name="steps")
    dynamics = Dynamics(
        system=system, learning_rate=learning_rate, batch_size=batch_size, momentum=momentum, sampling=sampling,
        epsilon=epsilon, time_step=time_step,
    )  # fmt: skip
    setting = setting_of(dynamics, start, R, limit)
    goals = Destinations.of(system, setting.start, minima, radius, event="an escape", symmetries=symmetries)
    goals.check_apart(setting.start)
    slowest = float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(goals.minima)).real).min())
    stride = max(1, int(np.ceil(_TRACED / (_TRACE * dynamics.sde_step * slowest))))
    outcome = run_replicas(
        setting,
        steps=limit,
        record_steps=np.array([], dtype=np.int64),
        execution=Execution.of(rng, executor, progress, "escape_times"),
        targets=Targets(points=goals.points, radii=goals.radii, trace=_TRACE if escape_points else 0, stride=stride),
    )
    hit = outcome.escape_step >= 0
    result = EscapeTimes(
        steps=np.where(hit, outcome.escape_step, outcome.done),
        destination=np.where(hit, goals.others[outcome.escape_target], -1),
        home=goals.home,
        minima=goals.minima,
        **dynamics.facts,
    )
    raise_unless_finished(outcome, setting, result)
    if not escape_points:
        return result
    assert outcome.trace is not None  # the run was asked to keep it
    message = "interrupted while the escape points were told; the escape times are in .partial"
    with keeping(lambda: (message, result)):
        trace = outcome.trace
        points = kept("escape points", lambda: _crossings(system, trace, result, goals, stride))
        return replace(result, escape_points=points)


def _crossings(system: System, trace: Array, times: EscapeTimes, goals: Destinations, stride: int) -> Array:
    """Midpoint of the two latest positions between which each replica left the home basin, found by bisection."""
    R, K, d = trace.shape
    points = np.full((R, d), np.nan)
    # Position n, that after step n stride, is kept at index n % K, and the first one is n = 1.
    last = times.steps // stride
    first = np.maximum(last - K + 1, 1)
    rows = np.flatnonzero(times.escaped & (last > first))
    low, high = first[rows], last[rows]

    def at_home(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        return goals.at_home(system, trace[rows, n % K])

    if rows.size:
        bracketed = at_home(low) & ~at_home(high)
        rows, low, high = rows[bracketed], low[bracketed], high[bracketed]
    while rows.size and (high - low > 1).any():
        middle = (low + high) // 2
        inside = at_home(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    points[rows] = 0.5 * (trace[rows, low % K] + trace[rows, high % K])
    return points


__getattr__ = renamed({"exit_times": "escape_times", "ExitTimes": "EscapeTimes"}, "qpot.simulation.escapes", globals())
