"""The highest point of a path between two minima in many dimensions, where a climb to the saddle begins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.polyline import interpolated, lengths_along

Array = NDArray[np.float64]

_IMAGES, _MOST_STEPS = 11, 400
# The string has settled when its highest loss falls by less than this share of its rise over so many steps.
_SETTLED, _WATCHED = 3e-3, 20


def highest_between(
    loss: Callable[[Array], Array], gradient: Callable[[Array], Array], start: Array, end: Array, *, step: float
) -> Array:
    """The highest image of a string that has descended as far as brings its top down.

    Parameters
    ----------
    loss, gradient : ``(n, d) -> (n,)`` and ``(n, d)``
    start, end : ``(d,)``
        Minima; the string starts as the segment between them.
    step : float
        Of the descent; below twice the inverse of the largest curvature.

    Notes
    -----
    The simplified string method: E, Ren, Vanden-Eijnden, J. Chem. Phys. 126 (2007) 164103. A few hundred steps of it end near
    a saddle, not in it: the climb along the lowest mode does that better.
    """
    shares = np.linspace(0.0, 1.0, _IMAGES)[:, None]
    images = (1.0 - shares) * start + shares * end
    before = np.inf
    for taken in range(_MOST_STEPS):
        if taken % _WATCHED == 0:
            heights = loss(images)
            top = float(heights.max())
            if before - top <= _SETTLED * (top - float(heights[[0, -1]].max())):
                break
            before = top
        images[1:-1] -= step * gradient(images[1:-1])
        lengths = lengths_along(images)
        images[1:-1] = interpolated(lengths, images, np.linspace(0.0, lengths[-1], _IMAGES)[1:-1])
    return np.array(images[1 + int(np.argmax(loss(images[1:-1])))])
