"""The crossings between given minima, searched for where none are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import Bounds
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qpot._core.arrays import Array, BoundsLike, as_bounds
from qpot.landscape.cycle_search import CycleSearch
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.periods import periods_of
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles
from qpot.landscape.states import crossings_among, open_saddles
from qpot.problem.natural_units import natural_box
from qpot.problem.system import System


def searched_crossings(
    system: System, minima: Sequence[Minimum], points: Array, bounds: BoundsLike | None
) -> Sequence[Saddle | LimitCycle]:
    """The saddles and unstable cycles within ``bounds``, or around the ``points`` (k, d) of the minima."""
    saddles = _searched(system, minima, _box(minima, points) if bounds is None else bounds)
    wider = None if bounds is not None or _connected(saddles, len(minima)) else natural_box(system, points)
    # The box around the points is too narrow where one coordinate has a smaller unit than the others.
    return saddles if wider is None else _searched(system, minima, _box(minima, points, wider))


def _box(minima: Sequence[Minimum], points: Array, box: Bounds | None = None) -> Bounds:
    """The box around points, or the given one, which is a whole period along periodic axes."""
    box = around(points) if box is None else box
    periods = periods_of(minima)
    if periods is None:
        return box
    return Bounds(*periods.cell_of(*as_bounds(box, dimension=points.shape[1])))


def _searched(system: System, minima: Sequence[Minimum], box: BoundsLike) -> Sequence[Saddle | LimitCycle]:
    """The saddles in a box; where there are cycles among the minima, the unstable cycles between them as well."""
    points = [m for m in minima if not isinstance(m, LimitCycle)]
    stable = [m for m in minima if isinstance(m, LimitCycle)]
    if not stable:
        return find_saddles(system, minima, box)
    lower, upper = as_bounds(box, dimension=system.dimension)
    saddles = find_saddles(system, points, box) if points else open_saddles(system, stable, lower, upper)
    search = CycleSearch(system, lower, upper)
    unstable = search.run(minima=points).cycles if system.dimension == 2 else []
    # The points of rest come before the cycles in the numbers that a search for saddles gives.
    order = [k for k, m in enumerate(minima) if not isinstance(m, LimitCycle)]
    own = [replace(s, connects=_renumbered(s.connects, order)) for s in saddles]
    return crossings_among(system, minima, own, unstable, lower, upper)


def _renumbered(connects: tuple[int | None, int | None], order: Sequence[int]) -> tuple[int | None, int | None]:
    i, j = connects
    return None if i is None else order[i], None if j is None else order[j]


def _connected(saddles: Sequence[Saddle | LimitCycle], k: int) -> bool:
    """Whether the saddles connect all minima."""
    pairs = np.array([s.connects for s in saddles if None not in s.connects], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(k, k))
    return int(connected_components(graph, directed=False)[0]) == 1


def around(points: Array) -> Bounds:
    """The box around points, widened on each side by its longest edge."""
    lower, upper = points.min(axis=0), points.max(axis=0)
    margin = float((upper - lower).max())
    return Bounds(lower - margin, upper + margin)
