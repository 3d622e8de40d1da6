"""Climbs against a gradient under noise that is the same everywhere and in all directions: the free descent in reverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.status import Status
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System

# Gauss points on each piece of a descent.
_POINTS = 8
# A curve is a descent in reverse if following it costs no more than the climb by this part.
_ASTRAY = 1e-2
# Relative rounding of a loss; that of two integrals is seen in their difference, which counts three times.
_ROUNDING = 1e-14


def isotropic_strength(system: System) -> float | None:
    """The number c, where the covariance is c times the identity everywhere; else None."""
    noise = system.noise
    if not noise.gaussian:
        return None
    if noise.isotropic is not None:
        return float(noise.isotropic)
    if noise.constant is None:
        return None
    c = float(noise.constant[0, 0])
    return c if c > 0.0 and np.array_equal(noise.constant, c * np.eye(system.dimension)) else None


def gradient_climb(system: System, relaxations: Sequence[Array], method: LegMethod) -> PathSolution | None:
    """The cheapest path along a descent that is followed against the drift; None where its cost is not known to be that.

    Let b = -grad U and a = c I. Then |x' - b|^2 = |x' + b|^2 - 4 <x', b>, so that no path from the minimum to a point costs
    less than 2 (U(point) - U(minimum)) / c, and the reversed descent costs just that (Freidlin and Wentzell, Random
    Perturbations of Dynamical Systems, theorem 4.3.1). The error is what the integral of the gradient along the curve differs
    from the difference of the losses, which are two functions of the user's, and rounding.

    Parameters
    ----------
    relaxations : sequence of arrays (n, d)
        Reversed descents from a minimum to a point, as `qpot.paths.starts.reversed_relaxations` returns them.
    """
    strength = isotropic_strength(system)
    if strength is None or not system.gradient_drift or system.loss is None:
        return None
    for curve in relaxations:
        try:
            found = _climb(system, curve, strength, method)
        except NonFiniteError:
            continue
        if found is not None:
            return found
    return None


class _Pieces(NamedTuple):
    """Integrals over the pieces of a curve: of the gradient, of |gradient| |dx|, and of the time at the speed |gradient|."""

    climbs: Array
    lengths: Array
    times: Array


def _climb(system: System, curve: Array, strength: float, method: LegMethod) -> PathSolution | None:
    keep = np.concatenate([[True], np.linalg.norm(np.diff(curve, axis=0), axis=1) > 0.0])
    points = curve[keep]
    if len(points) < 3:
        return None
    losses = system.unchecked.loss(points[[0, -1]])
    climb = float(losses[1] - losses[0])
    pieces = _integrals(system, points)
    if not climb > 0.0 or pieces.lengths.sum() + climb > (2.0 + _ASTRAY) * climb:
        return None
    # The gradient along a curve between two points sums up to the difference of the losses, whatever the curve.
    mismatch = abs(float(pieces.climbs.sum()) - climb)
    error = 3.0 * mismatch + _ROUNDING * float(np.abs(losses).sum())
    if error > method.tolerance * climb:
        return None
    momenta = -2.0 * system.unchecked.drift(points) / strength
    momenta[0] = 0.0
    return PathSolution(
        points=points,
        action=2.0 * climb / strength,
        error=2.0 * error / strength,
        status=Status.CONVERGED,
        residual=0.0,
        iterations=0,
        method=method,
        momenta=momenta,
        times=np.concatenate([[0.0], np.cumsum(pieces.times)]),
        uphill=np.ones(len(points), dtype=bool),
    )


def _integrals(system: System, points: Array) -> _Pieces:
    """Integrals along a curve (n, d) that follows the gradient at its inner points, by Gauss' rule on cubic pieces."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    s, w = 0.5 * (1.0 + nodes), 0.5 * weights
    chords = np.diff(points, axis=0)
    lengths = np.linalg.norm(chords, axis=1, keepdims=True)
    up = -system.unchecked.drift(points[1:-1])
    up = up / np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-300)
    # Towards both ends the gradient vanishes, and the curve is straight.
    first = lengths * np.concatenate([chords[:1] / lengths[0], up])
    last = lengths * np.concatenate([up, chords[-1:] / lengths[-1]])
    blend, ahead, behind = s**2 * (3 - 2 * s), s * (1 - s) ** 2, s**2 * (s - 1)
    slopes = 6 * s * (1 - s), (1 - s) * (1 - 3 * s), s * (3 * s - 2)
    x = (
        points[:-1, None]
        + blend[:, None] * chords[:, None]
        + ahead[:, None] * first[:, None]
        + behind[:, None] * last[:, None]
    )
    v = slopes[0][:, None] * chords[:, None] + slopes[1][:, None] * first[:, None] + slopes[2][:, None] * last[:, None]
    d = points.shape[1]
    gradient = -system.unchecked.drift(x.reshape(-1, d)).reshape(x.shape)
    size, speed = np.linalg.norm(gradient, axis=2), np.linalg.norm(v, axis=2)
    return _Pieces(
        (gradient * v).sum(axis=2) @ w,
        (size * speed) @ w,
        (speed / np.maximum(size, 1e-300)) @ w,
    )
