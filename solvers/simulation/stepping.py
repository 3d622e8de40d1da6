"""Stepping many replicas at once: compiled minibatch SGD, and vectorised NumPy steps for any functions.

The outer loop runs over steps and the inner one over replicas, so that a run may be cut into slices anywhere
without changing a number: the generator is consumed in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qpot.solvers.common.sample_gradients import add_sample_gradient

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# How a minibatch is drawn.
INDEPENDENT, WITHOUT_REPLACEMENT, RESHUFFLED = range(3)
# A coordinate beyond this has run away; most functions still evaluate there, so it can be told.
RUNAWAY = 1e50
RUNNING = -1  # exit_step of a replica that has hit no target yet


@njit(cache=True, nogil=True)
def sgd_steps(  # type: ignore[no-untyped-def]
    kind, table, constants, x, velocity, rates, batch_size, momentum, sampling, order, cursor, rng,
    record_at, records, targets, squared_radii, first_step, exit_step, exit_target, trace, stride,
):  # fmt: skip
    """Advance ``x`` and ``velocity`` ``(R, d)`` in place by ``len(rates)`` steps of minibatch SGD.

    velocity <- momentum velocity - rate g, x <- x + velocity, with g the mean gradient of ``batch_size``
    samples.

    Parameters
    ----------
    kind, table, constants
        From `sample_gradients.pack`.
    rates : ``(n,)``
        Learning rate of each step.
    sampling : int
        INDEPENDENT, WITHOUT_REPLACEMENT (inside a batch; ``order[0]`` is the work space) or RESHUFFLED
        (epochs; ``order[r]`` and ``cursor[r]`` belong to replica r).
    record_at : ``(m,)`` int
        Increasing numbers of steps in this slice (1 ... n) after which ``records[m] = x``.
    targets, squared_radii : ``(k, d)``, ``(k,)``
        A replica inside ball k stops: ``exit_step`` (counted from ``first_step``) and ``exit_target`` are
        set.
    trace : ``(R, K, d)``
        The latest positions of every replica while it runs: that after step ``n stride`` at ``trace[:, n % K]``; K = 0
        for none.

    Returns
    -------
    failed_step, failed_replica : int
        The first step after which a replica is not finite or beyond RUNAWAY, -1 when there is none.
    """
    R, d = x.shape
    N = order.shape[1]
    g, scratch = np.empty(d), np.empty(d)
    scale = 1.0 / batch_size
    next_record = 0
    slot = -1
    for k in range(rates.size):
        if trace.shape[1] > 0:
            step = first_step + k + 1
            slot = (step // stride) % trace.shape[1] if step % stride == 0 else -1
        for r in range(R):
            if exit_step[r] >= 0:
                continue
            for j in range(d):
                g[j] = 0.0
            for b in range(batch_size):
                if sampling == INDEPENDENT:
                    i = int(rng.random() * N)
                elif sampling == WITHOUT_REPLACEMENT:
                    # partial Fisher-Yates: any permutation is as good a start as another
                    swap = b + int(rng.random() * (N - b))
                    i = order[0, swap]
                    order[0, swap] = order[0, b]
                    order[0, b] = i
                else:
                    swap = cursor[r] + int(rng.random() * (N - cursor[r]))
                    i = order[r, swap]
                    order[r, swap] = order[r, cursor[r]]
                    order[r, cursor[r]] = i
                    cursor[r] = (cursor[r] + 1) % N
                add_sample_gradient(kind, table, constants, i, x, r, g, scratch)
            total = 0.0
            for j in range(d):
                velocity[r, j] = momentum * velocity[r, j] - rates[k] * scale * g[j]
                x[r, j] += velocity[r, j]
                total += abs(x[r, j])
            if not total < RUNAWAY:
                return first_step + k + 1, r
            if slot >= 0:
                for j in range(d):
                    trace[r, slot, j] = x[r, j]
            for target in range(targets.shape[0]):
                distance = 0.0
                for j in range(d):
                    distance += (x[r, j] - targets[target, j]) ** 2
                if distance <= squared_radii[target]:
                    exit_step[r] = first_step + k + 1
                    exit_target[r] = target
                    break
        if next_record < record_at.size and record_at[next_record] == k + 1:
            records[next_record] = x
            next_record += 1
    return -1, -1


def vectorised_steps(
    increment: Callable[[Array, float, np.random.Generator, Any], Array],
    x: Array,
    velocity: Array,
    rates: Array,
    momentum: float,
    scratch: Any,
    rng: np.random.Generator,
    record_at: Integers,
    records: Array,
    targets: Array,
    squared_radii: Array,
    first_step: int,
    exit_step: Integers,
    exit_target: Integers,
    trace: Array,
    stride: int,
) -> tuple[int, int]:
    """`sgd_steps` for any ``increment(x, rate, rng, scratch) -> (R, d)``, one call for all replicas.

    Replicas that have hit a target stay where they are; the increments of the others are drawn as if they
    moved on, so that the random numbers of a replica do not depend on its neighbours.
    """
    next_record = 0
    for k, rate in enumerate(rates):
        running = exit_step < 0
        if not running.any():
            break
        velocity[:] = momentum * velocity + increment(x, float(rate), rng, scratch)
        x[running] += velocity[running]
        bounded = np.abs(x).sum(axis=1) < RUNAWAY
        if not bounded.all():
            return first_step + k + 1, int(np.flatnonzero(~bounded)[0])
        step = first_step + k + 1
        if trace.shape[1] and step % stride == 0:
            trace[running, (step // stride) % trace.shape[1]] = x[running]
        if targets.shape[0]:
            distance = ((x[:, None, :] - targets) ** 2).sum(axis=2)
            inside = distance <= squared_radii
            hit = running & inside.any(axis=1)
            exit_step[hit] = first_step + k + 1
            exit_target[hit] = inside[hit].argmax(axis=1)
        if next_record < record_at.size and record_at[next_record] == k + 1:
            records[next_record] = x
            next_record += 1
    records[next_record:] = x  # only reached early when every replica has stopped
    return -1, -1


def draw_batches(rng: np.random.Generator, n_samples: int, replicas: int, batch_size: int, sampling: int) -> Integers:
    """Sample indices ``(replicas, batch_size)``, independent or without replacement inside each row."""
    if sampling == INDEPENDENT:
        return rng.integers(0, n_samples, size=(replicas, batch_size))
    if batch_size == n_samples:
        return np.broadcast_to(np.arange(n_samples), (replicas, n_samples)).copy()
    if batch_size**2 > 4 * n_samples:
        keys = rng.random((replicas, n_samples))
        return np.argpartition(keys, batch_size, axis=1)[:, :batch_size]
    # Floyd's algorithm, one column at a time: a repeated draw is replaced by the newly admitted index.
    chosen = np.empty((replicas, batch_size), dtype=np.int64)
    for column, last in enumerate(range(n_samples - batch_size, n_samples)):
        drawn = rng.integers(0, last + 1, size=replicas)
        repeated = (chosen[:, :column] == drawn[:, None]).any(axis=1)
        chosen[:, column] = np.where(repeated, last, drawn)
    return chosen


def next_in_epoch(rng: np.random.Generator, order: Integers, cursor: Integers, batch_size: int) -> Integers:
    """The next indices of every replica's epoch ``(R, batch_size)``; epochs are reshuffled as they end."""
    R, N = order.shape
    rows = np.arange(R)
    chosen = np.empty((R, batch_size), dtype=np.int64)
    for column in range(batch_size):
        swap = cursor + (rng.random(R) * (N - cursor)).astype(np.int64)
        chosen[:, column] = order[rows, swap]
        order[rows, swap] = order[rows, cursor]
        order[rows, cursor] = chosen[:, column]
        cursor[:] = (cursor + 1) % N
    return chosen


