"""The functions simulate_sgd and simulate_diffusion: the real algorithm, or a diffusion, in many replicas."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_count
from qpot._core.checkpoint import kept
from qpot._core.interrupts import interruptible, keeping
from qpot._core.progress import ProgressLike
from qpot._core.types import MinimaLike, PointLike
from qpot.landscape.basins import attractor_points
from qpot.problem.arguments import a_file, a_system, an_executor, attractors, checked
from qpot.problem.checkpointed import checkpointed
from qpot.problem.system import System
from qpot.simulation.dynamics import Dynamics
from qpot.simulation.ensemble import Ensemble
from qpot.simulation.replicas import Execution, raise_unless_finished, run_replicas
from qpot.simulation.settings import Setting, setting_of

# Records of a run where the user does not say which steps to keep.
_DEFAULT_RECORDS = 200


@interruptible
@checked(system=a_system, minima=attractors, executor=an_executor, checkpoint=a_file)
@checkpointed("start", "minima")
def simulate_sgd(
    system: System,
    *,
    learning_rate: float | Array,
    batch_size: int = 1,
    steps: int,
    start: PointLike,
    replicas: int,
    rng: np.random.Generator | int | None = None,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    record: int | Sequence[int] | NDArray[np.int64] | None = None,
    minima: MinimaLike | None = None,
    momentum: float = 0.0,
    sampling: str | None = None,
    progress: ProgressLike = None,
) -> Ensemble:
    """Run stochastic gradient descent in many independent replicas.

    Parameters
    ----------
    system : System
        With a finite sum (`System.from_finite_sum`) the real algorithm is run on minibatches of it, without one SGD
        with Gaussian gradient noise.
    learning_rate : float or ``(steps,)``
        One number, or a schedule. `qpot.simulation.dynamics.Dynamics` states the step that is taken with it.
    batch_size : int
        Samples of a step.
    steps : int
        Minibatch steps of every replica.
    start : object with ``.point``, ``(d,)`` or ``(replicas, d)``
        Where the replicas start.
    replicas : int
        Number of independent runs.
    rng : Generator or int, optional
        Seed 0 by default. The same ``rng`` gives the same result, bit for bit, for every executor.
    executor : concurrent.futures.Executor, optional
        Where blocks of replicas run; `qpot.process_executor` makes a safe process pool.
    checkpoint : path, optional
        A folder in which the replicas are kept every few seconds, so that the same call goes on from there if it is stopped
        in any way, with another executor or on another machine too. A folder of another system or of other arguments is
        refused.
    record : int or sequence of int, optional
        Keep every record-th step, or the given steps; the last step is always kept, and step 0 unless steps
        are listed. By default 200 evenly spaced records.
    minima : sequence of objects with ``.point`` or ``(k, d)``, optional
        The minima by whose basins the records are labelled, for `Ensemble.occupation`.
    momentum : float
        Heavy-ball parameter, at least 0 and below 1.
    sampling : {"independent", "without replacement", "epoch reshuffling"}, optional
        How the samples of a finite sum are drawn; by default as ``system.replacement`` says. See
        `qpot.simulation.dynamics.Dynamics`.
    progress : callable, True, "auto" or None
        See `qpot.reporting`.

    Raises
    ------
    ValueError
        For bad arguments; a batch drawn without replacement that is larger than the finite sum; a learning rate beyond
        stability, 2 / (largest Hessian eigenvalue) at the minimum where a replica starts; functions that cannot be
        sent to a process pool; a ``checkpoint`` of another call, with what differs.
    SolveError
        When a replica diverges or a user function fails (`Status.NON_FINITE`) or on Ctrl-C
        (`Status.INTERRUPTED`); ``partial`` is the ensemble with all records before that.

    Examples
    --------
    >>> import qpot
    >>> system = qpot.System.from_finite_sum(qpot.quadratic_sum(1.5, [2.0, -2.0]))
    >>> ensemble = qpot.simulate_sgd(
    ...     system, learning_rate=0.3, batch_size=1, steps=2000, start=[0.0], replicas=100)
    >>> variance = ensemble.points[100:].var()  # exact: eta a^2 c^2 / (a (2 - eta a)) = 1.161
    >>> bool(abs(variance - 1.161) < 0.05)
    True
    """
    R, n = as_count(replicas, name="replicas"), as_count(steps, name="steps")
    dynamics = Dynamics(
        system=system, learning_rate=learning_rate, batch_size=batch_size, momentum=momentum, sampling=sampling
    )
    execution = Execution.of(rng, executor, progress, "simulate_sgd")
    return _simulate(setting_of(dynamics, start, R, n), n, record, minima, execution)


@interruptible
@checked(system=a_system, minima=attractors, executor=an_executor, checkpoint=a_file)
@checkpointed("start", "minima")
def simulate_diffusion(
    system: System,
    *,
    epsilon: float,
    time_step: float,
    steps: int,
    start: PointLike,
    replicas: int,
    rng: np.random.Generator | int | None = None,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    record: int | Sequence[int] | NDArray[np.int64] | None = None,
    minima: MinimaLike | None = None,
    progress: ProgressLike = None,
) -> Ensemble:
    """Run dX = b dt + sqrt(epsilon) sigma dW in many independent replicas (Euler-Maruyama).

    Parameters
    ----------
    system : System
        The drift b and the covariance sigma sigma^T.
    epsilon : float
        Noise level.
    time_step : float
        Step of the method, whose weak error is of order one in it.
    steps, start, replicas, rng, executor, checkpoint, record, minima, progress
        As in `simulate_sgd`.

    Raises
    ------
    ValueError, SolveError
        As `simulate_sgd`.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> ou = qpot.System(drift=lambda x: -x, covariance=np.eye(2), dimension=2)
    >>> ensemble = qpot.simulate_diffusion(
    ...     ou, epsilon=0.2, time_step=0.05, steps=400, start=[0.0, 0.0], replicas=500)
    >>> variance = ensemble.points[100:].var()  # epsilon / 2, and 1 / (1 - time_step / 2) of it at this step
    >>> bool(abs(variance - 0.1026) < 0.01)
    True
    """
    R, n = as_count(replicas, name="replicas"), as_count(steps, name="steps")
    dynamics = Dynamics(system=system, epsilon=epsilon, time_step=time_step)
    execution = Execution.of(rng, executor, progress, "simulate_diffusion")
    return _simulate(setting_of(dynamics, start, R, n), n, record, minima, execution)


def record_schedule(record: Any, steps: int) -> NDArray[np.int64]:
    """Return the steps to keep, in increasing order and with the last one."""
    if record is None:
        chosen = np.unique(np.linspace(0, steps, min(steps, _DEFAULT_RECORDS) + 1).astype(np.int64))
    elif np.ndim(record) == 0:
        chosen = np.arange(0, steps + 1, as_count(record, name="record"), dtype=np.int64)
    else:
        chosen = np.asarray(record)
        whole = np.issubdtype(chosen.dtype, np.integer) and chosen.ndim == 1 and chosen.size > 0
        if not whole or (np.diff(chosen) <= 0).any() or chosen[0] < 0 or chosen[-1] > steps:
            raise ValueError(f"record must be one interval or increasing steps between 0 and {steps}, got {record!r}")
        chosen = chosen.astype(np.int64)
    return chosen if chosen[-1] == steps else np.append(chosen, steps)


def _simulate(setting: Setting, steps: int, record: Any, minima: MinimaLike | None, execution: Execution) -> Ensemble:
    dynamics = setting.dynamics
    given = None if minima is None else attractor_points(minima, dimension=dynamics.system.dimension)
    outcome = run_replicas(setting, steps=steps, record_steps=record_schedule(record, steps), execution=execution)
    facts = dynamics.facts
    time = np.asarray(outcome.steps * facts.pop("time_step"), dtype=np.float64)
    if isinstance(dynamics.rate, np.ndarray):
        time = np.append(0.0, np.cumsum(dynamics.rate))[outcome.steps] / (1.0 - dynamics.momentum)
    ensemble = Ensemble(points=outcome.points, steps=outcome.steps, time=time, **facts)
    raise_unless_finished(outcome, setting, ensemble)
    if given is None:
        return ensemble
    message = "interrupted while the basins of the records were told; the run itself is in .partial"
    with keeping(lambda: (message, ensemble)):
        return replace(ensemble, minima=given, labels=kept("labels", lambda: ensemble.basins(given)))
