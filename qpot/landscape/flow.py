"""Descents: the drift's trajectories, which cost no action, from a point to a fixed point."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import LSODA

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.common.quiet_ivp import quiet_lsoda
from qpot.solvers.common.spending import spent
from qpot.solvers.landscape.half_stable import moved_on

# A point has come to rest where it moves by less than this fraction of the tolerated distance during the system's slowest
# relaxation time.
_AT_REST = 1e-2
# So many half-stable rests may lie on one way. A drift below this part of the mean speed until there counts as none.
_RESTS, _STILL = 4, 1e-6
# A trajectory is followed for so many times the slowest relaxation times at its ends, since a plain between them may be much
# slower, and for no more than so many steps, since it may come to no rest at all.
_PATIENCE, _MOST_STEPS = 2e4, 4000


def slow_rate(system: System, point: Array, *, name: str) -> float:
    """The slowest linear rate at a hyperbolic fixed point ``(d,)``; a flat direction raises ValueError."""
    rates = np.abs(np.linalg.eigvals(system.unchecked.jacobian(point[None])[0]).real)
    if rates.min() <= 1e-7 * rates.max():
        raise ValueError(
            f"{name}={format_point(point)} has a flat direction (rates {rates.min():.3g} to {rates.max():.3g}): it is "
            "not an isolated non-degenerate fixed point; remove the redundant parameter or add weight decay"
        )
    return float(rates.min())


def descent(
    system: System, start: Array, *, towards: Array, tolerance: float = 1e-4, rtol: float = 1e-7
) -> tuple[Array, Array] | None:
    """The drift's trajectory from ``start`` to the fixed point ``towards``, as times ``(n,)`` and points ``(n, d)``.

    It ends within ``tolerance`` times the initial distance of the fixed point. None means that it does not lead there.
    """
    return descents(system, start[None], towards=towards, tolerance=tolerance, rtol=rtol)[0]


def descents(
    system: System, starts: Array, *, towards: Array, tolerance: float = 1e-4, rtol: float = 1e-7
) -> list[tuple[Array, Array] | None]:
    """The same as `descent` from several points ``(m, d)``, which share their steps and the calls of the drift."""
    # A trajectory needs several times the inverse of the slowest rate at either end, and a shallow saddle is slow to leave.
    rates = np.abs(np.linalg.eigvals(system.unchecked.jacobian(np.concatenate([starts, towards[None]]))).real).min(
        axis=1
    )
    patience = _PATIENCE * float((1.0 / np.maximum(rates, 1e-6 * rates.max())).sum())
    pace = _Pace(float(rates.min()), patience, tolerance, rtol)
    found = _followed(system, starts, towards, pace)
    for k, (times, points, arrived) in enumerate(found):
        for _ in range(_RESTS):
            size = float(np.linalg.norm(starts[k] - towards))
            if arrived or spent():
                break
            # The flow may have come close to a half-stable rest, which the slightest noise passes.
            speed = _STILL * float(np.linalg.norm(points[-1] - points[0])) / max(float(times[-1]), 1e-300)
            beyond, half_stable = moved_on(
                NaNDrift(system), system.unchecked.jacobian, points[-1:], scale=size, rest_speed=speed
            )
            if not half_stable[0]:
                break
            more, on, arrived = _followed(system, beyond, towards, pace)[0]
            times = np.concatenate([times, times[-1] * (1.0 + _STILL) + more])
            points = np.concatenate([points, on])
        found[k] = (times, points, arrived)
    return [(times, points) if arrived else None for times, points, arrived in found]


class _Pace(NamedTuple):
    """How long a trajectory is followed, and how accurately."""

    slowest: float
    patience: float
    tolerance: float
    rtol: float


def _followed(system: System, starts: Array, towards: Array, pace: _Pace) -> list[tuple[Array, Array, bool]]:
    """The trajectories (times, points) from starts (m, d), and whether each has arrived at the point ``towards``."""
    m, d = starts.shape
    _, patience, tolerance, rtol = pace
    sizes = np.linalg.norm(starts - towards, axis=1)
    under_way, found = np.arange(m), [[start] for start in starts]
    times = [[0.0] for _ in starts]
    arrived = np.zeros(m, dtype=bool)
    now, steps = 0.0, 0
    while under_way.size and now < patience and steps < _MOST_STEPS and not spent():
        solver = LSODA(
            lambda _, x: system.unchecked.drift(x.reshape(-1, d)).ravel(),
            now,
            np.concatenate([found[k][-1] for k in under_way]),
            patience,
            rtol=rtol,
            atol=1e-2 * rtol * float(sizes[under_way].min()),
        )
        decided = np.zeros(under_way.size, dtype=bool)
        while not decided.any() and now < patience and steps < _MOST_STEPS and not spent():
            steps += 1
            if not _stepped(solver):
                # One trajectory has failed; each is integrated by itself, so that it does not take the others with it.
                if m == 1:
                    return [(np.asarray(times[0]), np.asarray(found[0]), False)]
                return [_followed(system, start[None], towards, pace)[0] for start in starts]
            points = solver.y.reshape(-1, d).copy()
            moved = np.linalg.norm([p - found[k][-1] for p, k in zip(points, under_way, strict=True)], axis=1)
            distance, size = np.linalg.norm(points - towards, axis=1), sizes[under_way]
            # A trajectory that no longer moves has ended at another fixed point, within the accuracy of the steps.
            resting = moved < _AT_REST * tolerance * size * pace.slowest * (solver.t - now)
            now = float(solver.t)
            for k, point in zip(under_way, points, strict=True):
                found[k].append(point)
                times[k].append(now)
            arrived[under_way] = distance <= tolerance * size
            decided = (distance <= tolerance * size) | (distance >= 100.0 * size) | resting
        under_way = under_way[~decided]
    return [(np.asarray(t), np.asarray(x), bool(there)) for t, x, there in zip(times, found, arrived, strict=True)]


def _stepped(solver: LSODA) -> bool:
    """Make one step; False where it fails."""
    try:
        with quiet_lsoda():
            solver.step()
    except NonFiniteError:
        return False
    return bool(solver.status != "failed")
