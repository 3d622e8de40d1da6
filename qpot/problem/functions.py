"""A user's batch functions: points from outside are checked, those from within the library are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BatchFunction, as_points, call_batch
from qpot._core.pure import check_pure
from qpot.solvers.common.differences import central_jacobian


class PointFunction(Protocol):
    """A function of a batch of points that can be called with and without a check of the points."""

    def __call__(self, points: ArrayLike) -> Array:
        """Values at points from outside, which are converted and checked first."""
        ...

    def unchecked(self, x: Array) -> Array:
        """Values at points ``(n, d)`` that are known to be finite float64 rows."""
        ...


class CheckedFunction:
    """A user's batch function with checks; it is a class, so that it can be sent to another process.

    Its values are always checked, because solvers rely on them: a wrong shape or NaN is an error that names the function
    and the point. `unchecked` only omits the conversion of the points.
    """

    def __init__(self, function: BatchFunction, dimension: int, shape: tuple[int, ...], name: str) -> None:
        self.function, self.dimension, self.shape, self.name = function, dimension, shape, name
        self._pure = False

    def __call__(self, points: ArrayLike) -> Array:
        return self.unchecked(as_points(points, dimension=self.dimension, name=f"the argument of {self.name}"))

    def unchecked(self, x: Array) -> Array:
        values = call_batch(self.function, x, shape=self.shape, name=self.name)
        if not self._pure and len(x):
            self._pure = True
            check_pure(self.function, x, name=self.name)
        return values


class OwnFunction:
    """A function of the library that checks its points and values itself, such as the gradient of a finite sum."""

    def __init__(self, function: Callable[[ArrayLike], Array], dimension: int, name: str) -> None:
        self.function, self.dimension, self.name = function, dimension, name

    def __call__(self, points: ArrayLike) -> Array:
        return self.function(as_points(points, dimension=self.dimension, name=f"the argument of {self.name}"))

    def unchecked(self, x: Array) -> Array:
        return self.function(x)


class NoLoss:
    """The loss of a system that has none; calling it is an error that says so."""

    def __call__(self, x: Array) -> Array:
        raise ValueError("this system has no loss; build it with System.from_loss, or pass loss= to System")


class Negated:
    """Minus a function: it makes the drift of a gradient and the Jacobian of a Hessian."""

    def __init__(self, function: PointFunction) -> None:
        self.function = function

    def __call__(self, points: ArrayLike) -> Array:
        return -self.function(points)

    def unchecked(self, x: Array) -> Array:
        return -self.function.unchecked(x)


class NegatedProduct:
    """Minus a function of points and vectors, such as a Hessian-vector product."""

    def __init__(self, function: Callable[[Array, Array], Array]) -> None:
        self.function = function

    def __call__(self, points: Array, vectors: Array) -> Array:
        return -self.function(points, vectors)


class DifferencedJacobian:
    """The Jacobian of a drift by central differences."""

    def __init__(self, drift: PointFunction, dimension: int) -> None:
        self.drift, self.dimension = drift, dimension

    def __call__(self, points: ArrayLike) -> Array:
        return self.unchecked(as_points(points, dimension=self.dimension, name="the argument of jacobian"))

    def unchecked(self, x: Array) -> Array:
        return central_jacobian(self.drift.unchecked, x)


@dataclass(frozen=True, eq=False)
class UncheckedFunctions:
    """The functions of a system that solvers call, for points that are known to be finite float64 rows.

    Attributes
    ----------
    drift, jacobian, covariance : callable
        ``(n, d) -> (n, d)``, ``(n, d, d)``, ``(n, d, d)``.
    loss : callable ``(n, d) -> (n,)``
        The loss; where the system has none, a call is an error that says so.
    moments : callable ``(n, d) -> (n, d), (n, d, d)`` or None
        Drift and covariance from one pass over the samples of a finite sum; None where the system has no samples.
    """

    drift: Callable[[Array], Array]
    jacobian: Callable[[Array], Array]
    covariance: Callable[[Array], Array]
    loss: Callable[[Array], Array]
    moments: Callable[[Array], tuple[Array, Array]] | None

    def gradient(self, x: Array) -> Array:
        """Minus the drift, which is the gradient of the loss where the system declares so."""
        return np.negative(self.drift(x))
