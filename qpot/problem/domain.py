"""Sides: where a system's coordinates end, and functions that are never called beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, NonFiniteError, as_points, format_point

# A domain as a user may pass it: one pair (low, high) for each coordinate, with None for an open side.
DomainLike: TypeAlias = "Sequence[tuple[float | None, float | None]] | Sides | None"


class OutsideDomainError(ValueError):
    """A point from outside the library lies beyond a side of the system's domain."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sides:
    """The box lower <= x <= upper in which a system lives; sides at infinity are open.

    Attributes
    ----------
    lower, upper : array (d,)
    """

    lower: Array
    upper: Array

    def inside(self, x: Array) -> NDArray[np.bool_]:
        """Which of the points (n, d) lie in the box; its sides belong to it."""
        return np.asarray(((x >= self.lower) & (x <= self.upper)).all(axis=1))

    def on_a_side(self, point: Array, *, relative: float = 1e-12) -> bool:
        """Whether a point (d,) lies on a finite side, within rounding."""
        slack = relative * (1.0 + np.abs(point))
        near = [np.isfinite(side) & (np.abs(point - side) <= slack) for side in (self.lower, self.upper)]
        return bool(near[0].any() or near[1].any())

    def check(self, points: Array, *, name: str) -> Array:
        """The points (n, d), or an error that names the first one that lies outside.

        Raises
        ------
        OutsideDomainError
            If a point lies outside.
        """
        outside = ~self.inside(points)
        if outside.any():
            row = points[int(np.flatnonzero(outside)[0])]
            raise OutsideDomainError(
                f"{name}: {format_point(row)} lies outside the system's domain {self!r}; functions are not called there. "
                "Move the point inside, or widen domain= of the System"
            )
        return points

    def __repr__(self) -> str:
        return " x ".join(f"[{low:g}, {high:g}]" for low, high in zip(self.lower, self.upper, strict=True))


def as_sides(domain: Any, dimension: int) -> Sides | None:
    """A user's domain as `Sides`; None where no coordinate ends.

    Raises
    ------
    ValueError
        If it is not one pair (low, high) for each coordinate with low < high.
    """
    if domain is None or isinstance(domain, Sides):
        return domain
    if hasattr(domain, "lower") and hasattr(domain, "upper"):
        pairs: Any = list(
            zip(*(np.broadcast_to(np.asarray(e, float), dimension) for e in (domain.lower, domain.upper)), strict=True)
        )
    else:
        pairs = domain
    try:
        ends = [
            (-np.inf if low is None else float(low), np.inf if high is None else float(high)) for low, high in pairs
        ]
    except (TypeError, ValueError):
        ends = []
    if len(ends) != dimension:
        raise ValueError(
            f"domain must be one (low, high) pair for each of the {dimension} coordinates, with None for an open side, such "
            f"as [(0, None)] for a population; got {domain!r}"
        )
    lower, upper = (np.array(side, dtype=np.float64) for side in zip(*ends, strict=True))
    wrong = ~(lower < upper)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"domain: low must be below high, but coordinate {i} has ({lower[i]:g}, {upper[i]:g})")
    if np.isinf(lower).all() and np.isinf(upper).all():
        return None
    return Sides(lower=lower, upper=upper)


class WithinSides:
    """One of a system's functions, which is never called outside the domain: there it is an error, as NaN is.

    Attributes
    ----------
    sides : Sides
        Differences take their steps inside these.
    """

    def __init__(self, function: Any, sides: Sides, name: str) -> None:
        self.function, self.sides, self.name = function, sides, name

    def __call__(self, points: ArrayLike) -> Array:
        d = self.sides.lower.size
        return self.unchecked(as_points(points, dimension=d, name=f"the argument of {self.name}"))

    def unchecked(self, x: Array) -> Array:
        """Values at points ``(n, d)`` that are known to be finite float64 rows."""
        refuse_outside(x, self.sides, self.name)
        return np.asarray(self.function.unchecked(x), dtype=np.float64)


class CovarianceWithin:
    """A user's covariance function, which is never called outside the domain."""

    def __init__(self, function: Callable[[Array], Any], sides: Sides) -> None:
        self.function, self.sides = function, sides

    def __call__(self, x: Array) -> Any:
        refuse_outside(x, self.sides, "covariance")
        return self.function(x)


def refuse_outside(x: Array, sides: Sides, name: str) -> None:
    """Raise the error of a value that is not finite where a point (n, d) lies outside the domain."""
    outside = ~sides.inside(x)
    if outside.any():
        point = x[int(np.flatnonzero(outside)[0])]
        raise NonFiniteError(
            f"{name} is not defined at {format_point(point)}, outside the system's domain {sides!r}; keep the points, "
            "bounds or grid inside it",
            point.copy(),
        )


def within(function: Any, sides: Sides, name: str) -> WithinSides:
    """The function with its domain; one that has it already is returned as it is."""
    return function if isinstance(function, WithinSides) else WithinSides(function, sides, name)
