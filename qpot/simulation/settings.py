"""A simulation that is checked and ready to run: arguments in, a `Setting` out."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_count, as_float_array, as_points, as_positive, as_rng
from qpot._core.parallel import check_executor
from qpot._core.progress import ProgressLike
from qpot._core.status import SolveError, Status
from qpot.problem.system import System
from qpot.simulation.replicas import Outcome, run_replicas
from qpot.simulation.stability import check_stability
from qpot.simulation.updates import (
    CompiledSum,
    GaussianIncrement,
    MinibatchIncrement,
    Update,
    VectorisedSteps,
    noise_factor,
)
from qpot.solvers.simulation.stepping import INDEPENDENT, RESHUFFLED, WITHOUT_REPLACEMENT

_WIDE_BLOCK = 2048
SAMPLINGS = {
    "independent": INDEPENDENT,
    "without replacement": WITHOUT_REPLACEMENT,
    "epoch reshuffling": RESHUFFLED,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """A checked simulation that has not run yet."""

    update: Update
    start: Array
    rate: float | Array
    time_step: float
    epsilon: float
    n_samples: int
    sampling: int
    learning_rate: float | None
    batch_size: int | None
    sampling_name: str | None
    momentum: float


def sgd_setting(
    system: System,
    learning_rate: Any,
    batch_size: int,
    start: Any,
    replicas: int,
    steps: int,
    momentum: Any,
    sampling: str | None,
) -> Setting:
    """Check the arguments of an SGD run and choose how it is stepped."""
    rate, schedule = _as_rate(learning_rate, steps)
    B = as_count(batch_size, name="batch_size")
    if not isinstance(momentum, (int, float, np.number)) or not 0.0 <= momentum < 1.0:
        raise ValueError(f"momentum must satisfy 0 <= momentum < 1, got {momentum!r}")
    beta = float(momentum)
    x = as_start(start, replicas, system.dimension)
    total = system.finite_sum
    name, factor = _sampling(system, sampling, B)
    code = INDEPENDENT if name is None else SAMPLINGS[name]
    if total is not None:
        total.losses_at(x[:1])  # names a sample whose loss is NaN
    check_stability(system, x, float(np.max(rate)), beta, name="learning_rate")
    update: Update
    if total is None:
        update = VectorisedSteps(
            increment=GaussianIncrement(system=system, batch_size=B, constant_factor=_constant_factor(system)),
            momentum=beta,
        )
    elif total.kernel is not None:
        rows = np.unique(x, axis=0)[:4]
        update = CompiledSum.of(total, rows, batch_size=B, momentum=beta, sampling=code)
    else:
        increment = MinibatchIncrement(total=total, batch_size=B, sampling=code)
        # a call of automatic differentiation has a high fixed price: more replicas share it
        size = _WIDE_BLOCK if total.batch_gradient is not None else VectorisedSteps.block_size
        update = VectorisedSteps(increment=increment, momentum=beta, block_size=size)
    return Setting(
        update=update,
        start=x,
        rate=rate,
        time_step=schedule / (1.0 - beta),
        epsilon=schedule / B * factor / (1.0 - beta),
        n_samples=1 if total is None else total.n_samples,
        sampling=code,
        learning_rate=schedule,
        batch_size=B,
        sampling_name=name,
        momentum=beta,
    )


def diffusion_setting(system: System, epsilon: float, time_step: float, start: Any, replicas: int) -> Setting:
    """Check the arguments of a diffusion run."""
    level, dt = as_positive(epsilon, name="epsilon"), as_positive(time_step, name="time_step")
    x = as_start(start, replicas, system.dimension)
    check_stability(system, x, dt, 0.0, name="time_step")
    increment = GaussianIncrement(system=system, epsilon=level, constant_factor=_constant_factor(system))
    return Setting(
        update=VectorisedSteps(increment=increment, momentum=0.0),
        start=x,
        rate=dt,
        time_step=dt,
        epsilon=level,
        n_samples=1,
        sampling=INDEPENDENT,
        learning_rate=dt,
        batch_size=None,
        sampling_name=None,
        momentum=0.0,
    )


def run_setting(
    setting: Setting,
    *,
    steps: int,
    record_steps: NDArray[np.int64],
    rng: np.random.Generator | int | None,
    executor: Executor | None,
    progress: ProgressLike,
    description: str,
    targets: Array | None = None,
    radii: Array | None = None,
    trace: int = 0,
    stride: int = 1,
) -> Outcome:
    """Run a checked simulation."""
    return run_replicas(
        setting.update,
        setting.start,
        steps=steps,
        rate=setting.rate,
        record_steps=record_steps,
        rng=as_rng(rng),
        executor=check_executor(executor),
        progress=progress,
        description=description,
        n_samples=setting.n_samples,
        sampling=setting.sampling,
        targets=targets,
        radii=radii,
        trace=trace,
        stride=stride,
    )


def raise_unless_finished(outcome: Outcome, setting: Setting, partial: Any) -> None:
    """SolveError for a run that was interrupted or diverged."""
    if outcome.status is Status.CONVERGED:
        return
    message = outcome.reason
    if outcome.failed_step >= 0:
        message = (
            f"replica {outcome.failed_replica} has run away (beyond 1e50) after step "
            f"{outcome.failed_step}: the run diverges with learning rate (time step) "
            f"{setting.learning_rate:g}; lower it, or start closer to a minimum. The records before that step are in .partial"
        )
    raise SolveError(message, status=outcome.status, partial=partial)


def as_start(start: Any, replicas: int, dimension: int) -> Array:
    """Starting points ``(replicas, d)``."""
    points = as_points(np.atleast_1d(getattr(start, "point", start)), dimension=dimension, name="start")
    if points.shape[0] not in (1, replicas):
        raise ValueError(
            f"start holds {points.shape[0]} points for {replicas} replicas; pass one point ({dimension},) "
            f"for all or one for each, ({replicas}, {dimension})"
        )
    return np.broadcast_to(points, (replicas, dimension)).copy()


def _as_rate(learning_rate: Any, steps: int) -> tuple[float | Array, float]:
    """The rate, or the schedule ``(steps,)``, and its last value."""
    if np.ndim(learning_rate) == 0:
        rate = as_positive(learning_rate, name="learning_rate")
        return rate, rate
    schedule = as_float_array(learning_rate, name="learning_rate")
    if schedule.shape != (steps,) or not ((schedule > 0) & np.isfinite(schedule)).all():
        raise ValueError(
            f"learning_rate is a schedule of shape {schedule.shape}; it takes one finite number > 0 for each "
            f"of the {steps} steps, or one number for all"
        )
    return schedule, float(schedule[-1])


def _sampling(system: System, sampling: str | None, batch_size: int) -> tuple[str | None, float]:
    """Name of the sampling and the factor of its noise covariance against independent draws."""
    total = system.finite_sum
    if total is None:
        if sampling is not None:
            raise ValueError(f"sampling={sampling!r} needs a finite sum; build the system with System.from_finite_sum")
        return None, 1.0
    name = sampling or ("independent" if system.replacement else "without replacement")
    if name not in SAMPLINGS:
        raise ValueError(f"sampling={sampling!r} is unknown; choose from {', '.join(map(repr, SAMPLINGS))}")
    N = total.n_samples
    if name != "independent" and batch_size > N:
        raise ValueError(f"batch_size={batch_size} exceeds the {N} samples; with sampling={name!r} it is at most {N}")
    if name == "independent":
        return name, 1.0
    if name == "epoch reshuffling":
        return name, np.nan
    return name, (N - batch_size) / (N - 1) if N > 1 else 0.0


def _constant_factor(system: System) -> Array | None:
    if system.noise.constant is None:
        return None
    factor: Array = noise_factor(system, np.zeros((1, system.dimension)))[0]
    return factor
