"""Errors of a field: for every node, and the largest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from qpot._core.arrays import Array
from qpot.fields.grid import Grid
from qpot.fields.misfits import node_misfits

if TYPE_CHECKING:
    from qpot.fields.assembly import NodeResult

# The difference between the field and that on every second node is divided by this number. Errors of fourth order alone
# would allow 15; the estimate is to err on the safe side.
_RICHARDSON = 5.0
# Rays that spread are of second order in places, so that at single nodes it is divided by less.
_AT_NODES = 2.0
# A single bad ray on the coarse grid says nothing about the fine field, and then the fine field is smooth: this quantile of
# the differences counts ...
_TYPICAL = 0.99
# ... together with the misfits of the field, so many times.
_ROUGH = 3.0
# Where the two grids happen to agree the error is still taken to be this part of what is typical.
_LEAST = 0.6


def field_errors(
    fine: NodeResult, grid: Grid, coarse: NodeResult | None, half: Grid | None, doubt: NDArray[np.bool_]
) -> tuple[float, Array]:
    """The estimate of the largest error of a field, and errors of its nodes ``(n,)``.

    Parameters
    ----------
    fine, grid
        The field.
    coarse, half
        The field on every second node, or None if there is none; then both answers are nan.
    doubt : array of bool (n,)
        The nodes whose value cannot be vouched for. Their errors are infinite.

    Returns
    -------
    error : float
    errors : array (n,)
        Those that are finite are not above ``error``.

    Notes
    -----
    A node that a polynomial gives errs by half of the largest difference between the two fields at the coarse nodes
    around it, and by its misfit to its neighbours. One that was filled to first order errs by the whole difference.
    """
    errors = np.where(doubt, np.inf, np.nan)
    if coarse is None or half is None:
        return math.nan, errors
    keep = tuple(slice(None, None, 2) for _ in grid.shape)
    fine_near = fine.near.reshape(grid.shape)[keep].ravel()
    reference = fine.value.reshape(grid.shape)[keep].ravel()
    level = min(coarse.level, fine.level)
    known = (coarse.value <= coarse.level) & (reference <= level)
    difference = np.abs(np.subtract(coarse.value, reference, out=np.zeros_like(reference), where=known))
    both = known & coarse.near & fine_near
    if not both.any():
        return math.nan, errors
    halved = float(difference[both].max()) / _RICHARDSON
    # A quantile of the differences and the roughness of the fine field bound the estimate from above.
    typical = float(np.quantile(difference[both], _TYPICAL)) / _RICHARDSON
    rough = float(node_misfits(fine.value, fine.gradient, fine.near, grid, level).max())
    error = min(halved, _ROUGH * (typical + rough))
    # Filled nodes are of first order. Their error shows in the difference, or in a misfit with the nodes around them.
    settled = fine.value <= fine.level
    misfits = node_misfits(fine.value, fine.gradient, settled, grid, fine.level)
    if (settled & ~fine.near).any():
        misfit = float(misfits[~fine.near].max())
        error = max(error, float(difference[known & ~fine_near].max(initial=0.0)), _ROUGH * misfit)
    local = np.where(known, np.where(both, difference / _AT_NODES, difference), -1.0)
    spread = _spread(local, half, grid)
    own = np.maximum(spread, _LEAST * typical) + _ROUGH * misfits
    # Far from all nodes that both grids know only the largest error is known.
    own = np.where(spread < 0.0, error, np.minimum(own, error))
    return error, np.where(doubt, np.inf, own)


def _spread(coarse: Array, half: Grid, grid: Grid) -> Array:
    """The largest value at the coarse nodes within one coarse cell of each node."""
    index = np.ix_(*[
        np.arange(n) // 2 % m if wraps else np.minimum(np.arange(n) // 2, m - 1)
        for n, m, wraps in zip(grid.shape, half.shape, grid.periodic, strict=True)
    ])  # fmt: skip
    return np.asarray(largest_around(coarse.reshape(half.shape), half)[index].ravel(), dtype=np.float64)


def largest_around(values: Array, grid: Grid) -> Array:
    """The largest value at each node and those beside it, across corners too; nan counts only where all are."""
    modes = ["wrap" if wraps else "nearest" for wraps in grid.periodic]
    found = maximum_filter(np.where(np.isnan(values), -np.inf, values), size=3, mode=modes)
    return np.where(np.isneginf(found), np.nan, found)
