"""A drift and a loss that are NaN, instead of an error, at points at which a user's function fails."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.problem.system import System
from qpot.solvers.common.differences import spacing_of


class NaNDrift:
    """The drift with NaN in the rows at which the user's function fails, so that one bad point does not stop a search."""

    def __init__(self, system: System) -> None:
        self.drift = system.unchecked.drift
        self.spacing = spacing_of(self.drift)

    def __call__(self, points: Array) -> Array:
        try:
            return self.drift(points)
        except NonFiniteError:
            if points.shape[0] == 1:
                return np.full_like(points, np.nan)
            half = points.shape[0] // 2
            return np.concatenate([self(points[:half]), self(points[half:])])


class NaNLoss:
    """The loss with NaN in the rows at which the user's function fails."""

    def __init__(self, system: System) -> None:
        self.loss = system.unchecked.loss

    def __call__(self, points: Array) -> Array:
        try:
            return self.loss(points)
        except NonFiniteError:
            if points.shape[0] == 1:
                return np.full(1, np.nan)
            half = points.shape[0] // 2
            return np.concatenate([self(points[:half]), self(points[half:])])
