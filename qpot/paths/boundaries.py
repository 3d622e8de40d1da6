"""Boundaries of domains that the noise leaves: a ball, a box, a level set of the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from qpot._core.arrays import Array, NonFiniteError, as_float_array, as_point, as_positive, without_wrapper
from qpot._core.types import PointLike
from qpot.problem.system import System
from qpot.problem.units import Units
from qpot.solvers.common.differences import central_jacobian

# A search along a direction for the surface gives up at this multiple of the reach that it was told.
_FARTHEST = 1e6


@dataclass(frozen=True, kw_only=True, eq=False)
class Ball:
    """The sphere |x - centre| = radius around the minimum, or around another centre.

    Attributes
    ----------
    radius : float
    centre : array (d,), optional
        None is the minimum that the noise leaves.
    """

    radius: float
    centre: PointLike | None = None

    def __post_init__(self) -> None:
        as_positive(self.radius, name="radius")

    def extent(self, minimum: Array) -> Array:
        """Points (n, d) of the boundary that show its size."""
        centre = (
            minimum if self.centre is None else as_point(self.centre, dimension=minimum.size, name="boundary.centre")
        )
        return np.concatenate(
            [centre - self.radius * np.eye(minimum.size), centre + self.radius * np.eye(minimum.size)]
        )

    def in_units(self, units: Units) -> Ball:
        """The same ball in the coordinates to which the units lead, which have one length."""
        centre = None if self.centre is None else units.points(np.asarray(without_wrapper(self.centre), dtype=float))
        return Ball(radius=float(self.radius * units.lengths[0]), centre=centre)


@dataclass(frozen=True, kw_only=True, eq=False)
class Box:
    """The faces of the box lower <= x <= upper; in one dimension the two ends of an interval.

    Attributes
    ----------
    lower, upper : float or array (d,)
        The corners. Where a coordinate is infinite, the box has no face on that side.
    """

    lower: ArrayLike
    upper: ArrayLike

    def extent(self, minimum: Array) -> Array:
        """Points (n, d) of the boundary that show its size."""
        corners = [np.broadcast_to(np.asarray(e, dtype=float), minimum.shape) for e in (self.lower, self.upper)]
        return np.array([np.where(np.isfinite(corner), corner, minimum) for corner in corners])

    def in_units(self, units: Units) -> Box:
        """The same box in the coordinates to which the units lead."""
        lower, upper = (np.asarray(e, dtype=float) for e in (self.lower, self.upper))
        return Box(lower=units.points(lower), upper=units.points(upper))


@dataclass(frozen=True, kw_only=True, eq=False)
class LossLevel:
    """The part of the level set {loss = level} around the minimum.

    Attributes
    ----------
    level : float
        A value of the loss above that of the minimum.
    """

    level: float

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not np.isscalar(self.level) or not np.isfinite(self.level):
            raise ValueError(f"level must be a finite number, got {self.level!r}")

    def in_units(self, units: Units) -> LossLevel:
        """The same level in the units of the loss to which the units lead."""
        return LossLevel(level=units.loss * self.level)


class Surface(ABC):
    """One smooth piece of a boundary: the zeros of a function that is negative on the minimum's side."""

    @abstractmethod
    def value(self, x: Array) -> Array:
        """The function (n,) at points (n, d)."""

    @abstractmethod
    def normal(self, x: Array) -> Array:
        """Gradient (d,) of `value` at one point (d,)."""

    def curvature(self, x: Array) -> Array:
        """Hessian (d, d) of `value` at one point (d,)."""
        return np.asarray(central_jacobian(lambda points: np.stack([self.normal(y) for y in points]), x[None])[0])

    def crossing(self, origin: Array, direction: Array, reach: float) -> Array | None:
        """The first point of the surface from ``origin`` along ``direction`` (d,), or None if none is found.

        The search looks at growing distances, the first a twentieth of ``reach``; it also ends where the function is
        not finite.
        """
        inside = 0.0
        t = 0.05 * reach
        while t < _FARTHEST * reach:
            try:
                outside = float(self.value((origin + t * direction)[None])[0])
            except NonFiniteError:
                return None
            if outside >= 0.0:

                def along(s: float) -> float:
                    return float(self.value((origin + s * direction)[None])[0])

                return np.asarray(origin + brentq(along, inside, t, xtol=1e-15 * t, rtol=1e-15) * direction)
            inside, t = t, 1.15 * t
        return None

    def projected(self, x: Array) -> Array:
        """The point of the surface near ``x`` (d,), by Newton's method along the normal."""
        for _ in range(20):
            value, n = float(self.value(x[None])[0]), self.normal(x)
            step = value / float(n @ n)
            x = x - step * n
            if abs(step) * np.linalg.norm(n) <= 1e-15 * (1.0 + np.abs(x).max()):
                break
        return x


