"""Initial curves for a minimum action path: polylines between two points, bent to many sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.flow import descents
from qpot.problem.system import System
from qpot.solvers.common.spending import left, spending
from qpot.solvers.paths.tails import spread

# A trajectory only serves as a first guess here, so that this relative accuracy is enough.
_GUESS = 1e-4
# A first guess must not take more than this share of the time that is left.
_SHARE = 0.2
# Heights of the bows, as parts of the chord between the ends.
_BOWS = (0.25, 0.5)
# How far a curve along an axis of the ellipse goes, for the longest axis, as a part of the chord.
_REACH = 0.5
# Typical height of a random bow, as a part of the chord.
_RANDOM = 0.3


def reversed_relaxations(system: System, start: Array, end: Array, directions: Array) -> list[Array]:
    """Polylines from start to end, followed against the drift: the free descents from ``end`` that arrive at ``start``.

    The descents leave ``end`` along the ``directions`` (m, d), both ways, or without any from ``end`` itself.
    """
    length = float(np.linalg.norm(end - start))
    nudges = np.concatenate([directions, -directions]) if directions.size else np.zeros((1, end.size))
    with spending(_SHARE * left()):
        ways = descents(system, end + 1e-3 * length * nudges, towards=start, rtol=_GUESS)
    return [np.concatenate([start[None], way[1][::-1], end[None]]) for way in ways if way is not None]


def initial_curves(
    system: System, start: Array, end: Array, relaxations: Sequence[Array], count: int, *, attracting: bool
) -> list[Array]:
    """At most ``count`` polylines from start to end, the same ones at every call.

    In this order: the reversed ``relaxations``, the straight line, bows to different sides, curves that leave an
    ``attracting`` start along the axes of the ellipse of its local quadratic approximation, longest first, and random
    bows. In one dimension the straight line is the last.
    """
    curves = list(relaxations)
    offset = end - start
    length = float(np.linalg.norm(offset))
    s = np.linspace(0.0, 1.0, 81)[:, None]
    straight = start + s * offset
    curves.append(straight)
    if start.size == 1:
        return curves[:count]
    # Bows lie across the chord: the rows after the first are an orthonormal basis of its complement.
    basis = np.linalg.svd(offset[None], full_matrices=True)[2][1:]
    bows = [sign * height * direction for height in _BOWS for direction in basis for sign in (1.0, -1.0)]
    curves += [straight + length * np.sin(np.pi * s) * bow for bow in bows]
    if attracting and len(curves) < count:
        for axis, direction in zip(*_ellipse(system, start), strict=True):
            for sign in (1.0, -1.0):
                turning_point = start + sign * _REACH * length * axis * direction
                curves.append((1 - s) ** 2 * start + 2 * s * (1 - s) * turning_point + s**2 * end)
    rng = np.random.default_rng(0)
    while len(curves) < count:
        first, second = _RANDOM * length * rng.standard_normal((2, basis.shape[0])) @ basis
        curves.append(straight + np.sin(np.pi * s) * first + np.sin(2.0 * np.pi * s) * second)
    return curves[:count]


def _ellipse(system: System, start: Array) -> tuple[Array, Array]:
    """Semi-axes, the longest 1, and their directions (rows) of a level set of the quasi-potential around an attractor."""
    covariance = spread(system.unchecked.jacobian(start[None])[0], system.unchecked.covariance(start[None])[0])
    values, vectors = np.linalg.eigh(covariance)
    return np.sqrt(np.maximum(values[::-1], 0.0) / values[-1]), vectors.T[::-1]
