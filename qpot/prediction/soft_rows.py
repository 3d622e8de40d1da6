"""Rows of numbers that say how a rate with a soft direction depends on the noise level."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.prediction.soft_directions import Shape

# The limit, and for the pass and the minimum the power and three derivatives (`LegShape.row`).
ROW = 9


def factor_of(row: Array, epsilon: float) -> float:
    """What multiplies the rate of a row of `LegShape.row`; NaN above its limit."""
    if epsilon > row[0]:
        return float("nan")
    ends = (Shape(float(row[k]), float(row[k + 1]), float(row[k + 2]), float(row[k + 3]), np.inf) for k in (1, 5))
    return float(np.exp(sum(end.log_ratio(epsilon) for end in ends)))


def rescaled_row(row: Array, noise: float) -> Array:
    """The same row where costs and noise levels are ``noise`` times as large."""
    found = row.copy()
    found[..., [0, 2, 3, 4, 6, 7, 8]] *= noise
    return found
