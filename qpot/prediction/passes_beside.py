"""Passes beside a minimum, or beside an image of one, as they are seen from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.symmetry import Symmetry, apply


def passes_beside(
    minima: Sequence[Minimum], saddles: Sequence[Saddle], group: Symmetry | None, number: int, end: Array
) -> list[tuple[Saddle, Array]]:
    """The images of passes that border the basin of ``end`` (d,), an image of the minimum with this number.

    Returns
    -------
    list of (Saddle, array (d,))
        Every pass, whose direction points to ``end``, and the minimum, or image of one, on its other side. Where elements of
        the group map ``end`` to itself, it has further images of the same passes beside it, which are not listed.
    """
    x = minima[number].point
    element = (np.arange(x.size), np.ones(x.size)) if group is None else group.align(x, end)
    found = []
    for saddle in saddles:
        for side in (0, 1):
            other = saddle.connects[1 - side]
            if saddle.connects[side] != number or other is None:
                continue
            view = None if saddle.views is None else saddle.views[side]
            if view is None:
                point, away = saddle.point, minima[other].point
                direction = saddle.direction if side == 0 else -saddle.direction
            else:
                point, direction, away = view.point, view.direction, view.away
            image = replace(
                saddle,
                point=apply(element, point),
                direction=apply(element, direction),
                connects=(number, other),
                views=None,
                below=None,
            )
            found.append((image, apply(element, away)))
    return found
