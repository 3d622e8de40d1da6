"""FieldSolution: the quasi-potential of one attractor on a grid, with its gradient and its paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_point, format_point
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot.fields.tables import SourceTables
from qpot.fields.values import FieldValues
from qpot.fields.walk import walk_back
from qpot.paths.solution import PathSolution


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldSolution(FieldValues, SourceTables, Saved):
    """The quasi-potential V(source, x) on a grid.

    Attributes
    ----------
    values : array, the shape of the grid
        V at the nodes, without epsilon; nan where V is above ``level``.
    gradient : array (*shape, d)
        The gradient of V; nan in the same places.
    grid : Grid
        The nodes.
    source : array (d,) or (n, d)
        The attracting equilibrium, or points along the attracting limit cycle.
    status : Status
        CONVERGED if the field can be relied on; see `quasipotential` for the other values.
    error : float
        Estimate of max |V - exact| over the nodes; nan if it was not asked for.
    errors : array, the shape of the grid
        Estimate of |V - exact| at every node: inf where the value is doubtful, finite ones at most ``error``, nan where V is
        nan. Without an estimate, and in files of older releases, they are nan where the value is not doubtful.
    level : float
        The level up to which V is known: that at which its sublevel set first touches the boundary of the grid, where
        no lower one was asked for; the highest value where V does not leave the grid (on a torus).
    method : FieldMethod or None
        The method with the options used; None in one dimension, where V is a quadrature.
    exact_order : array of bool, the shape of the grid
        Whether the value is of the method's full order. With `CharacteristicJets` it is true where the value comes from
        the polynomial of a ray and where a gap between such nodes was bridged by a cubic, and false where the node was
        filled by line integrals, and where the value is doubtful: no chain of neighbours carries it from the source, or a
        path undercuts it (``docs/field.md``, stage 7). With `OrderedLineIntegral` it is true only close to the source; in
        one dimension it is true everywhere.
    system : System
        The system whose quasi-potential this is.
    charted : tuple or None
        Where the system's coordinates end: the field in coordinates without sides, and the chart that leads from them.
    passages : tuple of Passage
        The saddles, attractors and unstable limit cycles beyond the source from which the field goes on, the lowest
        first.
    """

    status: Status
    level: float
    exact_order: NDArray[np.bool_]
    charted: Any = None
    errors: Array = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.errors is None:
            object.__setattr__(self, "errors", np.full(self.grid.shape, np.nan))

    def path_to(self, point: ArrayLike, *, throw: bool = True) -> PathSolution:
        """The minimum action path from the source to ``point``, found by following the characteristic backwards.

        Parameters
        ----------
        point : array (d,)
            The end of the path.
        throw : bool
            Whether to raise `SolveError` if the path does not reach the source; otherwise the part that was found is
            returned with its status.

        Returns
        -------
        PathSolution
            Its ``action`` is that of the curve itself, by quadrature along it. Its ``error`` is the difference between
            this action and V at the point, plus the error of the field.

        Raises
        ------
        ValueError
            If the point lies outside the grid.
        SolveError
            With ``status`` LEFT_DOMAIN if V is not known at the point, NOT_CONVERGED if the path does not reach the
            source. Its ``partial`` is the part that was found.
        """
        end = as_point(point, dimension=self.grid.dimension, name="point")
        solution = walk_back(self, end) if self.charted is None else self._in_chart(end)
        if throw and solution.status is not Status.CONVERGED:
            raise SolveError(
                f"path to {format_point(end)}: {solution.status}", status=solution.status, partial=solution
            )
        return solution

    def _in_chart(self, end: Array) -> PathSolution:
        """The path in coordinates without sides, read back."""
        field, chart = self.charted
        y = np.clip(chart.inverse(field.system).points(end), field.grid.lower, field.grid.upper)
        solution: PathSolution = chart.read(field.path_to(y, throw=False))
        return solution

    def __repr__(self) -> str:
        known = int(np.isfinite(self.values).sum())
        return (
            f"FieldSolution({self.grid}, V up to {self.level:.6g} on {known} of {self.grid.size} nodes, "
            f"error about {self.error:.1g}, {self.status.name.lower()})"
        )
