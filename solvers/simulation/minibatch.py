"""One step of minibatch SGD: how samples are drawn, how a replica is moved, and how a target is noticed.

For one replica the functions are compiled into the loops that call them, which differ in what ends them (`stepping`,
`excursions`); for many at once the samples are drawn in NumPy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import LEAF, njit
from qpot.solvers.common.sample_gradients import PackedSamples

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# The ways in which a minibatch is drawn.
INDEPENDENT, WITHOUT_REPLACEMENT, RESHUFFLED = range(3)
# A replica with a coordinate beyond this has diverged; most functions still evaluate there, so that it is noticed before
# they fail.
RUNAWAY = 1e50


class SgdRule(NamedTuple):
    """The rule velocity <- momentum velocity - rate g, x <- x + velocity, with g the mean gradient of a minibatch."""

    samples: PackedSamples
    batch_size: int
    momentum: float
    # One of INDEPENDENT, WITHOUT_REPLACEMENT and RESHUFFLED.
    sampling: int


@njit(**LEAF)
def draw_in_batch(sampling: int, order: Integers, position: int, rng: np.random.Generator) -> int:
    """The next sample of a batch, independent of the others or different from them; ``order[0]`` is the work space."""
    N = order.shape[1]
    if sampling == INDEPENDENT:
        return int(rng.random() * N)
    # This is a partial Fisher-Yates shuffle; it may begin with whatever permutation the last batch has left.
    swap = position + int(rng.random() * (N - position))
    i: int = order[0, swap]
    order[0, swap] = order[0, position]
    order[0, position] = i
    return i


@njit(**LEAF)
def draw_in_epoch(order: Integers, cursor: Integers, r: int, rng: np.random.Generator) -> int:
    """The next sample of replica r's epoch, which ``order[r]`` and ``cursor[r]`` describe."""
    N = order.shape[1]
    swap = cursor[r] + int(rng.random() * (N - cursor[r]))
    i: int = order[r, swap]
    order[r, swap] = order[r, cursor[r]]
    order[r, cursor[r]] = i
    cursor[r] = (cursor[r] + 1) % N
    return i


@njit(**LEAF)
def move(x: Array, velocity: Array, r: int, momentum: float, scale: float, gradient: Array) -> float:
    """Take the step of replica r along ``-scale gradient``; return the sum of the sizes of its coordinates."""
    total = 0.0
    for j in range(x.shape[1]):
        velocity[r, j] = momentum * velocity[r, j] - scale * gradient[j]
        x[r, j] += velocity[r, j]
        total += abs(x[r, j])
    return total


@njit(**LEAF)
def ball_around(x: Array, r: int, centres: Array, squared_radii: Array) -> int:
    """The first of the balls that holds ``x[r]``, or -1 if none does."""
    for ball in range(centres.shape[0]):
        distance = 0.0
        for j in range(x.shape[1]):
            distance += (x[r, j] - centres[ball, j]) ** 2
            # Most balls are too far away in the first coordinates already.
            if distance > squared_radii[ball]:
                break
        if distance <= squared_radii[ball]:
            return ball
    return -1


def draw_batches(rng: np.random.Generator, n_samples: int, replicas: int, batch_size: int, sampling: int) -> Integers:
    """Sample indices ``(replicas, batch_size)``, independent or without replacement inside each row."""
    if sampling == INDEPENDENT:
        return rng.integers(0, n_samples, size=(replicas, batch_size))
    if batch_size == n_samples:
        return np.broadcast_to(np.arange(n_samples), (replicas, n_samples)).copy()
    if batch_size**2 > 4 * n_samples:
        keys = rng.random((replicas, n_samples))
        return np.argpartition(keys, batch_size, axis=1)[:, :batch_size]
    # This is Floyd's algorithm, one column at a time: a repeated draw is replaced by the newly admitted index.
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
