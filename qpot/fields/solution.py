"""FieldSolution: the quasi-potential of one attractor on a grid, with its gradient and its paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import as_point, format_point
from qpot._core.status import SolveError, Status
from qpot.fields.values import FieldValues
from qpot.fields.walk import walk_back
from qpot.paths.solution import PathSolution


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldSolution(FieldValues):
    """The quasi-potential V(source, x) on a grid.

    Attributes
    ----------
    values : array, the shape of the grid
        V at the nodes, without epsilon; nan beyond the level where V first leaves the grid.
    gradient : array (*shape, d)
        Its gradient.
    grid : Grid
    source : array (d,) or (n, d)
        The attracting equilibrium, or points along the attracting limit cycle.
    status : Status
    error : float
        Estimate of max |V - exact| over the nodes; nan if it was not asked for.
    level : float
        The level at which the sublevel set of V first touches the boundary of the grid (inf on a torus).
    method : FieldMethod or None
        The method with the options used; None for a quadrature in one dimension.
    exact_order : array of bool, the shape of the grid
        Where the value comes from a characteristic; elsewhere it was filled in to lower order.
    system : System
    passages : tuple of Passage
        Saddles and attractors beyond the source that the field goes over, lowest first.
    """

    status: Status
    level: float
    exact_order: np.ndarray[Any, np.dtype[np.bool_]]

    def path_to(self, point: Any, *, throw: bool = True) -> PathSolution:
        """The minimum action path from the source to ``point``, found by walking back along the characteristic.

        Parameters
        ----------
        point : array (d,)
        throw : bool
            Raise where the walk fails; otherwise return what there is, with its status.

        Returns
        -------
        PathSolution
            ``action`` is the action of the curve itself, by quadrature along it; ``error`` compares it with V.

        Raises
        ------
        ValueError
            If the point lies outside the grid.
        SolveError
            With ``status`` LEFT_DOMAIN beyond the level, NOT_CONVERGED if the walk does not reach the source.
        """
        solution = walk_back(self, as_point(point, dimension=self.grid.dimension, name="point"))
        if throw and solution.status is not Status.CONVERGED:
            raise SolveError(
                f"path to {format_point(point)}: {solution.status}", status=solution.status, partial=solution
            )
        return solution

    def __repr__(self) -> str:
        known = int(np.isfinite(self.values).sum())
        return (
            f"FieldSolution({self.grid}, V up to {self.level:.6g} on {known} of {self.grid.size} nodes, "
            f"error about {self.error:.1g}, {self.status.name.lower()})"
        )
