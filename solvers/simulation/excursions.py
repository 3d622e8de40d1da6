"""Excursions of many clones of a Markov chain out of a neighbourhood, compiled or in NumPy.

An excursion ends where the quadratic form q = (x - c)^T M (x - c) falls to ``inner`` (returned), rises above ``outer``
(left), or in one of the target balls (arrived). On the way the states at which the reaction coordinate is higher than
ever before are kept: the first state above any level is one of them, so that a clone can be branched from any level.
A target counts as higher than any state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import LEAF, UNCOUNTED, njit
from qpot.solvers.common.sample_gradients import add_sample_gradient
from qpot.solvers.simulation.minibatch import RUNAWAY, SgdRule, ball_around, draw_in_batch, move
from qpot.solvers.simulation.reaction_coordinate import CoordinateArrays, coordinate_at

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# Outcomes of an excursion; that of one that reached target j is ARRIVED + j.
RUNNING, FULL, FAILED, LEFT, RETURNED, ARRIVED = -1, -2, -3, 0, 1, 2


class Excursions(NamedTuple):
    """State of all clones, which the functions change in place."""

    x: Array  # (R, d)
    velocity: Array  # (R, d)
    elapsed: Integers  # (R,) steps since the excursion began
    outcome: Integers  # (R,) one of the outcomes above
    kept: Integers  # (R,) how many states are kept
    heights: Array  # (R, C) the coordinate at the kept states, increasing
    times: Integers  # (R, C) steps until then
    points: Array  # (R, C, d)
    velocities: Array  # (R, C, d)

    @staticmethod
    def of(x: Array, velocity: Array, capacity: int) -> Excursions:
        """Clones that are about to set out, each with room for ``capacity`` states; with none, no state is kept."""
        R, d = x.shape
        return Excursions(
            x.copy(), velocity.copy(), np.zeros(R, dtype=np.int64), np.full(R, RUNNING, dtype=np.int64),
            np.zeros(R, dtype=np.int64), np.empty((R, capacity)), np.empty((R, capacity), dtype=np.int64),
            np.empty((R, capacity, d)), np.empty((R, capacity, d)),
        )  # fmt: skip

    def enlarged(self) -> Excursions:
        """The same clones with room for twice as many states."""

        def wider(array: Any) -> Any:
            return np.concatenate([array, np.empty_like(array)], axis=1)

        kept = {name: wider(getattr(self, name)) for name in ("heights", "times", "points", "velocities")}
        return self._replace(**kept)

    @property
    def scores(self) -> Array:
        """The highest coordinate that each clone has reached; infinite for a clone that arrived."""
        top = self.heights[np.arange(self.kept.size), np.maximum(self.kept - 1, 0)]
        return np.where(self.kept > 0, top, -np.inf)


class Region(NamedTuple):
    """Where excursions end: the quadratic form with its bounds ``inner`` and ``outer``, and the target balls."""

    centre: Array  # (d,)
    metric: Array  # (d, d)
    inner: float
    outer: float
    targets: Array  # (k, d)
    squared_radii: Array  # (k,)


def sgd_excursions(
    rule: SgdRule,
    rate: float,
    order: Integers,
    rng: np.random.Generator,
    rows: Integers,
    budget: int,
    region: Region,
    coordinate: CoordinateArrays,
    paths: Excursions,
) -> int:
    """Run the excursions of ``rows`` under minibatch SGD for at most ``budget`` steps in all; return the steps taken.

    Excursions that have not ended are RUNNING, or FULL when their room for states is used up; they go on when called again.
    ``order`` ``(1, N)`` is the work space of draws without replacement.
    """
    kernel: Any = _sgd_excursions
    work = np.empty((2, paths.x.shape[1]))
    return int(kernel(rule, rate, order, rng, rows, budget, region, coordinate, paths, work))


@njit(**UNCOUNTED)
def _sgd_excursions(
    rule: SgdRule,
    rate: float,
    order: Integers,
    rng: np.random.Generator,
    rows: Integers,
    budget: int,
    region: Region,
    coordinate: CoordinateArrays,
    paths: Excursions,
    work: Array,
) -> int:
    samples, x, outcome = rule.samples, paths.x, paths.outcome
    gradient, scratch = work[0], work[1]
    scale = rate / rule.batch_size
    used = 0
    keep = paths.heights.shape[1] > 0
    for r in rows:
        if outcome[r] != RUNNING:
            continue
        best = -math.inf
        if paths.kept[r] > 0:
            best = paths.heights[r, paths.kept[r] - 1]
        while outcome[r] == RUNNING and used < budget:
            for j in range(x.shape[1]):
                gradient[j] = 0.0
            for b in range(rule.batch_size):
                i = draw_in_batch(rule.sampling, order, b, rng)
                add_sample_gradient(samples.kind, samples.table, samples.constants, i, x, r, gradient, scratch)
            size = move(x, paths.velocity, r, rule.momentum, scale, gradient)
            used += 1
            paths.elapsed[r] += 1
            outcome[r] = _outcome_at(x, r, region) if size < RUNAWAY else FAILED
            if keep and (outcome[r] == RUNNING or outcome[r] >= ARRIVED):
                height = coordinate_at(coordinate, x, r) if outcome[r] == RUNNING else math.inf
                if height > best:
                    best = height
                    _keep(paths, r, height)
    return used


@njit(**LEAF)
def _outcome_at(x: Array, r: int, region: Region) -> int:
    """The outcome of an excursion that has come to ``x[r]``, RUNNING if it goes on."""
    d = x.shape[1]
    form = 0.0
    for j in range(d):
        part = 0.0
        for l in range(d):
            part += region.metric[j, l] * (x[r, l] - region.centre[l])
        form += part * (x[r, j] - region.centre[j])
    if form <= region.inner:
        return RETURNED
    if form > region.outer:
        return LEFT
    target = ball_around(x, r, region.targets, region.squared_radii)
    return ARRIVED + target if target >= 0 else RUNNING


@njit(**LEAF)
def _keep(paths: Excursions, r: int, height: float) -> None:
    """Keep the state of clone r, which is higher than ever before; the clone is FULL if it goes on without room for more."""
    n = paths.kept[r]
    paths.heights[r, n] = height
    paths.times[r, n] = paths.elapsed[r]
    for j in range(paths.x.shape[1]):
        paths.points[r, n, j] = paths.x[r, j]
        paths.velocities[r, n, j] = paths.velocity[r, j]
    paths.kept[r] = n + 1
    if n + 1 == paths.heights.shape[1] and paths.outcome[r] == RUNNING:
        paths.outcome[r] = FULL


def vectorised_excursions(
    increment: Callable[[Array, float, np.random.Generator, Any], Array],
    coordinate: Callable[[Array], Array],
    rate: float,
    momentum: float,
    rng: np.random.Generator,
    rows: Integers,
    budget: int,
    region: Region,
    paths: Excursions,
) -> int:
    """Do as `sgd_excursions` for any ``increment(x, rate, rng, None)``, with at most ``budget`` steps of each clone."""
    capacity, used, calls = paths.heights.shape[1], 0, 0
    best = paths.scores if capacity else np.empty(0)
    active = rows[paths.outcome[rows] == RUNNING]
    while active.size and calls < budget:
        velocity = momentum * paths.velocity[active] + increment(paths.x[active], rate, rng, None)
        x = paths.x[active] + velocity
        paths.x[active], paths.velocity[active] = x, velocity
        paths.elapsed[active] += 1
        used += active.size
        calls += 1
        offset = x - region.centre
        form = np.einsum("ni,ij,nj->n", offset, region.metric, offset)
        outcome = np.full(active.size, RUNNING)
        if region.targets.shape[0]:
            inside = ((x[:, None, :] - region.targets) ** 2).sum(axis=2) <= region.squared_radii
            hit = inside.any(axis=1)
            outcome[hit] = ARRIVED + inside[hit].argmax(axis=1)
        outcome[form > region.outer] = LEFT
        outcome[form <= region.inner] = RETURNED
        outcome[~(np.abs(x).sum(axis=1) < RUNAWAY)] = FAILED
        if capacity:
            height = np.where(outcome >= ARRIVED, np.inf, -np.inf)
            on_the_way = outcome == RUNNING
            height[on_the_way] = coordinate(x[on_the_way])
            new = np.flatnonzero(height > best[active])
            r, n = active[new], paths.kept[active[new]]
            best[r] = paths.heights[r, n] = height[new]
            paths.times[r, n] = paths.elapsed[r]
            paths.points[r, n], paths.velocities[r, n] = x[new], velocity[new]
            paths.kept[r] = n + 1
            full = (n + 1 == capacity) & (outcome[new] == RUNNING)
            outcome[new[full]] = FULL
        paths.outcome[active] = outcome
        active = active[outcome == RUNNING]
    return used


def set_out(x: Array, velocity: Array, heights: Array, capacity: int) -> Excursions:
    """Clones at their starting points, which are the first states that are kept."""
    paths = Excursions.of(x, velocity, capacity)
    paths.kept[:] = 1
    paths.heights[:, 0], paths.times[:, 0] = heights, 0
    paths.points[:, 0], paths.velocities[:, 0] = x, velocity
    return paths


def with_room(paths: Excursions, rows: Integers) -> Excursions:
    """The clones with more room if one of the ``rows`` that go on has none left; FULL ones are RUNNING again."""
    on = rows[(paths.outcome[rows] == RUNNING) | (paths.outcome[rows] == FULL)]
    paths.outcome[on] = RUNNING
    capacity = paths.heights.shape[1]
    return paths.enlarged() if capacity and (paths.kept[on] >= capacity).any() else paths
