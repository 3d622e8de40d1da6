"""What is checked before a field is solved: memory, regular covariance, smooth coefficients."""

from __future__ import annotations

import numpy as np

from qpot._core import memory
from qpot._core.arrays import Array, format_point
from qpot.fields.grid import Grid
from qpot.problem.covariance import RANK_TOLERANCE

# Upper bounds of the solver's memory per node in each dimension, measured with tracemalloc on the benchmark problems.
_BYTES_PER_NODE = {1: 100, 2: 380, 3: 400}
# At most twice this many lines in each direction are searched for kinks, because a kink on a curve or a surface
# crosses many of them.
_LINES = 64
# A fourth difference above this part of the largest second difference on its line is a kink ...
_KINK = 0.75
# ... unless the second differences on that line are below this part of the largest sample, and so may be rounding.
_ROUNDING = 1e-7
# A covariance whose shape changes from one node to the next by more than this, as the logarithm of the factor between lengths
# in the metrics of the two, is not resolved. Eigenvalues 1 and k whose axes turn by an angle t change by about t sqrt(k).
_SHAPE = 0.5


def check_regular(a: Array, x: Array) -> None:
    """Refuse a covariance ``a`` (n, d, d) that is singular or indefinite at one of the nodes ``x`` (n, d)."""
    values = np.linalg.eigvalsh(a)
    bad = values[:, 0] <= RANK_TOLERANCE * np.maximum(values[:, -1], np.finfo(float).tiny)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"covariance is singular or indefinite at the node {format_point(x[row])}: the noise cannot push in every "
            "direction and V may be infinite; restrict the grid, or add an explicit floor (qpot.covariance.with_floor)"
        )


def check_memory(grid: Grid) -> None:
    """Refuse a grid that does not fit into the free memory, before anything is computed."""
    need = grid.size * _BYTES_PER_NODE[grid.dimension]
    memory.check_memory(need, what=f"the {grid}", way_out="use fewer nodes")


def kink_in(samples: Array, grid: Grid) -> str:
    """A message that says where drift or covariance, ``samples`` (*shape, m), are not smooth; "" if they are.

    At a kink the fourth differences are as large as the second ones, however fine the grid. Where the functions are
    smooth, the fourth differences are smaller by the square of the spacing.
    """
    floor = _ROUNDING * float(np.abs(samples).max())
    for axis in range(grid.dimension):
        index = [slice(None, None, max(1, n // _LINES)) for n in grid.shape]
        index[axis] = slice(None)
        f = np.moveaxis(samples[tuple(index)], axis, 0)
        second = np.abs(f[2:] - 2.0 * f[1:-1] + f[:-2])
        fourth = np.abs(f[4:] - 4.0 * f[3:-1] + 6.0 * f[2:-2] - 4.0 * f[1:-3] + f[:-4])
        largest = second.max(axis=0)
        kinks = (fourth > _KINK * largest) & (largest > floor)
        if kinks.any():
            where = np.argwhere(kinks)[0]
            node = [int(w) * (part.step or 1) for w, part in zip(where[1:-1], _others(index, axis), strict=True)]
            node.insert(axis, int(where[0]) + 2)
            point = np.array([grid.axes[i][k] for i, k in enumerate(node)])
            return (
                f"drift or covariance has a kink, or is not resolved by the grid, around {format_point(point)}: "
                "beyond it V is of first order only and the error estimate may be too small; "
                "smooth the functions over a few cells, or use a finer grid"
            )
    return ""


def shape_is_resolved(samples: Array, grid: Grid) -> bool:
    """Whether the shape of a covariance in the plane changes little between neighbours; ``samples`` are ``(*shape, 5)``.

    The eigenvalues of a^-1 b of two neighbours, divided by the root of its determinant, are exp(s) and exp(-s).
    """
    for axis in range(2):
        index = [slice(None, None, max(1, n // (2 * _LINES))) for n in grid.shape]
        index[axis] = slice(None)
        xx, xy, yy = np.moveaxis(samples[tuple(index)][..., 2:], axis, 0).transpose(2, 0, 1)
        determinant = xx * yy - xy * xy
        both = yy[:-1] * xx[1:] - 2.0 * xy[:-1] * xy[1:] + xx[:-1] * yy[1:]
        if (both > 2.0 * np.cosh(_SHAPE) * np.sqrt(determinant[:-1] * determinant[1:])).any():
            return False
    return True


def _others(index: list[slice], axis: int) -> list[slice]:
    return index[:axis] + index[axis + 1 :]
