"""A user's batch functions: checked where points come in from outside, called directly from within."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from qpot._core.arrays import Array, BatchFunction, as_points, call_batch
from qpot.solvers.common.differences import central_jacobian


class PointFunction(Protocol):
    """A function of a batch of points that has a checked and an unchecked way in."""

    def __call__(self, points: Any) -> Array:
        """Values at points from outside: they are converted and checked first."""
        ...

    def unchecked(self, x: Array) -> Array:
        """Values at points ``(n, d)`` that are known to be finite float64 rows."""
        ...


class CheckedFunction:
    """A user's batch function (a class, so that it can be sent to a process).

    The values are looked at on either way in, because solvers rely on it: a wrong shape or NaN is an error that names the
    function and the point. Only the points are not converted again from within.
    """

    def __init__(self, function: BatchFunction, dimension: int, shape: tuple[int, ...], name: str) -> None:
        self.function, self.dimension, self.shape, self.name = function, dimension, shape, name

    def __call__(self, points: Any) -> Array:
        return self.unchecked(as_points(points, dimension=self.dimension, name=f"the argument of {self.name}"))

    def unchecked(self, x: Array) -> Array:
        return call_batch(self.function, x, shape=self.shape, name=self.name)


class OwnFunction:
    """A function of the library's own that looks at its values itself: those of a finite sum, for example."""

    def __init__(self, function: Callable[[Any], Array], dimension: int, name: str) -> None:
        self.function, self.dimension, self.name = function, dimension, name

    def __call__(self, points: Any) -> Array:
        return self.function(as_points(points, dimension=self.dimension, name=f"the argument of {self.name}"))

    def unchecked(self, x: Array) -> Array:
        return self.function(x)


class NoLoss:
    """Stands where a system has no loss."""

    def __call__(self, x: Array) -> Array:
        raise ValueError("this system has no loss; build it with System.from_loss, or pass loss= to System")


class Negated:
    """Minus a function: the drift of a gradient, the Jacobian of a Hessian."""

    def __init__(self, function: PointFunction) -> None:
        self.function = function

    def __call__(self, points: Any) -> Array:
        return -self.function(points)

    def unchecked(self, x: Array) -> Array:
        return -self.function.unchecked(x)


class NegatedProduct:
    """Minus a function of points and vectors."""

    def __init__(self, function: Callable[[Array, Array], Array]) -> None:
        self.function = function

    def __call__(self, points: Array, vectors: Array) -> Array:
        return -self.function(points, vectors)


class DifferencedJacobian:
    """The Jacobian of a drift by central differences."""

    def __init__(self, drift: PointFunction, dimension: int) -> None:
        self.drift, self.dimension = drift, dimension

    def __call__(self, points: Any) -> Array:
        return self.unchecked(as_points(points, dimension=self.dimension, name="the argument of jacobian"))

    def unchecked(self, x: Array) -> Array:
        return central_jacobian(self.drift.unchecked, x)


@dataclass(frozen=True, eq=False)
class UncheckedFunctions:
    """What solvers call: the functions of a system, for points that are known to be good.

    Attributes
    ----------
    drift, jacobian, covariance : callable
        ``(n, d) -> (n, d)``, ``(n, d, d)``, ``(n, d, d)``.
    loss : callable ``(n, d) -> (n,)``
        Where the system has no loss, an error that says so.
    moments : callable ``(n, d) -> (n, d), (n, d, d)`` or None
        Drift and covariance from one pass over the samples of a finite sum; None where there are none.
    """

    drift: Callable[[Array], Array]
    jacobian: Callable[[Array], Array]
    covariance: Callable[[Array], Array]
    loss: Callable[[Array], Array]
    moments: Callable[[Array], tuple[Array, Array]] | None

    def gradient(self, x: Array) -> Array:
        """Minus the drift: the gradient of the loss, where the drift is declared as one."""
        return np.negative(self.drift(x))
