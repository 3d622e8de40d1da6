"""The stiff and the noisy directions of a gradient system in many dimensions, found by products."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from qpot._core.arrays import Array
from qpot.landscape.linear_rates import fastest_rate, jacobian_operator
from qpot.problem.system import System
from qpot.solvers.paths.subspace_preconditioner import StrongDirections, across

# Most stiff modes that are looked for at one point.
_MODES = 80
# Relative accuracy of the modes' rates: a preconditioner needs no more.
_MODE_TOLERANCE = 1e-2
# Number of random vectors that find the noisy directions.
_VECTORS = 96
# How often these vectors are multiplied by the covariance, which turns them towards the noisy directions.
_ROUNDS = 3
# Restarts after which the search for modes is content with those that it has.
_RESTARTS = 30
# Rates or noises that differ by less than this factor need no directions of their own.
_SPREAD = 3.0
# A direction whose component orthogonal to the basis is shorter than this counts as already spanned.
_NEW = 0.1


def strong_directions(
    system: System, points: Sequence[Array], covariance: Callable[[Array], Array]
) -> StrongDirections | None:
    """Modes of the drift at the ``points`` that are faster than most, with the directions of strong noise.

    Parameters
    ----------
    system : System
        A gradient system, so that the Jacobian is symmetric.
    points : sequence of array (d,)
    covariance : callable
        p (n, d) -> a p at one point.

    Returns
    -------
    StrongDirections or None
        None where all rates are about the same, so that one rate serves for all directions.
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
    # The noisy directions come first: one that was left out would be given the small noise of all others.
    rest = across(np.concatenate(stiff, axis=1).T, noisy).T
    left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    basis = np.linalg.qr(np.concatenate([noisy, left[:, sizes > _NEW]], axis=1))[0]
    outside = across(probes[1], basis)
    outside /= np.linalg.norm(outside)
    inside = basis.T @ covariance(basis.T).T
    return StrongDirections(basis, 0.5 * (inside + inside.T), float(outside @ covariance(outside[None])[0]))


def _stiff_modes(system: System, point: Array, probe: Array) -> Array:
    """Eigenvectors (d, k) of the drift's Jacobian at a point whose rates are well above the root mean square."""
    operator = jacobian_operator(system, point)
    mean = float(np.linalg.norm(operator.matvec(probe)) / np.linalg.norm(probe))
    # The fastest mode alone is cheap. Many modes of a narrow spectrum, which has clusters, are expensive and not needed.
    if fastest_rate(system, point) <= _SPREAD * mean:
        return np.empty((system.dimension, 0))
    k = min(_MODES, system.dimension // 4)
    try:
        _, vectors = eigsh(operator, k=k, which="LM", tol=_MODE_TOLERANCE, v0=probe, maxiter=_RESTARTS)
    except ArpackNoConvergence as error:
        vectors = error.eigenvectors  # A preconditioner may leave modes out.
    return np.asarray(vectors)
