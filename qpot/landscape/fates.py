"""Fates: whether the flow carries a point to one minimum, certainly elsewhere, or is not known to do either."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.landscape.basins import FAR, Journey, attracting_neighbourhoods, follow
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.common.spending import spending, spent
from qpot.solvers.landscape.closed_orbits import ClosedOrbit, closed_orbit_near, orbit_points
from qpot.solvers.landscape.flow import AT_REST, LEFT, NON_FINITE, OUT_OF_TIME

HOME, ELSEWHERE, UNDECIDED = range(3)

# Points that are undecided after the usual steps are given this many more.
STEPS = 10_000
# A point rests where Newton's method would move it by less than this part of its distance from the minimum.
_REST = 1e-4
# A part of the drift below this part of the fastest rate times the distance is rounding, as along a flat valley.
_ROUNDING = 1e-14
# A step of this part of the distance along the flow, behind which the drift is not finite, ends a trajectory.
_BRINK = 1e-8
# Trajectories that come to no end are held against closed orbits for so many CPU seconds.
_SECONDS = 3.0
# A trajectory has come to a closed orbit within this part of the orbit's extent, at one of so many points of the orbit.
_ON_IT, _POINTS = 1e-2, 512


def fates(system: System, points: Array, home: Array) -> NDArray[np.int64]:
    """HOME, ELSEWHERE or UNDECIDED for points (n, d): whether the flow carries them to the minimum ``home`` (d,).

    ELSEWHERE is certain, within the accuracy of the steps: the trajectory rests at another point, circles on a closed orbit
    that attracts, goes a million times as far away, or comes to where the drift is not finite.
    """
    near = attracting_neighbourhoods(system, home[None])
    first = follow(system, points, near)
    found = np.full(len(points), UNDECIDED, dtype=np.int64)
    found[first.labels == 0] = HOME
    if near.kinked:
        # Where the gradient jumps the usual steps have been replaced by a descent along the kinks.
        found[first.labels != 0] = ELSEWHERE
        return found
    found[first.status == NON_FINITE] = ELSEWHERE
    rows = np.flatnonzero(found == UNDECIDED)
    moving = rows[np.isin(first.status[rows], (OUT_OF_TIME, LEFT))]
    resting = np.setdiff1d(rows, moving)
    found[resting[[_rests(system, first.ends[k], home) for k in resting]]] = ELSEWHERE
    if not moving.size:
        return found
    later = follow(system, first.ends[moving], near, max_steps=STEPS, escape=FAR)
    found[moving] = [_fate(system, later, n, home) for n in range(moving.size)]
    endless = np.flatnonzero((found[moving] == UNDECIDED) & (later.status == OUT_OF_TIME))
    orbits: list[Array] = []
    with spending(_SECONDS):
        for n in endless:
            if not any(_lies_on(later.ends[n], orbit) for orbit in orbits):
                orbit = None if spent() else _attracting_orbit(system, later.ends[n], home)
                if orbit is None:
                    continue
                orbits.append(orbit)
            found[moving[n]] = ELSEWHERE
    return found


def _fate(system: System, later: Journey, n: int, home: Array) -> int:
    """What the end of one trajectory tells."""
    if later.labels[n] == 0:
        return HOME
    end = later.ends[n]
    if later.status[n] in (LEFT, NON_FINITE):
        return ELSEWHERE
    if later.status[n] == AT_REST:
        return ELSEWHERE if _rests(system, end, home) else UNDECIDED
    drift = NaNDrift(system)
    speed = drift(end[None])[0]
    ahead = end + _BRINK * np.linalg.norm(end - home) * speed / max(float(np.linalg.norm(speed)), 1e-300)
    return UNDECIDED if np.isfinite(drift(ahead[None])).all() else ELSEWHERE


def _rests(system: System, point: Array, home: Array) -> bool:
    """Whether a point at which the drift is small is next to a zero of the drift, which a slow tail of a drift is not."""
    away = float(np.linalg.norm(point - home))
    left, rates, _ = np.linalg.svd(system.unchecked.jacobian(point[None])[0])
    parts = np.abs(left.T @ system.unchecked.drift(point[None])[0])
    steps = np.where(parts <= _ROUNDING * rates[0] * away, 0.0, parts / np.maximum(rates, 1e-300))
    return bool(np.linalg.norm(steps) <= _REST * away)


def _attracting_orbit(system: System, point: Array, home: Array) -> Array | None:
    """Points (n, d) of the closed orbit that attracts and on which a point is, or None where none is found."""
    functions, drift = system.unchecked, NaNDrift(system)
    size = float(np.linalg.norm(point - home))

    def attracting(orbit: ClosedOrbit) -> bool:
        if orbit.exponent is not None:
            return orbit.exponent < 0.0
        # One multiplier is that of the shift along the orbit.
        multipliers = np.linalg.eigvals(orbit.monodromy)
        others = np.delete(multipliers, int(np.argmin(np.abs(multipliers - 1.0))))
        return bool((np.abs(others) < 1.0).all())

    try:
        orbit, at = closed_orbit_near(drift, functions.jacobian, point, size, accept=attracting)
        if orbit is None:
            return None
        points = orbit_points(drift, orbit.start, orbit.period, _POINTS)
    except (TimeoutError, ValueError, ArithmeticError, np.linalg.LinAlgError):
        return None
    return points if len(points) and _lies_on(at, points) else None


def _lies_on(point: Array, orbit: Array) -> bool:
    """Whether a point (d,) is next to a closed orbit, given by points (n, d)."""
    extent = float(np.ptp(orbit, axis=0).max())
    spacing = float(np.linalg.norm(np.diff(orbit, axis=0), axis=1).max())
    return bool(np.linalg.norm(orbit - point, axis=1).min() <= _ON_IT * extent + spacing)
