"""Central differences of batch functions, with one vectorised call for all points and directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The cube root of the machine epsilon balances the h^2 truncation of a central difference against rounding.
STEP = 6.055454452393343e-06


def central_jacobian(function: Callable[[Array], Array], points: Array) -> Array:
    """The derivative ``(n, ..., d)`` of a function ``(n, d) -> (n, ...)`` at ``points`` ``(n, d)``.

    The last axis is that of the coordinate. The step is ``STEP * (1 + |x_j|)``, and the error is about 1e-10 of the
    function's scale.
    """
    n, d = points.shape
    h = STEP * (1.0 + np.abs(points))
    sides = sides_of(function)
    if sides is not None:
        # Next to a side the step is half the distance, and on it the difference is one-sided.
        distance = np.minimum(points - sides.lower, sides.upper - points)
        h = np.where(distance > 0.0, np.minimum(h, 0.5 * distance), h)
    shifts = np.zeros((2, d, n, d))
    index = np.arange(d)
    shifts[0, index, :, index] = h.T
    shifts[1, index, :, index] = -h.T
    moved = points + shifts
    grid = spacing_of(function)
    if grid is not None:
        moved = rounded(moved, grid)
    if sides is not None:
        moved = np.clip(moved, sides.lower, sides.upper)
    # Rounding changes the step, so that the difference is divided by the step that was taken in floating point.
    taken = moved[0, index, :, index] - moved[1, index, :, index]
    values = function(moved.reshape(-1, d))
    values = values.reshape(2, d, n, *values.shape[1:])
    difference = values[0] - values[1]
    quotient = difference / taken.reshape(d, n, *([1] * (difference.ndim - 2)))
    return np.ascontiguousarray(np.moveaxis(quotient, 0, -1))


def sides_of(function: Callable[..., Any]) -> Any:
    """The box, with ``lower`` and ``upper`` (d,), outside which a function must not be called; None where there is none.

    The function, the object whose method it is, or the function that this object calls has the attribute ``sides`` then.
    """
    owner = getattr(function, "__self__", function)
    found = getattr(owner, "sides", None)
    return found if found is not None else getattr(getattr(owner, "function", None), "sides", None)


def spacing_of(function: Callable[..., Any]) -> Array | None:
    """The distances (d,) of neighbouring points that a function can tell apart, where it says so; None elsewhere.

    A function that translates its argument to coordinates far from the origin rounds it. It, or the object whose method it
    is, has the attribute ``spacing`` then.
    """
    found = getattr(getattr(function, "__self__", function), "spacing", None)
    return None if found is None or not np.any(found) else np.asarray(found, dtype=np.float64)


def rounded(points: Array, spacing: Array) -> Array:
    """Points (..., d) moved to the nearest ones that a function with this ``spacing`` can tell apart."""
    unit = np.where(spacing > 0.0, spacing, 1.0)
    return np.where(spacing > 0.0, np.round(points / unit) * unit, points)
