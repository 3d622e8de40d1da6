"""Subspaces that neither drift nor noise leaves, such as that on which two units of a network are equal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot.paths.infinite import infinite_leg
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution
from qpot.problem.controllable import controllability
from qpot.problem.lifted import Lifted
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.samples.subspace import Subspace, restricted_sum

# Above this dimension the covariance is not formed, and no subspace is looked for.
_LARGEST = 400
# The subspace is checked at so many points, at these distances in parts of the way.
_POINTS, _REACHES = 8, (0.05, 0.5, 2.0)
# Drift and noise across the subspace below this part of their size are rounding.
_NONE = 1e-8
# An end farther off the subspace than this part of the way does not lie in it.
_OFF = 1e-6


def invariant_basis(system: System, start: Array, end: Array) -> Array | None:
    """An orthonormal basis (d, m) of the directions to which drift and noise keep a path from ``start``; None if to no fewer.

    At an attractor the noise may be singular without being so elsewhere. If the directions that it does not reach, even
    carried on by the drift, are those across an affine subspace on which drift and noise have no part along them, no path
    that begins in the subspace leaves it. Two equal units of a network are the example: every sample moves both alike.
    """
    if system.dimension < 2 or system.dimension > _LARGEST or not system.noise.gaussian:
        return None
    if isinstance(system.noise, SampleNoise) and system.noise.floor > 0.0:
        return None  # A floor pushes everywhere.
    if not system.noise.state_dependent or not system.noise.singular_at(start):
        return None
    across = controllability(system, start).missed
    if across.shape[1] in (0, system.dimension):
        return None
    within = np.linalg.svd(across, full_matrices=True)[0][:, across.shape[1] :]
    way = float(np.linalg.norm(end - start))
    rng = np.random.default_rng(0)
    if not _noise_beside(system, start, across, way, rng):
        return None  # Noise that is nowhere in these directions is a matter of the system's coordinates.
    for reach in _REACHES:
        z = rng.normal(size=(_POINTS, within.shape[1]))
        z *= reach * way / np.linalg.norm(z, axis=1, keepdims=True)
        points = start + z @ within.T
        try:
            b, a = system.unchecked.drift(points), system.unchecked.covariance(points)
        except NonFiniteError:
            return None
        if np.abs(b @ across).max() > _NONE * np.abs(b).max() or np.abs(a @ across).max() > _NONE * np.abs(a).max():
            return None
    return np.asarray(within)


def _noise_beside(system: System, start: Array, across: Array, way: float, rng: np.random.Generator) -> bool:
    """Whether there is noise along the directions (d, k) at some points that lie off the subspace."""
    points = start + way * rng.normal(size=(_POINTS, start.size)) / np.sqrt(start.size)
    try:
        a = system.unchecked.covariance(points)
    except NonFiniteError:
        return False
    return bool(np.abs(a @ across).max() > _NONE * np.abs(a).max())


def leg_in_subspace(
    system: System,
    start: Array,
    end: Array,
    method: PathMethod,
    solve: Callable[[System, Array, Array, Callable[[Array], Array]], PathSolution | None],
) -> tuple[bool, PathSolution | None]:
    """The leg within the invariant subspace of its start, or the infinite cost of an end that lies off it.

    Parameters
    ----------
    solve : callable
        It solves a leg in the reduced system, and is given that system, both ends and the map of points and directions
        ``(n, d)`` into it, relative to the start.

    Returns
    -------
    (bool, PathSolution or None)
        Whether there is such a subspace, and what was found.
    """
    within = invariant_basis(system, start, end)
    if within is None:
        return False, None
    subspace, way = Subspace(within), (end - start)[None]
    place = subspace.project(way)
    if np.linalg.norm(way - subspace.lift(place)) > _OFF * np.linalg.norm(way):
        reason = (
            f"{format_point(start)} lies in a subspace of {subspace.reduced} dimensions that neither drift nor noise "
            f"leaves, and {format_point(end)} lies off it (in a network: units that have become equal stay equal)"
        )
        return True, infinite_leg(start, end, reason, method)
    reduced = restricted_system(system, subspace, start)
    path = solve(reduced, np.zeros(subspace.reduced), place[0], subspace.project)
    if path is None:
        return True, None
    found: PathSolution = Lifted(system, subspace, start).read(path)
    return True, found


def restricted_system(system: System, subspace: Subspace, offset: Array) -> System:
    """The system in the coordinates z of x = offset + basis z, an invariant subspace."""
    if system.finite_sum is not None and isinstance(system.noise, SampleNoise):
        return System.from_finite_sum(restricted_sum(system.finite_sum, subspace, offset))
    functions = _Restricted(system, subspace, offset)
    return System(
        drift=functions.drift,
        covariance=functions.covariance,
        dimension=subspace.reduced,
        loss=None if system.loss is None else functions.loss,
        jacobian=functions.jacobian,
    )


class _Restricted:
    """Functions of a system on a subspace, as methods so that they can be sent to another process."""

    def __init__(self, system: System, subspace: Subspace, offset: Array) -> None:
        self.system, self.subspace, self.offset = system, subspace, offset

    def at(self, z: Array) -> Array:
        return np.asarray(self.offset + self.subspace.lift(z))

    def drift(self, z: Array) -> Array:
        return self.subspace.project(self.system.unchecked.drift(self.at(z)))

    def loss(self, z: Array) -> Array:
        assert self.system.loss is not None
        return self.system.loss(self.at(z))

    def jacobian(self, z: Array) -> Array:
        return self._both(self.system.unchecked.jacobian(self.at(z)))

    def covariance(self, z: Array) -> Array:
        a = self._both(self.system.unchecked.covariance(self.at(z)))
        return np.asarray(0.5 * (a + np.swapaxes(a, 1, 2)))

    def _both(self, matrices: Array) -> Array:
        Q = self.subspace.basis
        return np.asarray(Q.T @ matrices @ Q)
