"""Meshes on which every element carries the same error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Neighbouring elements differ in size by at most this factor, so that a kink at a joint does not draw all elements away
# from its surroundings.
_LARGEST_RATIO = 3.0
# Fewest elements of a mesh.
_FEWEST = 8


def equidistributed(
    breaks: Array, error: Array, *, order: int, target: float, max_elements: int, shrink: int = 2
) -> Array:
    """Breaks of a new mesh over the same span.

    Parameters
    ----------
    breaks : array (K + 1,)
        Breaks of the present mesh.
    error : array (K,)
        Positive estimates of the error that each of its elements carries.
    order : int
        The whole error falls like the element size to this power; an element's own like the power ``order + 1``.
    target : float
        The whole error that the new mesh should have. If it is not positive, the number of elements is doubled.
    max_elements : int
        Most elements of the new mesh. It also has at most about twice as many elements as the present one.
    shrink : int
        The new mesh has at least 8 elements, and at least one for every ``shrink`` elements of the present one.

    Returns
    -------
    array (n + 1,)
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
