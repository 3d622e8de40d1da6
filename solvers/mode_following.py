"""Saddles by climbing out of minima along one mode of the Hessian at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# A curvature below this share of the largest one gives no step length of its own.
_FLAT = 1e-3


def follow_modes(
    gradient: BatchFunction,
    hessian: BatchFunction,
    starts: Array,
    modes: Array,
    *,
    lower: Array,
    upper: Array,
    longest: float,
    max_iterations: int = 80,
) -> tuple[Array, NDArray[np.bool_]]:
    """Climb along one mode and descend along all others, from many starts at once.

    Parameters
    ----------
    gradient, hessian : ``(m, d) -> (m, d)``, ``(m, d) -> (m, d, d)``
    starts, modes : ``(n, d)``
        Points and the direction in which each climbs at first; later the eigenvector that resembles the last one most.
    lower, upper : ``(d,)``
        A point that leaves the box, widened by half its size on each side, is given up.
    longest : float
        Of a step.

    Returns
    -------
    points : ``(n, d)``
        Where each start ended.
    found : ``(n,)`` of bool
        Whether that is, to a last step of 1e-6 of the longest one, a rest point with one descending direction.

    Notes
    -----
    Cerjan and Miller, J. Chem. Phys. 75 (1981) 2800: Newton's step with the sign of the mode followed reversed and, of the
    others, that of negative curvatures.
    """
    x, v = starts.copy(), modes.copy()
    n = x.shape[0]
    found = np.zeros(n, dtype=bool)
    active = np.arange(n)
    room = 0.5 * (upper - lower)
    for _ in range(max_iterations):
        if active.size == 0:
            break
        g, H = gradient(x[active]), hessian(x[active])
        finite = np.isfinite(g).all(axis=1) & np.isfinite(H).all(axis=(1, 2))
        active, g, H = active[finite], g[finite], H[finite]
        values, vectors = np.linalg.eigh(0.5 * (H + np.swapaxes(H, 1, 2)))
        rows = np.arange(active.size)
        followed = np.abs(np.einsum("ni,nij->nj", v[active], vectors)).argmax(axis=1)
        along = np.einsum("ni,nij->nj", g, vectors)
        size = np.maximum(np.abs(values), _FLAT * np.abs(values).max(axis=1, keepdims=True))
        share = -along / size
        share[rows, followed] *= -1.0
        length = np.linalg.norm(share, axis=1)
        share *= np.minimum(1.0, longest / np.maximum(length, 1e-300))[:, None]
        x[active] += np.einsum("nij,nj->ni", vectors, share)
        v[active] = vectors[rows, :, followed]
        done = (length <= 1e-6 * longest) & ((values < 0.0).sum(axis=1) == 1)
        found[active[done]] = True
        outside = ((x[active] < lower - room) | (x[active] > upper + room)).any(axis=1)
        resting = length <= 1e-6 * longest
        active = active[~(outside | resting)]
    return x, found
