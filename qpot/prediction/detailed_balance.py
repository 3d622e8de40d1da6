"""Whether a system is in detailed balance: every W is then a difference of one potential."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.differences import central_jacobian

# So many points of each leg are looked at, and so many of the box around all legs.
_OF_LEG, _OF_BOX = 16, 256
# The Jacobian of a^-1 b counts as symmetric if its entries agree to this part of the largest one.
_SYMMETRIC = 1e-7


def detailed_balance(system: System, legs: Sequence[PathSolution]) -> bool:
    """Whether b = -(a / 2) grad Phi on legs and in the box around them, as far as the points that are looked at tell.

    That is so if the Jacobian of a^-1 b is symmetric. The cost of a climb is then the difference of Phi. A constant factor
    of the noise and axes that are independent of each other are the usual cases; a drift that turns is none.
    """
    if not system.noise.gaussian or not system.noise.matrices or not legs:
        return False
    own = [leg.points[np.unique(np.linspace(0, len(leg.points) - 1, _OF_LEG).astype(int))] for leg in legs]
    on = np.concatenate(own)
    low, high = on.min(axis=0), on.max(axis=0)
    # A leg along an axis of symmetry may show none of what turns beside it.
    wide = np.maximum(high - low, 0.1 * float((high - low).max()))
    beside = 0.5 * (low + high) + wide * (np.random.default_rng(0).uniform(size=(_OF_BOX, low.size)) - 0.5)
    try:
        J = _jacobian(system, np.concatenate([on, beside]))
    except (NonFiniteError, np.linalg.LinAlgError):
        return False
    scale = np.abs(J).max()
    return bool(np.abs(J - np.swapaxes(J, 1, 2)).max() <= _SYMMETRIC * scale)


def _jacobian(system: System, x: Array) -> Array:
    """The Jacobian (n, d, d) of a^-1 b."""
    f = system.unchecked
    if system.noise.constant is not None:
        return np.asarray(np.linalg.solve(system.noise.constant, f.jacobian(x)))

    def force(y: Array) -> Array:
        return np.asarray(np.linalg.solve(f.covariance(y), f.drift(y)[..., None])[..., 0], dtype=np.float64)

    return np.asarray(central_jacobian(force, x), dtype=np.float64)
