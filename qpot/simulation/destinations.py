"""Where an escape begins and where it may end: the home minimum, and balls around the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_float_array, format_point
from qpot.landscape.basins import Neighbourhoods, attracting_neighbourhoods, basin_of
from qpot.problem.system import System
from qpot.samples.formulas import Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class Destinations:
    """The minimum that is left, and the others, which are reached within ``radii`` of them."""

    # The neighbourhoods of all minima.
    near: Neighbourhoods
    home: int
    others: Integers  # (k - 1,) numbers of the minima that can be reached
    radii: Array  # (k - 1,) their radii

    @classmethod
    def of(cls, system: System, start: Array, minima: Any, radius: Any, *, event: str) -> Destinations:
        """Find the home of ``start`` ``(n, d)``; ValueError if it has none or several, or if no other minimum is left."""
        near = attracting_neighbourhoods(system, minima)
        k = near.points.shape[0]
        if k < 2:
            raise ValueError(f"minima holds {k} minimum; {event} needs another one to go to")
        home = _home_of(system, start, near, minima)
        radii = near.radii if radius is None else _radii_of(radius, k)
        others = np.delete(np.arange(k), home)
        return cls(near=near, home=home, others=others, radii=radii[others])

    @property
    def centre(self) -> Array:
        """The home minimum ``(d,)``."""
        return np.asarray(self.near.points[self.home])

    @property
    def points(self) -> Array:
        """The minima that can be reached, ``(k - 1, d)``."""
        return self.near.points[self.others]

    def at_home(self, system: System, points: Array) -> NDArray[np.bool_]:
        """Say which of the points flow to the home minimum."""
        return np.asarray(basin_of(system, points, self.near.points, neighbourhoods=self.near) == self.home)

    def check_apart(self, start: Array) -> None:
        """ValueError for a start that lies within the radius of another minimum."""
        distance = np.linalg.norm(start[:, None] - self.points, axis=2)
        if (distance <= self.radii).any():
            row, column = np.argwhere(distance <= self.radii)[0]
            raise ValueError(
                f"start {format_point(start[row])} is within radius={self.radii[column]:.3g} of "
                f"minima[{self.others[column]}], which it is to travel to; pass a smaller radius"
            )


def _radii_of(radius: Any, k: int) -> Array:
    """One radius for each of the ``k`` minima, ``(k,)``."""
    radii = as_float_array(radius, name="radius")
    if radii.ndim > 1 or (radii.ndim == 1 and radii.shape != (k,)) or not (radii > 0).all():
        raise ValueError(f"radius must be one positive number or one for each of the {k} minima, got {radius!r}")
    return np.broadcast_to(radii, (k,))


def _home_of(system: System, start: Array, near: Neighbourhoods, minima: Any) -> int:
    """The minimum in whose basin all starts lie; ValueError where there is none, or more than one."""
    rows = np.unique(start, axis=0)
    labels = basin_of(system, rows, minima, neighbourhoods=near)
    if (labels < 0).any():
        raise ValueError(
            f"start {format_point(rows[int(np.argmin(labels))])} flows to none of the minima; pass the missing minimum"
        )
    if np.unique(labels).size > 1:
        raise ValueError(f"start lies in the basins of minima {np.unique(labels).tolist()}; measure one at a time")
    return int(labels[0])
