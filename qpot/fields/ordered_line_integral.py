"""OrderedLineIntegral: the field by one pass over the nodes in the order of V, by straight pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive
from qpot._core.status import Status
from qpot.fields.assembly import as_field, marched, started
from qpot.fields.methods import FieldMethod
from qpot.fields.run import PATCH, FieldRun
from qpot.fields.solution import FieldSolution
from qpot.solvers.fields.marching.gradients import node_gradients
from qpot.solvers.fields.marching.medium import make_medium

# The radius of the sweep that only writes the polynomial of the source, in cells.
_PATCH_RADIUS = 3.0


@dataclass(frozen=True, kw_only=True)
class OrderedLineIntegral(FieldMethod):
    """One pass of ordered line integrals (midpoint rule), of first order.

    The method is robust and independent of `CharacteristicJets`, so that it can serve as a check of it.

    Parameters
    ----------
    radius : int or None
        The length in cells, at least 2, of the longest straight piece; None lets the solver choose it from the grid.
    highest : float or None
        The highest V that is wanted; the pass ends there, and V above it is nan.

    Notes
    -----
    Dahiya and Cameron, "Ordered line integral methods for computing the quasi-potential", J. Sci. Comput. 75 (2018)
    1351. Close to the source V is the Taylor polynomial of third degree there.

    Examples
    --------
    >>> OrderedLineIntegral(radius=8)
    OrderedLineIntegral(radius=8, highest=None)
    """

    radius: int | None = None
    highest: float | None = None

    def __post_init__(self) -> None:
        if self.radius is not None:
            as_count(self.radius, name="radius", minimum=2)
        if self.highest is not None:
            as_positive(self.highest, name="highest")

    def solve(self, run: FieldRun, source: Array) -> FieldSolution:
        """Compute V in one pass from the patch around the source up to the exit level; no error is estimated."""
        grid = run.grid
        d = grid.dimension
        medium = make_medium(run.samples, grid.lower, grid.spacing, grid.periodic, run.constant, grid.open_faces)
        state, patch = started(run, medium, source, _PATCH_RADIUS)
        known = np.isfinite(state.distance) & (state.distance <= PATCH * state.near)
        value = np.where(known, state.value, np.inf)
        gradient = np.zeros((grid.size, d))
        node_gradients(state.records, state.owner, known, medium, gradient)
        # Short pieces lose causality where the drift rotates fast, and long ones cut corners. The best length balances
        # the two; in cells it grows like the square root of the number of nodes on an axis.
        radius = self.radius or max(4, round((8 if d == 2 else 4) * (max(grid.shape) / 129.0) ** 0.5))
        highest = np.inf if self.highest is None else self.highest
        result = marched(run, medium, value, gradient, known, radius, highest)
        return as_field(run, result, patch, float("nan"), self)

    def failure(self, field: FieldSolution) -> str:
        """The message for a ``field`` whose status is not CONVERGED: what it means, and what helps."""
        if field.status is not Status.NOT_CONVERGED:
            return super().failure(field)
        return f"V comes out negative on the {field.grid}, which does not resolve it; use more nodes or a smaller grid"
