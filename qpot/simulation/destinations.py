"""Where an escape begins and where it may end: the home minimum, and balls around the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_float_array, format_point
from qpot.landscape.basins import Neighbourhoods, attracting_neighbourhoods, basin_of
from qpot.landscape.images import with_images
from qpot.landscape.symmetry import Symmetry, as_symmetry
from qpot.problem.system import System
from qpot.samples.formulas import Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class Destinations:
    """The minimum that is left, and the others, which are reached within ``radii`` of them.

    Modulo symmetries a minimum is a class of images: a replica that comes to an image of its own minimum has not escaped,
    and one that comes to any image of another one has.
    """

    # The minima as they were given, one of each class.
    minima: Array
    # The neighbourhoods of all minima, with their images.
    near: Neighbourhoods
    classes: Integers  # (n,) the minimum whose image each neighbourhood belongs to
    home: int
    centre: Array  # (d,) the image of the home minimum that is left
    points: Array  # (m, d) the images that can be reached
    others: Integers  # (m,) the minima to which they belong
    radii: Array  # (m,) their radii
    copies: Array  # (c, d) the other images of the home minimum

    @classmethod
    def of(
        cls,
        system: System,
        start: Array,
        minima: Any,
        radius: Any,
        *,
        event: str,
        symmetries: Symmetry | None = None,
    ) -> Destinations:
        """Find the home of ``start`` ``(n, d)``; ValueError if it has none or several, or if no other minimum is left."""
        near = attracting_neighbourhoods(system, minima)
        given, k = near.points, near.points.shape[0]
        if k < 2:
            raise ValueError(f"minima holds {k} minimum; {event} needs another one to go to")
        radii = near.radii if radius is None else _radii_of(radius, k)
        classes = np.arange(k)
        if symmetries is not None:
            reach = np.full(system.dimension, np.abs(given).max())
            group = as_symmetry(symmetries, system, -reach, reach)
            assert group is not None  # It was given.
            near, classes = with_images(near, group)
        place = _home_of(system, start, near, classes)
        home = int(classes[place])
        away = classes != home
        copies = ~away
        copies[place] = False
        return cls(
            minima=given,
            near=near,
            classes=classes,
            home=home,
            centre=near.points[place],
            points=near.points[away],
            others=classes[away],
            radii=radii[classes[away]],
            copies=near.points[copies],
        )

    def at_home(self, system: System, points: Array) -> NDArray[np.bool_]:
        """Say which of the points flow to the home minimum, or to an image of it."""
        labels = basin_of(system, points, self.near.points, neighbourhoods=self.near)
        return np.asarray((labels >= 0) & (self.classes[labels] == self.home))

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
    if np.asarray(radius).dtype.kind == "b" or not np.isfinite(radii).all():
        raise ValueError(
            f"radius must be finite and positive, one number or one for each of the {k} minima, got {radius!r}"
        )
    if radii.ndim > 1 or (radii.ndim == 1 and radii.shape != (k,)) or not (radii > 0).all():
        raise ValueError(f"radius must be one positive number or one for each of the {k} minima, got {radius!r}")
    return np.broadcast_to(radii, (k,))


def _home_of(system: System, start: Array, near: Neighbourhoods, classes: Integers) -> int:
    """The neighbourhood whose minimum all starts flow to; ValueError where there is none, or more than one minimum."""
    rows = np.unique(start, axis=0)
    labels = basin_of(system, rows, near.points, neighbourhoods=near)
    if (labels < 0).any():
        raise ValueError(
            f"start {format_point(rows[int(np.argmin(labels))])} flows to none of the minima; pass the missing minimum"
        )
    if np.unique(classes[labels]).size > 1:
        raise ValueError(
            f"start lies in the basins of minima {np.unique(classes[labels]).tolist()}; measure one at a time"
        )
    return int(labels[0])
