"""FieldSolution: the quasi-potential of one attractor on a grid, with its gradient and its paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_point, as_points, format_point
from qpot._core.status import SolveError, Status
from qpot.fields.grid import Grid
from qpot.fields.methods import FieldMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.fields.hermite import interpolate


@dataclass(frozen=True, kw_only=True, eq=False)
class Passage:
    """An equilibrium from which the field goes on: a saddle on the way to another basin, or the attractor there.

    Attributes
    ----------
    point : array (d,)
    level : float
        V there.
    attracts : bool
        An attractor, not a saddle.
    before : int
        Position among the passages of the saddle from which the drift leads here; -1 if V was read off a ray.
    """

    point: Array
    level: float
    attracts: bool
    before: int


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldSolution:
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
    method : object
        The options used.
    exact_order : array of bool, the shape of the grid
        Where the value comes from a characteristic; elsewhere it was filled in to lower order.
    system : System
    passages : tuple of Passage
        Saddles and attractors beyond the source that the field goes over, lowest first.
    """

    values: Array
    gradient: Array
    grid: Grid
    source: Array
    status: Status
    error: float
    level: float
    method: FieldMethod | None
    exact_order: np.ndarray[Any, np.dtype[np.bool_]]
    system: System
    passages: tuple[Passage, ...] = ()

    def at(self, points: Any) -> Array:
        """V at points ``(n, d)`` or ``(d,)``, by cubic Hermite interpolation; ``(n,)``, nan beyond the level.

        Raises
        ------
        ValueError
            If a point lies outside the grid.
        """
        return self.jet_at(points)[0]

    def gradient_at(self, points: Any) -> Array:
        """Gradient of V, the momentum of the minimum action path, at points ``(n, d)``; nan beyond the level."""
        return self.jet_at(points)[1]

    def jet_at(self, points: Any) -> tuple[Array, Array]:
        """V and its gradient at points ``(n, d)`` at once, ``(n,)`` and ``(n, d)``."""
        x = as_points(points, dimension=self.grid.dimension, name="points")
        outside = ~self.grid.contains(x)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"points: row {row}, {format_point(x[row])}, lies outside the {self.grid}; enlarge the grid"
            )
        return interpolate(
            self.values, self.gradient, self.grid.wrap(x), self.grid.lower, self.grid.spacing, self.grid.periodic
        )

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
        from qpot.fields.walk import walk_back

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
