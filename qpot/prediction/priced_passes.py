"""Which passes between minima are priced: those of one connected chain that are not much higher than the lowest way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qpot._core.arrays import Array
from qpot.landscape.points import Minimum, Saddle

# A pass is priced if it is at most this many times as high over its lower minimum as the lowest way between the two.
_HEIGHT = 2.0


def connected_minima(minima: Sequence[Minimum], saddles: Sequence[Saddle]) -> list[int]:
    """The positions of the minima that passes join with the lowest one, in order."""
    k = len(minima)
    pairs = [s.connects for s in saddles if None not in s.connects]
    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(rows.size), (rows, columns)), shape=(k, k))
    labels = connected_components(graph, directed=False)[1]
    lowest = int(np.argmin([m.loss for m in minima]))
    return [i for i in range(k) if labels[i] == labels[lowest]]


def nearest_minima(minima: Sequence[Minimum], saddles: Sequence[Saddle], most: int) -> list[int]:
    """The lowest minimum and those that the lowest passes add to it one after the other, ``most`` in all, in order."""
    kept = [int(np.argmin([m.loss for m in minima]))]
    while len(kept) < most:
        ways = [
            (saddle.loss, b)
            for saddle in saddles
            for a, b in (saddle.connects, saddle.connects[::-1])
            if a in kept and b is not None and b not in kept
        ]
        if not ways:
            break
        kept.append(min(ways)[1])
    return sorted(kept)


def worth_a_price(minima: Sequence[Minimum], saddles: Sequence[Saddle]) -> list[Saddle]:
    """The passes that join two different minima and are not much higher than the lowest way between these."""
    joining = [s for s in saddles if None not in s.connects and s.connects[0] != s.connects[1]]
    level = _lowest_ways(len(minima), joining)
    kept = []
    for saddle in joining:
        i, j = saddle.connects
        assert i is not None
        assert j is not None
        ground = min(minima[i].loss, minima[j].loss)
        if saddle.loss - ground <= _HEIGHT * (level[i, j] - ground):
            kept.append(saddle)
    return kept


def _lowest_ways(k: int, saddles: Sequence[Saddle]) -> Array:
    """The least loss that a way between two minima must reach, ``(k, k)``; inf where no passes join them."""
    level = np.full((k, k), np.inf)
    for saddle in saddles:
        i, j = saddle.connects
        level[i, j] = level[j, i] = min(level[i, j], saddle.loss)
    for m in range(k):
        level = np.minimum(level, np.maximum(level[:, m : m + 1], level[m]))
    return level
