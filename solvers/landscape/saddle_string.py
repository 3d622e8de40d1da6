"""Strings between two minima, from whose highest points climbs to saddles start."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.polyline import interpolated, lengths_along

Array = NDArray[np.float64]

# The string has this many images, the two minima included.
_IMAGES = 11
# The descent of the string is ended after this many steps.
_MOST_STEPS = 400
# The string has settled when its highest loss falls by less than this fraction of its height above the minima.
_SETTLED = 3e-3
# That is checked after every so many steps.
_WATCHED = 20


def highest_between(
    loss: Callable[[Array], Array], gradient: Callable[[Array], Array], start: Array, end: Array, *, step: float
) -> Array:
    """The highest inner image (d,) of a string that has descended until its highest loss no longer falls.

    The arguments are those of `settled_string`.
    """
    images = settled_string(loss, gradient, start, end, step=step)
    return np.array(images[1 + int(np.argmax(loss(images[1:-1])))])


def settled_string(
    loss: Callable[[Array], Array],
    gradient: Callable[[Array], Array],
    start: Array,
    end: Array,
    *,
    step: float,
    count: int = _IMAGES,
) -> Array:
    """The images (count, d) of a string that has descended until its highest loss no longer falls.

    Parameters
    ----------
    loss, gradient : callable ``(n, d) -> (n,)`` and ``(n, d) -> (n, d)``
    start, end : array (d,)
        Two minima; the string starts as the segment between them.
    step : float
        The step of the descent, which must be below twice the inverse of the largest curvature.
    count : int
        The number of images, the two minima included.

    Notes
    -----
    This is the simplified string method of E, Ren, Vanden-Eijnden, J. Chem. Phys. 126 (2007) 164103. A few hundred of its
    steps end near a saddle and not at it, since a climb along the lowest mode covers the rest of the way faster.
    """
    shares = np.linspace(0.0, 1.0, count)[:, None]
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
        images[1:-1] = interpolated(lengths, images, np.linspace(0.0, lengths[-1], count)[1:-1])
    return images
