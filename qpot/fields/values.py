"""FieldValues: V and its gradient at the nodes of a grid, between them, and the passages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_points, format_point
from qpot.fields.grid import Grid
from qpot.problem.system import System
from qpot.solvers.fields.hermite import interpolate


@dataclass(frozen=True, kw_only=True, eq=False)
class Passage:
    """A saddle, an attractor or an unstable limit cycle beyond the source, from which the field goes on.

    A field goes over a saddle, or in the plane over an unstable limit cycle, into another basin, and on from the
    attractor there.

    Attributes
    ----------
    point : array (d,) or (n, 2)
        The saddle or the attracting equilibrium; or points along the limit cycle, whether it attracts or not.
    level : float
        V at the passage.
    attracts : bool
        True for an attractor; false for a saddle and for an unstable limit cycle.
    before : int
        For an attractor to which a free descent leads, the position in ``passages`` of the saddle or the unstable cycle
        from which it comes; -1 where V was read off a ray.
    """

    point: Array
    level: float
    attracts: bool
    before: int


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldValues:
    """V and its gradient at the nodes of a grid and between them, and the passages.

    Attributes
    ----------
    values : array, the shape of the grid
        V at the nodes, without epsilon; nan where V is above the exit level.
    gradient : array (*shape, d)
        The gradient of V; nan in the same places.
    grid : Grid
        The nodes.
    source : array (d,) or (n, d)
        The attracting equilibrium, or points along the attracting limit cycle.
    error : float
        Estimate of max |V - exact| over the nodes; nan if it was not asked for.
    method : FieldMethod or None
        The method with the options used; None in one dimension, where V is a quadrature.
    system : System
        The system whose quasi-potential this is.
    passages : tuple of Passage
        The saddles, attractors and unstable limit cycles beyond the source from which the field goes on, the lowest
        first.
    """

    values: Array
    gradient: Array
    grid: Grid
    source: Array
    error: float
    method: object
    system: System
    passages: tuple[Passage, ...] = ()

    def at(self, points: ArrayLike) -> Array:
        """V at points ``(n, d)`` or ``(d,)``, by cubic Hermite interpolation: ``(n,)``, nan above the exit level.

        Raises
        ------
        ValueError
            If a point lies outside the grid.
        """
        return self.jet_at(points)[0]

    def gradient_at(self, points: ArrayLike) -> Array:
        """The gradient of V, which is the momentum of the minimum action path, at points ``(n, d)`` or ``(d,)``.

        Returns
        -------
        array (n, d)
            The derivative of the interpolant of `at`; nan above the exit level.

        Raises
        ------
        ValueError
            If a point lies outside the grid.
        """
        return self.jet_at(points)[1]

    def jet_at(self, points: ArrayLike) -> tuple[Array, Array]:
        """V ``(n,)`` and its gradient ``(n, d)`` at the same points, as `at` and `gradient_at` return them.

        Raises
        ------
        ValueError
            If a point lies outside the grid.
        """
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
