"""Meshes on which every element carries the same error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Neighbouring elements may differ in size by this factor, so that a kink at a joint does not empty its surroundings.
_LARGEST_RATIO = 3.0
_FEWEST = 8


def equidistributed(
    breaks: Array, error: Array, *, order: int, target: float, max_elements: int, shrink: int = 2
) -> Array:
    """Breaks of a new mesh over the same span.

    Parameters
    ----------
    breaks : array (K + 1,)
    error : array (K,)
        Positive estimates for the elements of the present mesh.
    order : int
        The whole error falls like the element size to this power; an element's own like the power ``order + 1``.
    target : float
        The error that the new mesh should have in all; not positive: twice as many elements.
    max_elements : int
        The mesh has at most about twice as many elements as now, and never more than this.
    shrink : int
        It has at least 8, and at least one for every so many elements of now.
    """
    h = np.diff(breaks)
    logs = np.log(error ** (1.0 / (order + 1)) / h)
    for _ in range(3):
        padded = np.pad(logs, 1, mode="edge")
        logs = np.maximum(logs, np.maximum(padded[:-2], padded[2:]) - np.log(_LARGEST_RATIO))
    density = np.exp(logs) * h
    total = float(density.sum())
    wanted = total * (total / target) ** (1.0 / order) if target > 0.0 else 2.0 * h.size
    n = int(np.clip(np.ceil(wanted), max(_FEWEST, h.size // shrink), min(2 * h.size + 4, max_elements)))
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    mesh = np.interp(np.linspace(0.0, cumulative[-1], n + 1), cumulative, breaks)
    mesh[0], mesh[-1] = breaks[0], breaks[-1]
    return np.asarray(mesh, dtype=np.float64)
