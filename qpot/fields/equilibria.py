"""Equilibria of the drift in a grid, by Newton's method from the cells in which the drift may vanish."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.fields.run import FieldRun
from qpot.fields.sources import refined_equilibrium


def equilibria(run: FieldRun) -> list[Array]:
    """The equilibria of the drift in the grid, each ``(d,)``.

    Newton's method starts from the cells in which every component of the drift changes sign.
    """
    grid = run.grid
    d = grid.dimension
    cells = np.ones(tuple(n if p else n - 1 for n, p in zip(grid.shape, grid.periodic, strict=True)), dtype=bool)
    for c in range(d):
        low = high = run.samples[..., c]
        for axis, wraps in enumerate(grid.periodic):
            if wraps:
                low = np.minimum(low, np.roll(low, -1, axis))
                high = np.maximum(high, np.roll(high, -1, axis))
            else:
                n = low.shape[axis]
                a, b = (np.take(low, np.arange(n - 1), axis), np.take(low, np.arange(1, n), axis))
                low = np.minimum(a, b)
                a, b = (np.take(high, np.arange(n - 1), axis), np.take(high, np.arange(1, n), axis))
                high = np.maximum(a, b)
        cells &= (low <= 0.0) & (high >= 0.0)
    starts = grid.lower + (np.argwhere(cells) + 0.5) * grid.spacing
    found: list[Array] = []
    for start in starts[:1000]:
        try:
            x = refined_equilibrium(run.system, start, 2.0 * float(np.linalg.norm(grid.spacing)))
        except ValueError:
            continue
        x = grid.wrap(x[None])[0]
        near = np.linalg.norm(np.reshape(found, (-1, d)) - x, axis=1).min(initial=np.inf)
        if near > 1e-6 * grid.spacing.max() and grid.contains(x[None])[0]:
            found.append(x)
    return found
