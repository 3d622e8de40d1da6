"""Adaptive multilevel splitting: the selection between clones whose excursions have ended, and their branching."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.simulation.excursions import ARRIVED, RUNNING, Excursions

Integers = NDArray[np.int64]


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
    """The result: the probability to arrive, the rounds, and for every final clone the initial one it descends from."""

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
        The clones, whose excursions have ended.
    run : callable
        It runs the excursions of the given clones to their end and returns all clones.
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
        # A branch that begins where its parent arrived has arrived, too.
        there = (paths.outcome[parents] >= ARRIVED) & (paths.elapsed[dead] == paths.elapsed[parents])
        paths.outcome[dead[there]] = paths.outcome[parents[there]]
        paths = run(paths, dead)
        rounds += 1
    share = float((paths.outcome >= ARRIVED).mean())
    return Splitting(math.exp(log_weight) * share, rounds, ancestors, paths)
