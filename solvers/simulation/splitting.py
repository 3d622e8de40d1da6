"""Adaptive multilevel splitting of a Markov chain: excursions of many clones, and the selection between them.

An excursion ends where the quadratic form q = (x - c)^T M (x - c) falls to ``inner`` (returned), rises above ``outer``
(left), or in one of the target balls (arrived). On the way the states at which the reaction coordinate is higher than
ever before are kept: the first state above any level is one of them, so that a clone can be branched from any level.
A target is higher than everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qpot.solvers.common.sample_gradients import add_sample_gradient
from qpot.solvers.simulation.reaction_coordinate import CoordinateArrays, coordinate_at
from qpot.solvers.simulation.stepping import INDEPENDENT, RUNAWAY

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# outcome of an excursion; target j is ARRIVED + j
RUNNING, FULL, FAILED, LEFT, RETURNED, ARRIVED = -1, -2, -3, 0, 1, 2


class Excursions(NamedTuple):
    """State of all clones; everything is changed in place."""

    x: Array  # (R, d)
    velocity: Array  # (R, d)
    elapsed: Integers  # (R,) steps since the excursion began
    outcome: Integers  # (R,)
    kept: Integers  # (R,) how many states
    heights: Array  # (R, C) increasing
    times: Integers  # (R, C)
    points: Array  # (R, C, d)
    velocities: Array  # (R, C, d)

    @staticmethod
    def of(x: Array, velocity: Array, capacity: int) -> Excursions:
        """Clones about to set out; with capacity 0 nothing is kept."""
        R, d = x.shape
        return Excursions(
            x.copy(), velocity.copy(), np.zeros(R, dtype=np.int64), np.full(R, RUNNING, dtype=np.int64),
            np.zeros(R, dtype=np.int64), np.empty((R, capacity)), np.empty((R, capacity), dtype=np.int64),
            np.empty((R, capacity, d)), np.empty((R, capacity, d)),
        )  # fmt: skip

    def enlarged(self) -> Excursions:
        """The same with room for twice as many states."""

        def wider(array: Any) -> Any:
            return np.concatenate([array, np.empty_like(array)], axis=1)

        kept = {name: wider(getattr(self, name)) for name in ("heights", "times", "points", "velocities")}
        return self._replace(**kept)

    @property
    def scores(self) -> Array:
        """Highest coordinate reached, inf for a clone that arrived."""
        top = self.heights[np.arange(self.kept.size), np.maximum(self.kept - 1, 0)]
        return np.where(self.kept > 0, top, -np.inf)


class Region(NamedTuple):
    """Where excursions end."""

    centre: Array  # (d,)
    metric: Array  # (d, d)
    inner: float
    outer: float
    targets: Array  # (k, d)
    squared_radii: Array  # (k,)


@njit(cache=True, nogil=True)
def sgd_excursions(  # type: ignore[no-untyped-def]
    kind, table, constants, rate, batch_size, momentum, sampling, order, rng, rows, budget,
    centre, metric, inner, outer, targets, squared_radii,
    coordinate, node_heights, nodes, origin, spacing, shape,
    x, velocity, elapsed, outcome, count, heights, times, points, velocities,
):  # fmt: skip
    """Run the excursions of ``rows`` under minibatch SGD for at most ``budget`` steps in all; steps taken.

    Those that have not ended are RUNNING, or FULL when their room for states is used up; they go on when called again.
    """
    d = x.shape[1]
    N = order.size
    g, scratch = np.empty(d), np.empty(d)
    scale = rate / batch_size
    used = 0
    keep = heights.shape[1] > 0
    for r in rows:
        if outcome[r] != RUNNING:
            continue
        best = -math.inf
        if count[r] > 0:
            best = heights[r, count[r] - 1]
        while outcome[r] == RUNNING and used < budget:
            for j in range(d):
                g[j] = 0.0
            for b in range(batch_size):
                if sampling == INDEPENDENT:
                    i = int(rng.random() * N)
                else:
                    swap = b + int(rng.random() * (N - b))
                    i = order[swap]
                    order[swap] = order[b]
                    order[b] = i
                add_sample_gradient(kind, table, constants, i, x, r, g, scratch)
            total = 0.0
            for j in range(d):
                velocity[r, j] = momentum * velocity[r, j] - scale * g[j]
                x[r, j] += velocity[r, j]
                total += abs(x[r, j])
            used += 1
            elapsed[r] += 1
            if not total < RUNAWAY:
                outcome[r] = FAILED
                break
            form = 0.0
            for j in range(d):
                part = 0.0
                for l in range(d):
                    part += metric[j, l] * (x[r, l] - centre[l])
                form += part * (x[r, j] - centre[j])
            if form <= inner:
                outcome[r] = RETURNED
                break
            if form > outer:
                outcome[r] = LEFT
                break
            for target in range(targets.shape[0]):
                distance = 0.0
                for j in range(d):
                    distance += (x[r, j] - targets[target, j]) ** 2
                if distance <= squared_radii[target]:
                    outcome[r] = ARRIVED + target
                    break
            if keep:
                if outcome[r] >= ARRIVED:
                    height = math.inf
                else:
                    height = coordinate_at(coordinate, node_heights, nodes, origin, spacing, shape, x, r)
                if height > best:
                    best = height
                    n = count[r]
                    heights[r, n] = height
                    times[r, n] = elapsed[r]
                    for j in range(d):
                        points[r, n, j] = x[r, j]
                        velocities[r, n, j] = velocity[r, j]
                    count[r] = n + 1
                    if n + 1 == heights.shape[1] and outcome[r] == RUNNING:
                        outcome[r] = FULL
    return used


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
    """`sgd_excursions` for any ``increment(x, rate, rng, None)``, all clones at once, at most ``budget`` steps each."""
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


def branch(paths: Excursions, child: int, parent: int, level: float) -> None:
    """Make ``child`` a copy of ``parent`` up to its first state above ``level``, ready to go on from there."""
    n = int(np.searchsorted(paths.heights[parent, : paths.kept[parent]], level, side="right"))
    for kept in (paths.heights, paths.times, paths.points, paths.velocities):
        kept[child, : n + 1] = kept[parent, : n + 1]
    paths.kept[child] = n + 1
    paths.x[child], paths.velocity[child] = paths.points[parent, n], paths.velocities[parent, n]
    paths.elapsed[child] = paths.times[parent, n]
    paths.outcome[child] = RUNNING


class Splitting(NamedTuple):
    """Result: probability to arrive, rounds, and the initial clone that every final one descends from."""

    probability: float
    rounds: int
    ancestors: Integers
    paths: Excursions


def split(
    paths: Excursions,
    run: Callable[[Excursions, Integers], Excursions],
    rng: np.random.Generator,
    kill: int,
) -> Splitting:
    """Adaptive multilevel splitting: kill the lowest clones, branch survivors, until all but fewer than ``kill`` arrived.

    In every round the level is the ``kill``-th lowest score and ALL clones up to and including it are killed: in
    discrete time scores tie, and only this rule keeps the estimator unbiased (Brehier, Gazeau, Goudenege, Lelievre,
    Rousset, Ann. Appl. Probab. 26 (2016) 3559).

    Parameters
    ----------
    paths : Excursions
        Finished ones.
    run : callable
        Runs the given clones to their end and returns all.
    """
    N = paths.kept.size
    ancestors = np.arange(N)
    log_weight, rounds = 0.0, 0
    while True:
        scores = paths.scores
        level = np.partition(scores, kill - 1)[kill - 1]
        if level == np.inf:
            break
        dead = np.flatnonzero(scores <= level)
        alive = np.flatnonzero(scores > level)
        if alive.size == 0:
            return Splitting(0.0, rounds, ancestors, paths)
        log_weight += math.log(alive.size / N)
        parents = alive[rng.integers(0, alive.size, dead.size)]
        for child, parent in zip(dead, parents, strict=True):
            branch(paths, int(child), int(parent), float(level))
        ancestors[dead] = ancestors[parents]
        # a branch that begins where its parent arrived has arrived
        there = (paths.outcome[parents] >= ARRIVED) & (paths.elapsed[dead] == paths.elapsed[parents])
        paths.outcome[dead[there]] = paths.outcome[parents[there]]
        paths = run(paths, dead)
        rounds += 1
    share = float((paths.outcome >= ARRIVED).mean())
    return Splitting(math.exp(log_weight) * share, rounds, ancestors, paths)


def set_out(x: Array, velocity: Array, heights: Array, capacity: int) -> Excursions:
    """Clones at their starting points, which are the first states kept."""
    paths = Excursions.of(x, velocity, capacity)
    paths.kept[:] = 1
    paths.heights[:, 0], paths.times[:, 0] = heights, 0
    paths.points[:, 0], paths.velocities[:, 0] = x, velocity
    return paths


def with_room(paths: Excursions, rows: Integers) -> Excursions:
    """Enlarged where one of the ``rows`` that go on has no room left; FULL ones are RUNNING again."""
    on = rows[(paths.outcome[rows] == RUNNING) | (paths.outcome[rows] == FULL)]
    paths.outcome[on] = RUNNING
    capacity = paths.heights.shape[1]
    return paths.enlarged() if capacity and (paths.kept[on] >= capacity).any() else paths


def unpacked(arrays: CoordinateArrays) -> tuple[Any, ...]:
    """In the order in which `sgd_excursions` takes them."""
    return (arrays.kind, arrays.heights, arrays.nodes, arrays.origin, arrays.spacing, arrays.shape)
