"""The degree of a vector field on the boundary of a box: the number of fixed points in it, counted with signs.

The indices sign det(-J) of all fixed points in a box add up to the degree of -b on its boundary (Poincaré and Hopf; Milnor,
Topology from the Differentiable Viewpoint, section 6), so that a sum that differs shows that some were missed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# Points on each edge of a rectangle, and on each axis of a face of a box in three dimensions, at first.
_EDGE, _FACE = 64, 24
# Where the field turns by more than this between two points of the boundary, there are more between them, at most so often.
_TURN, _HALVINGS = 0.5, 24


def boundary_degree(function: BatchFunction, lower: Array, upper: Array) -> int | None:
    """The sum of the indices of all zeros in a box of one to three dimensions.

    Parameters
    ----------
    function : callable (n, d) -> (n, d)
        The vector field b.
    lower, upper : array (d,)
        The corners of the box.

    Returns
    -------
    int or None
        The sum of sign det(-J); None where it is not known: in more than three dimensions, where the field vanishes on the
        boundary or is not finite there, and in three dimensions where it does not point inwards everywhere.
    """
    d = lower.size
    if d == 1:
        ends = -function(np.array([lower, upper]))[:, 0]
        return int((np.sign(ends[1]) - np.sign(ends[0])) / 2) if np.isfinite(ends).all() and ends.all() else None
    if d == 2:
        return _turns(function, lower, upper)
    return 1 if d == 3 and _inwards(function, lower, upper) else None


def _turns(function: BatchFunction, lower: Array, upper: Array) -> int | None:
    """How often -b, and so b, turns round along the boundary of a rectangle."""
    corners = np.array([lower, [upper[0], lower[1]], upper, [lower[0], upper[1]], lower])
    parameters = np.linspace(0.0, 4.0, 4 * _EDGE + 1)

    def angles(t: Array) -> Array:
        side = np.minimum(t.astype(np.int64), 3)
        part = (t - side)[:, None]
        # Lengths in box edges, so that the units of the coordinates do not matter.
        b = function((1.0 - part) * corners[side] + part * corners[side + 1]) / (upper - lower)
        size = np.hypot(b[:, 0], b[:, 1])
        return np.where(np.isfinite(size) & (size > 0.0), np.arctan2(b[:, 1], b[:, 0]), np.nan)

    found = angles(parameters)
    for _ in range(_HALVINGS):
        turned = np.abs(_between(found))
        if not np.isfinite(turned).all():
            return None
        wide = np.flatnonzero(turned > _TURN)
        if not wide.size:
            return round(float(_between(found).sum()) / (2.0 * np.pi))
        middle = 0.5 * (parameters[wide] + parameters[wide + 1])
        found = np.insert(found, wide + 1, angles(middle))
        parameters = np.insert(parameters, wide + 1, middle)
    return None


def _between(angles: Array) -> Array:
    """The turns from each angle to the next one, in (-pi, pi]."""
    return np.asarray(np.pi - np.mod(np.pi - np.diff(angles), 2.0 * np.pi))


def _inwards(function: BatchFunction, lower: Array, upper: Array) -> bool:
    """Whether the field points inwards at a lattice of points on each face of a box in three dimensions."""
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0.0, 1.0, _FACE)], indexing="ij"), axis=-1).reshape(-1, 2)
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for end, sign in ((lower, 1.0), (upper, -1.0)):
            points = np.empty((len(grid), 3))
            points[:, axis] = end[axis]
            points[:, others] = lower[others] + grid * (upper - lower)[others]
            if not (sign * function(points)[:, axis] > 0.0).all():
                return False
    return True
