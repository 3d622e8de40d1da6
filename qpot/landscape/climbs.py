"""Climbs to saddles of a loss: from highest points of rough bands, and out of minima along slow modes."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot._core.checkpoint import kept
from qpot.landscape.passes import bands_between, nearest_pairs
from qpot.landscape.saddle_list import Clock
from qpot.landscape.scaled_loss import ScaledLoss
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.landscape.band import peaks
from qpot.solvers.landscape.mode_following import follow_modes

# This many of the slowest modes are climbed out of each minimum, in both directions.
_MODES = 8
# The first step of a climb, as a fraction of the size of the box.
_FIRST = 0.005
# The longest step of a climb, as a fraction of the size of the box.
_LONGEST = 0.01
# So many climbs go on at once.
_AT_ONCE = 512
# Images of a rough band, its descent, and how it is bowed. The climb from its highest point does the rest.
_IMAGES, _STEPS, _BOW = 13, 60, (0.15,)


def climbed_from_bands(system: System, minima: Array, lower: Array, upper: Array, clock: Clock) -> Array:
    """The saddles to which climbs lead from the highest points of rough bands between near pairs of minima (k, d)."""
    d = system.dimension
    if len(minima) < 2 or system.loss is None:
        return np.zeros((0, d))
    scaled = ScaledLoss(system, lower, upper - lower)
    bands = bands_between(
        scaled, minima, nearest_pairs(minima / scaled.size), _BOW, images=_IMAGES, steps=_STEPS, hessians=False
    )
    levels = scaled.loss(bands.reshape(-1, d)).reshape(bands.shape[:2])
    places = [(n, k) for n, heights in enumerate(levels) for k in peaks(heights) if 0 < k < _IMAGES - 1]
    if not places:
        return np.zeros((0, d))
    # Low ones first, since the clock may end the climbs.
    places.sort(key=lambda place: float(levels[place]))
    n, k = np.array(places).T
    along = (bands[n, k + 1] - bands[n, k - 1]) * scaled.size
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-300)
    return _climbed(system, scaled.points(bands[n, k]), along, lower, upper, clock, 0.4, "climbs from bands")


def climbed_from_minima(system: System, minima: Array, lower: Array, upper: Array, clock: Clock) -> Array:
    """The saddles that climbs along the slowest modes reach from the minima (k, d), which are taken in their order."""
    size = float(np.linalg.norm(upper - lower))
    vectors = np.linalg.eigh(-system.unchecked.jacobian(minima))[1][:, :, :_MODES]
    modes = np.concatenate([vectors, -vectors], axis=2).swapaxes(1, 2)
    starts = minima[:, None] + _FIRST * size * modes
    d = system.dimension
    return _climbed(
        system, starts.reshape(-1, d), modes.reshape(-1, d), lower, upper, clock, 0.6, "climbs out of minima"
    )


def _climbed(
    system: System, starts: Array, modes: Array, lower: Array, upper: Array, clock: Clock, share: float, what: str
) -> Array:
    size = float(np.linalg.norm(upper - lower))
    drift = NaNDrift(system)
    unfinished = 0
    ends: list[Array] = [np.zeros((0, system.dimension))]
    for first in range(0, len(starts), _AT_ONCE):
        if first and clock.past(share):
            unfinished += len(starts) - first
            break
        part = slice(first, first + _AT_ONCE)
        points, found = kept(
            "climbs",
            lambda part=part: follow_modes(  # type: ignore[misc]
                lambda x: -drift(x),
                lambda x: -system.unchecked.jacobian(x),
                starts[part],
                modes[part],
                lower=lower,
                upper=upper,
                longest=_LONGEST * size,
                enough=lambda: clock.past(share),
            ),
            inputs=(starts[part], modes[part]),
        )
        ends.append(points[found])
        unfinished += int((~found).sum()) if clock.past(share) else 0
    if unfinished:
        clock.skip(f"up to {unfinished} {what}")
    return np.concatenate(ends)
