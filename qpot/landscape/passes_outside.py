"""Passes around a box: fixed points with one unstable direction, as far as one box length from it."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.destinations import Destinations
from qpot.landscape.minima import scattered
from qpot.landscape.points import FLAT, SAME, Saddle, hessian_at, tidy, within
from qpot.problem.system import System
from qpot.solvers.landscape.mode_following import follow_modes
from qpot.solvers.landscape.stationary_points import distinct, find_roots

# Out of each minimum so many of the slowest modes are climbed, in both directions.
_MODES = 4
# The first and the longest step of a climb, as fractions of the box.
_FIRST, _LONGEST = 0.01, 0.03


def passes_outside(system: System, reached: Destinations, known: Array, lower: Array, upper: Array) -> list[Saddle]:
    """The passes within one box length of a box that are not among the ``known`` points ``(n, d)``.

    Newton's method starts from scattered points and from between minima, and the slow modes of a loss are climbed out of the
    minima. Both sides of ``connects`` are None: where they lead is left to the caller.
    """
    size = upper - lower
    periods = reached.periods
    # Along periodic axes nothing lies outside, and the box is the cell.
    margin = size if periods is None else np.where(periods.closed, 0.0, size)
    low, high = lower - margin, upper + margin
    d = lower.size
    minima = np.array([m.point for m in reached.minima])
    near = minima[((minima >= low) & (minima <= high)).all(axis=1)]
    starts = [scattered(low, high, min(max(64 * d, 128), 512), np.random.default_rng(0)), _between(near)]
    if system.gradient_drift:
        starts.append(_climbs(reached, near, low, high))
    roots, found = find_roots(
        reached.drift, reached.drift.jacobian, np.concatenate(starts), lower=low, upper=high, max_iterations=60
    )
    roots = roots if periods is None else periods.wrap(roots)
    roots = roots[found & within(roots, low, high)]
    roots = roots[distinct(roots / size, tolerance=10 * SAME)]
    passes = []
    for root in roots:
        away = known - root if periods is None else periods.shortest(known - root)
        if known.size and np.linalg.norm(away / size, axis=1).min() <= 100 * SAME:
            continue
        saddle = _as_pass(system, root)
        if saddle is not None:
            passes.append(saddle)
    return passes


def _between(points: Array) -> Array:
    """The middles between each point and its three nearest neighbours."""
    if points.shape[0] < 2:
        return np.zeros((0, points.shape[1]))
    away = np.linalg.norm(points[:, None] - points, axis=2)
    nearest = np.argsort(away, axis=1)[:, 1:4]
    return np.asarray(0.5 * (points[:, None] + points[nearest])).reshape(-1, points.shape[1])


def _climbs(reached: Destinations, minima: Array, low: Array, high: Array) -> Array:
    """The points at which climbs along the slow modes of the minima end."""
    jacobians = reached.drift.jacobian(minima)
    size = float(np.linalg.norm(high - low)) / 3.0
    vectors = np.linalg.eigh(-0.5 * (jacobians + np.swapaxes(jacobians, 1, 2)))[1][:, :, :_MODES]
    modes = np.concatenate([vectors, -vectors], axis=2).swapaxes(1, 2)
    starts = (minima[:, None] + _FIRST * size * modes).reshape(-1, minima.shape[1])
    points, found = follow_modes(
        lambda x: -reached.drift(x),
        lambda x: -reached.drift.jacobian(x),
        starts,
        modes.reshape(-1, minima.shape[1]),
        lower=low,
        upper=high,
        longest=_LONGEST * size,
    )
    return points[found]


def _as_pass(system: System, root: Array) -> Saddle | None:
    """The pass at a fixed point ``(d,)``; None if it has not exactly one unstable direction, or a flat one."""
    point = tidy(root)
    try:
        hessian = hessian_at(system, point)
        loss = float("nan") if system.loss is None else float(system.unchecked.loss(point[None])[0])
    except (ValueError, ArithmeticError):
        return None
    rates, vectors = np.linalg.eig(hessian)
    flat = FLAT * np.abs(rates).max()
    unstable = np.flatnonzero(rates.real < -flat)
    if unstable.size != 1 or (np.abs(rates.real) <= flat).any():
        return None
    direction = vectors[:, unstable[0]].real
    return Saddle(
        point=point,
        connects=(None, None),
        loss=loss,
        hessian=hessian,
        rates=rates[np.lexsort((rates.imag, rates.real))],
        direction=direction / np.linalg.norm(direction),
        residual=float(np.linalg.norm(system.unchecked.drift(point[None])[0])),
    )
