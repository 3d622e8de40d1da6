"""Domains that the noise leaves: balls, boxes, half-spaces, level sets of the loss, and any smooth region."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_float_array, as_point, as_positive, own, without_wrapper
from qpot._core.types import PointLike
from qpot.paths.boundary_surfaces import LossSurface, Plane, Sphere, Surface, ZeroSet
from qpot.problem.system import System
from qpot.problem.units import Units


class Domain(ABC):
    """A domain around a minimum, which `exit_cost` leaves through its boundary."""

    @abstractmethod
    def pieces(self, system: System, minimum: Array) -> list[Surface]:
        """The smooth pieces of the boundary around the ``minimum`` (d,); each is a function that is negative inside."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ball(Domain):
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
        object.__setattr__(self, "centre", own(self.centre))

    def pieces(self, system: System, minimum: Array) -> list[Surface]:
        """One sphere."""
        if self.centre is None:
            return [Sphere(minimum, self.radius)]
        return [Sphere(as_point(self.centre, dimension=system.dimension, name="boundary.centre"), self.radius)]

    def extent(self, minimum: Array) -> Array:
        """Points (n, d) of the boundary that show its size."""
        centre = (
            minimum if self.centre is None else as_point(self.centre, dimension=minimum.size, name="boundary.centre")
        )
        return np.concatenate(
            [centre - self.radius * np.eye(minimum.size), centre + self.radius * np.eye(minimum.size)]
        )

    def in_units(self, units: Units) -> Ball | Region:
        """The same ball in the coordinates to which the units lead, which have one length, or as a region in a chart.

        Raises
        ------
        ValueError
            In a chart, if the centre is that of the minimum, which is not known here.
        """
        if units.bent:
            if self.centre is None:
                raise ValueError(f"{self!r}: pass centre= where the system has a domain")
            middle, square = np.asarray(without_wrapper(self.centre), dtype=float), self.radius**2
            return bent(lambda x: (((x - middle) ** 2).sum(axis=1) - square) / square, units)
        centre = None if self.centre is None else units.points(np.asarray(without_wrapper(self.centre), dtype=float))
        return Ball(radius=float(self.radius * units.lengths[0]), centre=centre)


@dataclass(frozen=True, kw_only=True, eq=False)
class Box(Domain):
    """The faces of the box lower <= x <= upper; in one dimension the two ends of an interval.

    Attributes
    ----------
    lower, upper : float or array (d,)
        The corners. Where a coordinate is infinite, the box has no face on that side.
    """

    lower: ArrayLike
    upper: ArrayLike

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            if np.isnan(as_float_array(getattr(self, name), name=name)).any():
                raise ValueError(
                    f"{name} must be numbers, infinite where there is no face, got {getattr(self, name)!r}"
                )
            object.__setattr__(self, name, own(getattr(self, name)))

    def pieces(self, system: System, minimum: Array) -> list[Surface]:
        """A plane for each finite face.

        Raises
        ------
        ValueError
            If no face is finite.
        """
        d = system.dimension
        lower = np.broadcast_to(as_float_array(self.lower, name="boundary.lower"), (d,))
        upper = np.broadcast_to(as_float_array(self.upper, name="boundary.upper"), (d,))
        axes = np.eye(d)
        faces = [(-axes[i], -lower[i]) for i in range(d)] + [(axes[i], upper[i]) for i in range(d)]
        planes: list[Surface] = [Plane(normal, float(offset)) for normal, offset in faces if np.isfinite(offset)]
        if not planes:
            raise ValueError(f"boundary={self!r} has no finite face: there is nothing to leave")
        return planes

    def extent(self, minimum: Array) -> Array:
        """Points (n, d) of the boundary that show its size."""
        corners = [np.broadcast_to(np.asarray(e, dtype=float), minimum.shape) for e in (self.lower, self.upper)]
        return np.array([np.where(np.isfinite(corner), corner, minimum) for corner in corners])

    def in_units(self, units: Units) -> Box:
        """The same box in the coordinates to which the units lead."""
        lower, upper = (np.asarray(e, dtype=float) for e in (self.lower, self.upper))
        if units.bent:
            return Box(**dict(zip(("lower", "upper"), units.faces(lower, upper), strict=True)))
        return Box(lower=units.points(lower), upper=units.points(upper))


