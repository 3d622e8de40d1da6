"""Roots of inverse covariances, which tell apart noise that is small in a direction and noise that is none."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from qpot._core.arrays import Array, format_point
from qpot.problem.covariance import RANK_TOLERANCE

# A covariance has full rank beyond doubt where all Cholesky pivots are above this fraction of the largest one.
_SAFE_PIVOT = 1e-8


class SingularCovarianceError(ValueError):
    """A covariance that has to be inverted is singular at some point."""


def inverse_roots(a: Array, x: Array) -> Array:
    """Matrices R (n, d, d) with a^{-1} = R^T R of the covariances a (n, d, d) at points x (n, d).

    Raises
    ------
    SingularCovarianceError
        Where a covariance is singular; it names the point.

    Examples
    --------
    >>> import numpy as np
    >>> inverse_roots(np.array([[[4.0]]]), np.zeros((1, 1)))
    array([[[0.5]]])
    """
    roots = by_cholesky(a)
    if roots is not None:
        return roots
    values, vectors = np.linalg.eigh(a)
    bad = values[:, 0] <= RANK_TOLERANCE * values[:, -1]
    if bad.any():
        point = x[int(np.flatnonzero(bad)[0])]
        raise SingularCovarianceError(
            f"covariance is singular at {format_point(point)}: the noise cannot push in every direction; add an explicit "
            "floor, for example System.from_finite_sum(total, covariance=qpot.low_rank_covariance(...)), or use "
            "method=qpot.GeometricAction()"
        )
    return np.asarray(np.swapaxes(vectors, 1, 2) / np.sqrt(values)[:, :, None])


def by_cholesky(a: Array) -> Array | None:
    """Inverse Cholesky factors, where the pivots show that every a (n, d, d) is far from singular; None otherwise."""
    roots = np.array(a, order="C")
    # LAPACK works on columns, so that it takes a transposed view and overwrites the array; NumPy has no triangular inverse.
    for root in roots:
        if dpotrf(root.T, lower=0, clean=1, overwrite_a=1)[1] != 0:
            return None
    pivots = np.diagonal(roots, axis1=1, axis2=2) ** 2
    if (pivots.min(axis=1) <= _SAFE_PIVOT * pivots.max(axis=1)).any():
        return None
    for root in roots:
        dtrtri(root.T, lower=0, overwrite_c=1)
    return roots


def times(matrices: Array, vectors: Array) -> Array:
    """The products of matrices (n, k, d) and vectors (n, d), ``(n, k)``."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])
