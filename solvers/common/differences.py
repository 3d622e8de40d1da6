"""Central differences of batch functions, with one vectorised call for all points and directions."""

from __future__ import annotations

from collections.abc import Callable

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
    shifts = np.zeros((2, d, n, d))
    index = np.arange(d)
    shifts[0, index, :, index] = h.T
    shifts[1, index, :, index] = -h.T
    moved = points + shifts
    # Rounding changes the step, so that the difference is divided by the step that was taken in floating point.
    taken = moved[0, index, :, index] - moved[1, index, :, index]
    values = function(moved.reshape(-1, d))
    values = values.reshape(2, d, n, *values.shape[1:])
    difference = values[0] - values[1]
    quotient = difference / taken.reshape(d, n, *([1] * (difference.ndim - 2)))
    return np.ascontiguousarray(np.moveaxis(quotient, 0, -1))
