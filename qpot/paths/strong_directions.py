"""The stiff and the noisy directions of a gradient system in many dimensions, found by products."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from qpot._core.arrays import Array
from qpot.landscape.linear_rates import fastest_rate, jacobian_operator
from qpot.problem.system import System
from qpot.solvers.paths.subspace_preconditioner import StrongDirections, across

# Stiff modes looked for at every point, the accuracy of their rates, and random vectors that find the noisy directions.
_MODES, _MODE_TOLERANCE, _VECTORS, _ROUNDS = 80, 1e-2, 96, 3
_RESTARTS = 30
# Rates or noises that differ by less than this factor need no directions of their own.
_SPREAD = 3.0
# Directions whose part across the others is shorter than this are among them.
_NEW = 0.1


def strong_directions(
    system: System, points: Sequence[Array], covariance: Callable[[Array], Array]
) -> StrongDirections | None:
    """Modes of the drift at the ``points`` that are faster than most, with the directions of strong noise.

    None where one rate and one noise are near enough to all.

    Parameters
    ----------
    covariance : callable
        p (n, d) -> a p at one point.
    """
    d = system.dimension
    rng = np.random.default_rng(0)
    probes = rng.normal(size=(_VECTORS, d)) / np.sqrt(d)
    stiff = [_stiff_modes(system, point, probes[0]) for point in points]
    if not any(modes.shape[1] for modes in stiff):
        return None
    noisy = np.linalg.qr(probes.T)[0]
    for _ in range(_ROUNDS):
        noisy = np.linalg.qr(covariance(noisy.T).T)[0]
    values, vectors = np.linalg.eigh(noisy.T @ covariance(noisy.T).T)
    noisy = noisy @ vectors[:, values > _SPREAD * values[0]]
    # the noisy directions come first: left out they would take the others' noise
    rest = across(np.concatenate(stiff, axis=1).T, noisy).T
    left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    basis = np.linalg.qr(np.concatenate([noisy, left[:, sizes > _NEW]], axis=1))[0]
    outside = across(probes[1], basis)
    outside /= np.linalg.norm(outside)
    inside = basis.T @ covariance(basis.T).T
    return StrongDirections(basis, 0.5 * (inside + inside.T), float(outside @ covariance(outside[None])[0]))


def _stiff_modes(system: System, point: Array, probe: Array) -> Array:
    """Eigenvectors (d, k) of the drift at a point whose rates are well above the mean square."""
    operator = jacobian_operator(system, point)
    mean = float(np.linalg.norm(operator.matvec(probe)) / np.linalg.norm(probe))
    # one mode is cheap; many of a spectrum that is narrow, with its clusters, are not
    if fastest_rate(system, point) <= _SPREAD * mean:
        return np.empty((system.dimension, 0))
    k = min(_MODES, system.dimension // 4)
    try:
        _, vectors = eigsh(operator, k=k, which="LM", tol=_MODE_TOLERANCE, v0=probe, maxiter=_RESTARTS)
    except ArpackNoConvergence as error:
        vectors = error.eigenvectors  # those that were found serve as well
    return np.asarray(vectors)
