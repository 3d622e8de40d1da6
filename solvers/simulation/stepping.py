"""Steps of many replicas at once: compiled minibatch SGD, and vectorised NumPy steps for any functions.

The outer loop runs over steps and the inner one over replicas, so that a run may be cut into slices anywhere
without changing a number: the generator is consumed in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import UNCOUNTED, njit
from qpot.solvers.common.sample_gradients import TANH_NETWORK, add_sample_gradient
from qpot.solvers.simulation.minibatch import (
    RESHUFFLED,
    RUNAWAY,
    SgdRule,
    ball_around,
    draw_in_batch,
    draw_in_epoch,
    move,
)
from qpot.solvers.simulation.network_steps import network_steps

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# The escape_step of a replica that has hit no target yet.
RUNNING = -1


class Replicas(NamedTuple):
    """State of R replicas, changed in place.

    ``order`` and ``cursor`` belong to sampling without replacement: inside a batch ``order[0]`` is the work space, in
    epochs ``order[r]`` and ``cursor[r]`` belong to replica r. ``trace`` holds the latest K positions of every replica
    while it runs, the one after step ``n stride`` at index ``n % K``.
    """

    x: Array  # (R, d)
    velocity: Array  # (R, d)
    order: Integers  # (R, N) or (1, N)
    cursor: Integers  # (R,)
    escape_step: Integers  # (R,) RUNNING until a target is hit
    escape_target: Integers  # (R,)
    trace: Array  # (R, K, d)

    @staticmethod
    def at(x: Array, *, n_samples: int = 1, epochs: bool = False, trace: int = 0) -> Replicas:
        """Replicas that are about to start at ``x``."""
        R, d = x.shape
        return Replicas(
            x=x.copy(),
            velocity=np.zeros((R, d)),
            order=np.tile(np.arange(n_samples, dtype=np.int64), (R if epochs else 1, 1)),
            cursor=np.zeros(R, dtype=np.int64),
            escape_step=np.full(R, RUNNING, dtype=np.int64),
            escape_target=np.full(R, -1, dtype=np.int64),
            trace=np.full((R, trace, d), np.nan),
        )

    def copy(self) -> Replicas:
        return Replicas._make(array.copy() for array in self)


class Slice(NamedTuple):
    """The steps that are taken in one call."""

    rates: Array  # (n,) learning rate of each step
    first_step: int  # how many were taken before
    record_at: Integers  # (m,) increasing numbers of steps in this slice, 1 ... n, after which x is recorded
    targets: Array  # (k, d)
    squared_radii: Array  # (k,) a replica inside ball k stops
    stride: int  # of the trace


def sgd_steps(
    rule: SgdRule, replicas: Replicas, rng: np.random.Generator, steps: Slice, records: Array
) -> tuple[int, int]:
    """Advance the replicas in place by minibatch SGD.

    Parameters
    ----------
    records : ``(m, R, d)``
        Receives the positions after the steps ``record_at``.

    Returns
    -------
    failed_step, failed_replica : int
        The first step after which a replica is not finite or beyond RUNAWAY, -1 when there is none.
    """
    if rule.samples.kind == TANH_NETWORK:
        return network_steps(rule, replicas, rng, steps, records)
    kernel: Any = _sgd_steps
    step, replica = kernel(rule, replicas, rng, steps, records, np.empty((2, replicas.x.shape[1])))
    return int(step), int(replica)


@njit(**UNCOUNTED)
def _sgd_steps(
    rule: SgdRule, replicas: Replicas, rng: np.random.Generator, steps: Slice, records: Array, work: Array
) -> tuple[int, int]:
    samples, batch_size, sampling = rule.samples, rule.batch_size, rule.sampling
    x, velocity = replicas.x, replicas.velocity
    escape_step, trace = replicas.escape_step, replicas.trace
    R, d = x.shape
    gradient, scratch = work[0], work[1]
    scale = 1.0 / batch_size
    next_record = 0
    slot = -1
    for k in range(steps.rates.size):
        step = steps.first_step + k + 1
        if trace.shape[1] > 0:
            slot = (step // steps.stride) % trace.shape[1] if step % steps.stride == 0 else -1
        for r in range(R):
            if escape_step[r] >= 0:
                continue
            for j in range(d):
                gradient[j] = 0.0
            for b in range(batch_size):
                if sampling == RESHUFFLED:
                    i = draw_in_epoch(replicas.order, replicas.cursor, r, rng)
                else:
                    i = draw_in_batch(sampling, replicas.order, b, rng)
                add_sample_gradient(samples.kind, samples.table, samples.constants, i, x, r, gradient, scratch)
            size = move(x, velocity, r, rule.momentum, steps.rates[k] * scale, gradient)
            if not size < RUNAWAY:
                return step, r
            if slot >= 0:
                for j in range(d):
                    trace[r, slot, j] = x[r, j]
            target = ball_around(x, r, steps.targets, steps.squared_radii)
            if target >= 0:
                escape_step[r] = step
                replicas.escape_target[r] = target
        if next_record < steps.record_at.size and steps.record_at[next_record] == k + 1:
            for r in range(R):
                for j in range(d):
                    records[next_record, r, j] = x[r, j]
            next_record += 1
    return -1, -1


def vectorised_steps(
    increment: Callable[[Array, float, np.random.Generator, Any], Array],
    momentum: float,
    replicas: Replicas,
    rng: np.random.Generator,
    steps: Slice,
    records: Array,
) -> tuple[int, int]:
    """Do as `sgd_steps` for any ``increment(x, rate, rng, replicas) -> (R, d)``, with one call for all replicas.

    Replicas that have hit a target stay where they are; the increments of the others are drawn as if they
    moved on, so that the random numbers of a replica do not depend on its neighbours.
    """
    x, velocity, trace = replicas.x, replicas.velocity, replicas.trace
    next_record = 0
    for k, rate in enumerate(steps.rates):
        running = replicas.escape_step < 0
        if not running.any():
            break
        step = steps.first_step + k + 1
        velocity[:] = momentum * velocity + increment(x, float(rate), rng, replicas)
        x[running] += velocity[running]
        bounded = np.abs(x).sum(axis=1) < RUNAWAY
        if not bounded.all():
            return step, int(np.flatnonzero(~bounded)[0])
        if trace.shape[1] and step % steps.stride == 0:
            trace[running, (step // steps.stride) % trace.shape[1]] = x[running]
        if steps.targets.shape[0]:
            distance = ((x[:, None, :] - steps.targets) ** 2).sum(axis=2)
            inside = distance <= steps.squared_radii
            hit = running & inside.any(axis=1)
            replicas.escape_step[hit] = step
            replicas.escape_target[hit] = inside[hit].argmax(axis=1)
        if next_record < steps.record_at.size and steps.record_at[next_record] == k + 1:
            records[next_record] = x
            next_record += 1
    records[next_record:] = x  # records are left over only when every replica has stopped early
    return -1, -1
