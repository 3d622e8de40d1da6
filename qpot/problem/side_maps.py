"""One coordinate on a part of the line as a smooth function of one on the whole line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array

# Functions are not called closer to a side than these parts of the coordinate's size: by roots and by other maps.
_ROOT, _NEAREST = 1e-5, 1e-12
# Arguments of exponentials end here.
_MOST = 60.0


class SideMap(ABC):
    """The map x(y) of one coordinate, increasing.

    Attributes
    ----------
    faces : tuple of (float, float)
        The y of sides at which the noise vanishes like the distance, and 1 or -1 for the direction into the domain. The
        functions of y go on beyond them, the drift across them linearly and all else as a constant.
    least, most : float
        Functions are evaluated at y between these only.
    """

    faces: tuple[tuple[float, float], ...] = ()
    least: float = -np.inf
    most: float = np.inf

    @abstractmethod
    def x(self, y: Array) -> Array:
        """The coordinate."""

    @abstractmethod
    def y(self, x: Array) -> Array:
        """The inverse; infinite at sides that lie at infinity."""

    @abstractmethod
    def slope(self, y: Array) -> Array:
        """dx / dy."""

    def held(self, y: Array) -> Array:
        """The nearest y at which functions are evaluated."""
        return np.clip(y, self.least, self.most)


class Straight(SideMap):
    """x = y, for a coordinate that does not end."""

    def x(self, y: Array) -> Array:
        return y

    def y(self, x: Array) -> Array:
        return x

    def slope(self, y: Array) -> Array:
        return np.ones_like(y)


@dataclass(frozen=True)
class Mirrored(SideMap):
    """The map of a coordinate that ends above: minus that of one that ends below."""

    inner: SideMap

    @property
    def faces(self) -> tuple[tuple[float, float], ...]:  # type: ignore[override]
        return tuple((-face, -inward) for face, inward in self.inner.faces)

    @property
    def least(self) -> float:  # type: ignore[override]
        return -self.inner.most

    @property
    def most(self) -> float:  # type: ignore[override]
        return -self.inner.least

    def x(self, y: Array) -> Array:
        return -self.inner.x(-y)

    def y(self, x: Array) -> Array:
        return -self.inner.y(-x)

    def slope(self, y: Array) -> Array:
        return self.inner.slope(-y)


@dataclass(frozen=True)
class Exponential(SideMap):
    """x = side + size exp(y)."""

    side: float
    size: float
    least: float = float(np.log(_NEAREST))
    most: float = _MOST

    def x(self, y: Array) -> Array:
        return self.side + self.size * np.exp(np.minimum(y, _MOST))

    def y(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log((x - self.side) / self.size)

    def slope(self, y: Array) -> Array:
        return self.size * np.exp(np.minimum(y, _MOST))


@dataclass(frozen=True)
class Softened(SideMap):
    """x = side + size log(1 + exp(y / size)): nearly x = side + y where that is more than a few sizes from the side."""

    side: float
    size: float

    @property
    def least(self) -> float:  # type: ignore[override]
        return self.size * float(np.log(_NEAREST))

    def x(self, y: Array) -> Array:
        return self.side + self.size * np.logaddexp(0.0, y / self.size)

    def y(self, x: Array) -> Array:
        u = (x - self.side) / self.size
        with np.errstate(divide="ignore"):
            return self.size * (u + np.log(-np.expm1(-u)))

    def slope(self, y: Array) -> Array:
        return np.exp(-np.logaddexp(0.0, -y / self.size))


@dataclass(frozen=True)
class Square(SideMap):
    """x = side + size y^2, y > 0: where the noise vanishes like the distance from a side, y is its own length."""

    side: float
    size: float
    faces: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    least: float = _ROOT

    def x(self, y: Array) -> Array:
        return self.side + self.size * np.maximum(y, 0.0) ** 2

    def y(self, x: Array) -> Array:
        return np.sqrt(np.maximum(x - self.side, 0.0) / self.size)

    def slope(self, y: Array) -> Array:
        return 2.0 * self.size * np.maximum(y, 0.0)


@dataclass(frozen=True)
class Logistic(SideMap):
    """x = side + size / (1 + exp(-y)), between two sides."""

    side: float
    size: float
    least: float = float(np.log(_NEAREST))
    most: float = -float(np.log(_NEAREST))

    def x(self, y: Array) -> Array:
        return self.side + self.size * np.exp(-np.logaddexp(0.0, -y))

    def y(self, x: Array) -> Array:
        t = (x - self.side) / self.size
        with np.errstate(divide="ignore"):
            return np.log(t) - np.log1p(-t)

    def slope(self, y: Array) -> Array:
        return np.asarray(self.size * np.exp(-np.logaddexp(0.0, -y) - np.logaddexp(0.0, y)))


@dataclass(frozen=True)
class SquareBelow(SideMap):
    """x = side + size tanh(y)^2, y > 0: as `Square` at the lower side, and exponential at the upper one."""

    side: float
    size: float
    faces: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    least: float = _ROOT
    most: float = 0.5 * float(np.log(4.0 / _NEAREST))

    def x(self, y: Array) -> Array:
        return self.side + self.size * np.tanh(np.maximum(y, 0.0)) ** 2

    def y(self, x: Array) -> Array:
        t = np.maximum((x - self.side) / self.size, 0.0)
        with np.errstate(divide="ignore"):
            return np.arctanh(np.sqrt(np.minimum(t, 1.0)))

    def slope(self, y: Array) -> Array:
        t = np.tanh(np.maximum(y, 0.0))
        return np.asarray(2.0 * self.size * t / np.cosh(np.minimum(y, _MOST)) ** 2)


@dataclass(frozen=True)
class Arc(SideMap):
    """x = side + size sin(y / 2)^2, 0 < y < pi: as `Square` at both sides."""

    side: float
    size: float
    faces: tuple[tuple[float, float], ...] = ((0.0, 1.0), (float(np.pi), -1.0))
    least: float = _ROOT
    most: float = float(np.pi) - _ROOT

    def x(self, y: Array) -> Array:
        return self.side + self.size * np.sin(0.5 * np.clip(y, 0.0, np.pi)) ** 2

    def y(self, x: Array) -> Array:
        return np.asarray(2.0 * np.arcsin(np.sqrt(np.clip((x - self.side) / self.size, 0.0, 1.0))))

    def slope(self, y: Array) -> Array:
        return 0.5 * self.size * np.sin(np.clip(y, 0.0, np.pi))


def side_map(lower: float, upper: float, below: str, above: str, size: float) -> SideMap:
    """The map of a coordinate between two sides, of which one or both may be infinite.

    ``below`` and ``above`` say how the noise behaves at them: "root", "log" or "closed"; ``size`` is the typical distance
    from a side where there is one only.
    """
    if np.isinf(lower) and np.isinf(upper):
        return Straight()
    if np.isinf(lower):
        return Mirrored(side_map(-upper, np.inf, above, "closed", size))
    if np.isinf(upper):
        if below == "root":
            return Square(lower, size)
        return Exponential(lower, size) if below == "log" else Softened(lower, 0.25 * size)
    width = upper - lower
    if below == "root" and above == "root":
        return Arc(lower, width)
    if below == "root":
        return SquareBelow(lower, width)
    if above == "root":
        return Mirrored(SquareBelow(-upper, width))
    return Logistic(lower, width)
