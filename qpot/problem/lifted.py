"""Results in reduced coordinates, read back in all coordinates of a system."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.system import System
from qpot.problem.units import Units
from qpot.samples.gauge_map import LinearMap
from qpot.samples.quotient import Quotient

# Hessians of more coordinates than this are not formed.
_DENSE = 2000


class Lifted(Units):
    """From reduced coordinates z to x = offset + Q z; Q has orthonormal columns.

    Parameters
    ----------
    whole : System
        The system in all coordinates.
    gauges : LinearMap
        The map Q.
    offset : array (d,)
    rate : float
        The curvature along the directions that are left out.
    """

    gauges: LinearMap
    offset: Array
    rate: float

    def __init__(self, whole: System, gauges: LinearMap, offset: Array, rate: float = 0.0) -> None:
        d = whole.dimension
        super().__init__(system=whole, centre=np.zeros(d), lengths=np.ones(d), time=1.0, noise=1.0, loss=1.0)
        for name, value in (("gauges", gauges), ("offset", offset), ("rate", rate)):
            object.__setattr__(self, name, value)

    def points(self, y: Array) -> Array:
        """Parameters ``(..., d)`` of reduced points ``(..., m)``."""
        return np.asarray(self.offset + self.directions(y), dtype=np.float64)

    def directions(self, v: Array, at: Array | None = None) -> Array:
        """Directions ``(..., d)`` of reduced ones ``(..., m)``, whose lengths they keep."""
        return _of_rows(self.gauges.lift, v)

    def momenta(self, p: Array, at: Array | None = None) -> Array:
        """Momenta ``(..., d)``; the cost does not change along the directions that were divided out."""
        return self.directions(p)

    def matrices(self, matrix: Array, at: Array | None = None) -> Array:
        """Hessians ``(d, d)`` of reduced ones ``(m, m)``, or empty ones above 2000 coordinates.

        Along the directions that are left out the curvature is ``rate``.
        """
        d = self.offset.size
        if matrix.size == 0 or d > _DENSE:
            return np.zeros((0, 0))
        half = self.directions(matrix)
        result = self.directions(np.ascontiguousarray(half.T))
        result = result + self.rate * (np.eye(d) - self.directions(self.gauges.project(np.eye(d))))
        return np.asarray(0.5 * (result + result.T))


class Projected(Units):
    """From all parameters of a model to the reduced coordinates: the way into `Lifted`."""

    def __init__(self, reduced: System, quotient: Quotient) -> None:
        m = reduced.dimension
        super().__init__(system=reduced, centre=np.zeros(m), lengths=np.ones(m), time=1.0, noise=1.0, loss=1.0)
        object.__setattr__(self, "quotient", quotient)

    quotient: Quotient

    def points(self, y: Array) -> Array:
        """Reduced points ``(..., m)``."""
        return _of_rows(self.quotient.project, y)

    def directions(self, v: Array, at: Array | None = None) -> Array:
        """Reduced unit vectors ``(..., m)``."""
        moved = self.momenta(v)
        return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True))

    def momenta(self, p: Array, at: Array | None = None) -> Array:
        """Reduced momenta ``(..., m)``."""
        return _of_rows(self.quotient.gauges.project, p)

    def matrices(self, matrix: Array, at: Array | None = None) -> Array:
        """Reduced Hessians Q^T H Q ``(m, m)``."""
        if matrix.size == 0:
            return np.zeros((0, 0))
        half = self.momenta(matrix)
        result = self.momenta(np.ascontiguousarray(half.T))
        return np.asarray(0.5 * (result + result.T))


def _of_rows(function: Callable[[Array], Array], values: Array) -> Array:
    """A linear map of rows ``(n, k)``, of values ``(..., k)``."""
    return np.reshape(function(np.reshape(values, (-1, values.shape[-1]))), (*values.shape[:-1], -1))