@dataclass(frozen=True, kw_only=True, eq=False)
class HalfSpace(Domain):
    """The plane normal . x = offset; the noise leaves the side where normal . x is smaller.

    Attributes
    ----------
    normal : array (d,)
        Points out of the domain; its length does not matter as long as ``offset`` is in the same units.
    offset : float

    Examples
    --------
    >>> import numpy as np, qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    >>> round(qpot.exit_cost(bowl, [0.0, 0.0], boundary=qpot.HalfSpace(normal=[3.0, 4.0], offset=10.0)).cost, 8)
    4.0
    """

    normal: ArrayLike
    offset: float

    def __post_init__(self) -> None:
        _finite_number(self.offset, name="offset")
        normal = as_float_array(self.normal, name="normal")
        if normal.ndim != 1 or not np.isfinite(normal).all() or not normal.any():
            raise ValueError(f"normal must be a finite vector that is not zero, got {self.normal!r}")
        object.__setattr__(self, "normal", own(self.normal))

    def pieces(self, system: System, minimum: Array) -> list[Surface]:
        """One plane."""
        return [Plane(as_point(self.normal, dimension=system.dimension, name="boundary.normal"), float(self.offset))]

    def extent(self, minimum: Array) -> Array:
        """The point (1, d) of the plane that is nearest to the minimum."""
        normal = as_point(self.normal, dimension=minimum.size, name="boundary.normal")
        return np.asarray((minimum + (self.offset - normal @ minimum) / (normal @ normal) * normal)[None])

    def in_units(self, units: Units) -> HalfSpace | Region | Box:
        """The same plane in the coordinates to which the units lead."""
        if units.bent:
            return _half_space_in_a_chart(np.asarray(self.normal, dtype=float), float(self.offset), units)
        normal = np.asarray(self.normal, dtype=float) / units.lengths
        return HalfSpace(normal=normal, offset=float(self.offset + normal @ units.centre))


@dataclass(frozen=True, kw_only=True, eq=False)
class LossLevel(Domain):
    """The part of the level set {loss = level} around the minimum.

    Attributes
    ----------
    level : float
        A value of the loss above that of the minimum.
    """

    level: float

    def __post_init__(self) -> None:
        _finite_number(self.level, name="level")

    def in_units(self, units: Units) -> LossLevel:
        """The same level in the units of the loss to which the units lead."""
        return LossLevel(level=units.loss * self.level)

    def pieces(self, system: System, minimum: Array) -> list[Surface]:
        """One level set.

        Raises
        ------
        ValueError
            If the system has no loss.
        """
        if system.loss is None:
            raise ValueError("boundary is a level of the loss, but the system has none; build it with System.from_loss")
        return [LossSurface(system, float(self.level), minimum)]


@dataclass(frozen=True, eq=False)
class Region(Domain):
    """The domain g(x) <= 0 around the minimum, for any smooth function g.

    Attributes
    ----------
    g : callable (n, d) -> (n,)
        Negative inside; it crosses zero with a slope.
    gradient : callable (n, d) -> (n, d), optional
        The gradient of g; None takes differences.

    Examples
    --------
    An ellipse of half-axes 2 and 1:

    >>> import numpy as np, qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    >>> ellipse = qpot.Region(lambda x: x[:, 0] ** 2 / 4 + x[:, 1] ** 2 - 1)
    >>> round(qpot.exit_cost(bowl, [0.0, 0.0], boundary=ellipse).cost, 8)
    1.0
    """

    g: Callable[[Array], Array]
    gradient: Callable[[Array], Array] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.g):
            raise ValueError(f"g must be a function of a batch of points (n, d), got {self.g!r}")
        if self.gradient is not None and not callable(self.gradient):
            raise ValueError(f"gradient must be a function of a batch of points (n, d) or None, got {self.gradient!r}")

    def pieces(self, system: System, minimum: Array) -> list[Surface]:
        """One zero set."""
        return [ZeroSet(self.g, self.gradient, minimum)]

    def in_units(self, units: Units) -> Region:
        """The same domain in the coordinates to which the units lead."""
        if units.bent:
            return bent(self.g, units)
        g, gradient, centre, lengths = self.g, self.gradient, units.centre, units.lengths

        def moved(x: Array) -> Array:
            return g((x - centre) / lengths)

        def moved_gradient(x: Array) -> Array:
            assert gradient is not None
            return gradient((x - centre) / lengths) / lengths

        return Region(g=moved, gradient=None if gradient is None else moved_gradient)


def bent(g: Callable[[Array], Array], units: Units) -> Region:
    """The region g <= 0 in the coordinates of a chart; g is called inside the system's domain only."""
    return Region(g=lambda y: g(units.positions(y)))


def _half_space_in_a_chart(normal: Array, offset: float, units: Units) -> Region | Box:
    """A half-space, which is a box with one face where its normal is along an axis."""
    axes = np.flatnonzero(normal)
    if axes.size > 1:
        return bent(lambda x: (x @ normal - offset) / np.linalg.norm(normal), units)
    i = int(axes[0])
    lower, upper = np.full(normal.size, -np.inf), np.full(normal.size, np.inf)
    (upper if normal[i] > 0 else lower)[i] = offset / normal[i]
    low, high = units.faces(lower, upper)
    return Box(lower=low, upper=high)


def _finite_number(value: object, *, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")


def surfaces(system: System, boundary: Domain | str, minimum: Array) -> list[Surface]:
    """The smooth pieces of a boundary around a ``minimum`` (d,).

    Raises
    ------
    ValueError
        If the minimum is not inside, or the boundary is of an unknown kind.
    """
    if not isinstance(boundary, Domain):
        raise ValueError(
            "boundary must be a qpot.Ball, qpot.Box, qpot.HalfSpace, qpot.LossLevel, qpot.Region or 'basin', got "
            f"{boundary!r}"
        )
    pieces = boundary.pieces(system, minimum)
    for piece in pieces:
        value = float(piece.value(minimum[None])[0])
        if not value < 0.0:
            raise ValueError(
                f"the minimum {minimum.tolist()} is not inside the boundary {boundary!r}; enlarge the domain or raise the "
                "level"
            )
    return pieces
