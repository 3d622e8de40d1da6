"""A system's functions in coordinates without sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, NonFiniteError, as_points
from qpot.problem.domain import Sides
from qpot.problem.matrix_products import MatrixProducts, nowhere_singular
from qpot.problem.noise import Noise, Products
from qpot.problem.operators import DENSE
from qpot.problem.side_maps import SideMap


class ChartCoordinates:
    """Coordinates y on the whole space, with one map x_i(y_i) for each."""

    def __init__(self, maps: Sequence[SideMap], lower: Array, upper: Array) -> None:
        self.maps = tuple(maps)
        self.sides = Sides(lower=lower, upper=upper)
        # Rounding must not put points on a side, where functions need not be finite.
        self.lower, self.upper = (
            np.where(np.isfinite(side), np.nextafter(side, -towards), side)
            for side, towards in ((lower, -np.inf), (upper, np.inf))
        )

    def points(self, y: Array) -> Array:
        """The positions x (..., d); faces are mapped onto sides."""
        return np.stack([m.x(y[..., i]) for i, m in enumerate(self.maps)], axis=-1)

    def back(self, x: Array) -> Array:
        """The coordinates y of positions (..., d)."""
        return np.stack([m.y(x[..., i]) for i, m in enumerate(self.maps)], axis=-1)

    def held(self, y: Array) -> Array:
        """The nearest y at which functions are evaluated."""
        return np.stack([m.held(y[..., i]) for i, m in enumerate(self.maps)], axis=-1)

    def slopes(self, y: Array) -> Array:
        """dx_i / dy_i (..., d), not zero."""
        h = self.held(y)
        return np.stack([m.slope(h[..., i]) for i, m in enumerate(self.maps)], axis=-1)

    def inner(self, y: Array) -> Array:
        """The positions (n, d) at which functions are evaluated, all inside."""
        return np.clip(self.points(self.held(y)), self.lower, self.upper)

    def beyond(self, y: Array) -> Array:
        """Factors (n, d) by which the drift in y goes on linearly next to a face and beyond it; 1 elsewhere."""
        factors = np.ones_like(y)
        held = self.held(y)
        for i, m in enumerate(self.maps):
            for face, inward in m.faces:
                near = inward * (y[:, i] - held[:, i]) < 0.0
                at = np.where(near, held[:, i] - face, 1.0)
                factors[:, i] = np.where(near, (y[:, i] - face) / at, factors[:, i])
        return factors

    @property
    def faces(self) -> tuple[tuple[int, float, float], ...]:
        """The axes and values y of faces, at which the noise across vanishes in x, and the directions into the domain."""
        return tuple((i, face, inward) for i, m in enumerate(self.maps) for face, inward in m.faces)


class ChartFunction:
    """The drift or the loss of a system in coordinates without sides."""

    def __init__(self, function: Callable[[Array], Array], coordinates: ChartCoordinates, name: str) -> None:
        self.function, self.coordinates, self.name = function, coordinates, name

    def __call__(self, points: ArrayLike) -> Array:
        d = len(self.coordinates.maps)
        return self.unchecked(as_points(points, dimension=d, name=f"the argument of {self.name}"))

    def unchecked(self, y: Array) -> Array:
        """Values at points ``(n, d)`` that are known to be finite float64 rows."""
        values = evaluated(self.function, self.coordinates, y)
        if self.name == "drift":
            values = values / self.coordinates.slopes(y) * self.coordinates.beyond(y)
        return np.asarray(values, dtype=np.float64)


class ChartNoise(Noise):
    """The Gaussian noise of a system in coordinates without sides, to leading order."""

    def __init__(self, function: Callable[[Array], Array], coordinates: ChartCoordinates) -> None:
        self.function, self.coordinates = function, coordinates
        self.faces = coordinates.faces

    def covariance(self, x: Array) -> Array:
        slopes = self.coordinates.slopes(x)
        a = evaluated(self.function, self.coordinates, x)
        return np.asarray(a / slopes[:, :, None] / slopes[:, None, :], dtype=np.float64)

    def products(self, dimension: int) -> Products:
        return MatrixProducts(self.covariance).products()

    def products_suffice(self, points: Array) -> bool:
        return points.shape[1] <= DENSE and nowhere_singular(self.covariance, points)


def evaluated(function: Callable[[Array], Array], coordinates: ChartCoordinates, y: Array) -> Array:
    """A function of x at points y (n, d); an error's point is given in y too."""
    try:
        # Far out the squares of coordinates overflow before the coordinates do; the values are then an error, as always.
        with np.errstate(over="ignore", invalid="ignore"):
            return function(coordinates.inner(y))
    except NonFiniteError as error:
        raise NonFiniteError(str(error), coordinates.back(error.point)) from error
