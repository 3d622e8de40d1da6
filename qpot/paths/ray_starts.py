"""Initial curves in systems that wind: extremals out of the attractor that come close to the end of a path."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.system import System
from qpot.solvers.paths.shot_extremals import shot_extremals

# A start winds if it turns by so many radians while it relaxes by a factor of e.
_WINDS = 3.0
# In more dimensions shots hardly come close to the end.
_MOST_DIMENSIONS = 4


def winds(system: System, start: Array) -> bool:
    """Whether paths out of an attractor turn round it so often that smooth curves tell little of them."""
    rates = np.linalg.eigvals(system.unchecked.jacobian(start[None])[0])
    return bool((np.abs(rates.imag) > _WINDS * np.abs(rates.real)).any())


def ray_starts(system: System, start: Array, end: Array) -> list[Array]:
    """Polylines from an attractor to a point, along the extremals of `shot_extremals`.

    There are none where the start hardly winds, in many dimensions, for noise that is not Gaussian, and where the noise is
    singular at the start.
    """
    d = start.size
    if not (2 <= d <= _MOST_DIMENSIONS and system.noise.gaussian and winds(system, start)):
        return []
    if system.noise.singular_at(start):
        return []
    functions = system.unchecked
    jacobian, covariance = functions.jacobian(start[None])[0], functions.covariance(start[None])[0]
    exact = system.noise.hamiltonian(functions)
    # A minimisation follows, so that the first shots are close enough.
    shots = shot_extremals(exact, start, end, jacobian, covariance, slow_end=0.0, closer=0)
    return [shot.positions.nodes for shot in shots]
