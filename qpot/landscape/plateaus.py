"""Degenerate rests that are no minima: from a plateau or a degenerate pass a band leads down to another minimum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.passes import IMAGES, bands_between
from qpot.landscape.points import Minimum
from qpot.landscape.scaled_loss import ScaledLoss
from qpot.problem.system import System
from qpot.solvers.landscape.band import summit

# Bands are bowed to random sides by these parts of the distance, so that none rests on a symmetry.
_BOWS = (0.03, 0.35)
# To so many points of plateaus, those next to it, a point is joined.
_NEAREST = 60


def without_passes(system: System, minima: Sequence[Minimum], lower: Array, upper: Array) -> list[Minimum]:
    """The minima of a loss without the degenerate ones from which a band leads to another minimum and never rises.

    At a degenerate pass the rates are those of a degenerate minimum: none is negative within rounding.
    """
    proper = [m for m in minima if not m.degenerate]
    if len(proper) == len(minima) or not proper or system.loss is None or not system.gradient_drift:
        return list(minima)
    scaled = ScaledLoss(system, lower, upper - lower)
    kept: list[Minimum] = []
    left_out: list[Array] = []
    rounding = 1e-12 * max(abs(m.loss - proper[0].loss) for m in minima)
    for minimum in minima:
        if minimum.degenerate and left_out and _flatly_joined(scaled, minimum.point, left_out, rounding):
            left_out.append(minimum.point)  # Many starts may rest on one plateau, of which a few points are enough.
            continue
        lower_ones = [m.point for m in proper if m.loss < minimum.loss]
        if minimum.degenerate and lower_ones:
            points = np.array([minimum.point, *lower_ones])
            bands = bands_between(scaled, points, [(0, n) for n in range(1, len(points))], _BOWS)
            if any(_never_rises(scaled, band) for band in bands):
                left_out.append(minimum.point)
                continue
        kept.append(minimum)
    return kept


def _flatly_joined(scaled: ScaledLoss, point: Array, others: Sequence[Array], rounding: float) -> bool:
    """Whether a segment from a point (d,) to one of the nearest others never rises."""
    z = (np.array([point, *others]) - scaled.lower) / scaled.size
    near = 1 + np.argsort(np.linalg.norm(z[1:] - z[0], axis=1), kind="stable")[:_NEAREST]
    z = np.concatenate([z[:1], z[near]])
    weights = np.linspace(0.0, 1.0, IMAGES)[:, None]
    heights = scaled.loss((z[0] + weights * (z[1:, None] - z[0])).reshape(-1, point.size)).reshape(near.size, IMAGES)
    return bool((heights.max(axis=1) <= heights[:, 0] + rounding).any())


def _never_rises(scaled: ScaledLoss, band: Array) -> bool:
    heights = scaled.loss(band)
    rise = 1e-9 * float(heights[0] - heights[-1])
    if heights.max() > heights[0] + rise:
        return False
    # A barrier may hide between the first images.
    first = summit(scaled.surface(), band, 0)
    return float(first.heights[first.place]) <= float(heights[0]) + rise
