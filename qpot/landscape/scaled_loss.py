"""A loss in units of the box, as bands descend on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.landscape.band import Surface

# Above this dimension a band descends by gradients, since a Hessian for each image takes too long.
HESSIANS = 24


@dataclass(frozen=True, eq=False)
class ScaledLoss:
    """The loss in units of the box, with infinite values where the user's function fails."""

    system: System
    lower: Array
    size: Array

    def points(self, z: Array) -> Array:
        """The points (n, d) in the user's coordinates."""
        return np.asarray(self.lower + z * self.size)

    def loss(self, z: Array) -> Array:
        """The loss (n,), infinite where it cannot be evaluated."""
        x = self.points(z)
        try:
            return np.asarray(self.system.unchecked.loss(x), dtype=np.float64)
        except NonFiniteError:
            if len(z) == 1:
                return np.array([np.inf])
            half = len(z) // 2
            return np.concatenate([self.loss(z[:half]), self.loss(z[half:])])

    def gradient(self, z: Array) -> Array:
        """The gradient (n, d), NaN where it cannot be evaluated."""
        return np.asarray(-NaNDrift(self.system)(self.points(z)) * self.size)

    def hessian(self, z: Array) -> Array:
        """The Hessian (n, d, d), zero where it cannot be evaluated."""
        try:
            H = -self.system.unchecked.jacobian(self.points(z))
        except NonFiniteError:
            return np.zeros((len(z), self.size.size, self.size.size))
        return np.asarray(H * self.size * self.size[:, None])

    def surface(self) -> Surface:
        """The functions that bands descend on."""
        return Surface(self.loss, self.gradient, self.hessian if self.size.size <= HESSIANS else None)
