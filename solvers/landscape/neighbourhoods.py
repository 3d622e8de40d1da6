"""Ellipsoids around attracting points that a flow enters but does not leave, those of all points at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.held import stationary_covariance

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
BatchFunction = Callable[[Array], Array]

# A neighbourhood is checked on shells at these fractions of its radius. The outermost one fails most often and is checked
# first. In few dimensions they are close enough that no other basin of a sixtieth of the radius fits between them, since the
# first guess of a radius may be far too large.
_SHELLS: Array = np.array([1.0, 0.75, 0.5, 0.25])
_MANY_SHELLS: Array = np.power(0.85, np.arange(26.0))
_FEW = 3
# A radius is first tried in about so many directions.
_GLANCE = 32
# A neighbourhood that would have to be smaller than this fraction of the first guess is taken as not attracting.
_SMALLEST_FRACTION = 2.0**-20
# The radius is reduced by this factor, which allows for the gaps between the samples of the outermost shell.
_MARGIN = 0.75


def attracting_ellipsoids(
    drift: BatchFunction, points: Array, jacobians: Array, *, spread: float
) -> tuple[Array, Array, Array]:
    """The ellipsoids ``(x - a)^T M (x - a) <= radius^2`` on whose sampled shells the Lyapunov function decreases.

    Parameters
    ----------
    drift : ``(m, d) -> (m, d)``, which may be NaN
    points, jacobians : ``(k, d)``, ``(k, d, d)``
        The attracting points a, and the drift's Jacobian J there, all of whose eigenvalues have negative real parts.
    spread : float
        The first guess of the radius is half the distance to the next point, or half of ``spread`` if there is no other.

    Returns
    -------
    metrics : ``(k, d, d)``
        The matrices M, which solve J^T M + M J = -I up to a factor that makes the largest eigenvalue 1.
    radii : ``(k,)``
        Three quarters of the largest radius, among those that shrink by a fifth; 0 where none attracts.
    smallest : ``(k,)``
        The smallest radius that was tried.
    """
    k, d = points.shape
    metrics, surfaces, radii = np.empty((k, d, d)), np.empty((k, *_directions(d).shape)), np.zeros(k)
    trial = np.empty(k)
    for i in range(k):
        M = stationary_covariance(jacobians[i].T, np.eye(d))
        M = 0.5 * (M + M.T)
        M /= np.linalg.eigvalsh(M)[-1]
        others = np.delete(points, i, axis=0) - points[i]
        nearest = float(np.sqrt(np.einsum("ni,ij,nj->n", others, M, others).min())) if k > 1 else spread
        metrics[i], trial[i] = M, 0.5 * nearest
        # With M = L L^T, the point a + radius * L^{-T} u lies on the ellipsoid for every unit vector u.
        surfaces[i] = np.linalg.solve(np.linalg.cholesky(M).T, _directions(d).T).T

    def decreasing(rows: Integers, fractions: Array, which: Integers) -> NDArray[np.bool_]:
        """Whether the function falls everywhere on some shells (rows, s), in directions (rows, m); the worst is kept."""
        offsets = (trial[rows, None] * fractions)[:, :, None, None] * surfaces[rows[:, None], which][:, None]
        velocity = drift((points[rows, None, None] + offsets).reshape(-1, d)).reshape(offsets.shape)
        rise = np.einsum("ksmi,kij,ksmj->ksm", offsets, metrics[rows], velocity) / fractions[:, :, None] ** 2
        # NaN, which a shell meets where the drift is not defined, compares as no decrease.
        rise = np.where(np.isnan(rise), np.inf, rise)
        place = rise.reshape(len(rows), -1).argmax(axis=1)
        shell, direction = np.divmod(place, which.shape[1])
        every = np.arange(len(rows))
        worst_shell[rows], worst_direction[rows] = fractions[every, shell], which[every, direction]
        return np.asarray(rise[every, shell, direction] < 0.0)

    shells = _MANY_SHELLS if d <= _FEW else _SHELLS
    directions = np.arange(surfaces.shape[1])
    some = directions[:: max(1, len(directions) // _GLANCE)]
    worst_shell, worst_direction = np.ones(k), np.zeros(k, dtype=np.int64)
    smallest = _SMALLEST_FRACTION * trial
    searching = np.arange(k)
    while searching.size:
        # Where a larger radius failed worst this one mostly fails, too, and one point tells; most others fail in many
        # directions, so that a few of them tell.
        good = decreasing(searching, worst_shell[searching, None], worst_direction[searching, None])
        for part, which in ((shells[:1], some), (shells[:1], directions), (shells[1:], directions)):
            left = searching[good]
            if left.size:
                full = (left.size, 1)
                good[good] = decreasing(left, np.tile(part, full), np.tile(which, full))
        radii[searching[good]] = _MARGIN * trial[searching[good]]
        searching = searching[~good]
        trial[searching] *= 0.8
        searching = searching[trial[searching] >= smallest[searching]]
    return metrics, radii, trial


def _directions(d: int) -> Array:
    """Unit vectors ``(m, d)`` spread over the sphere."""
    if d == 1:
        return np.array([[-1.0], [1.0]])
    if d == 2:
        angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
        return np.column_stack([np.cos(angle), np.sin(angle)])
    normal = np.random.default_rng(0).standard_normal((512, d))
    axes = np.vstack([np.eye(d), -np.eye(d)])
    return np.vstack([normal / np.linalg.norm(normal, axis=1, keepdims=True), axes])