def lower_factor(a: Array) -> tuple[Array, int]:
    """Lower triangular ``L`` with ``L L^T = a``, and the index of a matrix that is not semidefinite.

    Cholesky of ``a`` ``(n, d, d)`` with zero columns where a pivot vanishes; index -1 when all are fine.
    """
    d = a.shape[1]
    L = np.zeros_like(a)
    scale = np.abs(a).max(axis=(1, 2))
    floor = 1e-12 * scale
    for j in range(d):
        pivot = a[:, j, j] - (L[:, j, :j] ** 2).sum(axis=1)
        bad = pivot < -floor
        if bad.any():
            return _factor_by_eigenvalues(a)
        alive = pivot > floor
        root = np.sqrt(np.where(alive, pivot, 1.0))
        L[:, j, j] = np.where(alive, root, 0.0)
        if j + 1 < d:
            column = a[:, j + 1 :, j] - np.einsum("nik,nk->ni", L[:, j + 1 :, :j], L[:, j, :j])
            # below a vanishing pivot a semidefinite matrix has a vanishing column
            bad = ~alive & (np.abs(column).max(axis=1) > 1e-5 * scale)
            if bad.any():
                return _factor_by_eigenvalues(a)
            L[:, j + 1 :, j] = np.where(alive[:, None], column / root[:, None], 0.0)
    return L, -1


def _factor_by_eigenvalues(a: Array) -> tuple[Array, int]:
    """The same through eigenvalues, for matrices whose pivots are lost in rounding."""
    values, vectors = np.linalg.eigh(a)
    bad = values[:, 0] < -1e-10 * np.abs(values).max(axis=1)
    if bad.any():
        return np.zeros_like(a), int(np.flatnonzero(bad)[0])
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    L = np.swapaxes(np.linalg.qr(np.swapaxes(root, 1, 2), mode="r"), 1, 2)
    sign = np.where(np.einsum("nii->ni", L) < 0.0, -1.0, 1.0)
    return np.tril(L * sign[:, None, :]), -1
