"""A system's functions in other coordinates and units."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, NonFiniteError, as_points
from qpot.problem.matrix_products import MatrixProducts, nowhere_singular
from qpot.problem.noise import Noise, Products
from qpot.problem.operators import DENSE

# Points are looked at within so many lengths of the centre; their rounding is that of the farthest.
_REACH = 64.0


class Coordinates(NamedTuple):
    """Coordinates y with x = centre + lengths y, ``(d,)`` each."""

    centre: Array
    lengths: Array

    def points(self, y: Array) -> Array:
        """The positions x."""
        return np.asarray(self.centre + self.lengths * y, dtype=np.float64)

    def back(self, x: Array) -> Array:
        """The coordinates y of positions."""
        return np.asarray((x - self.centre) / self.lengths, dtype=np.float64)

    @property
    def spacing(self) -> Array:
        """The distance of neighbouring y whose x differ, a power of two; zero where nothing is rounded."""
        farthest = np.abs(self.centre) + _REACH * self.lengths
        return np.where(self.centre == 0.0, 0.0, np.spacing(farthest) / self.lengths)


class RescaledFunction:
    """One of a system's functions in other units.

    Attributes
    ----------
    spacing : array (d,)
        The distance of neighbouring points that the user's coordinates can tell apart, a power of two; zero where the
        centre is zero and nothing is rounded.
    """

    def __init__(self, function: Callable[[Array], Array], coordinates: Coordinates, left: Array, name: str) -> None:
        self.function, self.coordinates, self.left, self.name = function, coordinates, left, name
        self.spacing = coordinates.spacing

    def __call__(self, points: ArrayLike) -> Array:
        d = self.coordinates.centre.size
        return self.unchecked(as_points(points, dimension=d, name=f"the argument of {self.name}"))

    def unchecked(self, y: Array) -> Array:
        """Values at points ``(n, d)`` that are known to be finite float64 rows."""
        try:
            values = self.function(self.coordinates.points(y))
        except NonFiniteError as error:
            # The message names the point as the user knows it.
            raise NonFiniteError(str(error), self.coordinates.back(error.point)) from error
        return np.asarray(values * self.left, dtype=np.float64)


class RescaledMoments:
    """Drift and covariance in other units, from one evaluation of both."""

    def __init__(
        self, both: Callable[[Array], tuple[Array, Array]], drift: RescaledFunction, covariance: RescaledFunction
    ) -> None:
        self.both, self.coordinates, self.spacing = both, drift.coordinates, drift.spacing
        self.left = drift.left, covariance.left

    def __call__(self, y: Array) -> tuple[Array, Array]:
        try:
            drift, covariance = self.both(self.coordinates.points(y))
        except NonFiniteError as error:
            raise NonFiniteError(str(error), self.coordinates.back(error.point)) from error
        return drift * self.left[0], covariance * self.left[1]


class RescaledNoise(Noise):
    """Gaussian noise whose covariance matrices are those of a system in other units."""

    def __init__(self, function: RescaledFunction, moments: RescaledMoments | None = None) -> None:
        self.function, self.spacing, self.moments = function, function.spacing, moments

    def with_faces(self, faces: tuple[tuple[int, float, float], ...]) -> RescaledNoise:
        """The same noise with the ``faces`` of the noise that is rescaled, which are given in its coordinates."""
        c = self.function.coordinates
        self.faces = tuple((i, float((y - c.centre[i]) / c.lengths[i]), inward) for i, y, inward in faces)
        return self

    def covariance(self, x: Array) -> Array:
        return self.function.unchecked(x)

    def products(self, dimension: int) -> Products:
        return MatrixProducts(self.function.unchecked).products()

    def products_suffice(self, points: Array) -> bool:
        return points.shape[1] <= DENSE and nowhere_singular(self.covariance, points)
