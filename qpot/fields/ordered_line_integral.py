"""OrderedLineIntegral: the field by one pass of straight pieces over the nodes, in the order of V."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_count
from qpot.fields.assembly import as_field, marched, started
from qpot.fields.methods import FieldMethod
from qpot.fields.run import PATCH, FieldRun
from qpot.fields.solution import FieldSolution
from qpot.solvers.fields.marching.gradients import node_gradients
from qpot.solvers.fields.marching.state import make_medium

# Radius, in cells, within which the polynomial at the source may be used.
_PATCH_RADIUS = 3.0


@dataclass(frozen=True, kw_only=True)
class OrderedLineIntegral(FieldMethod):
    """One pass of ordered line integrals (midpoint rule); first order, robust, an independent second opinion.

    Parameters
    ----------
    radius : int or None
        Length, in cells, of the longest straight last piece; None lets the solver choose from the grid.

    Notes
    -----
    Dahiya and Cameron, J. Sci. Comput. 75 (2018) 1351: ordered line integral methods for the quasi-potential.

    Examples
    --------
    >>> OrderedLineIntegral(radius=8)
    OrderedLineIntegral(radius=8)
    """

    radius: int | None = None

    def __post_init__(self) -> None:
        if self.radius is not None:
            as_count(self.radius, name="radius", minimum=2)

    def solve(self, run: FieldRun, source: Array) -> FieldSolution:
        """One pass from the patch around the source to the level at which V leaves the grid."""
        grid = run.grid
        d = grid.dimension
        medium = make_medium(run.samples, grid.lower, grid.spacing, grid.periodic, run.constant)
        state, patch = started(run, medium, source, _PATCH_RADIUS)
        known = np.isfinite(state.distance) & (state.distance <= PATCH * state.near)
        value = np.where(known, state.value, np.inf)
        gradient = np.zeros((grid.size, d))
        node_gradients(state.records, state.owner, known, medium, gradient)
        # short pieces lose causality where the drift turns fast, long ones cut corners: the optimum grows like sqrt(nodes)
        radius = self.radius or max(4, round((8 if d == 2 else 4) * (max(grid.shape) / 129.0) ** 0.5))
        result = marched(run, medium, value, gradient, known, radius, np.inf)
        return as_field(run, result, patch, float("nan"), self)