class _Sphere(Surface):
    def __init__(self, centre: Array, radius: float) -> None:
        self.centre, self.radius = centre, radius

    def value(self, x: Array) -> Array:
        return np.asarray(((x - self.centre) ** 2).sum(axis=1) - self.radius**2)

    def normal(self, x: Array) -> Array:
        return 2.0 * (x - self.centre)


class _Face(Surface):
    def __init__(self, axis: int, at: float, side: float) -> None:
        self.axis, self.at, self.side = axis, at, side

    def value(self, x: Array) -> Array:
        return np.asarray(self.side * (x[:, self.axis] - self.at))

    def normal(self, x: Array) -> Array:
        n = np.zeros_like(x)
        n[self.axis] = self.side
        return n


class _Level(Surface):
    def __init__(self, system: System, level: float) -> None:
        assert system.loss is not None
        self.system, self.loss, self.level = system, system.loss, level

    def value(self, x: Array) -> Array:
        return self.loss(x) - self.level

    def normal(self, x: Array) -> Array:
        if self.system.gradient_drift:
            return np.asarray(self.system.unchecked.gradient(x[None])[0])
        return np.asarray(central_jacobian(self.loss, x[None])[0])


def surfaces(system: System, boundary: Ball | Box | LossLevel | str, minimum: Array) -> list[Surface]:
    """The smooth pieces of a boundary around a ``minimum`` (d,).

    Raises
    ------
    ValueError
        If the minimum is not inside, or the boundary is of an unknown kind.
    """
    d = system.dimension
    if isinstance(boundary, Ball):
        centre = minimum if boundary.centre is None else as_point(boundary.centre, dimension=d, name="boundary.centre")
        pieces: list[Surface] = [_Sphere(centre, boundary.radius)]
    elif isinstance(boundary, Box):
        lower = np.broadcast_to(as_float_array(boundary.lower, name="boundary.lower"), (d,))
        upper = np.broadcast_to(as_float_array(boundary.upper, name="boundary.upper"), (d,))
        faces = [(i, lower[i], -1.0) for i in range(d)] + [(i, upper[i], 1.0) for i in range(d)]
        pieces = [_Face(i, float(at), side) for i, at, side in faces if np.isfinite(at)]
        if not pieces:
            raise ValueError(f"boundary={boundary!r} has no finite face: there is nothing to leave")
    elif isinstance(boundary, LossLevel):
        if system.loss is None:
            raise ValueError("boundary is a level of the loss, but the system has none; build it with System.from_loss")
        pieces = [_Level(system, float(boundary.level))]
    else:
        raise ValueError(f"boundary must be a qpot.Ball, qpot.Box, qpot.LossLevel or 'basin', got {boundary!r}")
    for piece in pieces:
        value = float(piece.value(minimum[None])[0])
        if not value < 0.0:
            raise ValueError(
                f"the minimum {minimum.tolist()} is not inside the boundary {boundary!r}; enlarge the domain or raise the "
                "level"
            )
    return pieces
