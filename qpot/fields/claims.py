"""Which nodes of a field have no support: nothing carries their value to them, or a path undercuts it."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.fields.assembly import NodeResult
from qpot.fields.grid import Grid
from qpot.fields.run import PATCH, FieldRun
from qpot.solvers.fields.marching.claims import Claims, carry, make_pieces, undercut
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.sampling import make_work

# Jumps and excesses of V up to this part of the level are no reason for doubt.
TOLERANCE = 2e-4
# Straight ways lead to nodes within so many cells along each axis, in 2-D and in 3-D.
WIDE = {2: 2, 3: 1}


def unsupported(
    run: FieldRun, medium: Medium, result: NodeResult, points: Array, radius: float
) -> tuple[Claims, NDArray[np.bool_]]:
    """The nodes whose value nothing supports, ``(n,)`` of bool, and what was looked at.

    These are the nodes to which no chain of links leads from the source or a passage along characteristics without a jump
    of V, those that lie above a carried neighbour by more than the action of a straight way, and those that only such nodes
    carry.

    Parameters
    ----------
    run, medium, result
        The field, up to the level of ``result``.
    points : array (m, d)
        The source.
    radius : float
        The radius of the patches, in lengths.
    """
    grid, d = run.grid, run.grid.dimension
    known = (result.value <= result.level) & np.isfinite(result.gradient).all(axis=1)
    samples = run.samples.reshape(grid.size, -1)
    value = np.where(known, result.value, 0.0)
    gradient = np.where(known[:, None], result.gradient, 0.0)
    claims = Claims(
        value=value.copy(),
        slope=np.ascontiguousarray(gradient * grid.spacing),
        velocity=np.ascontiguousarray(_velocity(samples, gradient, run.constant) / grid.spacing),
        known=known,
        carried=np.zeros(grid.size, bool),
        lowered=np.zeros(grid.size, bool),
        queue=np.zeros(grid.size + 1, np.int64),
        queued=np.zeros(grid.size, bool),
    )
    tolerance = TOLERANCE * result.level
    starts = np.concatenate([points, *[np.atleast_2d(p.point) for p in result.passages]])
    seeds = around(grid, starts, PATCH * radius)
    near, wide = steps_within(d, 1), steps_within(d, WIDE[d])
    scratch = make_pieces(d)
    carry(claims, seeds, tolerance, near, medium, scratch)
    if undercut(claims, tolerance, wide, medium, make_work(d), scratch):
        known &= ~claims.lowered
        claims.value[:], claims.slope[:] = value, gradient * grid.spacing
        claims.carried[:] = False
        carry(claims, seeds, tolerance, near, medium, scratch)
    return claims, (result.value <= result.level) & ~claims.carried


def _velocity(samples: Array, gradient: Array, constant: Array | None) -> Array:
    """b + a grad V at the nodes, ``(n, d)``."""
    d = gradient.shape[1]
    if constant is not None:
        return np.asarray(samples[:, :d] + gradient @ constant)
    out = samples[:, :d].copy()
    for k, (i, j) in enumerate(zip(*np.triu_indices(d), strict=True)):
        out[:, i] += samples[:, d + k] * gradient[:, j]
        if i != j:
            out[:, j] += samples[:, d + k] * gradient[:, i]
    return out


def steps_within(d: int, wide: int) -> NDArray[np.int64]:
    """The steps to nodes within ``wide`` cells along each axis, one for each direction."""
    steps = [s for s in itertools.product(range(-wide, wide + 1), repeat=d) if math.gcd(*map(abs, s)) == 1]
    return np.array(steps, np.int64)


def around(grid: Grid, points: Array, radius: float) -> NDArray[np.int64]:
    """The flat nodes within ``radius`` of any of ``points`` (m, d)."""
    found = []
    shape = np.array(grid.shape)
    reach = [np.arange(-math.ceil(radius / h), math.ceil(radius / h) + 1) for h in grid.spacing]
    offsets = np.stack(np.meshgrid(*reach, indexing="ij"), axis=-1).reshape(-1, grid.dimension)
    for x in points:
        index = np.rint((x - grid.lower) / grid.spacing).astype(np.int64) + offsets
        inside = ((index * grid.spacing + grid.lower - x) ** 2).sum(axis=1) <= radius**2
        inside &= (np.array(grid.periodic) | ((index >= 0) & (index < shape))).all(axis=1)
        found.append(np.ravel_multi_index(tuple((index[inside] % shape).T), grid.shape))
    return np.unique(np.concatenate(found)).astype(np.int64)


def with_neighbours(wrong: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """The nodes of the grid that are ``wrong``, and those beside them, across corners too."""
    for axis, wraps in enumerate(grid.periodic):
        out = wrong.copy()
        for step in (1, -1):
            beside = np.roll(wrong, step, axis)
            if not wraps:
                np.moveaxis(beside, axis, 0)[0 if step == 1 else -1] = False
            out |= beside
        wrong = out
    return wrong
