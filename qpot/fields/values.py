"""FieldValues: the numbers of a quasi-potential on a grid, and what lies between the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_points, format_point
from qpot.fields.grid import Grid
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
class FieldValues:
    """V and its gradient on a grid, between its nodes, and the equilibria that it goes over.

    Attributes
    ----------
    values : array, the shape of the grid
        V at the nodes, without epsilon; nan beyond the level where V first leaves the grid.
    gradient : array (*shape, d)
        Its gradient.
    grid : Grid
    source : array (d,) or (n, d)
        The attracting equilibrium, or points along the attracting limit cycle.
    error : float
        Estimate of max |V - exact| over the nodes; nan if it was not asked for.
    method : FieldMethod or None
        The method with the options used; None for a quadrature in one dimension.
    system : System
    passages : tuple of Passage
        Saddles and attractors beyond the source that the field goes over, lowest first.
    """

    values: Array
    gradient: Array
    grid: Grid
    source: Array
    error: float
    method: object
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
