"""Settings: simulations that are checked and ready to run, made from `Dynamics` and a start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_float_array, as_points
from qpot._core.memory import check_memory
from qpot.problem.system import System
from qpot.simulation.dynamics import Dynamics
from qpot.simulation.sided import SidedIncrement
from qpot.simulation.stability import check_stability
from qpot.simulation.updates import (
    CompiledSum,
    GaussianIncrement,
    MinibatchIncrement,
    Update,
    VectorisedSteps,
    noise_factor,
)

# Replicas of a block where gradients come by automatic differentiation: a call has a high fixed cost, which they share.
_WIDE_BLOCK = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """A checked simulation that has not run yet."""

    dynamics: Dynamics
    update: Update
    start: Array  # (replicas, d)


# Steps are counted in 64-bit integers.
MOST_STEPS = 2**60


def setting_of(dynamics: Dynamics, start: Any, replicas: int, steps: int) -> Setting:
    """Check where and how long the dynamics are run, and choose how they are stepped."""
    system = dynamics.system
    if steps > MOST_STEPS:
        raise ValueError(f"steps={steps} is beyond what a run can count; use at most {MOST_STEPS}")
    dynamics.check_steps(steps)
    x = _as_start(start, replicas, system.dimension)
    if system.domain is not None:
        system.domain.check(x, name="start")
    is_sgd = dynamics.learning_rate is not None
    if is_sgd and system.finite_sum is not None:
        system.finite_sum.losses_at(x[:1])  # the error names a sample whose loss is NaN
    name = "learning_rate" if is_sgd else "time_step"
    check_stability(system, x, float(np.max(dynamics.rate)), dynamics.momentum, name=name)
    return Setting(dynamics=dynamics, update=_update(dynamics, x), start=x)


def _update(dynamics: Dynamics, start: Array) -> Update:
    """Choose the rule by which the dynamics are stepped: a compiled one where the finite sum has a kernel."""
    system, total = dynamics.system, dynamics.system.finite_sum
    if dynamics.learning_rate is not None and total is not None:
        if total.kernel is None:
            return minibatch_steps(dynamics)
        assert dynamics.batch_size is not None  # It is given with the learning rate.
        rows = np.unique(start, axis=0)[:4]
        return CompiledSum.of(
            total,
            rows,
            batch_size=dynamics.batch_size,
            momentum=dynamics.momentum,
            sampling=dynamics.sampling_code,
        )
    increment = GaussianIncrement(
        system=system,
        epsilon=dynamics.epsilon,
        batch_size=dynamics.batch_size,
        constant_factor=_constant_factor(system),
    )
    if system.domain is not None:
        if dynamics.momentum:
            raise ValueError(
                f"momentum={dynamics.momentum!r}: a velocity has no rule at the sides of domain=; leave it out"
            )
        return VectorisedSteps(increment=SidedIncrement.of(increment, start), momentum=0.0)
    return VectorisedSteps(increment=increment, momentum=dynamics.momentum)


def minibatch_steps(dynamics: Dynamics) -> VectorisedSteps:
    """Minibatch SGD by the NumPy functions of the finite sum."""
    total = dynamics.system.finite_sum
    assert total is not None  # minibatches are drawn from a finite sum
    assert dynamics.batch_size is not None
    increment = MinibatchIncrement(total=total, batch_size=dynamics.batch_size, sampling=dynamics.sampling_code)
    size = _WIDE_BLOCK if total.batch_gradient is not None else VectorisedSteps.block_size
    return VectorisedSteps(increment=increment, momentum=dynamics.momentum, block_size=size)


def _as_start(start: Any, replicas: int, dimension: int) -> Array:
    """Starting points ``(replicas, d)``."""
    given = np.atleast_1d(as_float_array(getattr(start, "point", start), name="start"))
    points = as_points(given, dimension=dimension, name="start")
    if points.shape[0] not in (1, replicas):
        raise ValueError(
            f"start holds {points.shape[0]} points for {replicas} replicas; pass one point ({dimension},) "
            f"for all or one for each, ({replicas}, {dimension})"
        )
    check_memory(
        5.0 * 8.0 * replicas * dimension, what=f"a simulation of replicas={replicas}", way_out="run fewer at a time"
    )
    return np.broadcast_to(points, (replicas, dimension)).copy()


def _constant_factor(system: System) -> Array | None:
    if system.noise.constant is None:
        return None
    factor: Array = noise_factor(system, np.zeros((1, system.dimension)))[0]
    return factor
