"""What every stage of a field solve needs, and the loop that runs the rays in slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot.fields.grid import Grid
from qpot.problem.system import System
from qpot.solvers.fields.marching.state import SweepState, advance

# Labels handled between two reports of progress (and two chances for Ctrl-C).
SLICE = 20000
# Radius of the patch around a source and of the core in which its polynomial starts rays, in parts of the radius.
PATCH, CORE = 2.0 / 3.0, 1.0 / 3.0


@dataclass(frozen=True)
class FieldRun:
    """A field that is to be solved: what every method is given, and what every stage of one needs.

    Attributes
    ----------
    system : System
    grid : Grid
    samples : array (*shape, m)
        Drift and, unless it is constant, the upper triangle of the covariance at the nodes.
    constant : array (d, d) or None
        The covariance, where it is constant.
    report : callable
        Progress: what is done, of how much, in words.
    highest : float
        Rays end at this level.
    """

    system: System
    grid: Grid
    samples: Array
    constant: Array | None
    report: ProgressCallback
    highest: float = float("inf")


def run_rays(run: FieldRun, state: SweepState) -> None:
    """Advance the sweep until its heap holds nothing of use."""
    total = state.value.size
    while not advance(state, np.inf, SLICE):
        run.report(int(np.count_nonzero(state.owner >= 0)), total, "rays")


def boundary(grid: Grid) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The flat nodes on the boundary of the grid; periodic axes have none."""
    edge = np.zeros(grid.shape, dtype=bool)
    for axis, wraps in enumerate(grid.periodic):
        if not wraps:
            index: list[Any] = [slice(None)] * grid.dimension
            for end in (0, -1):
                index[axis] = end
                edge[tuple(index)] = True
    return edge.ravel()
