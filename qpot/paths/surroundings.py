"""The surroundings of a path's two ends: attractors, and saddles between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import Bounds

from qpot._core.arrays import Array, BoundsLike, as_bounds
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.landscape.basins import basin_of
from qpot.landscape.minima import find_minima
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles
from qpot.problem.system import System


def surroundings(system: System, source: Array, target: Array, bounds: BoundsLike | None) -> Bounds:
    """The box to search: ``bounds``, or the box of the two ends widened by its longest edge."""
    if bounds is not None:
        lower, upper = as_bounds(bounds, dimension=system.dimension)
    else:
        margin = float(np.abs(target - source).max())
        lower, upper = np.minimum(source, target) - margin, np.maximum(source, target) + margin
    return Bounds(lower, upper)


def attractors_and_saddles(
    system: System,
    source: Array,
    target: Array,
    saddles: Sequence[Saddle] | None,
    bounds: BoundsLike | None,
    report: ProgressCallback,
) -> tuple[list[Array], list[Saddle]]:
    """The attractors in the box around the two ends, source first, and the saddles that connect them.

    ``saddles`` are labelled anew by the attractors that their two sides flow to; None searches for them in the box.
    """
    box = surroundings(system, source, target, bounds)
    report(0, 3, "minima around the path")
    points = [source]
    for minimum in _minima(system, box):
        if min(np.linalg.norm(minimum.point - p) for p in points) > 1e-6 * np.linalg.norm(target - source):
            points.append(minimum.point)
    report(1, 3, "saddles around the path")
    if saddles is None:
        return points, list(find_saddles(system, [_bare(p) for p in points], box))
    # The ids in given saddles refer to the caller's minima, which may be others.
    relabelled = []
    for saddle in saddles:
        shift = 1e-4 * np.linalg.norm(target - source) * saddle.direction
        sides = basin_of(system, np.array([saddle.point + shift, saddle.point - shift]), np.array(points))
        ids = [None if s < 0 else int(s) for s in sides]
        relabelled.append(replace(saddle, connects=(ids[0], ids[1])))
    return points, relabelled


def _minima(system: System, box: list[tuple[float, float]]) -> tuple[Minimum, ...]:
    """The minima in the box; none where the search finds none, since the path's source is known to attract."""
    try:
        return find_minima(system, box)
    except SolveError as error:
        if error.status is not Status.NO_MINIMUM:
            raise
        return ()


def _bare(point: Array) -> Minimum:
    """A minimum of which only the point is known, which is all that the search for saddles asks of it."""
    d = point.size
    return Minimum(point=point, loss=float("nan"), hessian=np.full((d, d), np.nan), rates=np.ones(d), residual=0.0)
