"""Periods: the axes on which drift and noise repeat, and the one cell in which points are kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot.problem.system import System
from qpot.problem.units import Units

# Points within this part of a period of the cell's edge lie at its lower one.
_EDGE = 5e-7
# Values one period apart are the same if they differ by less than this part of the largest ones.
_EQUAL = 1e-6
# At so many points functions are compared with their values one period further.
_PLACES = 8
# All neighbouring cells are looked at on up to so many periodic axes, and on more of them those behind one face.
_ALL_CELLS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Periods:
    """The lattice of a torus, or of a cylinder where some axes are open: points that differ by whole periods are one.

    A trajectory is followed in R^d and never wrapped; only the point at which it ends is moved into the cell.

    Attributes
    ----------
    lower : array (d,)
        The corner of the cell.
    lengths : array (d,)
        The period of each axis, infinite where the axis is open.

    Examples
    --------
    >>> import numpy as np
    >>> cylinder = Periods(lower=np.zeros(2), lengths=np.array([1.0, np.inf]))
    >>> cylinder.wrap(np.array([[2.25, 7.0], [-0.25, 7.0]]))
    array([[0.25, 7.  ],
           [0.75, 7.  ]])
    >>> cylinder.shortest(np.array([0.75, 7.0]))
    array([-0.25,  7.  ])
    """

    lower: Array
    lengths: Array

    @property
    def closed(self) -> NDArray[np.bool_]:
        """Which axes repeat, ``(d,)``."""
        return np.isfinite(self.lengths)

    @property
    def upper(self) -> Array:
        """The corner of the cell opposite to ``lower``; infinite where the axis is open."""
        return self.lower + self.lengths

    def shifts(self, points: Array) -> Array:
        """The whole periods by which points ``(..., d)`` lie away from the cell."""
        shifts = np.zeros_like(points)
        c = self.closed
        shifts[..., c] = np.floor((points[..., c] - self.lower[c]) / self.lengths[c] + _EDGE) * self.lengths[c]
        return shifts

    def wrap(self, points: Array) -> Array:
        """The images of points ``(..., d)`` in the cell."""
        return np.asarray(points - self.shifts(points))

    def turns(self, offsets: Array) -> Array:
        """The whole periods in offsets ``(..., d)``, to the nearest one."""
        shifts = np.zeros_like(offsets)
        c = self.closed
        shifts[..., c] = np.rint(offsets[..., c] / self.lengths[c]) * self.lengths[c]
        return shifts

    def shortest(self, offsets: Array) -> Array:
        """The shortest of the offsets ``(..., d)`` between the images of two points."""
        return np.asarray(offsets - self.turns(offsets))

    def cells(self) -> Array:
        """The shifts ``(n, d)`` to the cell itself, which comes first, and to its neighbours."""
        d, axes = self.lengths.size, np.flatnonzero(self.closed)
        n = axes.size
        steps = list(itertools.product((0, 1, -1), repeat=n)) if n <= _ALL_CELLS else _behind_faces(n)
        shifts = np.zeros((len(steps), d))
        shifts[:, axes] = np.array(steps) * self.lengths[axes]
        return shifts

    def pairs(self, points: Array, scale: Array) -> tuple[Array, Array, NDArray[np.int64]]:
        """The ways between the points ``(k, d)`` and their images in neighbouring cells, the shortest first.

        Of ways that are images of one another one is kept.

        Returns
        -------
        starts, ends : arrays (n, d)
            Starts lie in the cell.
        ids : array (n, 2)
            The places in ``points`` of both ends.
        """
        k, found = len(points), []
        for shift in self.cells():
            first = tuple(np.sign(shift))
            for i, j in itertools.product(range(k), repeat=2):
                if i < j or (i == j and first > (0.0,) * shift.size):
                    found.append((float(np.linalg.norm((points[j] + shift - points[i]) / scale)), i, j, shift))
        found.sort(key=lambda way: way[0])
        ids = np.array([(i, j) for _, i, j, _ in found], dtype=np.int64).reshape(-1, 2)
        shifts = np.array([shift for *_, shift in found]).reshape(-1, points.shape[1])
        return points[ids[:, 0]], points[ids[:, 1]] + shifts, ids

    def distinct(self, points: Array, scale: Array, *, tolerance: float) -> list[int]:
        """The places of points ``(n, d)`` that are no images of one kept before, with distances in units of ``scale``."""
        kept: list[int] = []
        for n, point in enumerate(points):
            away = np.linalg.norm(self.shortest(points[kept] - point) / scale, axis=1)
            if not (away <= tolerance).any():
                kept.append(n)
        return kept

    def cell(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """The corners of a box with the cell's edges on closed axes.

        Raises
        ------
        ValueError
            If the box does not hold exactly one period there.
        """
        size = upper - lower
        wrong = np.flatnonzero(self.closed & ~np.isclose(size, np.where(self.closed, self.lengths, size), rtol=1e-9))
        if wrong.size:
            n = int(wrong[0])
            raise ValueError(
                f"bounds: axis {n} is periodic with the period {self.lengths[n]:.9g} of the minima, but the bounds "
                f"({lower[n]:.9g}, {upper[n]:.9g}) are {size[n]:.9g} apart; pass exactly one period"
            )
        return self.cell_of(lower, upper)

    def cell_of(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """The corners of a box with the cell's edges on closed axes, whatever the box has there."""
        return np.where(self.closed, self.lower, lower), np.where(self.closed, self.upper, upper)

    def beyond(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """The corners of a box with the neighbouring cells on both sides."""
        margin = np.where(self.closed, self.lengths, 0.0)
        return lower - margin, upper + margin

    def in_units(self, units: Units) -> Periods:
        """The same lattice in the coordinates to which the units lead."""
        return Periods(lower=units.points(self.lower), lengths=units.lengths * self.lengths)


def _behind_faces(n: int) -> list[tuple[int, ...]]:
    """The cell itself and the cells behind one of its faces, on n axes."""
    faces = np.concatenate([np.zeros((1, n)), np.eye(n), -np.eye(n)]).astype(int)
    return [tuple(step) for step in faces.tolist()]


def as_periods(periodic: bool | Sequence[bool] | None, system: System, lower: Array, upper: Array) -> Periods | None:
    """The lattice of the axes that ``periodic`` names, one period of which lies between the corners; None without any.

    Raises
    ------
    ValueError
        If ``periodic`` is not one bool, or one for each axis, or if drift, covariance or loss do not repeat.
    """
    if periodic is None:
        return None
    d = system.dimension
    given: Any = [periodic] * d if isinstance(periodic, (bool, np.bool_)) else periodic
    given = list(given) if isinstance(given, (list, tuple, np.ndarray)) else []
    if len(given) != d or not all(isinstance(p, (bool, np.bool_)) for p in given):
        raise ValueError(f"periodic={periodic!r} must be one bool or one for each of the {d} axes")
    closed = np.array(given, dtype=bool)
    if not closed.any():
        return None
    periods = Periods(lower=np.array(lower), lengths=np.where(closed, upper - lower, np.inf))
    _refuse_aperiodic(system, periods, upper - lower)
    return periods


def periods_of(minima: Any) -> Periods | None:
    """The lattice on which minima were found; None where there is none, or where only points are given."""
    items = [minima] if hasattr(minima, "point") else minima
    return next((p for item in items if (p := getattr(item, "periods", None)) is not None), None)


def refuse_both(symmetries: Any, periods: Periods | None) -> None:
    """Refuse symmetries together with periodic axes."""
    if symmetries is not None and periods is not None:
        raise ValueError(
            "symmetries and periodic cannot be combined; leave out the symmetries, images then count as minima of their own"
        )


def on_lattice(minima: Sequence[Any], periods: Periods | None) -> list[Any]:
    """The minima, which are moved into the cell and know their lattice."""
    if periods is None:
        return list(minima)
    return [replace(m, point=periods.wrap(m.point), periods=periods) for m in minima]


def _refuse_aperiodic(system: System, periods: Periods, size: Array) -> None:
    """Compare drift, covariance and loss at random points with their values one period further along each closed axis."""
    points = periods.lower + size * np.random.default_rng(0).uniform(size=(_PLACES, size.size))
    functions = [("drift", system.unchecked.drift), ("covariance", system.unchecked.covariance)]
    if not system.noise.matrices:
        functions.pop()
    if system.loss is not None:
        functions.append(("loss", system.unchecked.loss))
    for name, function in functions:
        try:
            here = np.asarray(function(points))
            spread = float(np.abs(here - here.mean(axis=0)).max()) if name == "loss" else float(np.abs(here).max())
            for axis in np.flatnonzero(periods.closed):
                step = np.zeros_like(size)
                step[axis] = periods.lengths[axis]
                there = np.asarray(function(points + step))
                off = np.abs(there - here).reshape(len(points), -1).max(axis=1)
                n = int(off.argmax())
                if off[n] > _EQUAL * spread + 1e-12 * float(np.abs(here).max()):
                    raise _aperiodic(name, int(axis), points[n], points[n] + step, here[n], there[n])
        except NonFiniteError:
            continue  # The searches leave out such places, and say so.


def _aperiodic(name: str, axis: int, point: Array, image: Array, here: Array, there: Array) -> ValueError:
    shown = (format_point(np.ravel(here)), format_point(np.ravel(there)))
    remedy = "; bounds must hold exactly one period of a periodic axis"
    if name == "loss":
        remedy = (
            "; give the drift instead of the loss if only the gradient repeats (a tilted loss), or correct the period"
        )
    return ValueError(
        f"periodic: the {name} does not repeat along axis {axis}: it is {shown[0]} at {format_point(point)} and {shown[1]} "
        f"at {format_point(image)}, one period of {image[axis] - point[axis]:.6g} further{remedy}"
    )
