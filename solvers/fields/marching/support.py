"""Which nodes of a sheet its rays can have come to: upstream from them lies the source, not open space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

# Cells gone upstream at once: more resolve the direction better, and turn with it less.
STEP = 3.0


def comes_from_nowhere(
    nodes: Integers,
    velocity: Array,
    known: Booleans,
    shape: tuple[int, ...],
    spacing: Array,
    periodic: Booleans,
) -> Booleans:
    """For each of ``nodes`` whether the ray that its value claims to lie on has no beginning among the known nodes.

    Parameters
    ----------
    nodes : array (n,)
        Flat indices of the nodes of one sheet.
    velocity : array (n, d)
        x' = b + a p there.
    known : array (size,)
        Nodes of the whole grid that the sheet may begin at: its source's and those of older sheets.

    Notes
    -----
    The polynomials of a sheet run on smoothly beyond the attractor that it ends in. There they solve H(x, p) = 0 too, but
    along rays that come from infinity, where no source is. From every node a step leads upstream to the nearest node;
    all chains of such steps are followed at once by pointer doubling. One that leaves the grid or ends at an open node
    has no beginning; one that closes on itself, where the ray is slow, says nothing.
    """
    n = nodes.size
    size = int(np.prod(shape))
    number = np.full(size, -1, dtype=np.int64)
    number[nodes] = np.arange(n)
    cells = velocity / spacing
    longest = np.abs(cells).max(axis=1)
    step = np.rint(STEP * cells / np.maximum(longest, 1e-300)[:, None]).astype(np.int64)
    index = np.stack(np.unravel_index(nodes, shape), axis=1) - step
    extent = np.array(shape)
    index = np.where(periodic, index % extent, index)
    outside = ((index < 0) | (index >= extent)).any(axis=1)
    flat = np.ravel_multi_index(tuple(np.clip(index, 0, extent - 1).T), shape)
    # Two more entries stand for where chains end: n for nowhere, n + 1 for a beginning.
    ends = np.where(known[flat] & ~outside, n + 1, n)
    follow = np.append(np.where(outside | (number[flat] < 0), ends, number[flat]), [n, n + 1])
    for _ in range(int(np.ceil(np.log2(n + 2))) + 1):
        follow = follow[follow]
    return np.asarray(follow[:n] == n)
