"""Doors: V at saddles on the border of a basin, from the rays inside that basin alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.fields.assembly import started
from qpot.fields.characteristic_jets import too_rough
from qpot.fields.checks import check_memory, kink_in
from qpot.fields.grid import Grid
from qpot.fields.passages import levels_at_rests
from qpot.fields.run import FieldRun, run_rays
from qpot.fields.solve import sampled
from qpot.fields.sources import attracting_equilibrium
from qpot.problem.system import System
from qpot.solvers.fields.marching.gradients import node_gradients
from qpot.solvers.fields.marching.medium import make_medium
from qpot.solvers.fields.marching.state import NEAR_CELLS

# Rays run on to this multiple of the level up to which they are wanted, because the last of those that pass beside a saddle
# are aimed at nodes above it. A field lets them run on much further, so as to hold its last nodes from both sides.
_BEYOND = 1.2


class DoorLevels(NamedTuple):
    """V at saddles on the border of a basin.

    Attributes
    ----------
    levels : array (m,)
        V at the saddles; nan where no ray came close below the level at which V leaves the grid.
    trusted : bool
        Whether neighbouring rays agree.
    left : array of bool (d, 2)
        The faces of the grid, at the lower and the upper end of each axis, through which V leaves it first below the level
        up to which rays were followed. A grid with such a face ends at the same level, however wide it is otherwise.
    """

    levels: Array
    trusted: bool
    left: NDArray[np.bool_]


def levels_at_doors(system: System, source: Array, doors: Array, grid: Grid, *, highest: float) -> DoorLevels:
    """V at saddles on the border of the source's basin, in two or three dimensions.

    A field goes on over every saddle that it reaches, which takes most of its time where there are many basins. The rays
    of the first basin are enough for V at the saddles on its border, as long as no path to them through another basin is
    cheaper: that one is a sum of costs out of this basin and out of the other one.

    Parameters
    ----------
    system : System
    source : array (d,)
        An attracting equilibrium inside the grid.
    doors : array (m, d)
        The saddles.
    grid : Grid
    highest : float
        The level up to which rays are followed.

    Returns
    -------
    DoorLevels

    Raises
    ------
    ValueError
        As `quasipotential` raises it for the system and the source, and where drift or covariance are not smooth.
    SolveError
        If the time is over.
    """
    check_memory(grid)
    points = attracting_equilibrium(system, source, grid)[None]
    samples, constant = sampled(system, grid)
    kink = kink_in(samples, grid)
    if kink:
        raise ValueError(kink)
    run = FieldRun(system=system, grid=grid, samples=samples, constant=constant, report=_quiet, highest=highest)
    medium = make_medium(samples, grid.lower, grid.spacing, grid.periodic, constant, grid.open_faces)
    state, _ = started(run, medium, points, NEAR_CELLS)
    state.exits[0] = min(float(state.exits[0]), highest)
    run_rays(run, state, stop=_BEYOND * highest)
    inside = grid.contains(doors)
    levels = np.full(len(doors), np.nan)
    levels[inside] = levels_at_rests(run, state, doors[inside])
    levels[~(levels < float(state.exits[0]))] = np.nan
    near = (state.distance <= state.near) & np.isfinite(state.value)
    gradient = np.zeros((grid.size, grid.dimension))
    node_gradients(state.records, state.owner, near, medium, gradient)
    # Beyond the ridges lie polynomials of heads on this side only, at a few nodes.
    top = float(np.nanmax(levels, initial=-np.inf))
    value = np.where(near, state.value, np.inf)
    left = np.zeros((grid.dimension, 2), dtype=bool) if state.exits[0] >= highest else faces_left(value, grid)
    return DoorLevels(levels, not too_rough(value, gradient, near, grid, top), left)


def faces_left(value: Array, grid: Grid) -> NDArray[np.bool_]:
    """The faces through which V, inf or nan where it is not known, leaves a grid first: ``(d, 2)``, lower and upper ends.

    A field ends at the first value that any ray has brought to the boundary. Closer rays may have raised it there since, and
    then V is known up to the nodes one step inside the boundary only.
    """
    shaped = np.nan_to_num(value.reshape(grid.shape), nan=np.inf)
    least = np.full((grid.dimension, 2), np.inf)
    for depth in (0, 1):
        for axis, leaves in enumerate(grid.open_faces):
            ends = np.moveaxis(np.take(shaped, (depth, -1 - depth), axis=axis), axis, 0)
            least[axis] = np.where(leaves, ends.reshape(2, -1).min(axis=1), np.inf)
        if np.isfinite(least).any():
            break
    return np.asarray((least == least.min()) & np.isfinite(least))


def _quiet(done: int, total: int, message: str) -> None:
    del done, total, message
