"""The two sides of a summit: points below it, whose basins say what a pass joins, and whether a rim hides before them."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from qpot._core.arrays import Array
from qpot.landscape.scaled_loss import ScaledLoss
from qpot.solvers.common.polyline import lengths_along
from qpot.solvers.landscape.band import Summit

# Points beside a pass lie below it by these parts of the climb. The basin of the last says which minimum it leads to.
_BELOW = 10.0 ** -np.arange(8.0, 1.0, -1.0)
# So many points of each piece of a curve are looked at for rims, which are higher than the summit by this part of the climb.
_DENSELY, _HIGHER = 256, 1e-4


def points_beside(scaled: ScaledLoss, top: Summit, side: int) -> tuple[Array, float] | None:
    """Points (m, d) ever farther below a summit on one side, and how high the summit is above that side's valley."""
    part = slice(top.place, None, side)
    curve, heights = top.curve[part], top.heights[part]
    climb = float(heights[0] - heights.min())
    if not climb > 0.0 or len(curve) < 2:
        return None
    found = []
    for share in _BELOW:
        k = int(np.argmax(heights <= heights[0] - share * climb))
        inner, outer = curve[k - 1], curve[k]
        # The loss is taken to fall along the piece between the two; a bisection finds where it has fallen enough.
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = 0.5 * (low + high)
            fallen = scaled.loss((inner + middle * (outer - inner))[None])[0] <= heights[0] - share * climb
            low, high = (low, middle) if fallen else (middle, high)
        found.append(inner + high * (outer - inner))
    return np.array(found), climb


def rises(scaled: ScaledLoss, top: Summit, side: int, point: Array, climb: float) -> bool:
    """Whether the loss rises above a summit on the way to a point (d,) of `points_beside`, on one side of it."""
    part = slice(top.place, None, side)
    level = float(scaled.loss(point[None])[0])
    k = int(np.argmax(top.heights[part] <= level))
    # A spline, since the chords of a curved band rise above it; two nodes more hold its end.
    nodes = top.curve[part][: k + 3]
    lengths = lengths_along(nodes)
    keep = np.concatenate([[True], np.diff(lengths) > 0.0])
    t = np.interp(np.linspace(0.0, k, _DENSELY * k + 1), np.arange(len(lengths)), lengths)
    fits = keep.sum() > 3
    way = (
        CubicSpline(lengths[keep], nodes[keep])(t) if fits else np.stack([np.interp(t, lengths, x) for x in nodes.T], 1)
    )
    return bool(scaled.loss(way).max() > float(top.heights[top.place]) + _HIGHER * climb + 2.0 * top.error)
