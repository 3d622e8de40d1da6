"""Gradients at nodes from the heads they belong to."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import njit
from qpot.solvers.fields.marching.march import unravel
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.taylor import taylor_gradient

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def _node_gradients(records, owner, wanted, medium, gradient):
    """Do what `node_gradients` does, node by node."""
    lower, spacing, shape, periodic, dims = medium.lower, medium.spacing, medium.shape, medium.periodic, medium.axes
    d = len(dims)
    index = np.zeros(d, np.int64)
    dx = np.zeros(d)
    for node in range(owner.shape[0]):
        if not wanted[node]:
            continue
        y = records[owner[node]]
        unravel(node, shape, index, d)
        for i in range(d):
            dx[i] = lower[i] + index[i] * spacing[i] - y[i]
            if periodic[i]:
                period = shape[i] * spacing[i]
                dx[i] -= period * np.floor(dx[i] / period + 0.5)
        taylor_gradient(y, dx, dims, gradient[node])


def node_gradients(
    records: Array,
    owner: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    medium: Medium,
    gradient: Array,
) -> None:
    """Fill ``gradient`` ``(n, d)`` at the ``wanted`` nodes with the gradient of their heads' polynomials."""
    _node_gradients(records, owner, wanted, medium, gradient)
