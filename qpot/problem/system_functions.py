"""A system's functions as it keeps them: the covariance with checks, both moments at once, and functions checked once."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BatchFunction, as_points
from qpot.problem.charted import ChartFunction
from qpot.problem.domain import WithinSides
from qpot.problem.functions import CheckedFunction, DifferencedJacobian, Negated, OwnFunction, PointFunction
from qpot.problem.noise import Noise
from qpot.problem.rescaled import RescaledFunction


class CovarianceAt:
    """`System.covariance`: the covariance of the noise at points from outside."""

    def __init__(self, noise: Noise, matrices: Callable[[Array], Array], dimension: int) -> None:
        self.noise, self.matrices, self.dimension = noise, matrices, dimension

    def __call__(self, points: ArrayLike) -> Array:
        return self.matrices(as_points(points, dimension=self.dimension, name="the argument of covariance"))


class Moments:
    """Drift and covariance of a system, from one pass over the samples where the noise is that of a finite sum."""

    def __init__(self, noise: Noise, drift: PointFunction) -> None:
        self.noise, self.drift = noise, drift

    def __call__(self, x: Array) -> tuple[Array, Array]:
        if self.noise.samples is None:
            return self.drift.unchecked(x), self.noise.covariance(x)
        gradient, covariance = self.noise.samples.moments(x)
        return -gradient, covariance


def checked(
    function: BatchFunction | PointFunction, dimension: int, shape: tuple[int, ...], name: str
) -> PointFunction:
    """A user's function with checks; one that has them already is returned as it is."""
    if isinstance(
        function,
        (CheckedFunction, Negated, OwnFunction, DifferencedJacobian, RescaledFunction, ChartFunction, WithinSides),
    ):
        return function
    return CheckedFunction(function, dimension, shape, name)
