"""What lies around the two ends of a path: attractors, and saddles between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_bounds
from qpot.landscape.basins import basin_of
from qpot.landscape.minima import find_minima
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles
from qpot.problem.system import System


def surroundings(system: System, source: Array, target: Array, bounds: Any) -> list[tuple[float, float]]:
    if bounds is not None:
        lower, upper = as_bounds(bounds, dimension=system.dimension)
    else:
        margin = float(np.abs(target - source).max())
        lower, upper = np.minimum(source, target) - margin, np.maximum(source, target) + margin
    return list(zip(lower.tolist(), upper.tolist(), strict=True))


def attractors_and_saddles(
    system: System, source: Array, target: Array, saddles: Sequence[Saddle] | None, bounds: Any, report: Any
) -> tuple[list[Array], list[Saddle]]:
    """The attractors (source first, then target if it is one) and the saddles between them."""
    box = surroundings(system, source, target, bounds)
    report(0, 3, "minima around the path")
    points = [source]
    for minimum in find_minima(system, box):
        if min(np.linalg.norm(minimum.point - p) for p in points) > 1e-6 * np.linalg.norm(target - source):
            points.append(minimum.point)
    report(1, 3, "saddles around the path")
    if saddles is None:
        return points, list(find_saddles(system, [_bare(p) for p in points], box))
    # ids of given saddles refer to the caller's minima: find out anew which attractors they connect
    relabelled = []
    for saddle in saddles:
        shift = 1e-4 * np.linalg.norm(target - source) * saddle.direction
        sides = basin_of(system, np.array([saddle.point + shift, saddle.point - shift]), np.array(points))
        ids = [None if s < 0 else int(s) for s in sides]
        relabelled.append(replace(saddle, connects=(ids[0], ids[1])))
    return points, relabelled


def _bare(point: Array) -> Minimum:
    d = point.size
    return Minimum(point=point, loss=float("nan"), hessian=np.full((d, d), np.nan), rates=np.ones(d), residual=0.0)
