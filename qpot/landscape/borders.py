"""Borders of basins: trajectories that start on them run into the saddles that separate the basins."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.checkpoint import kept
from qpot.landscape.saddle_list import Clock
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.landscape.stationary_points import bisect_labels, nearest_rests

Integers = NDArray[np.int64]

# A segment across a border is halved so often: the trajectories that start there have relative errors of 1e-9, and a shorter
# segment would not keep them on the border for longer.
_HALVINGS = 32
# So many segments across borders are bisected at once where the budget is looked at in between.
_AT_ONCE = 64
# At most so many segments between attractors are looked at, at so many places of each.
NEAREST, _PLACES = 60, 17


def all_ways(attractors: Array) -> tuple[Array, Array]:
    """The starts and the ends (n, d) of the segments between any two of the attractors (k, d)."""
    i, j = np.triu_indices(attractors.shape[0], 1)
    return attractors[i], attractors[j]


def nearest_ways(attractors: Array) -> tuple[Array, Array]:
    """Those of them that are shortest, the shortest first."""
    starts, ends = all_ways(attractors)
    nearest = np.argsort(np.linalg.norm(starts - ends, axis=1), kind="stable")[:NEAREST]
    return starts[nearest], ends[nearest]


def middles(starts: Array, ends: Array) -> Array:
    """The points at a quarter, a half and three quarters of segments from ``starts`` to ``ends`` (n, d)."""
    return np.concatenate([w * starts + (1 - w) * ends for w in (0.25, 0.5, 0.75)])


def border_states(
    system: System,
    starts: Array,
    ends: Array,
    label: Callable[[Array], Integers],
    clock: Clock,
    joined: Collection[tuple[int | None, int | None]] = (),
    owners: Callable[[Integers], Integers] = np.asarray,
) -> Array:
    """The slowest points of trajectories that start on the border between two basins, which lie near saddles.

    Parameters
    ----------
    system : System
    starts, ends : arrays (n, d)
        The segments between attractors on which borders are looked for.
    label : callable
        It gives numbers of basins, with -1 for none.
    clock : Clock
    joined : collection of (int, int)
        Pairs of minima whose border is left out.
    owners : callable, optional
        The minima to which the numbers of basins belong, where these differ.
    """
    d = system.dimension
    if len(starts) == 0:
        return np.zeros((0, d))
    weights = np.linspace(0.0, 1.0, _PLACES)[:, None, None]
    segments = (1 - weights) * starts + weights * ends
    labels = label(segments.reshape(-1, d)).reshape(_PLACES, -1)
    row, pair = np.nonzero((labels[1:] != labels[:-1]) & (labels[1:] >= 0) & (labels[:-1] >= 0))
    sides = np.sort([owners(labels[row, pair]), owners(labels[row + 1, pair])], axis=0).T
    open_ones = [n for n, (a, b) in enumerate(sides.tolist()) if (a, b) not in joined]
    row, pair = row[open_ones], pair[open_ones]
    rates = np.linalg.eigvals(system.unchecked.jacobian(np.concatenate([starts, ends]))).real
    slowest = np.abs(rates).min()
    drift = NaNDrift(system)
    states = [np.zeros((0, d))]
    for first in range(0, row.size, _AT_ONCE):
        if clock.past(0.5):
            clock.skip(f"{row.size - first} borders between basins")
            break
        r, p = row[first : first + _AT_ONCE], pair[first : first + _AT_ONCE]
        ways = segments[r, p], segments[r + 1, p]

        def rests(ways: tuple[Array, Array] = ways) -> Array:
            a, b = bisect_labels(label, *ways, steps=_HALVINGS)
            return nearest_rests(drift, 0.5 * (a + b), time=40.0 / slowest)

        states.append(kept("borders", rests, inputs=ways))
    return np.concatenate(states)
