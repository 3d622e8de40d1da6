"""Exits through a side at which noise and drift vanish: a population that dies out leaves over a state of rest on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import Bounds

from qpot._core.arrays import BoundsLike, as_point, format_point
from qpot._core.types import PointLike
from qpot.landscape.points import Saddle
from qpot.paths.boundaries import Box
from qpot.paths.exit_solution import ExitSolution
from qpot.problem.system import System

# A face of a box closer to a side than this, and a point, are on it.
_ON_SIDE = 1e-6
# States of rest on a side are looked for so many times as far from the other sides as the minimum is.
_REACH = 3.0


def sides_left(system: System, boundary: Any) -> tuple[tuple[int, float], ...]:
    """The sides at which nothing moves across, as coordinates and values, that make up the whole of a boundary; else empty.

    Raises
    ------
    ValueError
        If the boundary has other faces too.
    """
    if system.dimension == 1 or not system.noise.faces or not isinstance(boundary, Box):
        return ()
    ends = [np.broadcast_to(np.asarray(e, dtype=float), (system.dimension,)) for e in (boundary.lower, boundary.upper)]
    finite = [(i, float(end[i])) for end in ends for i in range(system.dimension) if np.isfinite(end[i])]
    on = [(i, y) for i, y in finite if any(i == j and abs(y - z) <= _ON_SIDE for j, z, _ in system.noise.faces)]
    if on and len(on) < len(finite):
        raise ValueError(
            "boundary has faces on sides of the domain at which noise and drift vanish, and others too: ask for the two "
            "costs one by one, each with a Box that is infinite elsewhere, and take the lower one"
        )
    return tuple(on)


def search_box(
    system: System, minimum: PointLike, bounds: BoundsLike | None, saddles: Sequence[Saddle] | None
) -> BoundsLike | None:
    """The box in which states of rest on the sides are searched for, where the user gives none.

    Raises
    ------
    ValueError
        If a coordinate has no such side, so that nothing shows how far to look.
    """
    if bounds is not None or saddles is not None:
        return bounds
    point = as_point(minimum, dimension=system.dimension, name="minimum")
    lower, upper = np.full_like(point, np.nan), np.full_like(point, np.nan)
    for i, face, inward in system.noise.faces:
        far = face + _REACH * (point[i] - face)
        near = face - 0.02 * (far - face)
        low, high = (near, far) if inward > 0 else (far, near)
        lower[i], upper[i] = np.fmin(lower[i], low), np.fmax(upper[i], high)
    if np.isnan(lower).any():
        raise ValueError(
            "bounds is needed: the box in which states of rest on the sides of the domain are searched for"
        )
    return Bounds(lower, upper)


def check_side(found: ExitSolution, sides: Sequence[tuple[int, float]]) -> ExitSolution:
    """The exit, if it lies on one of the sides.

    Raises
    ------
    ValueError
        If the basin is left over a saddle elsewhere first.
    """
    if any(abs(found.point[i] - y) <= 10.0 * _ON_SIDE * (1.0 + abs(y)) for i, y in sides):
        return found
    raise ValueError(
        f"the noise leaves the minimum's basin over {format_point(found.point)} at the cost {found.cost:.6g}, before it "
        "comes to that side of the domain; use boundary='basin', or start from the minimum beyond"
    )
