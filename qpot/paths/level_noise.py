"""Noise f(loss) times the identity, under which the cost of a climb is the integral of 2 / f over the levels it passes."""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from qpot._core.arrays import Array, NonFiniteError
from qpot.problem.system import System

# Points around a climb at which the noise is looked at, within this part of its extent.
_LOOKS, _AROUND = 128, 0.3
# The covariance counts as a multiple of the identity, and its gradient as parallel to that of the loss, within this.
_SAME, _PARALLEL = 1e-12, 1e-4
# Step of the differences of the noise, in parts of the extent.
_STEP = 1e-6

# Steps by which a displaced point is brought back to its level.
_BACK = 12


def cost_over_levels(system: System, climb: Array) -> tuple[float, float] | None:
    """The cost of a climb (n, d) and its error under such noise; None where the noise is not seen to be of that kind.

    Then p = 2 grad loss / f(loss) is a gradient, and no path costs less than the levels that it climbs, also along kinks. The
    noise is looked at around the climb.
    """
    try:
        if not depends_on_the_loss(system, climb):
            return None
        functions = system.unchecked
        levels = functions.loss(climb)
        top, bottom = float(levels[-1]), float(levels[0])

        def cost(level: float) -> float:
            k = int(np.flatnonzero((levels[1:] >= level) & (levels[:-1] <= level))[0])

            def above(share: float) -> float:
                x = climb[k] + share * (climb[k + 1] - climb[k])
                return float(functions.loss(x[None])[0]) - level

            share = brentq(above, 0.0, 1.0, xtol=1e-14) if above(0.0) < 0.0 < above(1.0) else float(above(0.0) < 0.0)
            x = climb[k] + share * (climb[k + 1] - climb[k])
            return 2.0 / float(functions.covariance(x[None])[0, 0, 0])

        value, error = quad(cost, bottom, top, epsabs=0.0, epsrel=1e-10, limit=200, full_output=1)[:2]
    except (NonFiniteError, IndexError, ZeroDivisionError):
        return None
    return (float(value), float(error)) if np.isfinite(value) and value > 0.0 else None


def depends_on_the_loss(system: System, climb: Array) -> bool:
    """Whether the covariance is a multiple of the identity whose gradient is parallel to that of the loss, around a climb."""
    if not (system.gradient_drift and system.loss is not None and system.noise.gaussian):
        return False
    functions, d = system.unchecked, climb.shape[1]
    extent = float(np.ptp(climb, axis=0).max())
    rng = np.random.default_rng(0)
    climb = climb[:1] + np.linspace(0.0, 1.0, _LOOKS)[:, None] * (climb[-1:] - climb[:1]) if len(climb) == 2 else climb
    points = climb[rng.integers(0, len(climb), size=_LOOKS)] + _AROUND * extent * rng.uniform(-1.0, 1.0, (_LOOKS, d))
    try:
        # Matrices of samples' noise are not formed in many dimensions; one product tells nearly always.
        if system.finite_sum is not None and not _multiplies(system, points[:1], rng):
            return False
        a = functions.covariance(points)
    except NonFiniteError:
        return False
    f = a[:, 0, 0]
    if (np.abs(a - f[:, None, None] * np.eye(d)) > _SAME * f.max()).any() or f.min() <= 0.0:
        return False
    h = _STEP * extent
    sides = [functions.covariance(points + sign * h * e)[:, 0, 0] for e in np.eye(d) for sign in (1.0, -1.0)]
    slope = np.stack([(sides[2 * i] - sides[2 * i + 1]) / (2.0 * h) for i in range(d)], axis=1)
    g = functions.drift(points)
    g = g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
    across = slope - (slope * g).sum(axis=1, keepdims=True) * g
    # Differences that straddle a kink tell nothing; few points lie so close to one.
    odd = np.linalg.norm(across, axis=1) > _PARALLEL * (np.linalg.norm(slope, axis=1) + f / extent)
    return int(odd.sum()) <= 1 and _alike_on_levels(system, points, f, extent, rng)


def _multiplies(system: System, point: Array, rng: np.random.Generator) -> bool:
    """Whether the covariance at a point (1, d) takes some vector to a multiple of itself."""
    r = rng.standard_normal(point.shape)
    product = system.noise.products(r.shape[1]).times(point, r)
    across = product - (product * r).sum() / (r * r).sum() * r
    return bool(np.linalg.norm(across) <= _PARALLEL * np.linalg.norm(product))


def _alike_on_levels(system: System, points: Array, f: Array, extent: float, rng: np.random.Generator) -> bool:
    """Whether the noise f (n,) at points (n, d) is the same elsewhere on their levels, also beyond jumps of the noise."""
    functions = system.unchecked
    levels = functions.loss(points)
    other = points + _AROUND * extent * rng.uniform(-1.0, 1.0, points.shape)
    for _ in range(_BACK):
        g = -functions.drift(other)
        square = np.maximum((g * g).sum(axis=1, keepdims=True), 1e-300)
        step = (levels - functions.loss(other))[:, None] * g / square
        size = np.linalg.norm(step, axis=1, keepdims=True)
        other = other + step * np.minimum(1.0, _AROUND * extent / np.maximum(size, 1e-300))
    there = np.abs(functions.loss(other) - levels) <= 1e-9 * (np.abs(levels) + np.ptp(levels))
    if there.sum() < len(points) // 4:
        return False
    moved = functions.covariance(other[there])[:, 0, 0]
    return bool((np.abs(moved - f[there]) <= 1e-6 * f.max()).all())
