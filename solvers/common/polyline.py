"""Polylines: their lengths, and interpolation along them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def lengths_along(points: Array) -> Array:
    """The lengths (n,) along a polyline from the first of its ``points`` (n, d) to each of them."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def evenly(points: Array, count: int) -> Array:
    """So many points (count, d) at equal distances along a polyline (n, d), its ends included."""
    lengths = lengths_along(points)
    return interpolated(lengths, points, np.linspace(0.0, lengths[-1], count))


def interpolated(lengths: Array, values: Array, s: Array) -> Array:
    """The values (m, ...) at the lengths ``s`` (m,), linear between the ``values`` (n, ...) at ``lengths`` (n,)."""
    k = np.clip(np.searchsorted(lengths, s, side="right") - 1, 0, lengths.size - 2)
    share = ((s - lengths[k]) / np.diff(lengths)[k]).reshape(-1, *(1,) * (values.ndim - 1))
    return np.asarray((1.0 - share) * values[k] + share * values[k + 1], dtype=np.float64)
