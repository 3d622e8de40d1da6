"""Polylines by their length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def lengths_along(points: Array) -> Array:
    """From the first of the ``points`` (n, d) to each of them, (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def interpolated(lengths: Array, values: Array, s: Array) -> Array:
    """``values`` (n, ...) at the lengths (m,) from the first to the last, linear between them: (m, ...)."""
    k = np.clip(np.searchsorted(lengths, s, side="right") - 1, 0, lengths.size - 2)
    share = ((s - lengths[k]) / np.diff(lengths)[k]).reshape(-1, *(1,) * (values.ndim - 1))
    return np.asarray((1.0 - share) * values[k] + share * values[k + 1], dtype=np.float64)
