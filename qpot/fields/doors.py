"""Doors: V at saddles on the border of a basin, from the rays inside that basin alone."""

from __future__ import annotations

import numpy as np

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


def levels_at_doors(system: System, source: Array, doors: Array, grid: Grid, *, highest: float) -> tuple[Array, bool]:
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
    levels : array (m,)
        V at the saddles; nan where no ray came close below the level at which V leaves the grid.
    trusted : bool
        Whether neighbouring rays agree.

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
    medium = make_medium(samples, grid.lower, grid.spacing, grid.periodic, constant)
    state, _ = started(run, medium, points, NEAR_CELLS)
    state.exits[0] = min(float(state.exits[0]), highest)
    run_rays(run, state)
    inside = grid.contains(doors)
    levels = np.full(len(doors), np.nan)
    levels[inside] = levels_at_rests(run, state, doors[inside])
    levels[~(levels < float(state.exits[0]))] = np.nan
    near = (state.distance <= state.near) & np.isfinite(state.value)
    gradient = np.zeros((grid.size, grid.dimension))
    node_gradients(state.records, state.owner, near, medium, gradient)
    # Beyond the ridges lie polynomials of heads on this side only, at a few nodes.
    top = float(np.nanmax(levels, initial=-np.inf))
    return levels, not too_rough(np.where(near, state.value, np.inf), gradient, near, grid, top)


def _quiet(done: int, total: int, message: str) -> None:
    del done, total, message
