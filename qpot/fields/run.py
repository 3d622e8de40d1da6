"""FieldRun: what every stage of a field solve needs, and the loop that runs the sweep in slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.fields.grid import Grid
from qpot.problem.system import System
from qpot.solvers.common.spending import spent
from qpot.solvers.fields.marching.state import SweepState, advance

# So many labels are handled between two reports of progress; only there Ctrl-C is noticed.
SLICE = 20000
# The size of the patch around a source, in units of the sweep's radius.
PATCH = 2.0 / 3.0
# The size of the core of a source, in which its polynomial is trusted to start rays, in the same units.
CORE = 1.0 / 3.0


@dataclass(frozen=True)
class FieldRun:
    """A field that is to be solved, as every method and every stage of a method is given it.

    Attributes
    ----------
    system : System
    grid : Grid
    samples : array (*shape, m)
        Drift at the nodes and, unless the covariance is constant, its upper triangle: m is d or d + d (d + 1) / 2.
    constant : array (d, d) or None
        The covariance if it is constant.
    report : callable
        Takes the number of nodes done, the number of all nodes, and what is being done, in words.
    highest : float
        The sweep ends at this level of V.
    """

    system: System
    grid: Grid
    samples: Array
    constant: Array | None
    report: ProgressCallback
    highest: float = float("inf")


def run_rays(run: FieldRun, state: SweepState, stop: float = np.inf) -> None:
    """Advance the sweep until no label below the exit level, and the overrun above it, or below ``stop`` is left.

    Raises
    ------
    SolveError
        If the time is over, see `qpot.solvers.common.spending`.
    """
    total = state.value.size
    while not advance(state, stop, SLICE):
        if spent():
            raise unfinished()
        run.report(int(np.count_nonzero(state.owner >= 0)), total, "rays")


def unfinished() -> SolveError:
    """The error of a field whose time is over."""
    return SolveError(f"the field is not finished: {Status.BUDGET}", status=Status.BUDGET)


def boundary(grid: Grid) -> NDArray[np.bool_]:
    """Which of the flat nodes lie on the boundary of the grid, ``(n,)`` of bool; periodic axes and
    closed faces are none."""
    edge = np.zeros(grid.shape, dtype=bool)
    for axis, pair in enumerate(grid.open_faces):
        index: list[slice | int] = [slice(None)] * grid.dimension
        for end in np.array([0, -1])[pair]:
            index[axis] = int(end)
            edge[tuple(index)] = True
    return edge.ravel()
