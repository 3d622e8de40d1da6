"""Where the search for a minimum action path begins: curves between two points, on many sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.flow import descents
from qpot.problem.system import System
from qpot.solvers.paths.tails import spread

# Relative accuracy of a trajectory that only serves as a first guess.
_GUESS = 1e-4
# Heights of the bows, as parts of the chord; reach of the ellipse; typical height of the random ones.
_BOWS, _REACH, _RANDOM = (0.25, 0.5), 0.5, 0.3


def reversed_relaxations(system: System, start: Array, end: Array, directions: Array) -> list[Array]:
    """Polylines from start to end: the drift's ways down that leave ``end`` along ``directions`` (m, d) and arrive."""
    length = float(np.linalg.norm(end - start))
    nudges = np.concatenate([directions, -directions]) if directions.size else np.zeros((1, end.size))
    ways = descents(system, end + 1e-3 * length * nudges, towards=start, rtol=_GUESS)
    return [np.concatenate([start[None], way[1][::-1], end[None]]) for way in ways if way is not None]


def initial_curves(
    system: System, start: Array, end: Array, relaxations: Sequence[Array], count: int, *, attracting: bool
) -> list[Array]:
    """``count`` polylines from start to end, the same ones at every call; on a line there is only one.

    Reversed relaxations, the straight line, bows to different sides, curves that leave an attracting start along the
    axes of the ellipse of its local quadratic approximation, longest first, and random bows.
    """
    curves = list(relaxations)
    offset = end - start
    length = float(np.linalg.norm(offset))
    s = np.linspace(0.0, 1.0, 81)[:, None]
    straight = start + s * offset
    curves.append(straight)
    if start.size == 1:
        return curves[:count]
    # orthonormal complement of the chord
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
