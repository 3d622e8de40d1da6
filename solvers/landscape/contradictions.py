"""Places where a vector field contradicts the trend of its surroundings, since something narrow hides there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

# This many neighbours more than the linear trend has coefficients.
_SPARE = 3
# The fits of this many points are made at once, which bounds the memory.
_CHUNK = 8192


def contradictions(points: Array, field: Array) -> Array:
    """How much the field (n, d) at each point (n, d) differs from what the nearest other points predict.

    The prediction is the linear trend of the neighbours. The difference is measured in the median length of the field
    there: a narrow well can hold a minimum only if its pull exceeds that of its surroundings, so that its value is of order
    one or more inside the well, whatever the units are, while it tends to zero with the spacing where the field is smooth.
    """
    n, d = points.shape
    count = min(d + 1 + _SPARE, n - 1)
    if count < d + 1:
        return np.zeros(n)
    scores = np.empty(n)
    distances, neighbours = cKDTree(points).query(points, count + 1)
    for first in range(0, n, _CHUNK):
        rows = slice(first, first + _CHUNK)
        around = neighbours[rows, 1:]
        # In units of the largest distance the normal equations are well scaled.
        offsets = (points[around] - points[rows, None]) / np.maximum(distances[rows, -1:, None], 1e-300)
        design = np.concatenate([np.ones((*around.shape, 1)), offsets], axis=2)
        normal = np.swapaxes(design, 1, 2) @ design + 1e-6 * np.eye(d + 1)
        values = field[around]
        trend = np.linalg.solve(normal, np.swapaxes(design, 1, 2) @ values)[:, 0]
        typical = np.median(np.linalg.norm(values, axis=2), axis=1)
        scores[rows] = np.linalg.norm(field[rows] - trend, axis=1) / np.maximum(typical, 1e-300)
    return scores
